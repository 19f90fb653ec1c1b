"""Open a video file and read its packets, whatever damage they carry."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
from av.stream import Disposition

from vcap.errors import VideoError

MAX_PIXELS = 2**27  # a picture of 16384 x 8192; more is a damaged or hostile header
MAX_READ_ERRORS = 32
LARGE_SIDE = 720  # from here on threads in the decoder pay, for a video that is read alone
NOT_VIDEO = {"tty", "bin", "xbin", "adf", "idf", "concat", "hls", "dash", "lavfi"}
OPTIONS = {
    "protocol_whitelist": "file",  # a playlist must not reach out to other places
    "pattern_type": "none",  # a percent sign in the name of an image is no pattern
    "max_pixels": str(MAX_PIXELS),
}


@dataclass
class Source:
    """An open file and the video stream that is read from it."""

    path: Path
    container: av.container.InputContainer
    stream: av.VideoStream
    num_read_errors: int = 0

    @cached_property
    def time_base(self) -> Fraction:
        """Seconds a tick of the stream's clock."""
        return self.stream.time_base or Fraction(1, av.time_base)

    @property
    def is_image(self) -> bool:
        """Whether the file is a picture, which is shown for no time at all."""
        name: str = self.container.format.name
        return name == "image2" or name.endswith("_pipe")

    @property
    def aspect(self) -> Fraction | None:
        """Width of a pixel divided by its height, where the file says so."""
        aspect: Fraction | None = self.stream.sample_aspect_ratio
        return aspect or self.stream.codec_context.sample_aspect_ratio

    def seconds(self, ticks: int) -> float:
        """Ticks as seconds, rounded once."""
        base = self.time_base
        return ticks * base.numerator / base.denominator

    def packets(self) -> Iterator[av.Packet]:
        """Packets of the stream from here to the end of what can be read."""
        while self.num_read_errors < MAX_READ_ERRORS:
            try:
                for packet in self.container.demux(self.stream):
                    if packet.size:
                        yield packet
                return
            except av.FFmpegError:
                self.num_read_errors += 1


@contextmanager
def open_video(path: Path, stream: int | None = None, *, alone: bool = False) -> Iterator[Source]:
    """Open a video or an image for reading; `stream` is the number of a stream in the file.

    With `alone`, for a video that no other is read beside, a large picture is decoded in several
    threads; the pixels are the same.

    Raises:
        VideoError: there is no such file, it cannot be read, or it holds no video.
    """
    _check_file(path)
    try:
        container = av.open(
            f"file:{os.path.abspath(path)}", options=OPTIONS, metadata_errors="replace"
        )
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(
            f"{path}: not a video, or its head is damaged or missing ({reason})",
            hint=f"ffprobe {_quoted(path)}",
        ) from error
    with container:
        chosen = _find_stream(path, container, stream)
        decoder = chosen.codec_context
        if decoder is None:
            raise VideoError(f"{path}: no decoder is built in for its video stream")
        if decoder.width * decoder.height > MAX_PIXELS:
            raise VideoError(
                f"{path}: its pictures are {decoder.width}x{decoder.height}, too large"
            )
        if alone and min(decoder.width, decoder.height) >= LARGE_SIDE:
            decoder.thread_type, decoder.thread_count = "FRAME", 0  # one for each processor
        else:
            decoder.thread_count = 1  # the cheapest; videos run side by side instead
        decoder.options = {**decoder.options, "max_pixels": str(MAX_PIXELS)}
        yield Source(path, container, chosen)


def _quoted(path: Path) -> str:
    """The path as a shell takes it."""
    return shlex.quote(str(path))


def _check_file(path: Path) -> None:
    """Say plainly what is wrong with the file before a demuxer guesses."""
    try:
        if not path.exists():
            raise VideoError(f"{path}: no such file", hint=f"ls {_quoted(path.parent)}")
        if path.is_dir():
            raise VideoError(f"{path}: a folder, not a video", hint=f"ls {_quoted(path)}")
        if not path.is_file():
            raise VideoError(f"{path}: neither a file nor a folder, so it cannot be read twice")
        with path.open("rb") as file:
            if not file.read(1):
                raise VideoError(
                    f"{path}: the file is empty; get it again", hint=f"ls -l {_quoted(path)}"
                )
    except PermissionError as error:
        raise VideoError(
            f"{path}: no permission to read it", hint=f"chmod u+r {_quoted(path)}"
        ) from error
    except (OSError, ValueError) as error:
        raise VideoError(f"{path}: cannot be read ({error})") from error


def _find_stream(
    path: Path, container: av.container.InputContainer, number: int | None
) -> av.VideoStream:
    """The stream of that number, or the one that ffmpeg calls best."""
    if container.format.name.split(",")[0] in NOT_VIDEO:
        raise VideoError(f"{path}: text or a playlist, not a video")
    videos = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not videos:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        raise VideoError(
            f"{path}: no video in it, only {', '.join(kinds)}", hint=f"ffprobe {_quoted(path)}"
        )
    if number is None:
        best = container.streams.best("video")
        return best if best in videos else videos[0]
    for stream in videos:
        if stream.index == number:
            return stream
    numbers = ", ".join(str(stream.index) for stream in videos)
    raise VideoError(
        f"{path}: stream {number} is no video; video streams: {numbers}",
        hint=f"--stream {videos[0].index}",
    )
