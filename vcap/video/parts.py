"""The frames of many segments of one video, read in one pass.

Shapes: T frames, H W pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from vcap.types import Frames, Segment
from vcap.video.decode import Size, Warn, open_reader, silent
from vcap.video.picture import Pixels
from vcap.video.sample import Sampler

Cut = Callable[[float, float], Sequence[Segment | None]]
Part = tuple[Segment | None, Frames]
Timed = tuple[float, Pixels]


def iter_parts(
    path: Path,
    sampler: Sampler,
    cut: Cut,
    *,
    size: Size | None = None,
    stream: int | None = None,
    most: int | None = None,
    alone: bool = False,
    on_warning: Warn = silent,
) -> Iterator[Part]:
    """Each segment with the frames that the sampler wants from it; one without any is left out.

    The time line is read once and the file is walked once, so that an hour in segments of ten
    seconds costs no more than the hour. Memory holds the frames of one part.

    Args:
        path: a video or an image.
        sampler: which frames of each segment.
        cut: gives the segments, in order and apart, for the first and the end time of the video;
            a single None stands for all of it.
        size: what to scale to; None for the displayed size.
        stream: number of the video stream in the file; None for the best.
        most: frames at once; a segment of more comes in several parts, one after the other.
        alone: no other video is decoded at the same time; see `iter_frames`.
        on_warning: gets one sentence for each kind of damage.

    Raises:
        VideoError: the file holds no video, no frame decodes, or a segment lies outside.
    """
    reader = open_reader(
        path, sampler, size=size, stream=stream, alone=alone, on_warning=on_warning
    )
    segments = cut(float(reader.timeline.times[0]), reader.timeline.end_time)
    chosen = [reader.choose(segment) for segment in segments]
    frames = reader.read([number for numbers in chosen for number in numbers])
    if reader.repeats or len(segments) == 1:
        runs = _by_count(segments, [len(numbers) for numbers in chosen], frames)
    else:
        runs = _by_time(segments, frames)
    for segment, run in runs:
        while part := list(islice(run, most)):
            yield segment, _joined(part)
    next(frames, None)  # none is left; damage is told where the reading ends


def _by_count(
    segments: Sequence[Segment | None], counts: list[int], frames: Iterator[Timed]
) -> Iterator[tuple[Segment | None, Iterator[Timed]]]:
    """Share frames out by how many each segment asked for; damaged files keep these numbers."""
    for segment, count in zip(segments, counts, strict=True):
        yield segment, islice(frames, count)


def _by_time(
    segments: Sequence[Segment | None], frames: Iterator[Timed]
) -> Iterator[tuple[Segment | None, Iterator[Timed]]]:
    """Share frames out by their times, where damage may have taken some of them."""
    waiting: list[Timed] = []

    def until(end: float) -> Iterator[Timed]:
        while frame := waiting.pop() if waiting else next(frames, None):
            if frame[0] >= end:
                waiting.append(frame)
                return
            yield frame

    for segment in segments:
        is_last = segment is None or segment is segments[-1]
        yield segment, until(float("inf") if is_last or segment is None else segment.end)


def _joined(part: list[Timed]) -> Frames:
    times = np.array([time for time, _ in part], dtype=np.float64)  # [T]
    return Frames(np.stack([pixels for _, pixels in part]), times)
