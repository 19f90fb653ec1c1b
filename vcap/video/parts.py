"""The frames of many segments of one video, read in one pass.

Shapes: T frames, H W pixels.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from vcap.types import Frames, Segment
from vcap.video.decode import Size, Warn, open_reader, silent
from vcap.video.picture import Pixels
from vcap.video.sample import Sampler

Cut = Callable[[float, float], list[Segment]]


def iter_parts(
    path: Path,
    sampler: Sampler,
    cut: Cut,
    *,
    size: Size | None = None,
    stream: int | None = None,
    on_warning: Warn = silent,
) -> Iterator[tuple[Segment, Frames]]:
    """Each segment with the frames that the sampler wants from it; one without any is left out.

    The time line is read once and the file is walked once, so that an hour in segments of ten
    seconds costs no more than the hour. Memory holds the frames of one segment.

    Args:
        path: a video or an image.
        sampler: which frames of each segment.
        cut: gives the segments, in order and apart, for the first and the end time of the video.
        size: what to scale to; None for the displayed size.
        stream: number of the video stream in the file; None for the best.
        on_warning: gets one sentence for each kind of damage.

    Raises:
        VideoError: the file holds no video, no frame decodes, or a segment lies outside.
    """
    reader = open_reader(path, sampler, size=size, stream=stream, on_warning=on_warning)
    segments = cut(float(reader.timeline.times[0]), reader.timeline.end_time)
    chosen = [reader.choose(segment) for segment in segments]
    frames = reader.read([number for numbers in chosen for number in numbers])
    if not reader.repeats:
        yield from _by_time(segments, frames)
        return
    for segment, numbers in zip(segments, chosen, strict=True):
        part = list(islice(frames, len(numbers)))
        if part:
            yield segment, _joined(part)


def _by_time(
    segments: list[Segment], frames: Iterator[tuple[float, Pixels]]
) -> Iterator[tuple[Segment, Frames]]:
    """Share frames out by their times, where damage may have taken some of them."""
    waiting = next(frames, None)
    for segment in segments:
        part: list[tuple[float, Pixels]] = []
        while waiting is not None and (waiting[0] < segment.end or segment is segments[-1]):
            part.append(waiting)
            waiting = next(frames, None)
        if part:
            yield segment, _joined(part)


def _joined(part: list[tuple[float, Pixels]]) -> Frames:
    times = np.array([time for time, _ in part], dtype=np.float64)  # [T]
    return Frames(np.stack([pixels for _, pixels in part]), times)
