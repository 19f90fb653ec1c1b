"""Accuracy and WUPS of answers to questions about videos.

Accuracy is exact equality of strings, as in the script published with ActivityNet-QA. WUPS follows
Malinowski and Fritz: answers are lists between commas, and items match by Wu-Palmer similarity.
Accuracies are fractions, WUPS is in percent, as each is printed by its script.

Departures: the published script divides its "free" accuracy by the wrong count. The right value is
`accuracy free`; the printed one is kept in the details as `free as the official script prints it`.
An unanswered question is wrong for WUPS too, where nothing else is asked.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.metrics.outcome import Outcome, Weights, within

TYPES = (
    "motion",
    "spatial relation",
    "temporal relation",
    "yes/no",
    "colour",
    "object",
    "location",
    "number",
    "other",
)
SHORT_TYPES = {"spatial": 1, "temporal": 2, "yes no": 3, "yesno": 3}
FREE = frozenset(range(3, len(TYPES)))  # the types that ask for no motion or relation
WUPS_THRESHOLDS = (0.0, 0.9)
LIST_ACCURACY = "accuracy of answered lists"  # items between commas, blanks around them ignored
LONGEST_NUMBER = 100  # digits; of some thousands Python makes no number
OFFICIAL_FREE = "free as the official script prints it"

Similarity = Callable[[str, str], float]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """The true answer of a question, and which of the nine `TYPES` it has (a number from 0)."""

    text: str
    type_number: int | None = None


def score_qa(
    predictions: Mapping[str, str],
    references: Mapping[str, Answer],
    *,
    wup: Similarity | None = None,
    missing: str = "zero",
) -> Outcome:
    """Accuracy, overall and by type of question, and WUPS where there is a `wup`.

    Args:
        predictions: answers by question; others than `references` names are left out.
        references: the true answers by question.
        wup: the best Wu-Palmer similarity of two words as nouns; 0 if one of them is none.
        missing: "zero" counts an unanswered question as wrong, "skip" leaves it out: it is no
            unit then.

    Raises:
        ValueError: there is no question, or with "skip" no answered one.
    """
    answered = np.array([question in predictions for question in references], dtype=np.float64)
    counted = answered if missing == "skip" else np.ones(len(references))
    if not counted.any():
        raise ValueError("no question to score")
    values = _values(predictions, references, wup)
    groups = _groups(references)
    whole = {name: float(counted @ group > 0) for name, group in groups.items()}

    def rescore(weights: Weights) -> dict[str, float]:
        return _scores(weights * counted, values, {n: g for n, g in groups.items() if whole[n]})

    outcome = Outcome(
        units=tuple(references),
        scores=rescore(np.ones(len(references))),
        rescore=rescore,
        items=_items(predictions, references, values),
        details=_details(
            values, groups, references, answered, _equal_lists(predictions, references)
        ),
        protocol={
            "accuracy": "exact equality of strings",
            "WUPS": "noun synsets of WordNet 3.0, in percent",
            "denominator": "answered questions" if missing == "skip" else "all questions",
        },
    )
    return within(outcome, predictions) if missing == "skip" else outcome


def wups(answer: str, prediction: str, threshold: float, wup: Similarity) -> float:
    """WUPS of one prediction: the weaker of both directions of the product of best matches."""
    true, made = ([item.strip() for item in text.split(",")] for text in (answer, prediction))

    def match(first: str, second: str) -> float:
        if first == second:
            return 1.0
        similarity = wup(first, second)
        return similarity if similarity >= threshold else 0.1 * similarity

    there = prod(max(match(item, other) for other in made) for item in true)
    back = prod(max(match(other, item) for item in true) for other in made)
    return min(there, back)


def _values(
    predictions: Mapping[str, str], references: Mapping[str, Answer], wup: Similarity | None
) -> dict[str, Floats]:
    """Every figure a question, [Q] each; 0 where there is no answer."""
    pairs = [(answer.text, predictions.get(question)) for question, answer in references.items()]
    values = {"accuracy": np.array([text == made for text, made in pairs], dtype=np.float64)}
    if wup is None:
        return values
    known = cache(wup)
    for threshold in WUPS_THRESHOLDS:
        scores = {
            (text, made): 100 * wups(text, made, threshold, known)
            for text, made in set(pairs)
            if made is not None
        }
        values[f"WUPS@{threshold}"] = np.array(
            [0.0 if made is None else scores[text, made] for text, made in pairs]
        )
    return values


def _equal_lists(predictions: Mapping[str, str], references: Mapping[str, Answer]) -> Floats:
    """Which answers hold the same items, [Q] of 0 and 1: what WUPS counts as exact."""
    pairs = ((answer.text, predictions.get(name)) for name, answer in references.items())
    return np.array(
        [made is not None and wups(text, made, 0.0, lambda *_: 0.0) for text, made in pairs],
        dtype=np.float64,
    )


def _groups(references: Mapping[str, Answer]) -> dict[str, Floats]:
    """Which questions are of each type, [Q] of 0 and 1, for the types that occur."""
    numbers = [answer.type_number for answer in references.values()]
    groups = {
        name: np.array([number == own for own in numbers], dtype=np.float64)
        for number, name in enumerate(TYPES)
    }
    groups["free"] = np.array([own in FREE for own in numbers], dtype=np.float64)
    return {name: group for name, group in groups.items() if group.any()}


def _scores(
    weights: Weights, values: Mapping[str, Floats], groups: Mapping[str, Floats]
) -> dict[str, float]:
    """The headline figures; a type that the weights leave out altogether has none: NaN."""
    scores = {"accuracy": _mean(values["accuracy"], weights)}
    for name, group in groups.items():
        scores[f"accuracy {name}"] = _mean(values["accuracy"], weights * group)
    return scores | {name: _mean(value, weights) for name, value in values.items()}


def _mean(values: Floats, weights: Weights, empty: float = math.nan) -> float:
    total = weights.sum()
    return float(weights @ values / total) if total > 0 else empty


def _details(
    values: Mapping[str, Floats],
    groups: Mapping[str, Floats],
    references: Mapping[str, Answer],
    answered: Floats,
    lists: Floats,
) -> dict[str, Any]:
    """Counts by type, the faulty free accuracy under its own name, and the answered ones alone."""
    right = values["accuracy"]
    details: dict[str, Any] = {
        "questions": len(references),
        "answered": int(answered.sum()),
        "by_type": {
            name: {"questions": int(group.sum()), "right": int(right @ group)}
            for name, group in groups.items()
        },
        "over answered questions": {n: _mean(v, answered, 0.0) for n, v in values.items()},
        LIST_ACCURACY: _mean(lists, answered, 0.0),
    }
    official = _official_free(right, references)
    return details if official is None else {**details, OFFICIAL_FREE: official}


def _official_free(right: Floats, references: Mapping[str, Answer]) -> float | None:
    """Right answers of the free types over the questions of types that were seen fourth or later.

    None where there are fewer than four types, which the script cannot print either.
    """
    numbers = [answer.type_number for answer in references.values()]
    late = list(dict.fromkeys(numbers))[3:]
    correct = sum(hit for hit, number in zip(right, numbers, strict=True) if number in FREE)
    count = sum(number in late for number in numbers)
    return float(correct / count) if count else None


def _items(
    predictions: Mapping[str, str],
    references: Mapping[str, Answer],
    values: Mapping[str, Floats],
) -> list[dict[str, Any]]:
    return [
        {
            "id": question,
            "scores": {name: float(value[number]) for name, value in values.items()},
            "prediction": predictions.get(question, ""),
            "references": [answer.text],
            "length": len(predictions.get(question, "").split()),
        }
        for number, (question, answer) in enumerate(references.items())
    ]


def type_number(given: Any) -> int | None:
    """Number of a type given as such or by its name; None for one that is not of the nine."""
    if isinstance(given, str):
        word = given.strip().lower().replace("_", " ").replace("color", "colour")
        if not word.isdecimal():
            return TYPES.index(word) if word in TYPES else SHORT_TYPES.get(word)
        given = int(word) if len(word) < LONGEST_NUMBER else None
    return given if type(given) is int and 0 <= given < len(TYPES) else None
