"""A run of `encode` that is killed each time its journal has grown ends with the same bytes."""

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

NUM_VIDEOS = 14
SHARD_SIZE = 2

# Waits after each shard, so that the kill falls between two; its encoder needs no torch.
CHILD = f"""
import sys, time
from vcap.engine import encode as module
from vcap.engine.run import listen
from vcap.engine.reporter import Reporter
from tests.small_videos import ColourEncoder

def wait(key, num_frames):
    time.sleep(float(sys.argv[3]))

module.GROUP = 2
module.load_named = lambda *_: ColourEncoder()
reporter = Reporter()
with listen(reporter) as stop:
    summary = module.encode([sys.argv[1]], sys.argv[2], sampler="uniform 4", on_result=wait,
        shard_size={SHARD_SIZE}, workers=2, reporter=reporter, stop=stop)
print(summary.done, summary.skipped, len(summary.failed))
sys.exit(summary.exit_code)
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen videos; the fourth cannot be decoded."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(NUM_VIDEOS):
        make_video(folder / f"{number}.mp4", number)
    (folder / "3.mp4").write_text("no video")
    return folder


def begin(videos: Path, store: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    """Start a run in a process of its own."""
    return start_child(CHILD, videos, store, pause)


def contents(store: Path) -> dict[str, bytes]:
    """What readers of a store see; half-written files too, were there any."""
    return {path.name: path.read_bytes() for path in store.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def unbroken(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The store of a run that nobody disturbed."""
    store = tmp_path_factory.mktemp("unbroken") / "store"
    out, err = begin(videos, store).communicate(timeout=DEADLINE_SECONDS)
    assert out.split() == [str(NUM_VIDEOS - 1), "0", "1"], err
    return contents(store)


@pytest.mark.slow
def test_killed_each_time_the_journal_grows_it_ends_with_the_same_bytes(
    videos: Path, tmp_path: Path, unbroken: dict[str, bytes]
) -> None:
    store = tmp_path / "store"
    seen: list[int] = []
    while kill_when_grown(begin(videos, store, pause=0.3), store):
        seen.append(done(store))
        if seen[-1] == NUM_VIDEOS - 1:
            break  # the last shard's entry was there before the kill
        committed = {name: data for name, data in contents(store).items() if "part" not in name}
        assert committed.items() <= unbroken.items()
    assert len(seen) >= 3
    assert 0 < seen[0] < NUM_VIDEOS - 1
    assert seen == sorted(set(seen))
    out, err = begin(videos, store).communicate(timeout=DEADLINE_SECONDS)
    assert out.split() == [str(NUM_VIDEOS - 1 - seen[-1]), str(seen[-1]), "1"], err
    assert contents(store) == unbroken
    assert most_done(store) == 1


def test_interrupted_it_finishes_what_is_in_flight_and_goes_on_to_the_same_bytes(
    videos: Path, tmp_path: Path, unbroken: dict[str, bytes]
) -> None:
    store = tmp_path / "store"
    interrupt_when_grown(begin(videos, store, pause=0.3), store)
    assert 0 < done(store) < NUM_VIDEOS - 1
    begin(videos, store).communicate(timeout=DEADLINE_SECONDS)
    assert contents(store) == unbroken


def test_a_shard_that_was_written_but_not_journalled_is_written_again_alike(
    videos: Path, tmp_path: Path, unbroken: dict[str, bytes]
) -> None:
    store = tmp_path / "store"
    begin(videos, store).communicate(timeout=DEADLINE_SECONDS)
    path = store / ".vcap" / "journal.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]) + b'{"key": "2.m')
    out, err = begin(videos, store).communicate(timeout=DEADLINE_SECONDS)
    assert out.split() == [str(NUM_VIDEOS - 3), "2", "1"], err
    assert contents(store) == unbroken


def test_without_its_private_folder_a_store_keeps_its_shards(
    videos: Path, tmp_path: Path, unbroken: dict[str, bytes]
) -> None:
    import shutil

    store = tmp_path / "store"
    begin(videos, store).communicate(timeout=DEADLINE_SECONDS)
    shutil.rmtree(store / ".vcap")
    out, err = begin(videos, store).communicate(timeout=DEADLINE_SECONDS)
    assert out.split() == [str(NUM_VIDEOS - 1), "0", "1"], err
    assert contents(store) == unbroken
