"""Memory does not grow with the number of videos, nor with their length."""

import os
from pathlib import Path

import pytest

from tests.killing import start_child
from tests.small_videos import make_video
from vcap.features.store import FeatureStore

CHILD = """
import resource, sys
from vcap.engine.encode import encode
summary = encode([sys.argv[1]], sys.argv[2], model="tiny", sampler=sys.argv[3], device="cpu",
    workers=2)
print(summary.done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def encode_apart(store: Path, sampler: str, *folders: Path) -> list[tuple[int, int]]:
    """Encode each folder in a process of its own: how many were done, and its peak in KiB."""
    runs = [start_child(CHILD, folder, store / folder.name, sampler) for folder in folders]
    told = []
    for run in runs:
        line, complaint = run.communicate(timeout=300)
        assert run.returncode == 0, complaint
        done, peak = line.split()
        told.append((int(done), int(peak)))
    return told


def copies(video: Path, folder: Path, number: int) -> Path:
    """A folder with so many videos."""
    folder.mkdir()
    for place in range(number):
        os.link(video, folder / f"{place:04d}.mp4")
    return folder


@pytest.mark.slow
def test_three_hundred_videos_take_no_more_memory_than_forty(tmp_path: Path) -> None:
    video = make_video(tmp_path / "one.mp4", 1)
    few, many = (copies(video, tmp_path / str(number), number) for number in (40, 300))
    told = encode_apart(tmp_path / "store", "uniform 2", few, many)
    (num_few, peak_few), (num_many, peak_many) = told
    assert (num_few, num_many) == (40, 300)
    assert peak_many <= 1.1 * peak_few


@pytest.mark.slow
def test_a_long_video_takes_little_more_memory_than_a_short_one(tmp_path: Path) -> None:
    folders = [tmp_path / str(num_frames) for num_frames in (200, 1000)]
    for folder in folders:
        make_video(folder / "one.mp4", 1, num_frames=int(folder.name))
    (_, peak_short), (_, peak_long) = encode_apart(tmp_path / "store", "all", *folders)
    assert FeatureStore(tmp_path / "store" / "1000").num_frames("one.mp4") == 1000
    # all frames of the long one, 96 pixels square, would be 28 MB
    assert peak_long - peak_short <= 14_000
