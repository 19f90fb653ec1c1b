"""How well predicted segments cover the true events, whatever their captions say.

Source: the evaluation of "Dense-Captioning Events in Videos" (Krishna et al., 2017). Two ways to
one F1 are in use; both are given, each under its own name.
Shapes: T thresholds, P proposals and E events of one video.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Hits = npt.NDArray[np.bool_]


def recall_precision(hits: Hits, num_events: Sequence[int]) -> tuple[Array, Array]:
    """Recall [T] and precision [T] of one video, each of the reference file where it is highest.

    No proposal gives 0 for both, and so does a file without an event.

    Args:
        hits: [T, P, E], whether a proposal covers an event; the events of one file after another.
        num_events: how many of the E events each file has.
    """
    recall, precision = np.zeros((2, hits.shape[0]))
    first = 0
    for count in num_events:
        part = hits[:, :, first : first + count]
        first += count
        if part.size:
            recall = np.maximum(recall, part.any(axis=1).mean(axis=1))
            precision = np.maximum(precision, part.any(axis=2).mean(axis=1))
    return recall, precision


def start_hits(starts: Array, event_starts: Array, seconds: Sequence[float]) -> Hits:
    """Whether the start of a proposal [P] lies nearer to that of an event [E] than so many seconds.

    Returns:
        [T, P, E], in the order of `seconds`.
    """
    with np.errstate(invalid="ignore"):
        distance = np.abs(starts[:, None] - event_starts)
    return np.asarray(distance < np.asarray(seconds, dtype=np.float64)[:, None, None])


def f1_score(precision: Array, recall: Array) -> Array:
    """Harmonic mean of each precision with its recall; 0 where both are 0, NaN where one is."""
    total = precision + recall
    twice = 2 * precision * recall
    return np.divide(twice, total, out=np.zeros_like(total), where=total != 0)


def localisation_scores(values: Mapping[str, Array]) -> dict[str, Array]:
    """The headline figures from `recall` and `precision` [..., T] at each threshold, [...] each.

    `F1` is the mean of the thresholds' F1; `F1 of means` is that of mean recall and precision.
    """
    recall, precision = values["recall"], values["precision"]
    means = recall.mean(axis=-1), precision.mean(axis=-1)
    return {
        "recall": means[0],
        "precision": means[1],
        "F1": f1_score(precision, recall).mean(axis=-1),
        "F1 of means": f1_score(means[1], means[0]),
    }
