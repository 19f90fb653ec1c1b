"""Temporal grounding: how often a proposed segment hits the one that a sentence describes.

Two published forms. `activitynet`: tIoU as in dense captioning (union of two overlapping segments,
1e-8 in the divisor), R@1 and R@5 at 0.1, 0.3, 0.5, 0.7, and the mean tIoU of first proposals.
`charades`: intersection over hull without an epsilon, first proposal only, 0.3, 0.5, 0.7.

Departures: a query without a proposal is a miss and counts 0 unless it is left out; a hull of no
length, which would divide by zero, counts 0 too. Recalls are float64, where one original holds them
in float32.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vcap.metrics.outcome import Outcome, Weights
from vcap.metrics.tiou import tiou_matrix

Pair = tuple[float, float]  # start and end in seconds


class Form(NamedTuple):
    """What a published form measures: first proposals, thresholds, and the overlap it means."""

    firsts: tuple[int, ...]
    tious: tuple[float, ...]
    hull: bool


FORMS = {
    "activitynet": Form(firsts=(1, 5), tious=(0.1, 0.3, 0.5, 0.7), hull=False),
    "charades": Form(firsts=(1,), tious=(0.3, 0.5, 0.7), hull=True),
}


def score_grounding(
    predictions: Mapping[str, Sequence[Pair]],
    references: Mapping[str, Pair],
    *,
    form: str = "activitynet",
    tious: Sequence[float] | None = None,
    missing: str = "zero",
) -> Outcome:
    """Recall of the first proposals at each tIoU (reached or exceeded), and the mean tIoU.

    Args:
        predictions: proposals a query, the surest first; a time that is NaN never hits.
        references: the true segment a query.
        form: "activitynet" or "charades".
        tious: other thresholds than the form's.
        missing: "zero" counts a query without a proposal as a miss, "skip" leaves it out.

    Raises:
        ValueError: there is no reference, with "skip" no query with an entry, or no such form.
    """
    if missing == "skip":
        references = {query: true for query, true in references.items() if query in predictions}
    if form not in FORMS or not references:
        raise ValueError(f"want queries and one of {', '.join(FORMS)}, got {form!r}")
    chosen = FORMS[form]
    thresholds = chosen.tious if tious is None else tuple(tious)
    overlaps = proposal_overlaps(predictions, references, form=form)  # [Q, K]
    values = _values(overlaps, chosen.firsts, thresholds)

    def rescore(weights: Weights) -> dict[str, float]:
        total = weights.sum()
        return {name: float(weights @ value / total) for name, value in values.items()}

    return Outcome(
        units=tuple(references),
        scores=rescore(np.ones(len(references))),
        rescore=rescore,
        items=_items(predictions, references, values),
        details={"queries": len(references)},
        protocol={
            "form": form,
            "tious": list(thresholds),
            "match": "tIoU >= threshold",
            "denominator": "predicted queries" if missing == "skip" else "all queries",
        },
    )


def proposal_overlaps(
    predictions: Mapping[str, Sequence[Pair]],
    references: Mapping[str, Pair],
    *,
    form: str = "activitynet",
) -> npt.NDArray[np.float64]:
    """Overlap [Q, K] of the first K proposals with each true segment; absent ones overlap by 0."""
    overlap, firsts = _hull_overlap if FORMS[form].hull else tiou_matrix, max(FORMS[form].firsts)
    overlaps = np.zeros((len(references), firsts))  # [Q, K]
    for number, (query, true) in enumerate(references.items()):
        given = list(predictions.get(query, ()))[:firsts]
        if given:
            overlaps[number, : len(given)] = overlap(given, [true])[:, 0]
    return overlaps


def _hull_overlap(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Shared length over the length from the first start to the last end, [N, M]."""
    start, end = np.asarray(first, dtype=np.float64).T[:, :, None]  # [N, 1] each
    other_start, other_end = np.asarray(second, dtype=np.float64).T[:, None]  # [1, M] each
    shared = np.maximum(0.0, np.minimum(end, other_end) - np.maximum(start, other_start))
    hull = np.maximum(end, other_end) - np.minimum(start, other_start)
    share = np.divide(shared, hull, out=np.zeros_like(shared), where=hull > 0)
    return np.where(share > 0, share, 0.0)  # what is no number overlaps by 0


def _values(
    overlaps: npt.NDArray[np.float64], firsts: Sequence[int], tious: Sequence[float]
) -> dict[str, npt.NDArray[np.float64]]:
    """Every figure a query, [Q] each."""
    values: dict[str, npt.NDArray[np.float64]] = {
        f"R@{n} tIoU={tiou:g}": np.any(overlaps[:, :n] >= tiou, axis=1).astype(np.float64)
        for n in firsts
        for tiou in tious
    }
    return {**values, "mIoU": overlaps[:, 0]}


def _items(
    predictions: Mapping[str, Sequence[Pair]],
    references: Mapping[str, Pair],
    values: Mapping[str, npt.NDArray[np.float64]],
) -> list[dict[str, Any]]:
    """One object a query, with its first proposal."""
    return [
        {
            "id": query,
            "scores": {name: float(value[number]) for name, value in values.items()},
            "prediction": _told(next(iter(predictions.get(query, ())), None)),
            "references": [_told(true)],
        }
        for number, (query, true) in enumerate(references.items())
    ]


def _told(segment: Pair | None) -> str:
    return "" if segment is None else f"{segment[0]:g}-{segment[1]:g} s"
