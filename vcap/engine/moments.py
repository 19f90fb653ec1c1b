"""The stretches of a video that match a query, from how well each of its frames does.

Similarities are smoothed over time; stretches above a level, at several levels, are candidates.
One is the better the more it stands out from the rest of the video: the difference of the means
inside and outside, weighed by how many frames both are of. Of candidates that overlap the best is
kept. Shapes: T frames, N candidates.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vcap.metrics.tiou import tiou_matrix
from vcap.types import Segment

KERNEL = np.array([1.0, 4.0, 6.0, 4.0, 1.0])  # weights of a frame's neighbours
LEVELS = np.linspace(0.1, 0.9, 9)  # between the lowest and the highest of a video
FLAT = 0.01  # similarities that differ by less say nothing of time
NUM_BEST = 3  # frames that stand for a moment
CLOSE = 0.75  # of the time between two frames: the first is this close to the start
LONE_SECONDS = 1.0  # how long a frame is shown where nothing says so

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Shown:
    """When the frames of a video are shown.

    Attributes:
        start: when the video, or the part that is looked at, begins.
        end: when it ends; None where nobody knows it.
        in_middle: a frame was taken from the middle of what it stands for, not from its beginning.
    """

    start: float = 0.0
    end: float | None = None
    in_middle: bool = False


@dataclass(frozen=True)
class Moment:
    """A stretch that matches.

    Attributes:
        score: mean similarity of its frames.
        frame_times: seconds of the frames that match best, best first.
    """

    segment: Segment
    score: float
    frame_times: tuple[float, ...]


def find_moments(
    scores: Floats, times: Floats, shown: Shown = Shown(), *, count: int = 1
) -> list[Moment]:
    """At most `count` stretches that do not overlap, the one that stands out most first.

    Args:
        scores: [T] similarity of each frame.
        times: [T] seconds, ascending.
        shown: which stretch each frame stands for.
        count: how many are wanted.

    Raises:
        ValueError: there are no frames, or times of another number.
    """
    if scores.ndim != 1 or not len(scores) or scores.shape != times.shape:
        raise ValueError(f"want [T] and [T], got {[*scores.shape]} and {[*times.shape]}")
    times, exact = _each_once(times, scores)  # [T]
    borders = frame_borders(times, shown)  # [T + 1]
    runs = _candidates(smooth(exact))  # [N, 2]
    kept = _suppress(borders[runs], np.array([_contrast(exact, run) for run in runs.tolist()]))
    return [_moment(exact, times, borders, runs[number]) for number in kept[:count]]


def smooth(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each of [T] with its neighbours; at the ends of a video there are fewer of them."""
    reach = len(KERNEL) // 2
    inside = slice(reach, reach + len(scores))
    total = np.convolve(scores, KERNEL)[inside]
    weight = np.convolve(np.ones_like(scores), KERNEL)[inside]
    return np.asarray(total / weight)


def _each_once(times: Floats, scores: Floats) -> tuple[Floats, npt.NDArray[np.float64]]:
    """Times and scores [T] of different frames: one that came twice has no length of its own."""
    own, places = np.unique(times, return_inverse=True)
    total = np.bincount(places, weights=scores.astype(np.float64))
    return own, total / np.bincount(places)


def frame_borders(times: Floats, shown: Shown = Shown()) -> npt.NDArray[np.float64]:
    """When what each frame stands for begins, and when that of the last ends, seconds [T + 1]."""
    exact = times.astype(np.float64)  # [T]
    gap = float(np.median(np.diff(exact))) if len(exact) > 1 else LONE_SECONDS
    end = shown.end if shown.end is not None and shown.end > exact[-1] else None
    if not shown.in_middle:
        return np.append(exact, exact[-1] + gap if end is None else end)
    first = _beginning(float(exact[0]), gap, shown.start, is_alone=len(exact) == 1)
    after = 0.5 * gap if len(exact) > 1 else exact[0] - first or gap
    last = exact[-1] + after if end is None else end
    return np.concatenate([[first], 0.5 * (exact[1:] + exact[:-1]), [last]])


def _beginning(time: float, gap: float, start: float, is_alone: bool) -> float:
    """When the first of the parts begins whose middle is at `time`, each `gap` seconds long.

    A file's clock may start late; frames are then far from what is said to be the start.
    """
    if start <= time and (is_alone or time - start < CLOSE * gap):
        return start
    return time - 0.5 * gap


def _candidates(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """First frame and the one after the last [N, 2] of each stretch above a level."""
    low, high = float(scores.min()), float(scores.max())
    if high - low < FLAT:
        return np.array([[0, len(scores)]])
    found = {run for level in LEVELS for run in _runs(scores >= low + level * (high - low))}
    return np.array(sorted(found))


def _runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where a mask is True: beginning and end of each run."""
    steps = np.flatnonzero(np.diff(np.pad(mask, 1).astype(np.int8)))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))


def _contrast(scores: npt.NDArray[np.float64], run: tuple[int, int]) -> float:
    """How far a run stands out: the difference of means in units of its own uncertainty."""
    num_inside = run[1] - run[0]
    num_outside = len(scores) - num_inside
    if not num_outside:
        return 0.0
    inside = float(scores[run[0] : run[1]].sum())
    difference = inside / num_inside - (float(scores.sum()) - inside) / num_outside
    return float(difference * np.sqrt(num_inside * num_outside / len(scores)))


def _suppress(segments: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> list[int]:
    """Numbers of the segments [N, 2] that overlap none with a better score, best first."""
    overlaps = tiou_matrix(segments, segments) > 0  # [N, N]
    kept: list[int] = []
    for number in np.argsort(-scores, kind="stable").tolist():
        if not overlaps[number, kept].any():
            kept.append(number)
    return kept


def _moment(
    scores: npt.NDArray[np.float64],
    times: Floats,
    borders: npt.NDArray[np.float64],
    run: npt.NDArray[np.int64],
) -> Moment:
    first, last = int(run[0]), int(run[1])
    best = first + np.argsort(-scores[first:last], kind="stable")[:NUM_BEST]
    segment = Segment(*(round(float(borders[place]), 3) for place in (first, last)))
    frame_times = tuple(round(float(times[place]), 3) for place in best)
    return Moment(segment, float(scores[first:last].mean()), frame_times)
