"""Plain values that cross the walls between domains.

Shapes: T frames, H W pixels, D feature width.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

TIMES_FILE = "times.txt"  # beside extracted frames: when each is shown, then the end, seconds


class Segment(NamedTuple):
    """A stretch of a video in seconds, half open: start <= t < end."""

    start: float
    end: float


@dataclass(frozen=True)
class Clip:
    """A stretch of one file that is treated as one unit; no segment means all of it."""

    clip_id: str
    path: str
    segment: Segment | None = None


@dataclass(frozen=True)
class Event:
    """A segment and the caption that says what happens in it."""

    segment: Segment
    caption: str


@dataclass(frozen=True)
class Frames:
    """Decoded pictures, never without their times.

    Attributes:
        pixels: [T, H, W, 3] uint8 RGB, upright.
        times: [T] float64, presentation times in seconds, as the file counts them.
        warnings: what went wrong while decoding, one sentence each.
    """

    pixels: npt.NDArray[np.uint8]
    times: npt.NDArray[np.float64]
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse pictures and times of different number."""
        if self.pixels.ndim != 4 or self.pixels.shape[:1] != self.times.shape:
            raise ValueError(
                f"want [T, H, W, 3] and [T], got {[*self.pixels.shape]} and {[*self.times.shape]}"
            )


@dataclass(frozen=True)
class FrameFeatures:
    """The features [T, D] of one clip's frames and their times [T] in seconds."""

    features: npt.NDArray[np.floating]
    times: npt.NDArray[np.floating]


class Encoder(Protocol):
    """Turns pictures and sentences into features of one width."""

    @property
    def width(self) -> int:
        """D, the width of a feature."""
        ...

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the features: name, weights digest, preprocessing."""
        ...

    def encode_frames(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """pixels [T, H, W, 3] uint8 -> features [T, D]."""
        ...


class Searcher(Protocol):
    """Finds the nearest of many vectors."""

    def search(
        self, queries: npt.NDArray[np.float32], k: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """queries [Q, D] -> similarities [Q, k] and rows [Q, k], best first."""
        ...
