"""Frames of a video in several sizes at once: a network that chooses frames sees other pictures
than the one that encodes them.

Shapes: T frames, H W pixels, C colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from vcap.errors import VideoError
from vcap.types import Segment
from vcap.video.decode import MAX_BYTES, Warn, open_with, silent, stacked
from vcap.video.picture import Native, Painter, Pixels, Size
from vcap.video.sample import Sampler


@dataclass(frozen=True)
class Look:
    """A size and what is done to the resized picture.

    Attributes:
        size: what frames are resized to.
        centre: side of the square that is cut from the middle; None for all of it.
        grey: brightness alone, as ITU-R 601 weighs the colours.
    """

    size: Size
    centre: int | None = None
    grey: bool = False

    def __str__(self) -> str:
        """A short text for fingerprints and messages."""
        middle = f" centre {self.centre}" if self.centre else ""
        return f"{self.size} {self.size.interpolation}{middle}{' grey' * self.grey}"

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """H, W and C of its pictures; None where that depends on the video."""
        colours = 1 if self.grey else 3
        if self.centre is not None:
            return self.centre, self.centre, colours
        if self.size.width is not None and self.size.height is not None:
            return self.size.height, self.size.width, colours
        if self.size.crop and self.size.short_side is not None:
            return self.size.short_side, self.size.short_side, colours
        return None

    def finish(self, pixels: Pixels) -> Pixels:
        """Resized [H, W, 3] -> [H, W, C]: the middle, without colours where none are wanted."""
        if self.centre is not None:
            top, left = (round((side - self.centre) / 2) for side in pixels.shape[:2])
            pixels = pixels[top : top + self.centre, left : left + self.centre]
        if not self.grey:
            return pixels
        picture = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
        return np.array(picture)[..., None]


MOBILENET = Look(Size(short_side=256, crop=True, exact=True), centre=224)


def raw(side: int) -> Look:
    """The whole picture as a small grey square, as a policy on bare pixels sees it."""
    return Look(Size(width=side, height=side, exact=True), grey=True)


def as_look(size: Size | Look) -> Look:
    """A size alone is a look at the resized picture."""
    return size if isinstance(size, Look) else Look(size)


class Painters:
    """Makes a picture of each look from one decoded frame."""

    def __init__(self, looks: Sequence[Look], aspect: Fraction | None) -> None:
        native = Native()
        self._looks = [(look, Painter(look.size, aspect, native)) for look in looks]

    def paint(self, frame: av.VideoFrame) -> list[Pixels]:
        """A picture [H, W, C] uint8 for each look, upright."""
        return [look.finish(painter.paint(frame)) for look, painter in self._looks]


def read_pictures(
    path: Path,
    sampler: Sampler,
    sizes: Sequence[Size | Look],
    *,
    segment: Segment | None = None,
    most: int | None = None,
    stream: int | None = None,
    alone: bool = False,
    on_warning: Warn = silent,
) -> tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]:
    """The wanted frames in every size, from one decode, with the pixels of `read_frames`.

    Args:
        sizes: at least one.
        most: of more frames so many, evenly from the first on.
        segment, stream, alone, on_warning: see `vcap.video.decode.iter_frames`.

    Returns:
        An array [T, H, W, C] for each size, and the times [T] in seconds.

    Raises:
        VideoError: as `read_frames`.
    """
    if not sizes:
        raise ValueError("want at least one size")
    painters = partial(Painters, [as_look(size) for size in sizes])
    reader = open_with(path, sampler, painters, stream=stream, alone=alone, on_warning=on_warning)
    chosen = reader.choose(segment)
    if most is not None and len(chosen) > most:
        chosen = [chosen[place * len(chosen) // most] for place in range(most)]
    times: list[float] = []
    found: list[list[Pixels]] = [[] for _ in sizes]
    room = MAX_BYTES
    for time, pictures in reader.read(chosen):
        room -= sum(picture.nbytes for picture in pictures)
        if room < 0:
            raise VideoError(
                f"{path}: its frames need more than {MAX_BYTES >> 30} GiB at once; "
                "choose fewer frames or a smaller size"
            )
        times.append(time)
        for own, picture in zip(found, pictures, strict=True):
            own.append(picture)
    return [stacked(own) for own in found], np.array(times, dtype=np.float64)
