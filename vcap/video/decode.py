"""Frames of a video, never without their times.

Pictures are chosen from a time line that is read without decoding; then only what the wanted
frames depend on is decoded, with the same pixels as a full decode gives. Where a file does not
allow that (damage, times that are missing or go backwards) it is decoded from start to end.
Shapes: T frames, H W pixels.
"""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import av
import numpy as np
import numpy.typing as npt

from vcap.errors import VideoError
from vcap.types import Frames, Segment
from vcap.video.frames_folder import Pictures, is_frames_folder, read_times
from vcap.video.picture import Painter, Pixels, Size
from vcap.video.probe import header_duration
from vcap.video.sample import NUMBERED, TIE_SECONDS, TIMED, Sampler, choose_frames
from vcap.video.source import Source, open_video
from vcap.video.timeline import Timeline, read_timeline
from vcap.video.walk import PlanFailed, walk, walk_keyframes

MAX_BYTES = 2**33  # of frames held at once; longer reads belong to `iter_frames`
SHORTFALL = 0.05  # share of the announced frames that may be missing without a word

__all__ = ["Size", "Warn", "iter_frames", "read_frames", "silent"]

Warn = Callable[[str], None]
Painted_co = TypeVar("Painted_co", covariant=True)


class Paints(Protocol[Painted_co]):
    """Makes of a decoded frame what is wanted of it."""

    def paint(self, frame: av.VideoFrame) -> Painted_co:
        """What is wanted, upright."""
        ...


def silent(_: str) -> None:
    """Take a warning and say nothing."""


@dataclass
class Tally:
    """What a decode from start to end came across."""

    num_packets: int = 0
    num_damaged: int = 0
    num_backwards: int = 0
    times: list[float] = field(default_factory=list)
    keyframes: list[bool] = field(default_factory=list)


def iter_frames(
    path: Path,
    sampler: Sampler,
    *,
    segment: Segment | None = None,
    size: Size | None = None,
    stream: int | None = None,
    alone: bool = False,
    on_warning: Warn = silent,
) -> Iterator[tuple[float, Pixels]]:
    """Time in seconds and RGB pixels [H, W, 3] uint8 of each wanted frame, upright.

    Memory stays flat: a frame is decoded when it is asked for. Interlaced pictures come as they
    are stored, both fields in one frame. Times are those of the file's own clock, wherever it
    starts; what an edit list cuts off is not shown.

    Args:
        path: a video, an image or a folder that `vcap extract` made.
        sampler: which frames.
        segment: the part of the video to look at; None for all of it.
        size: what to scale to; None for the displayed size.
        stream: number of the video stream in the file; None for the best.
        alone: no other video is decoded at the same time, so that a large one may use threads.
        on_warning: gets one sentence for each kind of damage.

    Raises:
        VideoError: the file holds no video, no frame decodes, or the segment lies outside.
    """
    reader = open_reader(
        path, sampler, size=size, stream=stream, alone=alone, on_warning=on_warning
    )
    yield from reader.read(reader.choose(segment))


def read_frames(
    path: Path,
    sampler: Sampler,
    *,
    segment: Segment | None = None,
    size: Size | None = None,
    stream: int | None = None,
    alone: bool = False,
    on_warning: Warn = silent,
) -> Frames:
    """The wanted frames of a video in one array; see `iter_frames` for the arguments.

    Raises:
        VideoError: as `iter_frames`, or the frames would not fit into memory.
    """
    warnings: list[str] = []

    def note(sentence: str) -> None:
        warnings.append(sentence)
        on_warning(sentence)

    times: list[float] = []
    pictures: list[Pixels] = []
    room = MAX_BYTES
    for time, pixels in iter_frames(
        path, sampler, segment=segment, size=size, stream=stream, alone=alone, on_warning=note
    ):
        room -= pixels.nbytes
        if room < 0:
            raise VideoError(
                f"{path}: its frames need more than {MAX_BYTES >> 30} GiB at once; "
                "choose fewer frames or a smaller size"
            )
        times.append(time)
        pictures.append(pixels)
    return Frames(stacked(pictures), np.array(times, dtype=np.float64), tuple(warnings))


def stacked(pictures: list[Pixels]) -> npt.NDArray[np.uint8]:
    """One array [T, H, W, 3]; the list is emptied on the way to hold each picture once."""
    frames = np.empty((len(pictures), *pictures[0].shape), dtype=np.uint8)  # [T, H, W, 3]
    pictures.reverse()
    for index in range(len(frames)):
        frames[index] = pictures.pop()
    return frames


