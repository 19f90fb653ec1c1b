"""Recall at k, median and mean rank of retrieval, from texts to videos and back.

A text asks for its one video. A video asks for its texts, of which the best ranked counts. Ranks
start at 1. Recall is in percent, as the literature prints it.

Shapes: Q texts (queries), V videos (gallery), U videos that have a text.

Departures: code in use counts a tie as one more rank, or leaves it to an unstable sort. Here a tie
counts against the model unless asked otherwise, and the range is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.metrics.outcome import Outcome, Weights

KS = (1, 5, 10, 50)
BACK = "video-to-text "  # before the names of the figures of that direction
ROWS_AT_ONCE = 1024  # keeps the comparisons of a large matrix small

Similarity = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RankRange:
    """Ranks from 1 of each query's right answer: ties in its favour, and against it."""

    best: Numbers
    worst: Numbers

    def taken(self, ties: str) -> Numbers:
        """The ranks under one rule for ties, "best" or "worst"."""
        if ties not in {"best", "worst"}:
            raise ValueError(f"ties are worst or best, got {ties!r}")
        return self.best if ties == "best" else self.worst

    @property
    def num_tied(self) -> int:
        """How many queries have a wrong answer as similar as the right one."""
        return int(np.count_nonzero(self.best != self.worst))


def score_retrieval(
    similarity: Similarity,
    video_of_text: Sequence[int] | Numbers,
    *,
    ties: str = "worst",
    video_ids: Sequence[str] | None = None,
) -> Outcome:
    """Score both directions; the units are the videos that have a text.

    Args:
        similarity: [Q, V], higher is closer; whole numbers are taken as float64.
        video_of_text: [Q] int, the column that answers each row.
        ties: "worst" counts a tie against the model, "best" for it.
        video_ids: names of the columns; their numbers if absent.

    Raises:
        ValueError: a shape differs from the above, a similarity is NaN, or there is no text.
    """
    target = np.asarray(video_of_text, dtype=np.int64)
    similarity = _real(similarity)
    _check(similarity, target)
    names = video_ids if video_ids is not None else [str(n) for n in range(similarity.shape[1])]
    columns, unit_of_text = np.unique(target, return_inverse=True)
    outcome = score_ranks(
        text_ranks(similarity, target),
        unit_of_text,
        [names[column] for column in columns],
        back=video_ranks(similarity, target),
        ties=ties,
    )
    if len(columns) < len(target):
        padded = padded_ranks(similarity, target).taken(ties)
        outcome.details["video-to-text among one score a video"] = _figures(padded, low_median=True)
    outcome.details["gallery"] = similarity.shape[1]
    return outcome


def text_ranks(similarity: Similarity, target: Numbers) -> RankRange:
    """Rank of each text's video among all videos."""
    right = similarity[np.arange(len(target)), target]  # [Q]
    above, equal = _counts(similarity, right)
    return RankRange(best=1 + above, worst=above + equal)


def video_ranks(similarity: Similarity, target: Numbers) -> RankRange:
    """Best rank of each video's texts among all texts, for the videos that have any.

    Texts of one video never count against each other's tie: whichever is put first is right.
    """
    similarity = _real(similarity)
    columns, unit_of_text = np.unique(target, return_inverse=True)
    right = similarity[np.arange(len(target)), target]  # [Q]
    highest = np.full(len(columns), -np.inf, dtype=similarity.dtype)  # [U]
    np.maximum.at(highest, unit_of_text, right)
    above, equal = _counts(similarity.T, highest, rows=columns)
    own = np.bincount(unit_of_text[right == highest[unit_of_text]], minlength=len(columns))
    return RankRange(best=1 + above, worst=1 + above + equal - own)


def padded_ranks(similarity: Similarity, target: Numbers) -> RankRange:
    """Rank of each video by the best similarity of its own texts among that of every other's.

    Some published code ranks so: against one score a video, not against every text.
    """
    similarity = _real(similarity)
    columns, unit_of_text = np.unique(target, return_inverse=True)
    shape = (len(columns), similarity.shape[1])
    highest = np.full(shape, -np.inf, dtype=similarity.dtype)  # [U, V]
    np.maximum.at(highest, unit_of_text, similarity)
    above, equal = _counts(highest.T, highest[np.arange(len(columns)), columns], rows=columns)
    return RankRange(best=1 + above, worst=above + equal)


def score_ranks(
    ranks: RankRange,
    unit_of_text: Numbers,
    units: Sequence[str],
    *,
    back: RankRange | None = None,
    ties: str = "worst",
) -> Outcome:
    """Score ranks that are known already.

    Args:
        ranks: of the texts, [Q].
        unit_of_text: [Q] int, which of the units each text is about; every unit has a text.
        units: ids of the videos, [U].
        back: of the units, [U], where the other direction was asked too.
        ties: "worst" counts a tie against the model, "best" for it.
    """
    if len(ranks.best) == 0:
        raise ValueError("no text to rank")
    texts = _Ranking(ranks.taken(ties))
    videos = None if back is None else _Ranking(back.taken(ties))

    def rescore(weights: Weights) -> dict[str, float]:
        scores = texts.figures(weights[unit_of_text])
        if videos is not None:
            scores |= {BACK + name: value for name, value in videos.figures(weights).items()}
        return scores

    return Outcome(
        units=tuple(units),
        scores=rescore(np.ones(len(units))),
        rescore=rescore,
        items=_items(units, unit_of_text, texts.ranks, None if videos is None else videos.ranks),
        details={"queries": len(ranks.best), "ties": _tie_report(ranks, back)},
        protocol={"ties": f"{ties} rank", "ranks": "from 1, recall in percent"},
        warnings=_tie_warnings(ranks, back, ties),
    )


