"""What every metric gives back, and the text tools that the engine hands to those which need any.

A metric is a function of plain values. What it needs from outside (the tokenizer, METEOR and SPICE
run in Java) comes as `TextTools`, so that this folder starts no process and opens no file.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Pair = tuple[str, tuple[str, ...]]  # a candidate and its references
Weights = npt.NDArray[np.float64]
Rescore = Callable[[Weights], dict[str, float]]


class TextTools(Protocol):
    """Tokenizer, METEOR and SPICE. Every distinct text and pair costs once, however often asked."""

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Metrics that cannot be had here, each with the reason in one sentence."""
        ...

    def tokenize(self, captions: Sequence[str]) -> list[str]:
        """Each caption as the PTB tokenizer gives it: tokens joined with one blank."""
        ...

    def expect(self, sentences: Iterable[str]) -> None:
        """Say what METEOR will be asked about, so that it can start while other work is done."""
        ...

    def meteor(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """The 23 statistics of each pair, [N, 23]; all zero rows never stand for absent METEOR."""
        ...

    def spice(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """The SPICE F-score of each pair, [N]."""
        ...


@dataclass(frozen=True)
class Outcome:
    """The scores of one evaluation, with what is needed to resample and to show them.

    Attributes:
        units: ids of what the scores are made of (videos, clips, queries or questions).
        scores: the headline figures by name, in the order in which they are shown.
        rescore: weights [U] of the units (how often each is drawn) -> the same figures; ones give
            `scores`. Document frequencies and the like stay those of the whole set. NaN where
            none of what was drawn has a value.
        items: one JSON object a unit, in the order of `units`: `id`, `scores` (name -> value), and
            where there are such `prediction`, `references`, `length` (of the prediction).
        details: further JSON-able figures, such as one value a tIoU threshold.
        protocol: JSON-able facts about how it was computed.
        unavailable: metric -> why it was not computed.
        warnings: one sentence each.
    """

    units: tuple[str, ...]
    scores: dict[str, float]
    rescore: Rescore
    items: list[dict[str, Any]]
    details: dict[str, Any] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def merge(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome with the figures of several over the same units.

    Raises:
        ValueError: there is none, or their units differ.
    """
    first = outcomes[0] if outcomes else None
    if first is None or any(outcome.units != first.units for outcome in outcomes):
        raise ValueError("only outcomes over the same units can be merged")

    def rescore(weights: Weights) -> dict[str, float]:
        return _united([outcome.rescore(weights) for outcome in outcomes])

    return Outcome(
        units=first.units,
        scores=_united([outcome.scores for outcome in outcomes]),
        rescore=rescore,
        items=[_merged_item(parts) for parts in zip(*(o.items for o in outcomes), strict=True)],
        details=_united([outcome.details for outcome in outcomes]),
        protocol=_united([outcome.protocol for outcome in outcomes]),
        unavailable=_united([outcome.unavailable for outcome in outcomes]),
        warnings=tuple(dict.fromkeys(text for o in outcomes for text in o.warnings)),
    )


def only(outcome: Outcome, names: Sequence[str]) -> Outcome:
    """The outcome with these scores alone."""
    wanted = set(names)

    def rescore(weights: Weights) -> dict[str, float]:
        return {name: v for name, v in outcome.rescore(weights).items() if name in wanted}

    scores = {name: value for name, value in outcome.scores.items() if name in wanted}
    return replace(outcome, scores=scores, rescore=rescore)


def within(outcome: Outcome, units: Collection[str]) -> Outcome:
    """The outcome over those of its units that are named; the others must count nothing in it."""
    kept = np.array([unit in units for unit in outcome.units], dtype=np.bool_)
    if kept.all():
        return outcome

    def rescore(weights: Weights) -> dict[str, float]:
        spread = np.zeros(len(kept))
        spread[kept] = weights
        return outcome.rescore(spread)

    return replace(
        outcome,
        units=tuple(compress(outcome.units, kept)),
        rescore=rescore,
        items=[*compress(outcome.items, kept)],
    )


def _united(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


def _merged_item(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {**_united(parts), "scores": _united([part["scores"] for part in parts])}
