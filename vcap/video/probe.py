"""What a video file says about itself."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av

from vcap.video.picture import displayed_size, quarter_turns
from vcap.video.source import Source, open_video

MAX_PROBED_PACKETS = 64


@dataclass(frozen=True)
class VideoInfo:
    """Facts from the header of a video.

    Attributes:
        width: pixels across as displayed, after rotation and with square pixels.
        height: pixels down as displayed.
        duration_seconds: length by the header; None where it says nothing, and for images.
        frames_per_second: average rate by the header, or None.
        num_frames_in_header: what the header announces, or None.
        rotation: degrees counter-clockwise that bring the stored picture upright.
        codec: name of the codec.
        pix_fmt: layout of the stored pixels.
        stream_index: number of the stream in the file.
        has_audio: whether there is sound.
        is_image: whether the file is a picture.
    """

    width: int
    height: int
    duration_seconds: float | None
    frames_per_second: float | None
    num_frames_in_header: int | None
    rotation: int
    codec: str
    pix_fmt: str | None
    stream_index: int
    has_audio: bool
    is_image: bool = False


def probe(path: Path, *, stream: int | None = None) -> VideoInfo:
    """Read the header of a video, and its first frame for the rotation.

    Raises:
        VideoError: there is no such file, it cannot be read, or it holds no video.
    """
    with open_video(Path(path), stream) as source:
        decoder = source.stream.codec_context
        rate = source.stream.average_rate
        rotation = _rotation(source)
        turns = quarter_turns(rotation)
        width, height = displayed_size(decoder.width, decoder.height, source.aspect, turns)
        return VideoInfo(
            width=width,
            height=height,
            duration_seconds=header_duration(source),
            frames_per_second=float(rate) if rate and not source.is_image else None,
            num_frames_in_header=source.stream.frames or None,
            rotation=rotation,
            codec=decoder.codec.canonical_name,
            pix_fmt=decoder.pix_fmt,
            stream_index=source.stream.index,
            has_audio=bool(source.container.streams.audio),
            is_image=source.is_image,
        )


def header_duration(source: Source) -> float | None:
    """Length in seconds by the header of the stream, else of the file; None for images."""
    if source.is_image:
        return None
    if source.stream.duration:
        return source.seconds(source.stream.duration)
    length: int | None = source.container.duration
    return length / av.time_base if length else None


def end_by_header(path: Path) -> float | None:
    """When the last frame stops being shown by the header, on the file's own clock, seconds.

    Raises:
        VideoError: there is no such file, it cannot be read, or it holds no video.
    """
    with open_video(Path(path)) as source:
        length = header_duration(source)
        first = source.stream.start_time
        return None if length is None else length + (source.seconds(first) if first else 0.0)


def _rotation(source: Source) -> int:
    """Rotation of the first frame that decodes, which is where the decoder reports it."""
    for packet in islice(source.packets(), MAX_PROBED_PACKETS):
        try:
            for frame in source.stream.codec_context.decode(packet):
                return int(frame.rotation)
        except av.FFmpegError:
            continue
    return 0


def decoder_version() -> str:
    """Which build decodes, for fingerprints: another one may give other pixels."""
    return f"PyAV {av.__version__}, ffmpeg {av.ffmpeg_version_info}"
