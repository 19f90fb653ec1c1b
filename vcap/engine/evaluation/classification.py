"""`vcap evaluate classification`: which class a video has.

Predictions are records with `label`, `labels` (ranked) or `scores` (by label, or by its number), or
`{id: label | [labels] | {label: score}}`. References are records with `label`, or `{id: label}`.
A label is a name, a number, or `{"name", "index"}`; names win where both are known.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vcap.engine.evaluation.inputs import Given, id_of, usable_records, with_videos
from vcap.engine.evaluation.problems import Problems, number_of
from vcap.engine.evaluation.splits import of_split
from vcap.errors import AnnotationError
from vcap.metrics.classification import Label, ranked_labels, score_classification
from vcap.metrics.outcome import Outcome, TextTools

if TYPE_CHECKING:
    from vcap.engine.evaluate import EvaluateSettings

GIVEN = {"label", "labels", "scores"}  # any of which a record must have


@dataclass
class Classes:
    """The true labels.

    Attributes:
        labels: of each video.
        names: of the numbers that have one.
        videos: the video that a clip is of, where that is said.
        warnings: one sentence each.
    """

    labels: dict[str, Label] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    videos: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def label(self, value: Any) -> str | None:
        """One text for a label however it is given; None for what is none."""
        if isinstance(value, Mapping):
            value = value.get("name") if isinstance(value.get("name"), str) else value.get("index")
        if isinstance(value, bool) or not isinstance(value, str | int):
            return None
        return self.names.get(str(value), str(value))


def evaluate_classification(
    predictions: Given,
    references: Sequence[Given],
    settings: "EvaluateSettings",
    problems: Problems,
    tools: TextTools,
) -> Outcome:
    """Top-1 and, where labels are ranked, top-5 accuracy.

    Raises:
        InputError: a file cannot be used, or no id is in both.
    """
    classes = read_classes(references, settings.split, problems)
    ranked = read_ranked(predictions, classes, problems)
    problems.compare(ranked, classes.labels, name=predictions.name)
    outcome = score_classification(ranked, classes.labels, missing=settings.missing)
    items = with_videos(outcome.items, classes.videos)
    return replace(outcome, items=items, warnings=(*classes.warnings, *outcome.warnings))


def read_classes(references: Sequence[Given], split: str | None, problems: Problems) -> Classes:
    """The true labels over all files; an id that comes again is counted, and the first holds.

    Raises:
        AnnotationError: a file cannot be read, or none has labels.
        UsageError: no record of a file is of the split that is wanted.
    """
    classes, found = Classes(), []
    for given in references:
        value, told = of_split(given.load(problems), split, given.name)
        classes.warnings += told
        entries = _entries(value, given, problems)
        found += [(f"{given.name}: {name}", name, entry) for name, entry in entries]
    for _, _, entry in found:
        _learn(classes.names, entry.get("label"))
    for where, name, entry in found:
        label = classes.label(entry.get("label"))
        if label is None:
            problems.add("no reference", where)
        elif name in classes.labels:
            problems.add("duplicate", where)
        else:
            classes.labels[name] = label
            video = id_of(entry.get("video_id"))
            if video is not None:
                classes.videos[name] = video
    if not classes.labels:
        raise AnnotationError(f"{references[0].name}: no labels in it; want records with label")
    return classes


def _learn(names: dict[str, str], label: Any) -> None:
    known = label if isinstance(label, Mapping) else {}
    if isinstance(known.get("name"), str) and type(known.get("index")) is int:
        names[str(known["index"])] = known["name"]


def read_ranked(given: Given, classes: Classes, problems: Problems) -> dict[str, list[Label]]:
    """The labels of each video, the likeliest first.

    Raises:
        AnnotationError: the file cannot be read, or holds no labels.
    """
    found: dict[str, list[Label]] = {}
    for name, entry in _entries(given.load(problems), given, problems):
        where = f"{given.name}: {name}"
        if name in found:
            problems.add("duplicate", where)
            continue
        labels = _ranked(entry, classes, classes.labels.get(name), where, problems)
        if labels is None:
            problems.add("unusable record", where)
        else:
            found[name] = labels
    if not found:
        raise AnnotationError(f"{given.name}: no labels in it; want records with label or scores")
    return found


def _ranked(
    entry: Mapping[str, Any],
    classes: Classes,
    true: Label | None,
    where: str,
    problems: Problems,
) -> list[Label] | None:
    """Ranked labels from scores, from a list, or of one label; None where there is none."""
    scores = entry.get("scores")
    if isinstance(scores, list):
        scores = {str(number): score for number, score in enumerate(scores)}
    if isinstance(scores, Mapping) and scores:
        named = {classes.label(key) or key: value for key, value in scores.items()}
        return ranked_labels(
            {
                label: _number(score, f"{where}: {label}", problems)
                for label, score in named.items()
            },
            true,
        )
    listed = entry.get("labels")
    if not isinstance(listed, list):
        listed = [entry.get("label")]
    labels = [classes.label(label) for label in listed]
    known: list[Label] = [label for label in labels if label is not None]
    return known if len(known) == len(labels) > 0 else None


def _number(value: Any, where: str, problems: Problems) -> float:
    number = number_of(value)
    if number is None:
        problems.add("not a number", where)
        return math.nan
    return number


def _entries(
    value: Any, given: Given, problems: Problems
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Id and record of each video, whatever the layout."""
    alone = isinstance(value, Mapping) and id_of(value.get("id")) is not None
    if alone and GIVEN & value.keys():  # JSON Lines of one line
        value = [value]
    if isinstance(value, list) and value:
        yield from usable_records(value, given, problems)
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            yield name, _record(entry)
    else:
        raise AnnotationError(f"{given.name}: want records, or {{id: label}}")


def _record(entry: Any) -> Mapping[str, Any]:
    """The value of `{id: value}` as a record."""
    if isinstance(entry, list):
        return {"labels": entry}
    if not isinstance(entry, Mapping):
        return {"label": entry}
    if GIVEN & entry.keys():
        return entry
    return {"label": entry} if {"name", "index"} & entry.keys() else {"scores": entry}
