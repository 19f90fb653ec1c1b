"""Encoding with a model that keeps frames, killed on the way, ends with the same bytes."""

import subprocess
from pathlib import Path

import pytest

from tests.killing import DEADLINE_SECONDS, done, kill_when_grown, start_child
from tests.small_retrieval import small_policy, write_retrieval
from tests.small_videos import make_video

NUM_VIDEOS = 6

# Waits after each shard, so that the kill falls between two.
CHILD = """
import sys, time
from vcap.engine import encode as module

module.GROUP = 2
summary = module.encode([sys.argv[1]], sys.argv[2], model=sys.argv[3], shard_size=2, workers=2,
    device="cpu", on_result=lambda key, num_frames: time.sleep(float(sys.argv[4])))
print(summary.done, summary.skipped, len(summary.failed))
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos, and a model with a policy on small grey pictures."""
    folder = tmp_path_factory.mktemp("sources")
    for number in range(NUM_VIDEOS):
        make_video(folder / "videos" / f"{number}.mp4", number)
    write_retrieval(folder / "model", small_policy())
    return folder


def begin(sources: Path, store: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    """Start a run in a process of its own."""
    return start_child(CHILD, sources / "videos", store, sources / "model", pause)


def contents(store: Path) -> dict[str, bytes]:
    """What readers of a store see."""
    return {path.name: path.read_bytes() for path in store.iterdir() if path.is_file()}


@pytest.mark.slow
def test_killed_on_the_way_it_goes_on_to_the_same_bytes(sources: Path, tmp_path: Path) -> None:
    out, err = begin(sources, tmp_path / "whole").communicate(timeout=DEADLINE_SECONDS)
    assert out.split() == [str(NUM_VIDEOS), "0", "0"], err
    store = tmp_path / "store"
    assert kill_when_grown(begin(sources, store, pause=0.5), store)
    before = done(store)
    assert 0 < before < NUM_VIDEOS
    whole = contents(tmp_path / "whole")
    assert {name: data for name, data in contents(store).items() if "part" not in name}.items() <= (
        whole.items()
    )
    out, err = begin(sources, store).communicate(timeout=DEADLINE_SECONDS)
    assert out.split() == [str(NUM_VIDEOS - before), str(before), "0"], err
    assert contents(store) == whole
