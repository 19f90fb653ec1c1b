"""Top-1 and top-5 accuracy of ranked labels, as fractions.

Departures: none; a video without a prediction is wrong unless it is left out, and ties of scores
are broken against the model before the labels get here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.metrics.outcome import Outcome, Weights

KS = (1, 5)
ONE_LABEL = "the predictions name one label a video; ranked labels or scores are needed"

Label = str | int


def score_classification(
    predictions: Mapping[str, Sequence[Label]],
    references: Mapping[str, Label],
    *,
    missing: str = "zero",
) -> Outcome:
    """Share of the videos whose label is the first of the ranked ones, or among the first five.

    Args:
        predictions: ranked labels a video, the likeliest first; others than `references` names
            are left out.
        references: the true label a video.
        missing: "zero" counts a video without a prediction as wrong, "skip" leaves it out.

    Raises:
        ValueError: there is no reference, or with "skip" no predicted one.
    """
    if missing == "skip":
        references = {name: label for name, label in references.items() if name in predictions}
    if not references:
        raise ValueError("no video to classify")
    ranks = label_ranks(predictions, references)
    ranked = any(len(labels) > 1 for labels in predictions.values())
    hits = {f"top-{k}": (ranks <= k).astype(np.float64) for k in (KS if ranked else KS[:1])}

    def rescore(weights: Weights) -> dict[str, float]:
        total = weights.sum()
        return {name: float(weights @ hit / total) for name, hit in hits.items()}

    return Outcome(
        units=tuple(references),
        scores=rescore(np.ones(len(references))),
        rescore=rescore,
        items=_items(predictions, references, hits),
        details={"by_label": _by_label(references, hits)},
        protocol={"denominator": f"{'predicted' if missing == 'skip' else 'all'} reference videos"},
        unavailable={} if ranked else {"top-5": ONE_LABEL},
    )


def label_ranks(
    predictions: Mapping[str, Sequence[Label]], references: Mapping[str, Label]
) -> npt.NDArray[np.float64]:
    """Rank from 1 of each true label; infinite where it is not among the ranked ones."""
    ranks = np.full(len(references), np.inf)
    for number, (video_id, label) in enumerate(references.items()):
        labels = predictions.get(video_id, ())
        if label in labels:
            ranks[number] = 1 + list(labels).index(label)
    return ranks


def ranked_labels(scores: Mapping[Label, float], true: Label | None) -> list[Label]:
    """Labels by falling score; a tie puts the true one last, so that it counts against the model.

    A score that is no number comes after all others.
    """
    return sorted(scores, key=lambda label: (_falling(scores[label]), label == true))


def _falling(score: float) -> float:
    return np.inf if np.isnan(score) else -score


def _items(
    predictions: Mapping[str, Sequence[Label]],
    references: Mapping[str, Label],
    hits: Mapping[str, npt.NDArray[np.float64]],
) -> list[dict[str, Any]]:
    return [
        {
            "id": video_id,
            "scores": {name: float(hit[number]) for name, hit in hits.items()},
            "prediction": str(next(iter(predictions.get(video_id, ())), "")),
            "references": [str(label)],
        }
        for number, (video_id, label) in enumerate(references.items())
    ]


def _by_label(
    references: Mapping[str, Label], hits: Mapping[str, npt.NDArray[np.float64]]
) -> dict[str, dict[str, float]]:
    """The same figures a class, with the number of its videos."""
    rows: dict[Label, list[int]] = {}
    for number, label in enumerate(references.values()):
        rows.setdefault(label, []).append(number)
    return {
        str(label): {
            "videos": len(numbers),
            **{name: float(hit[numbers].mean()) for name, hit in hits.items()},
        }
        for label, numbers in rows.items()
    }
