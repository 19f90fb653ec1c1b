"""How sure a score is: bootstrap intervals, and a paired test of two candidates.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", chapters 13 and 16; Koehn,
"Statistical Significance Tests for Machine Translation Evaluation", EMNLP 2004. What is drawn with
replacement are videos, so several captions, queries or questions of a video stay together.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from vcap.metrics.outcome import Outcome, Weights

Groups = npt.NDArray[np.int64]
RESAMPLES = 1000
LEVEL = 0.95


def intervals(
    outcome: Outcome,
    groups: Groups | None = None,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """The percentile interval of each score: low and high, NaN where no draw had a value.

    Args:
        outcome: what is resampled.
        groups: [U] number of the video of each unit, from 0; None where each unit is a video.
        resamples: how often the videos are drawn.
        level: share of the draws that the interval covers, between 0 and 1.
        seed: of the draws.

    Raises:
        ValueError: `groups` has another length than the units, or there is no unit.
    """
    drawn = _resampled([outcome], groups, resamples, seed)[0]
    return dict(zip(outcome.scores, _ranges(drawn, level), strict=True))


def paired(
    outcome: Outcome,
    other: Outcome,
    groups: Groups | None = None,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """How much higher each score is than the other's, and how sure that is.

    Both are resampled by the same draws. `p` is two-sided: how often a difference as large would
    come out by chance if there were none (1 is added above and below, so it is never 0).

    Args:
        outcome: the scores in question.
        other: the scores that they are compared with, over the same units.
        groups: [U] number of the video of each unit, from 0; None where each unit is a video.
        resamples: how often the videos are drawn.
        level: share of the draws that the interval covers, between 0 and 1.
        seed: of the draws.

    Returns:
        for each score that both have: `difference`, `low`, `high` and `p`.

    Raises:
        ValueError: the units of the two differ, or as for `intervals`.
    """
    if outcome.units != other.units:
        raise ValueError("want the same units in both outcomes")
    names = [name for name in outcome.scores if name in other.scores]
    first, second = _resampled([outcome, other], groups, resamples, seed)
    drawn = first[:, _columns(outcome, names)] - second[:, _columns(other, names)]  # [R, S]
    result = {}
    for name, values, (low, high) in zip(names, drawn.T, _ranges(drawn, level), strict=True):
        difference = outcome.scores[name] - other.scores[name]
        result[name] = {
            "difference": difference,
            "low": low,
            "high": high,
            "p": _chance(values, difference),
        }
    return result


def draws(groups: Groups, resamples: int, seed: int) -> Iterator[Weights]:
    """How often each unit is drawn, [U], once a resample; units of one video are drawn together."""
    num_groups = int(groups.max()) + 1
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        chosen = generator.integers(num_groups, size=num_groups)
        yield np.bincount(chosen, minlength=num_groups)[groups].astype(np.float64)


def _resampled(
    outcomes: Sequence[Outcome], groups: Groups | None, resamples: int, seed: int
) -> list[npt.NDArray[np.float64]]:
    """The scores [R, S] of each outcome under the same draws."""
    num_units = len(outcomes[0].units)
    if groups is None:
        groups = np.arange(num_units)
    if not num_units or groups.shape != (num_units,):
        raise ValueError(f"want a group for each of {num_units} units, got {[*groups.shape]}")
    rows: list[list[list[float]]] = [[] for _ in outcomes]
    for weights in draws(groups, resamples, seed):
        for outcome, kept in zip(outcomes, rows, strict=True):
            scores = outcome.rescore(weights)
            kept.append([scores.get(name, float("nan")) for name in outcome.scores])
    return [
        np.array(kept, dtype=np.float64).reshape(resamples, len(outcome.scores))
        for outcome, kept in zip(outcomes, rows, strict=True)
    ]


def _columns(outcome: Outcome, names: Sequence[str]) -> list[int]:
    order = {name: column for column, name in enumerate(outcome.scores)}
    return [order[name] for name in names]


def _ranges(drawn: npt.NDArray[np.float64], level: float) -> list[tuple[float, float]]:
    """Low and high of each column; draws that gave no value are left out."""
    tail = (1 - level) / 2
    return [_range(column[~np.isnan(column)], tail) for column in drawn.T]


def _range(values: npt.NDArray[np.float64], tail: float) -> tuple[float, float]:
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _chance(values: npt.NDArray[np.float64], difference: float) -> float:
    """The share of draws, moved so that their mean is 0, that lie as far off as the difference.

    A rounding error is no difference: two candidates of the same words must come out as equal.
    """
    values = values[~np.isnan(values)]
    if not values.size or np.isnan(difference):
        return float("nan")
    slack = 1e-12 * max(1.0, abs(difference))
    far = np.abs(values - values.mean()) >= abs(difference) - slack
    return float((1 + far.sum()) / (1 + len(values)))