class _Ranking:
    """Ranks, sorted once, so that weighing them again is cheap."""

    def __init__(self, ranks: Numbers) -> None:
        self.ranks = ranks  # [N]
        self._order = np.argsort(ranks, kind="stable")  # [N]
        self._sorted = ranks[self._order]  # [N]
        self._within = [int(np.searchsorted(self._sorted, k, side="right")) for k in KS]

    def figures(self, weights: Weights) -> dict[str, float]:
        """Figures of the ranks when each counts as often as its weight says."""
        passed = np.cumsum(weights[self._order])  # [N]
        total = passed[-1]
        if total <= 0:
            raise ValueError("no text is left: the weights are all 0")
        shares = [passed[n - 1] / total if n else 0.0 for n in self._within]
        scores = {f"R@{k}": 100 * float(share) for k, share in zip(KS, shares, strict=True)}
        low = self._sorted[np.searchsorted(passed, total / 2, side="left")]
        high = self._sorted[np.searchsorted(passed, total / 2, side="right")]
        mean = float(weights @ self.ranks) / float(total)
        return {**scores, "MdR": float(low + high) / 2, "MnR": mean}


def _figures(ranks: Numbers, *, low_median: bool = False) -> dict[str, float]:
    scores = _Ranking(ranks).figures(np.ones(len(ranks)))
    if low_median:  # the lower middle one, as the code that ranks so takes it
        scores["MdR"] = float(np.sort(ranks)[(len(ranks) - 1) // 2])
    return scores


def _counts(
    similarity: Similarity, right: Similarity, *, rows: Numbers | None = None
) -> tuple[Numbers, Numbers]:
    """How many of each row are above the right one, and how many equal it (itself too)."""
    above = np.empty(len(right), dtype=np.int64)
    equal = np.empty(len(right), dtype=np.int64)
    for start in range(0, len(right), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        block = similarity[part] if rows is None else similarity[rows[part]]
        above[part] = np.count_nonzero(block > right[part, None], axis=1)
        equal[part] = np.count_nonzero(block == right[part, None], axis=1)
    return above, equal


def _real(similarity: npt.NDArray[Any]) -> Similarity:
    """As floating-point numbers, which alone have a lowest one and NaN."""
    if np.issubdtype(similarity.dtype, np.floating):
        return similarity
    return similarity.astype(np.float64)


def _check(similarity: Similarity, target: Numbers) -> None:
    if similarity.ndim != 2 or target.shape != similarity.shape[:1]:
        raise ValueError(f"want [Q, V] and [Q], got {[*similarity.shape]} and {[*target.shape]}")
    if target.size and not 0 <= target.min() <= target.max() < similarity.shape[1]:
        raise ValueError(f"a text's video is not among the {similarity.shape[1]} columns")
    if np.isnan(similarity).any():
        raise ValueError("similarity holds NaN")


def _items(
    units: Sequence[str], unit_of_text: Numbers, ranks: Numbers, back: Numbers | None
) -> list[dict[str, Any]]:
    """One object a video: the mean rank that its texts give it, and the rank of its best text."""
    count = np.bincount(unit_of_text, minlength=len(units))
    mean = np.bincount(unit_of_text, weights=ranks, minlength=len(units)) / np.maximum(count, 1)
    items: list[dict[str, Any]] = []
    for number, unit in enumerate(units):
        scores = {"rank": float(mean[number])}
        if back is not None:
            scores[BACK + "rank"] = float(back[number])
        items.append({"id": unit, "scores": scores, "texts": int(count[number])})
    return items


def _tie_report(ranks: RankRange, back: RankRange | None) -> dict[str, Any]:
    """The figures under both rules, for each direction that has a tie."""
    report: dict[str, Any] = {"text-to-video queries": ranks.num_tied}
    if ranks.num_tied:
        report["text-to-video"] = _both_rules(ranks)
    if back is not None:
        report["video-to-text queries"] = back.num_tied
        if back.num_tied:
            report["video-to-text"] = _both_rules(back)
    return report


def _both_rules(ranks: RankRange) -> Mapping[str, dict[str, float]]:
    return {rule: _figures(ranks.taken(rule)) for rule in ("best", "worst")}


def _tie_warnings(ranks: RankRange, back: RankRange | None, ties: str) -> tuple[str, ...]:
    tied = ranks.num_tied + (back.num_tied if back else 0)
    if not tied:
        return ()
    side = "against" if ties == "worst" else "for"
    return (f"{tied} queries have ties with a wrong answer; they count {side} the model.",)