def open_reader(
    path: Path,
    sampler: Sampler,
    *,
    size: Size | None = None,
    stream: int | None = None,
    alone: bool = False,
    on_warning: Warn = silent,
) -> "Reader[Pixels]":
    """Learn when the frames of a video are shown; see `iter_frames` for the arguments.

    Raises:
        VideoError: the file holds no video, or no frame decodes.
    """
    return open_with(
        path, sampler, partial(Painter, size), stream=stream, alone=alone, on_warning=on_warning
    )


def open_with(
    path: Path,
    sampler: Sampler,
    make_painter: Callable[[Fraction | None], Paints[Painted_co]],
    *,
    stream: int | None,
    alone: bool,
    on_warning: Warn,
) -> "Reader[Painted_co]":
    """As `open_reader`; `make_painter` is handed the width of a pixel divided by its height."""
    path = Path(path)
    if is_frames_folder(path):
        return Reader(path, sampler, stream, make_painter(None), read_times(path), on_warning)
    with open_video(path, stream) as source:
        painter = make_painter(source.aspect)
        timeline = read_timeline(source)
        header = _Header(source.stream.frames, header_duration(source), source.num_read_errors)
    if timeline is None:
        timeline = _timeline_by_decoding(path, stream)
    _warn_if_cut_short(timeline, header, on_warning)
    return Reader(path, sampler, stream, painter, timeline, on_warning, alone)


@dataclass(frozen=True)
class _Header:
    """What the head of the file announces, and how often reading it failed."""

    num_frames: int
    duration: float | None
    num_read_errors: int


def _warn_if_cut_short(timeline: Timeline, header: _Header, on_warning: Warn) -> None:
    """Say so where the file announces clearly more than it holds."""
    if header.num_read_errors:
        on_warning(f"reading failed at {header.num_read_errors} places of the file")
    have = timeline.num_packets
    if header.num_frames * (1 - SHORTFALL) > have + 1:
        on_warning(f"the header announces {header.num_frames} frames, the file holds {have}")
        return
    missing = (header.duration or 0.0) - timeline.end_time
    if missing > max(1.0, SHORTFALL * (header.duration or 0.0)):
        on_warning(
            f"the header announces {header.duration:.1f} s, "
            f"the pictures end at {timeline.end_time:.1f} s"
        )


@dataclass
class Reader(Generic[Painted_co]):
    """Brings chosen frames of one video to pixels; made by `open_reader`, used once."""

    path: Path
    sampler: Sampler
    stream: int | None
    painter: Paints[Painted_co]
    timeline: Timeline
    on_warning: Warn
    alone: bool = False
    num_given: int = 0
    last: tuple[av.VideoFrame, Painted_co] | None = None

    @property
    def repeats(self) -> bool:
        """Whether a frame that is shown at two wanted times is given twice."""
        return self.sampler.name in (*TIMED, *NUMBERED)

    @property
    def _keyframes_do(self) -> bool:
        """Whether only keyframes are asked for."""
        return self.sampler.keyframes_only or self.sampler.name == "keyframes"

    def choose(self, segment: Segment | None) -> list[int]:
        """Numbers of the frames that the sampler wants from a segment; None for the whole video.

        Raises:
            VideoError: the segment lies outside the video, or is empty or reversed.
        """
        times, end = self.timeline.times, self.timeline.end_time
        try:
            return choose_frames(self.sampler, times, self.timeline.is_keyframe, end, segment)
        except VideoError as error:
            raise VideoError(f"{self.path}: {error}", hint=error.hint) from error

    def read(self, chosen: list[int]) -> Iterator[tuple[float, Painted_co]]:
        """Time and pixels of each chosen frame, the fast way for as long as it holds."""
        if is_frames_folder(self.path):
            yield from self._pictures(chosen)
            return
        if self.timeline.pts:
            try:
                yield from self._fast(chosen)
                return
            except PlanFailed:
                self.last = None
        yield from self._whole(chosen)

    def _pictures(self, chosen: list[int]) -> Iterator[tuple[float, Painted_co]]:
        """Decode the chosen pictures of a folder."""
        pictures = Pictures(self.path, len(self.timeline.times))
        for number, frame in pictures.read(chosen, self.repeats):
            yield self._paint(float(self.timeline.times[number]), frame)
        if warning := pictures.warning():
            self.on_warning(warning)

    def _fast(self, chosen: list[int]) -> Iterator[tuple[float, Painted_co]]:
        """Decode only what the chosen frames depend on."""
        wanted = sorted({self.timeline.pts[index] for index in chosen})
        place = 0
        sparse = self._keyframes_do and all(pts in self.timeline.seek_ticks for pts in wanted)
        way = walk_keyframes if sparse else walk
        with open_video(self.path, self.stream, alone=self.alone and not sparse) as source:
            for frame in way(source, self.timeline, wanted):
                while place < len(chosen) and self.timeline.pts[chosen[place]] == frame.pts:
                    yield self._paint(source.seconds(frame.pts), frame)
                    place += 1

    def _whole(self, chosen: list[int]) -> Iterator[tuple[float, Painted_co]]:
        """Decode from start to end; what the fast way has given already is not given again."""
        tally = Tally()
        wanted = self.timeline.times[chosen].tolist()
        with open_video(self.path, self.stream) as source:
            shown = _shown_at(_decode_all(source, tally), wanted, self.repeats)
            for count, (time, frame) in enumerate(shown):
                if count >= self.num_given:
                    yield self._paint(time, frame)
        _report(tally, self.on_warning)
        if not tally.times:
            raise _nothing_decodes(self.path, tally)

    def _paint(self, time: float, frame: av.VideoFrame) -> tuple[float, Painted_co]:
        """Convert a frame once, however often it is wanted."""
        if self.last is None or self.last[0] is not frame:
            self.last = (frame, self.painter.paint(frame))
        self.num_given += 1
        return time, self.last[1]


