"""Rows of an index that answer queries: filtered, one a video, and moments inside of videos.

Shapes: Q queries, D feature width, T frames.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vcap.engine.filters import Condition
from vcap.engine.moments import Moment, Shown, find_moments
from vcap.errors import InputError
from vcap.features.index_search import unit
from vcap.types import Segment

GROWTH = 4  # how many times more rows are asked for where too few were good
POOL = 200  # at least so many videos are looked into for moments
FRAMES_AHEAD = 8  # rows of frames asked for, for each video that is wanted
BLOCK = 65_536  # rows compared at once where they are listed
MANY = 4096  # before more rows than that are asked for, those that meet the conditions are listed

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


class Gallery(Protocol):
    """What is searched; `vcap.features.index.Index` is one."""

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def search(self, queries: Floats, k: int, *, among: Rows | None = None) -> tuple[Floats, Rows]:
        """queries [Q, D] -> similarities and rows [Q, k], best first; row -1 is none."""
        ...

    def record_of(self, row: int) -> Mapping[str, Any]:
        """What is known of a row; `id` always."""
        ...

    def frames_of(self, video_id: str) -> tuple[npt.NDArray[np.floating], Floats]:
        """Features [T, D] and times [T] of a video's frames."""
        ...


@dataclass(frozen=True)
class Limits:
    """Which rows are good, and how many are wanted.

    Attributes:
        top_k: so many a query, at most.
        threshold: those with a lower score are not.
        conditions: those whose record does not meet all are not.
        one_a_video: rows of one video (its frames) count once, by the best.
    """

    top_k: int
    threshold: float | None = None
    conditions: tuple[Condition, ...] = ()
    one_a_video: bool = False

    def is_good(self, record: Mapping[str, Any]) -> bool:
        """Whether a record meets all conditions."""
        return all(condition(record) for condition in self.conditions)


@dataclass(frozen=True)
class Cutting:
    """How moments are cut out of videos.

    Attributes:
        per_video: moments of one video, at most.
        in_middle: frames were taken from the middles of what they stand for.
    """

    per_video: int = 1
    in_middle: bool = False


@dataclass(frozen=True)
class Answer:
    """A row that was found; of a moment its place in the video."""

    row: int
    score: float
    record: Mapping[str, Any]
    segment: Segment | None = None
    frame_times: tuple[float, ...] = ()


def find_rows(
    gallery: Gallery, queries: Floats, limits: Limits, left_out: Sequence[str | None] = ()
) -> list[list[Answer]]:
    """The best rows for each query; more are asked for until enough of them are good.

    Where few rows meet the conditions, they are listed, and searched exactly; and so are all where
    an index that is not exact comes up short.

    Args:
        queries: [Q, D].
        left_out: for each query the id that is not to be found, or None.
    """
    total = len(gallery)
    found: list[list[Answer]] = [[] for _ in queries]
    waiting = list(range(len(queries))) if total else []
    ahead = FRAMES_AHEAD if limits.one_a_video else 1
    k = min(total, ahead * (limits.top_k + bool(left_out)))
    among: Rows | None = None
    while waiting:
        scores, rows = _nearest(gallery, queries[waiting], k, among)
        unsure = []
        came_short = False  # an index that is not exact did not find as many as it was asked for
        for query, own_scores, own_rows in zip(waiting, scores, rows, strict=True):
            not_this = left_out[query] if left_out else None
            pairs = zip(own_rows.tolist(), own_scores.tolist(), strict=True)
            found[query] = _good(gallery, pairs, limits, not_this)
            is_short = bool(own_rows[-1] < 0)
            is_all = not is_short and (k >= total or _is_below(own_scores, limits))
            if len(found[query]) < limits.top_k and not is_all:
                unsure.append(query)
                came_short |= is_short
        waiting, k = unsure, min(total, GROWTH * k)
        is_rare = bool(limits.conditions) and k > MANY
        if waiting and among is None and (came_short or is_rare):
            among = _meeting(gallery, limits)
            total = len(among)
            k = min(total, k)
            waiting = waiting if total else []
    return found


