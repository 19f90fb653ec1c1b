"""Memory does not grow with the number of videos, nor with their length."""

import os
from pathlib import Path

import pytest

from tests.killing import start_child
from tests.small_videos import make_video

CHILD = """
import resource, sys
from vcap.engine.encode import encode
summary = encode([sys.argv[1]], sys.argv[2], model="tiny", sampler=sys.argv[3], device="cpu",
    workers=2)
print(summary.done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def encode_apart(videos: Path, store: Path, sampler: str) -> tuple[int, int]:
    """Encode in a process of its own; gives how many videos were done, and its peak in KiB."""
    run = start_child(CHILD, videos, store, sampler)
    told, complaint = run.communicate(timeout=300)
    assert run.returncode == 0, complaint
    done, peak = told.split()
    return int(done), int(peak)


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
    num_few, peak_few = encode_apart(few, tmp_path / "few", "uniform 2")
    num_many, peak_many = encode_apart(many, tmp_path / "many", "uniform 2")
    assert (num_few, num_many) == (40, 300)
    assert peak_many <= 1.1 * peak_few


@pytest.mark.slow
def test_a_long_video_takes_little_more_memory_than_a_short_one(tmp_path: Path) -> None:
    peaks = {}
    for num_frames in (200, 1500):
        folder = tmp_path / str(num_frames)
        make_video(folder / "one.mp4", 1, num_frames=num_frames)
        done, peaks[num_frames] = encode_apart(folder, tmp_path / f"store{num_frames}", "all")
        assert done == 1
    # all frames of the long one, 96 pixels square, would be 41 MB
    assert peaks[1500] - peaks[200] <= 20_000
