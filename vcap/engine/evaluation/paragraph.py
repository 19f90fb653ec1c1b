"""`vcap evaluate paragraph`: all captions of a video as one text; how much it repeats itself.

Reference files are paragraphs, `{video: text}`, or events as `dense` reads them. Both kinds may be
given together: the figures that compare texts then come from the paragraphs, and the numbers of
events, which Div@n and RE@4 need, from the events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vcap.engine.evaluation.events import (
    WANTED,
    References,
    add_references,
    has_events,
    read_predicted_events,
)
from vcap.engine.evaluation.inputs import Given, records_in
from vcap.engine.evaluation.problems import Problems, text_of
from vcap.errors import UsageError
from vcap.metrics.outcome import Outcome, TextTools, Weights, merge
from vcap.metrics.paragraph import score_paragraphs, with_prefix
from vcap.metrics.repetition import score_repetition
from vcap.types import Event

if TYPE_CHECKING:
    from vcap.engine.evaluate import EvaluateSettings

REPETITION = "repetition"
UNCUT = ("R@1", "R@2", "R@3", "R@4")  # what needs no number of events
Value = TypeVar("Value")


@dataclass
class _Truth:
    """Paragraphs and events, one mapping a file."""

    paragraphs: list[dict[str, str]] = field(default_factory=list)
    events: References = field(default_factory=References)


def evaluate_paragraph(
    predictions: Given,
    references: Sequence[Given],
    settings: "EvaluateSettings",
    problems: Problems,
    tools: TextTools,
) -> Outcome:
    """The caption metrics on whole paragraphs, repetition and diversity.

    Raises:
        InputError: a file cannot be used, or no id is in both.
        UsageError: a split is wanted of a file that knows none.
    """
    problems.ascii_only = True
    truth = _read(references, settings.split, problems)
    events = read_predicted_events(predictions, problems, truth.events.durations)
    predicted = with_prefix({name: [e.caption for e in found] for name, found in events.items()})
    files = [with_prefix(file) for file in truth.events.files]
    paragraphs = [with_prefix(file) for file in truth.paragraphs] or [
        _joined(file) for file in files
    ]
    problems.compare(predicted, _names(paragraphs), name=predictions.name)
    if settings.missing == "skip":
        paragraphs = [_known(file, predicted) for file in paragraphs]
    asked = settings.metrics
    outcomes = []
    if asked is None or set(asked) - {REPETITION}:
        names = None if asked is None else [name for name in asked if name != REPETITION]
        outcomes.append(
            score_paragraphs(predicted, paragraphs, tools, metrics=names, missing=settings.missing)
        )
    if asked is None or REPETITION in asked:
        outcomes.append(over(_repetition(predicted, paragraphs, files), _names(paragraphs)))
    found = merge(outcomes)
    return replace(found, warnings=(*truth.events.warnings, *found.warnings))


def _read(references: Sequence[Given], split: str | None, problems: Problems) -> _Truth:
    truth = _Truth()
    for given in references:
        value = given.load(problems)
        if _is_paragraphs(value):
            if split is not None:
                raise UsageError(f"{given.name} has no split {split}; paragraphs by id have none")
            truth.paragraphs.append(
                {
                    name: text_of(text, f"{given.short}: {name}", problems)
                    for name, text in value.items()
                }
            )
        else:
            wanted = f"{{video: paragraph}}, {WANTED}"
            add_references(truth.events, given, value, split, problems, wanted)
    return truth


def _is_paragraphs(value: Any) -> bool:
    """Whether a file is `{video: paragraph}`: some text, no record and no events of a video."""
    if not isinstance(value, Mapping) or records_in(value) is not None or "database" in value:
        return False
    found = value.values()
    return any(isinstance(text, str) for text in found) and not any(map(has_events, found))


def _joined(file: Mapping[str, Sequence[Event]]) -> dict[str, str]:
    return {name: " ".join(event.caption for event in events) for name, events in file.items()}


def _names(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """All ids, in the order in which they come first."""
    return list(dict.fromkeys(name for file in files for name in file))


def _known(file: Mapping[str, Value], names: Mapping[str, Any]) -> dict[str, Value]:
    return {name: value for name, value in file.items() if name in names}


def _repetition(
    predicted: Mapping[str, Sequence[str]],
    paragraphs: Sequence[Mapping[str, str]],
    files: Sequence[Mapping[str, Sequence[Event]]],
) -> Outcome:
    """Repetition against the events; without any, only what needs no number of events."""
    if files:
        return score_repetition(predicted, files)
    empty: list[dict[str, list[Event]]] = [{name: [] for name in file} for file in paragraphs]
    found = score_repetition(predicted, empty)
    items = [
        {**item, "scores": {k: v for k, v in item["scores"].items() if k in UNCUT}}
        for item in found.items
    ]
    absent = dict.fromkeys(
        [name for name in found.scores if name not in UNCUT],
        "the references hold no events; give a file that does as a further --references",
    )
    return replace(
        found,
        scores={name: found.scores[name] for name in UNCUT},
        rescore=lambda weights: {name: found.rescore(weights)[name] for name in UNCUT},
        items=items,
        unavailable=absent,
    )


def over(outcome: Outcome, units: Sequence[str]) -> Outcome:
    """The same outcome over other units, of which those that it does not know weigh nothing.

    Its own units that are not among them keep their weight of one.
    """
    if outcome.units == tuple(units):
        return outcome
    rows = {name: row for row, name in enumerate(outcome.units)}
    known = [(row, rows[name]) for row, name in enumerate(units) if name in rows]
    theirs, own = np.array(known, dtype=np.int64).reshape(-1, 2).T

    def rescore(weights: Weights) -> dict[str, float]:
        mapped = np.ones(len(outcome.units))
        mapped[own] = weights[theirs]
        return outcome.rescore(mapped)

    items = [
        outcome.items[rows[name]] if name in rows else {"id": name, "scores": {}} for name in units
    ]
    return replace(outcome, units=tuple(units), rescore=rescore, items=items)