def _nearest(gallery: Gallery, queries: Floats, k: int, among: Rows | None) -> tuple[Floats, Rows]:
    """Similarities and rows [Q, k]: as the index searches, or exactly among some rows."""
    if among is None:
        return gallery.search(queries, k)
    blocks = (among[start : start + BLOCK] for start in range(0, len(among), BLOCK))
    parts = [gallery.search(queries, k, among=block) for block in blocks]
    scores = np.concatenate([own for own, _ in parts], axis=1)
    rows = np.concatenate([own for _, own in parts], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # [Q, k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _is_below(scores: Floats, limits: Limits) -> bool:
    """Whether what comes after these scores, best first, would be below the threshold."""
    return limits.threshold is not None and bool(scores[-1] < limits.threshold)


def _meeting(gallery: Gallery, limits: Limits) -> Rows:
    """The rows that meet all conditions."""
    if not limits.conditions:
        return np.arange(len(gallery))
    good = (row for row in range(len(gallery)) if limits.is_good(gallery.record_of(row)))
    return np.fromiter(good, dtype=np.int64)


def _good(
    gallery: Gallery, pairs: Iterable[tuple[int, float]], limits: Limits, not_this: str | None
) -> list[Answer]:
    """The first rows that are good, best first."""
    kept: list[Answer] = []
    seen = {not_this}
    for row, score in pairs:
        if row < 0 or (limits.threshold is not None and score < limits.threshold):
            continue
        record = gallery.record_of(row)
        if record["id"] in seen or not limits.is_good(record):
            continue
        if limits.one_a_video:
            seen.add(record["id"])
        kept.append(Answer(row, score, record))
        if len(kept) == limits.top_k:
            break
    return kept


def find_in_videos(
    gallery: Gallery,
    queries: Floats,
    limits: Limits,
    left_out: Sequence[str | None] = (),
    cutting: Cutting = Cutting(),
) -> list[list[Answer]]:
    """The best moments for each query: the frames of many good videos are compared with it.

    Args:
        queries: [Q, D] of unit length.
        left_out: as of `find_rows`.
        cutting: how moments are cut out of videos.
    """
    pool = Limits(max(POOL, GROWTH * limits.top_k), None, limits.conditions, limits.one_a_video)
    return [
        _best_moments(gallery, query, answers, limits, cutting)
        for query, answers in zip(queries, find_rows(gallery, queries, pool, left_out), strict=True)
    ]


def _best_moments(
    gallery: Gallery, query: Floats, answers: Sequence[Answer], limits: Limits, cutting: Cutting
) -> list[Answer]:
    found = []
    for answer in answers:
        features, times = gallery.frames_of(answer.record["id"])
        scores = unit(features) @ query  # [T]
        shown = shown_of(answer.record, cutting.in_middle)
        moments = find_moments(scores, times, shown, count=cutting.per_video)
        found += [_answer(answer, moment) for moment in moments]
    kept = [each for each in found if limits.threshold is None or each.score >= limits.threshold]
    best = sorted(kept, key=lambda each: -each.score)[: limits.top_k]
    return [_within(each) for each in best]


def _within(answer: Answer) -> Answer:
    """The moment without what lies past the end of its file, where the record says no end."""
    if answer.segment is None or "duration" in answer.record:
        return answer
    start, end = answer.segment
    known = _end_of_file(answer.record.get("path"))
    if known is None or not max(*answer.frame_times, start) < known < end:
        return answer
    return replace(answer, segment=Segment(start, round(known, 3)))


def _end_of_file(path: str | None) -> float | None:
    """When a file that is there ends, by its header; None where nobody knows it."""
    try:
        status = os.stat(path or "")
    except (OSError, ValueError):
        return None
    return _header_end(str(path), status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _header_end(path: str, _changed: int) -> float | None:
    from vcap.video.probe import end_by_header

    try:
        return end_by_header(Path(path))
    except InputError:
        return None


def _answer(answer: Answer, moment: Moment) -> Answer:
    """A picture has no moments: it is found as a whole."""
    if len(moment.frame_times) == 1 and _is_picture(answer.record):
        return replace(answer, score=moment.score)
    return replace(
        answer, score=moment.score, segment=moment.segment, frame_times=moment.frame_times
    )


def _is_picture(record: Mapping[str, Any]) -> bool:
    from vcap.engine.inputs import IMAGE_SUFFIXES

    suffix = Path(str(record.get("path", ""))).suffix.lower()
    return record.get("media") == "image" or suffix in IMAGE_SUFFIXES


def shown_of(record: Mapping[str, Any], in_middle: bool = False) -> Shown:
    """When the frames are shown of the part of the file that a record is about."""
    start, end = record.get("segment") or (0.0, record.get("duration"))
    return Shown(start, end, in_middle)


def pooled(features: npt.NDArray[np.floating]) -> Floats:
    """One vector [D] of a video's frames [T, D]: each at length 1, their mean, length 1."""
    mean = unit(features).mean(axis=0, keepdims=True)  # [1, D]
    return np.asarray(unit(mean)[0])
