"""How a long video is cut into segments that get a caption each."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vcap.errors import UsageError
from vcap.types import Segment

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
LENGTH = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s?)?"
)
SHORTEST_SECONDS = 0.05
SHORT_REST = 0.1  # a rest shorter than this share of a segment is joined to the one before
MAX_SEGMENTS = 100_000  # a damaged header can announce centuries


def parse_seconds(text: str) -> float:
    """Read `10`, `10s`, `2.5s`, `1m`, `1m30s` or `1h` as seconds.

    Raises:
        UsageError: the text is none of these, or the length is too short to hold a frame.
    """
    match = LENGTH.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        raise UsageError(f"{text!r} is not a length of time", hint="--every 10s")
    seconds = sum(float(match[unit] or 0) * size for unit, size in UNITS.items())
    if not SHORTEST_SECONDS <= seconds < math.inf:
        raise UsageError(f"segments of {text!r} are too short to hold a frame", hint="--every 10s")
    return seconds


def cut_every(start: float, end: float, seconds: float) -> list[Segment]:
    """Segments of one length from `start` to `end`; the last one takes what is left.

    A rest of less than a tenth of a segment is joined to the segment before it.
    """
    count = (end - start) / seconds
    whole = min(MAX_SEGMENTS, max(1, math.ceil(count - SHORT_REST)))
    borders = [round(start + number * seconds, 6) for number in range(whole)]
    return [Segment(*pair) for pair in pairwise([*borders, max(end, start)])]


@dataclass
class Cutter:
    """Says into which segments a video is cut, once its first and end times are known.

    Attributes:
        part: what the record is about; None for the whole video.
        every: length of the segments in seconds.
        scenes: the segments, where they were looked for before.
        duration: seconds of what the record is about; 0 until the video is read, and of a picture.
    """

    part: Segment | None
    every: float | None = None
    scenes: Sequence[Segment] | None = None
    duration: float = 0.0

    def __call__(self, first: float, end: float) -> Sequence[Segment | None]:
        """The segments, or one that stands for all there is to see."""
        start, stop = first, end
        if self.part is not None:
            start, stop = max(first, self.part.start), min(end, self.part.end)
        self.duration = max(0.0, stop - start)
        if self.scenes is not None:
            return self.scenes
        if self.every is None or start >= stop:
            return [self.part]
        if self.part is None and 0 <= start < self.every:
            start = 0.0  # many files show their first frame a little later than at 0
        return cut_every(start, stop, self.every)
