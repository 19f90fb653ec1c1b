"""How much the captions of one video repeat each other, and how varied their words are.

Words are what stands between single blanks: one closing full stop and the blanks before it go,
commas become blanks, letters keep their case. N-grams end where their caption ends, and are
counted over the video. R@n is the share of n-grams that have been there before; Div@n is the
number of different n-grams over the number of words. Div@n and RE@4 look only at as many
captions, in file order, as the first reference file that holds the video has events; R@n looks at
all captions.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.metrics.outcome import Outcome, Weights
from vcap.types import Event

NAMES = ("R@1", "R@2", "R@3", "R@4", "Div@1", "Div@2", "RE@4")
ORDERS = (1, 2, 3, 4)


@dataclass(frozen=True)
class _Counts:
    """The n-grams of one video, by order, and how many words it has."""

    ngrams: dict[int, Counter[str]]

    def repeated(self, order: int) -> float:
        counts = self.ngrams[order]
        return (counts.total() - len(counts)) / counts.total() if counts else 0.0

    def varied(self, order: int) -> float:
        num_words = self.ngrams[1].total()
        return len(self.ngrams[order]) / num_words if num_words else 0.0


def score_repetition(
    predictions: Mapping[str, Sequence[str | Event]],
    references: Sequence[Mapping[str, Sequence[Event]]],
) -> Outcome:
    """R@1 to R@4, Div@1, Div@2 and RE@4: means over the reference videos that are predicted.

    Empty captions are left out, and a video without an n-gram counts 0. Where no reference video
    is predicted every figure is 0, with a warning.

    Args:
        predictions: video -> its captions, or its captioned events, in file order.
        references: one mapping of video -> events a file.
    """
    num_events = {
        video: len(events) for file in reversed(references) for video, events in file.items()
    }
    units = tuple(dict.fromkeys(video for file in references for video in file))
    judged = np.array([unit in predictions for unit in units], dtype=bool)
    rows = [_video_scores(predictions.get(unit, ()), num_events[unit]) for unit in units]
    table = np.array(rows, dtype=np.float64).reshape(len(units), len(NAMES))

    def rescore(weights: Weights) -> dict[str, float]:
        return dict(zip(NAMES, _mean(table, weights * judged), strict=True))

    return Outcome(
        units=units,
        scores=rescore(np.ones(len(units))) if judged.any() else dict.fromkeys(NAMES, 0.0),
        rescore=rescore,
        items=[*_items(units, judged, table)],
        details={
            "repetition": {"num_predicted": len(predictions), "num_videos": int(judged.sum())}
        },
        protocol={"repetition": "R@n of all captions; Div@n and RE@4 of the first k, k = events"},
        warnings=() if judged.any() else ("no reference video is predicted: repetition is 0",),
    )


def words_of(caption: str) -> list[str]:
    """The words that repetition is counted in; none if nothing but blanks and a full stop."""
    text = caption.removesuffix(".").rstrip(" ").replace(",", " ")
    while "  " in text:
        text = text.replace("  ", " ")
    return text.split(" ") if text else []


def _video_scores(captions: Sequence[str | Event], num_events: int) -> list[float]:
    sentences = [words_of(c.caption if isinstance(c, Event) else c) for c in captions]
    everything, first = _count(sentences), _count(sentences[:num_events])
    repeated = [everything.repeated(order) for order in ORDERS]
    return [*repeated, first.varied(1), first.varied(2), first.repeated(4)]


def _count(sentences: Sequence[Sequence[str]]) -> _Counts:
    # Joined with "_" as the field does it, which takes "a_b c" and "a b_c" for the same pair.
    def ngrams(order: int) -> Iterator[str]:
        for words in sentences:
            for first in range(len(words) - order + 1):
                yield "_".join(words[first : first + order])

    return _Counts({order: Counter(ngrams(order)) for order in ORDERS})


def _mean(table: npt.NDArray[np.float64], weights: Weights) -> list[float]:
    total = weights.sum()
    return [float(value) for value in weights @ table / (total if total else math.nan)]


def _items(
    units: Sequence[str], judged: npt.NDArray[np.bool_], table: npt.NDArray[np.float64]
) -> Iterator[dict[str, Any]]:
    for unit, known, row in zip(units, judged, table, strict=True):
        scores = {name: float(value) for name, value in zip(NAMES, row, strict=True)}
        yield {"id": unit, "scores": scores if known else {}}
