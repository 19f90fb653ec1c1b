"""Which frames of a video are wanted: the named samplers.

The frame at time t is the last one whose presentation time is at most t; before the first frame
it is the first frame. Three go by the number n of frames. `msrvtt-notebook N` is how the original
MSR-VTT features were made: 0, s, .., (N-1)*s, s = n // N; **departure:** of fewer than N frames
some come again, where the original stops. `adaclip-linspace N` takes the first frame of each of N
even parts, `adaclip-segments N` the middle one, as AdaCLIP does (doi 10.1145/3581783.3612161).
Shapes: F frames of the video, T wanted.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vcap.errors import UsageError, VideoError
from vcap.types import Segment

NAMES = ("fps", "uniform", "times", "all", "keyframes", "msrvtt-notebook", "adaclip-linspace",
         "adaclip-segments")  # fmt: skip
TIMED = ("fps", "uniform", "times")  # a frame shown at two of their times comes twice
NOTEBOOK, NOTEBOOK_FRAMES = "msrvtt-notebook", 28
NUMBERED = (NOTEBOOK, "adaclip-linspace", "adaclip-segments")  # go by the number of frames
COUNTED = ("uniform", *NUMBERED)  # their number is how many frames there will be
FAST = "keyframes-only"
CENTRED = ("uniform", "adaclip-segments")  # take the middle of each of even parts
TIE_SECONDS = 1e-6  # times this close are equal: k / F and pts * base round differently
MAX_FPS = 1000.0
MAX_UNIFORM = 100_000
MAX_WANTED = 10_000_000  # a damaged time stamp can announce centuries

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sampler:
    """A named rule that chooses frames, with its number where it takes one.

    Attributes:
        times: seconds, ascending, of the rule `times`; answered as they stand in the video's clock.
        keyframes_only: answer each time with the keyframe before it: fast, and approximate.
    """

    name: str
    value: float | int | None = None
    times: tuple[float, ...] = ()
    keyframes_only: bool = False

    def __post_init__(self) -> None:
        """Refuse a rule that does not exist or a number that makes no sense."""
        if self.name not in NAMES:
            raise UsageError(f"no sampler {self.name!r}; there are {', '.join(NAMES)}")
        if self.keyframes_only and self.name not in TIMED:
            raise UsageError(
                f"the sampler {self.name!r} goes by frames, not by times, and cannot be fast",
                hint="keyframes",
            )
        if bool(self.times) != (self.name == "times"):
            raise UsageError("'times' alone takes times, at least one", hint="times 1.5,3,7")
        if self.times and not _ascending(self.times):
            raise UsageError(
                f"want at most {MAX_UNIFORM} ascending times in seconds, got {self.times}",
                hint="times 1.5,3,7",
            )
        if self.name == "fps":
            _check(self, isinstance(self.value, int | float), MAX_FPS)
        elif self.name in COUNTED:
            _check(self, isinstance(self.value, int), MAX_UNIFORM)
        elif self.value is not None:
            raise UsageError(f"the sampler {self.name!r} takes no number, got {self.value}")

    def __str__(self) -> str:
        """The text that `parse_sampler` reads back, and that a fingerprint holds."""
        numbers = self.times if self.value is None else (self.value,)
        parts = [self.name, ",".join(_plain(number) for number in numbers)]
        return " ".join(part for part in [*parts, self.keyframes_only * FAST] if part)


def _plain(number: float) -> str:
    """A number with all its digits, a whole one without a point."""
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def _ascending(times: tuple[float, ...]) -> bool:
    finite = all(math.isfinite(time) for time in times)
    return finite and len(times) <= MAX_UNIFORM and list(times) == sorted(times)


def _check(sampler: Sampler, right_kind: bool, highest: float) -> None:
    value = sampler.value
    if not right_kind or value is None or not 0 < value <= highest:
        kind = "a whole number" if sampler.name in COUNTED else "a number"
        raise UsageError(
            f"the sampler {sampler.name!r} wants {kind} above 0 and up to {highest:g}, got {value}",
            hint=f"{sampler.name} {8 if sampler.name in COUNTED else 1}",
        )


def parse_sampler(text: str) -> Sampler:
    """Read `fps 5`, `uniform 16`, `times 1.5,3,7`, `all`, `keyframes`, `msrvtt-notebook 28`,
    `adaclip-linspace 16` or `adaclip-segments 16`.

    `msrvtt-notebook` may lack its number. After the first three may stand `keyframes-only`.

    Raises:
        UsageError: the text is none of these.
    """
    name, *numbers = text.split() or [""]
    fast = numbers[-1:] == [FAST]
    numbers = numbers[: len(numbers) - fast]
    if len(numbers) > 1:
        raise UsageError(f"a sampler is a name and at most one number, got {text!r}")
    if not numbers:
        return Sampler(name, NOTEBOOK_FRAMES if name == NOTEBOOK else None, keyframes_only=fast)
    try:
        if name == "times":
            times = tuple(float(number) for number in numbers[0].split(","))
            return Sampler(name, times=times, keyframes_only=fast)
        value = int(numbers[0]) if name in COUNTED else float(numbers[0])
    except ValueError:
        raise UsageError(f"the sampler {name!r} wants a number, got {numbers[0]!r}") from None
    return Sampler(name, value, keyframes_only=fast)


def is_centred(text: str) -> bool:
    """Whether the sampler of a text takes the middles of parts; no text of a sampler does not."""
    name, *more = text.split() or [""]
    return name in CENTRED and FAST not in more


def wanted_times(sampler: Sampler, first_time: float, end_time: float) -> list[float]:
    """Times in seconds that a sampler asks for; the others go by frames, not by times.

    Args:
        sampler: `fps F`, `uniform N` or `times A,B`.
        first_time: presentation time of the first frame, seconds.
        end_time: when the last frame stops being shown, seconds.

    Raises:
        ValueError: the sampler has no times.
        VideoError: the times span so long that no real video has them.
    """
    length = max(0.0, end_time - first_time)
    if sampler.times:
        return list(sampler.times)
    if sampler.value is None or sampler.name in NUMBERED:
        raise ValueError(f"the sampler {sampler.name!r} has no times of its own")
    if sampler.name == "uniform":
        count = int(sampler.value)
        return [first_time + (part + 0.5) * length / count for part in range(count)]
    steps = length * sampler.value
    if steps > MAX_WANTED:
        raise VideoError(f"the time stamps span {length:.0f} s, which {sampler} cannot sample")
    count = max(1, math.ceil(steps - TIE_SECONDS * sampler.value))
    return [first_time + step / sampler.value for step in range(count)]


def frames_at(times: Times, wanted: list[float]) -> list[int]:
    """Index of the frame shown at each wanted time.

    Args:
        times: [F] presentation times, ascending.
        wanted: T times in seconds.

    Returns:
        T indices into `times`.
    """
    found = np.searchsorted(times, np.asarray(wanted) + TIE_SECONDS, side="right") - 1  # [T]
    chosen: list[int] = np.maximum(found, 0).tolist()
    return chosen


def choose_frames(
    sampler: Sampler,
    times: Times,
    is_keyframe: npt.NDArray[np.bool_],
    end_time: float,
    segment: Segment | None = None,
) -> list[int]:
    """Index of every frame that the sampler wants, in order of time, repeats included.

    Args:
        sampler: the rule.
        times: [F] presentation times, ascending, F >= 1.
        is_keyframe: [F], True where decoding can start.
        end_time: when the last frame stops being shown, seconds.
        segment: the part to look at; None for all of it.

    Raises:
        VideoError: the segment lies outside the video, is empty or reversed, or holds none of
            the wanted times.
    """
    low, high, first_time, end_time = _part(times, end_time, segment)
    if sampler.name == "all":
        return list(range(low, high))
    if sampler.name == "keyframes":
        keys = [index for index in range(low, high) if is_keyframe[index]]
        return keys or [low]
    if sampler.name in NUMBERED:
        return [low + index for index in _numbered(sampler, high - low)]
    wanted = wanted_times(sampler, first_time, end_time)
    if sampler.times and segment is not None:
        wanted = [time for time in wanted if segment.start <= time < segment.end]
        if not wanted:
            raise VideoError(
                f"none of the wanted times lies in {segment.start:g}-{segment.end:g} s"
            )
    chosen = frames_at(times, wanted)
    return _keyframes_before(chosen, is_keyframe) if sampler.keyframes_only else chosen


def _numbered(sampler: Sampler, num_frames: int) -> list[int]:
    num_wanted = int(sampler.value or 0)
    edges = [part * num_frames // num_wanted for part in range(num_wanted + 1)]
    if sampler.name == "adaclip-linspace":
        return edges[:-1]
    if sampler.name == "adaclip-segments":
        return [(start + end) // 2 for start, end in pairwise(edges)]
    step = num_frames // num_wanted
    return [part * step for part in range(num_wanted)] if step else edges[:-1]


def _keyframes_before(chosen: list[int], is_keyframe: npt.NDArray[np.bool_]) -> list[int]:
    """The keyframe at or before each frame, else the first one; the frames where there is none."""
    keys = np.flatnonzero(is_keyframe)  # [K]
    if not len(keys):
        return chosen
    found = np.searchsorted(keys, chosen, side="right") - 1  # [T]
    before: list[int] = keys[np.maximum(found, 0)].tolist()
    return before


def _part(times: Times, end_time: float, segment: Segment | None) -> tuple[int, int, float, float]:
    """First frame, frame after the last, first time and end time of the segment."""
    if segment is None:
        return 0, len(times), float(times[0]), end_time
    start, end = segment
    if not start < end:
        raise VideoError(f"the segment {start:g}-{end:g} s is empty or reversed")
    if start >= max(end_time, times[-1] + TIE_SECONDS) or end <= times[0]:
        raise VideoError(
            f"the segment {start:g}-{end:g} s lies outside the video, "
            f"which has pictures from {times[0]:g} to {end_time:g} s"
        )
    low, high = np.searchsorted(times, np.array([start, end]) - TIE_SECONDS, side="left").tolist()
    if low == high:  # shorter than one frame: the picture that is shown then
        low = frames_at(times, [start])[0]
        return low, low + 1, start, min(end, end_time)
    return low, high, float(times[low]), min(end, end_time)
