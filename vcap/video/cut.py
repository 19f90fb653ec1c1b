"""A part of a video as a file of its own, with its sound.

Pictures are encoded again, so that the part begins and ends where it should and not at the
keyframes around it; each is shown as long as in the original.
"""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import Any

import av
import numpy as np

from vcap.errors import VideoError
from vcap.types import Segment
from vcap.video.decode import Warn, iter_frames, silent
from vcap.video.picture import Pixels
from vcap.video.sample import Sampler
from vcap.video.source import OPTIONS

TICKS = 90_000  # of the clip's clock a second
PICTURE = {"preset": "veryfast", "crf": "18", "bf": "0", "flags": "+bitexact"}
MOST_AHEAD = 2.0  # seconds that sound is looked for before the part, as packets are long

Timed = tuple[float, int, Any]  # seconds from the beginning of the clip, stream, frame


def cut_clip(path: Path, segment: Segment, target: Path, *, on_warning: Warn = silent) -> int:
    """Write the part of a video as an MP4 to exactly that path; gives the number of pictures.

    Raises:
        VideoError: the file holds no video, or the segment lies outside of it.
    """
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    pictures = _pictures(path, segment, on_warning)
    first = next(pictures, None)
    if first is None:
        raise VideoError(f"{path}: no picture between {segment.start} and {segment.end} s")
    with av.open(str(target), "w", format="mp4", container_options=options) as container:
        streams: list[Any] = [_video_stream(container, first[2])]
        sound = _sound(path, segment)
        loud = next(sound, None)
        if loud is not None:
            streams.append(container.add_stream("aac", rate=loud[2].sample_rate))
        clock = _Clock()
        for time, number, frame in merge(_again(first, pictures), _again(loud, sound), key=_time):
            made = frame if number else clock.picture(time, frame)
            container.mux(streams[number].encode(made))
        for stream in streams:
            container.mux(stream.encode())
    return clock.count


def _time(timed: Timed) -> float:
    return timed[0]


def _again(first: Timed | None, rest: Iterator[Timed]) -> Iterator[Timed]:
    """What was looked at, and the rest."""
    if first is not None:
        yield first
        yield from rest


class _Clock:
    """Gives pictures their times in the clip, each later than the one before."""

    def __init__(self) -> None:
        self.count = 0
        self._last = -1

    def picture(self, time: float, pixels: Pixels) -> av.VideoFrame:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(_even(pixels)), format="rgb24")
        self._last = max(round(time * TICKS), self._last + 1)
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self.count += 1
        return frame


def _even(pixels: Pixels) -> Pixels:
    """The picture [H, W, 3] without an odd last line or column, which yuv420p cannot hold."""
    height, width = (max(2, side // 2 * 2) for side in pixels.shape[:2])
    missing = ((0, max(0, 2 - pixels.shape[0])), (0, max(0, 2 - pixels.shape[1])), (0, 0))
    return np.pad(pixels, missing, mode="edge")[:height, :width]


def _video_stream(container: Any, pixels: Pixels) -> Any:
    stream = container.add_stream("libx264", rate=30)  # a guess for the encoder; times rule
    stream.height, stream.width = _even(pixels).shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, TICKS)
    stream.options = PICTURE
    return stream


def _pictures(path: Path, segment: Segment, on_warning: Warn) -> Iterator[Timed]:
    frames = iter_frames(path, Sampler("all"), segment=segment, alone=True, on_warning=on_warning)
    for time, pixels in frames:
        yield max(0.0, time - segment.start), 0, pixels


def _sound(path: Path, segment: Segment) -> Iterator[Timed]:
    """The sound of the part; none where there is none or where it does not decode."""
    if not path.is_file():
        return
    with suppress(av.FFmpegError, ValueError), av.open(str(path), options=OPTIONS) as container:
        stream = container.streams.best("audio")
        if stream is None:
            return
        if segment.start > MOST_AHEAD:
            place = round((segment.start - MOST_AHEAD) * av.time_base)
            container.seek(place, backward=True)
        for frame in container.decode(stream):
            if frame.time is None or frame.time < segment.start:
                continue
            if frame.time >= segment.end:
                return
            time = frame.time - segment.start
            frame.pts = round(time * frame.sample_rate)
            frame.time_base = Fraction(1, frame.sample_rate)
            yield time, 1, frame