def _decode_all(source: Source, tally: Tally) -> Iterator[tuple[float, av.VideoFrame]]:
    """Every frame that decodes, with a time that never goes backwards; bad packets are skipped."""
    shift = 0.0
    rate = source.stream.average_rate or source.stream.guessed_rate
    gap = float(1 / rate) if rate else 0.04
    for frame in _decoded(source, tally):
        last = tally.times[-1] if tally.times else None
        time = source.seconds(frame.pts) + shift if frame.pts is not None else None
        if time is None:
            time = 0.0 if last is None else last + gap
        elif last is not None and time < last:
            tally.num_backwards += 1
            shift += last + gap - time
            time = last + gap
        tally.times.append(time)
        tally.keyframes.append(bool(frame.key_frame))
        yield time, frame


def _decoded(source: Source, tally: Tally) -> Iterator[av.VideoFrame]:
    """What the decoder gives for each packet, and at the end."""
    decoder = source.stream.codec_context
    for packet in source.packets():
        tally.num_packets += 1
        try:
            yield from decoder.decode(packet)
        except av.FFmpegError:
            tally.num_damaged += 1
    try:
        yield from decoder.decode(None)
    except av.FFmpegError:
        tally.num_damaged += 1


def _shown_at(
    frames: Iterator[tuple[float, av.VideoFrame]], wanted: list[float], repeats: bool
) -> Iterator[tuple[float, av.VideoFrame]]:
    """The frame shown at each wanted time; without `repeats` none is given twice in a row."""
    place = 0
    shown: tuple[float, av.VideoFrame] | None = None
    given: tuple[float, av.VideoFrame] | None = None
    for following in frames:
        while place < len(wanted) and wanted[place] < following[0] - TIE_SECONDS:
            choice = shown or following
            if repeats or choice is not given:
                yield choice
            given = choice
            place += 1
        if place == len(wanted):
            return
        shown = following
    for _ in wanted[place:]:
        if shown is not None and (repeats or shown is not given):
            yield shown
        given = shown


def _timeline_by_decoding(path: Path, stream: int | None) -> Timeline:
    """The time line of a file whose packets do not tell it."""
    tally = Tally()
    with open_video(path, stream) as source:
        last_duration = 0.0
        for _, frame in _decode_all(source, tally):
            last_duration = source.seconds(frame.duration or 0)
        if not tally.times:
            raise _nothing_decodes(path, tally)
        if source.is_image:
            last_duration = 0.0
        elif not last_duration:
            last_duration = (tally.times[-1] - tally.times[0]) / max(1, len(tally.times) - 1)
    return Timeline(
        times=np.array(tally.times, dtype=np.float64),
        is_keyframe=np.array(tally.keyframes, dtype=np.bool_),
        end_time=tally.times[-1] + last_duration,
        num_packets=tally.num_packets,
    )


def _nothing_decodes(path: Path, tally: Tally) -> VideoError:
    if not tally.num_packets:
        return VideoError(f"{path}: the file has a video stream but no pictures in it")
    return VideoError(
        f"{path}: no frame decodes; {tally.num_damaged} of {tally.num_packets} packets are damaged",
        hint=f"ffmpeg -v error -i {shlex.quote(str(path))} -f null -",
    )


def _report(tally: Tally, on_warning: Warn) -> None:
    """One sentence for each kind of damage met on the way."""
    if tally.num_damaged:
        on_warning(
            f"{tally.num_damaged} of {tally.num_packets} packets were damaged; "
            f"{len(tally.times)} frames were decoded"
        )
    if tally.num_backwards:
        on_warning(
            f"time stamps went backwards {tally.num_backwards} times; "
            "they were counted on from the frame before"
        )
