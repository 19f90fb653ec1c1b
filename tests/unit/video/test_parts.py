"""Segments of one video in one pass are what reading each by itself gives."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vcap.errors import VideoError
from vcap.types import Segment
from vcap.video.decode import Size, read_frames
from vcap.video.parts import iter_parts
from vcap.video.sample import parse_sampler
from vcap.video.write import write_mp4

SIZE = Size(width=32, height=24)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds at 8 frames a second, each frame of another grey."""
    path = tmp_path_factory.mktemp("parts") / "a.mp4"
    frames = np.stack([np.full((24, 32, 3), 6 * n, dtype=np.uint8) for n in range(40)])
    write_mp4(path, frames, frames_per_second=8, crf=18)
    return path


def cut(first: float, end: float) -> list[Segment]:
    borders = [first, *(b for b in (first + 2.0, first + 4.0) if b < end), end]
    return [Segment(start, stop) for start, stop in pairwise(borders)]


@pytest.mark.parametrize("sampler", ["uniform 4", "fps 3", "all", "keyframes"])
def test_each_segment_has_the_frames_that_it_has_when_it_is_read_alone(
    video: Path, sampler: str
) -> None:
    parts = list(iter_parts(video, parse_sampler(sampler), cut, size=SIZE))
    assert [tuple(segment) for segment, _ in parts] == [(0, 2), (2, 4), (4, 5)][: len(parts)]
    for segment, frames in parts:
        alone = read_frames(video, parse_sampler(sampler), segment=segment, size=SIZE)
        if sampler != "keyframes":  # a segment without one then shows its first frame
            assert frames.times.tolist() == alone.times.tolist()
            assert np.array_equal(frames.pixels, alone.pixels)


def test_the_video_tells_where_it_starts_and_ends(video: Path) -> None:
    asked: list[tuple[float, float]] = []

    def whole(first: float, end: float) -> list[Segment]:
        asked.append((first, end))
        return [Segment(first, end)]

    [(segment, frames)] = iter_parts(video, parse_sampler("uniform 5"), whole, size=SIZE)
    assert asked == [(0.0, 5.0)]
    assert segment == Segment(0.0, 5.0)
    assert frames.pixels.shape == (5, 24, 32, 3)


def test_a_segment_outside_the_video_is_refused_by_name(video: Path) -> None:
    with pytest.raises(VideoError, match=r"a\.mp4.*outside"):
        list(iter_parts(video, parse_sampler("uniform 2"), lambda *_: [Segment(7.0, 9.0)]))


@pytest.mark.media
@pytest.mark.parametrize(
    "name", ["broken/corrupt_middle.mp4", "broken/truncated.avi", "rabbit320.webm"]
)
@pytest.mark.parametrize("sampler", ["uniform 3", "all"])
def test_damaged_videos_give_parts_with_pictures(media_root: Path, name: str, sampler: str) -> None:
    warnings: list[str] = []
    parts = list(
        iter_parts(
            media_root / name, parse_sampler(sampler), cut, size=SIZE, on_warning=warnings.append
        )
    )
    assert parts
    assert all(len(frames.times) and frames.pixels.any() for _, frames in parts)
    starts = [frames.times[0] for _, frames in parts]
    assert starts == sorted(starts)


@pytest.mark.parametrize("sampler", ["uniform 7", "all"])
def test_a_long_segment_comes_in_parts_that_hold_what_it_held(video: Path, sampler: str) -> None:
    whole = dict(iter_parts(video, parse_sampler(sampler), cut, size=SIZE))
    parts = list(iter_parts(video, parse_sampler(sampler), cut, size=SIZE, most=3))
    assert max(len(frames.times) for _, frames in parts) == 3
    for segment, frames in whole.items():
        pieces = [piece.times for own, piece in parts if own == segment]
        assert np.concatenate(pieces).tolist() == frames.times.tolist()


def test_none_stands_for_the_whole_video(video: Path) -> None:
    [(segment, frames)] = iter_parts(video, parse_sampler("fps 2"), lambda *_: [None], size=SIZE)
    assert segment is None
    assert frames.times.tolist() == read_frames(video, parse_sampler("fps 2")).times.tolist()
