"""A run of `caption` that is killed each time its journal has grown ends with the same files."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.killing import (
    DEADLINE_SECONDS,
    done,
    interrupt_when_grown,
    kill_when_grown,
    most_done,
    start_child,
)
from tests.small_videos import make_video

NUM_VIDEOS = 9

# Waits after each video, so that the kill falls between two; its captioner needs no torch.
CHILD = """
import sys, time
from pathlib import Path
from tests.small_videos import ColourCaptioner
from vcap.engine.caption import caption
from vcap.engine.caption_files import open_files
from vcap.engine.inputs import gather
from vcap.engine.reporter import Reporter
from vcap.engine.run import listen

sources = gather([sys.argv[1]])
files = open_files(sources, ["srt", "jsonl"], folder=Path(sys.argv[2]))
with listen(Reporter()) as stop:
    summary = caption(sources, ColourCaptioner(), files=files, workers=1, group=1, stop=stop,
        reporter=Reporter(), on_result=lambda *_: time.sleep(float(sys.argv[3])))
print(summary.done, summary.skipped)
sys.exit(summary.exit_code)
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(NUM_VIDEOS):
        make_video(folder / f"{number}.mp4", number)
    return folder


def begin(videos: Path, output: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    """Start a run in a process of its own."""
    return start_child(CHILD, videos, output, pause)


def contents(output: Path) -> dict[str, bytes]:
    """What a user sees."""
    return {path.name: path.read_bytes() for path in output.glob("*.*") if path.is_file()}


@pytest.fixture(scope="module")
def unbroken(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run that nobody disturbed."""
    output = tmp_path_factory.mktemp("unbroken") / "out"
    out, err = begin(videos, output).communicate(timeout=DEADLINE_SECONDS)
    assert out.split() == [str(NUM_VIDEOS), "0"], err
    return contents(output)


@pytest.mark.slow
def test_killed_each_time_the_journal_grows_it_ends_with_the_same_files(
    videos: Path, tmp_path: Path, unbroken: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    seen: list[int] = []
    while len(seen) < 4 and kill_when_grown(begin(videos, output, pause=0.3), output):
        seen.append(done(output))
        assert 0 < seen[-1] < NUM_VIDEOS
        assert contents(output).items() <= unbroken.items()
    assert len(seen) == 4
    out, err = begin(videos, output).communicate(timeout=DEADLINE_SECONDS)
    assert out.split() == [str(NUM_VIDEOS - seen[-1]), str(seen[-1])], err
    assert contents(output) == unbroken
    assert most_done(output) == 1


def test_an_interrupt_leaves_whole_files_and_the_joined_file_of_what_is_done(
    videos: Path, tmp_path: Path, unbroken: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    interrupt_when_grown(begin(videos, output, pause=0.3), output)
    finished = done(output)
    assert 0 < finished < NUM_VIDEOS
    joined = [json.loads(line) for line in (output / "captions.jsonl").read_text().splitlines()]
    assert [record["id"] for record in joined] == [f"{number}.mp4" for number in range(finished)]
    begin(videos, output).communicate(timeout=DEADLINE_SECONDS)
    assert contents(output) == unbroken
