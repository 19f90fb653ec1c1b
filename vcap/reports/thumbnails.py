"""Small pictures of a video's frames that stand in a page by themselves, as `data:` addresses."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vcap.errors import InputError
from vcap.types import Segment
from vcap.video.decode import iter_frames
from vcap.video.image import encode_image
from vcap.video.picture import Size
from vcap.video.sample import Sampler

SHORT_SIDE = 120
QUALITY = 80


class Thumbnail(NamedTuple):
    """A frame's time in seconds, and its picture as an address that holds it."""

    time: float
    address: str


def thumbnails(
    path: Path, times: Sequence[float] = (), segment: Segment | None = None
) -> list[Thumbnail]:
    """The frames shown at some times, in order of time; each frame once.

    Args:
        path: a video, an image or a folder of frames.
        times: seconds; without any, the frame in the middle.
        segment: the part to take the middle of; None for all of it.

    Raises:
        VideoError: no frame decodes.
    """
    sampler = Sampler("times", times=tuple(sorted(times))) if times else Sampler("uniform", 1)
    part = None if times else segment
    frames = iter_frames(path, sampler, segment=part, size=Size(short_side=SHORT_SIDE))
    return [
        Thumbnail(time, _address(encode_image(pixels, quality=QUALITY)))
        for time, pixels in dict(frames).items()
    ]


def thumbnails_or_reason(
    path: Path, times: Sequence[float] = (), segment: Segment | None = None
) -> tuple[list[Thumbnail], str]:
    """As `thumbnails`; a video that is gone or damaged gives none, and the reason in words."""
    try:
        return thumbnails(path, times, segment), ""
    except InputError as error:
        return [], str(error)


def _address(picture: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii")
