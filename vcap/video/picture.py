"""Decoded frames become upright RGB arrays of the wanted size.

Shapes: H W pixels.
"""

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

INTERPOLATIONS = {"bicubic": Interpolation.BICUBIC, "bilinear": Interpolation.BILINEAR}
RESAMPLINGS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
WIDEST_ASPECT = 16  # a pixel more oblong than this is a damaged header

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Size:
    """Wanted size: exact `width` and `height`, or a short side, cropped to a square if asked.

    Attributes:
        interpolation: how to get there, `bicubic` or `bilinear`.
        exact: resize the RGB picture with antialiasing, as published numbers were made, rather
            than straight from the stored YUV; slower by a factor of about three.
    """

    width: int | None = None
    height: int | None = None
    short_side: int | None = None
    crop: bool = False
    interpolation: str = "bicubic"
    exact: bool = False

    def __post_init__(self) -> None:
        """Refuse a size that is neither of the two kinds."""
        both = self.width is not None and self.height is not None
        either = self.width is not None or self.height is not None
        if both == (self.short_side is not None) or either != both or (both and self.crop):
            raise ValueError(f"want width and height, or short_side, got {self}")
        if min(side for side in (self.width, self.height, self.short_side) if side is not None) < 1:
            raise ValueError(f"want sides of at least 1 pixel, got {self}")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"want {' or '.join(INTERPOLATIONS)}, got {self.interpolation}")

    def __str__(self) -> str:
        """A short text for fingerprints and messages."""
        exact = " exact" * self.exact
        if self.short_side is None:
            return f"{self.width}x{self.height}{exact}"
        return f"short {self.short_side}{' crop' * self.crop}{exact}"

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Width and height to scale an upright picture to, before any crop."""
        if self.width is not None and self.height is not None:
            return self.width, self.height
        short = self.short_side or 1
        if width <= height:
            return short, max(short, short * height // width)
        return max(short, short * width // height), short


def quarter_turns(rotation: int) -> int:
    """Quarter turns counter-clockwise that bring the stored picture upright, 0 to 3."""
    return round(rotation / 90) % 4


def displayed_size(width: int, height: int, aspect: Fraction | None, turns: int) -> tuple[int, int]:
    """Width and height as shown: pixels made square, then turned upright."""
    if aspect and Fraction(1, WIDEST_ASPECT) <= aspect <= WIDEST_ASPECT:
        width = max(1, round(width * aspect))
    return (height, width) if turns % 2 else (width, height)


class Native:
    """The RGB of a video's frames as they are stored; of the last one it is kept."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._last: tuple[av.VideoFrame, Pixels] | None = None

    def of(self, frame: av.VideoFrame) -> Pixels:
        """RGB uint8 [H, W, 3], neither scaled nor turned."""
        if self._last is None or self._last[0] is not frame:
            converted = self._reformatter.reformat(frame, format="rgb24", threads=1)
            pixels: Pixels = converted.to_ndarray()  # type: ignore[assignment]
            self._last = (frame, pixels)
        return self._last[1]


class Painter:
    """Turns the frames of one video into RGB; all of them come out in the same size.

    One scaler context serves the whole video: a new one a frame costs 1.5 to 1.8 times as much.
    Painters of the same frames may share what converts them.
    """

    def __init__(
        self, size: Size | None, aspect: Fraction | None, native: Native | None = None
    ) -> None:
        self._aspect = aspect
        self._size = size
        self._native = native or Native()
        self._interpolation = INTERPOLATIONS[size.interpolation if size else "bicubic"]
        self._reformatter = VideoReformatter()
        self._target: tuple[int, int] | None = None

    def paint(self, frame: av.VideoFrame) -> Pixels:
        """The frame as RGB uint8 [H, W, 3], upright."""
        turns = quarter_turns(frame.rotation)
        width, height = self._scaled(frame, turns)
        exact = self._size is not None and self._size.exact
        stored = (height, width) if turns % 2 else (width, height)
        if exact or stored == (frame.width, frame.height):
            upright = self._resized(np.rot90(self._native.of(frame), turns), width, height)
            return np.array(self._centre(upright), order="C")
        colours = [
            self._centre(np.rot90(colour, turns)) for colour in self._colours(frame, *stored)
        ]
        pixels = np.empty((*colours[0].shape, 3), dtype=np.uint8)  # [H, W, 3]
        for number, colour in enumerate(colours):
            pixels[..., number] = colour
        return pixels

    def _colours(self, frame: av.VideoFrame, width: int, height: int) -> list[Pixels]:
        """Red, green and blue of the frame scaled to a stored size: views [H, W].

        Written as rgb24 the same pictures cost the scaler about twice as much. Its packed pixels
        come in pairs, so a picture of odd width is taken in planes.
        """
        odd = width % 2 == 1
        scaled = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="gbrp" if odd else "rgb0",
            interpolation=self._interpolation,
            threads=1,
        )
        if odd:
            green, blue, red = (_view(plane, 1)[..., 0] for plane in scaled.planes)
            return [red, green, blue]
        packed = _view(scaled.planes[0], 4)
        return [packed[..., colour] for colour in range(3)]

    def _resized(self, pixels: Pixels, width: int, height: int) -> Pixels:
        """The upright RGB picture in another size, antialiased."""
        if pixels.shape[:2] == (height, width):
            return pixels
        method = RESAMPLINGS[self._size.interpolation if self._size else "bicubic"]
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(picture.resize((width, height), method))

    def _scaled(self, frame: av.VideoFrame, turns: int) -> tuple[int, int]:
        """Upright size before the crop; without a crop the first frame decides for all."""
        if self._target is not None:
            return self._target
        shown = displayed_size(frame.width, frame.height, self._aspect, turns)
        target = self._size.scaled(*shown) if self._size else shown
        if self._size is None or not self._size.crop:
            self._target = target
        return target

    def _centre(self, pixels: Pixels) -> Pixels:
        """The centre square, or all where no square is wanted: a view."""
        if self._size is None or not self._size.crop or self._size.short_side is None:
            return pixels
        side = self._size.short_side
        top = round((pixels.shape[0] - side) / 2)
        left = round((pixels.shape[1] - side) / 2)
        return pixels[top : top + side, left : left + side]


def _view(plane: VideoPlane, depth: int) -> Pixels:
    """A plane of `depth` bytes a pixel as [H, W, depth], without the padding of its rows."""
    shape, strides = (plane.height, plane.width, depth), (plane.line_size, depth, 1)
    return np.ndarray(shape, np.uint8, buffer=memoryview(plane), strides=strides)
