"""How sure the scores of a report are, and whether another report's differ by more than chance."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcap.engine.evaluation.inputs import Given, held, open_given
from vcap.engine.evaluation.report import Report
from vcap.engine.reporter import Reporter, Silent
from vcap.errors import InputError, UsageError
from vcap.metrics.bootstrap import LEVEL, RESAMPLES, intervals, paired
from vcap.metrics.outcome import Outcome
from vcap.reports.table import Sheet

if TYPE_CHECKING:
    from vcap.engine.evaluate import EvaluateSettings

OF_SENTENCES = ("caption", "dense", "paragraph")  # tasks that ask the tokenizer or METEOR


@dataclass(frozen=True)
class Verdict:
    """A report with what was asked for besides.

    Attributes:
        report: the scores.
        intervals: score -> low and high.
        other: the report that it was compared with.
        comparison: score -> `difference`, `low`, `high`, `p`.
        resampling: how often, with which seed, at which level.
    """

    report: Report
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    other: Report | None = None
    comparison: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    resampling: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as docs/schemas/scores.json describes them; no number is null."""
        told = self.report.as_dict()
        told["stamp"] = self.stamp()
        if self.intervals:
            told["intervals"] = dict(self.intervals)
        if self.other is not None:
            theirs = self.other.as_dict()
            told["comparison"] = {
                "predictions": self.other.stamp.get("predictions"),
                "differences": dict(self.comparison),
                **{name: theirs[name] for name in ("scores", "unavailable", "problems")},
            }
        return dict(without_nan(told))

    def stamp(self) -> dict[str, Any]:
        """The report's stamp, and how it was resampled."""
        drawn = {"resampling": dict(self.resampling)} if self.resampling else {}
        return {**self.report.stamp, **drawn}

    def sheet(self) -> Sheet:
        """The facts that the table and the page show."""
        outcome = self.report.outcome
        return Sheet(
            task=self.report.task,
            scores=outcome.scores,
            intervals=self.intervals,
            level=self.resampling.get("level", LEVEL),
            comparison=self.comparison,
            other=Path(str(self.other.stamp["predictions"])).name if self.other else "",
            thresholds=thresholds_of(outcome.details, outcome.protocol),
            stamp=self.stamp(),
            problems=self.report.problems.as_dict(),
            unavailable=outcome.unavailable,
            warnings=outcome.warnings,
            items=list(self.report.items()),
        )


def evaluate_and_judge(
    task: str,
    predictions: str,
    references: Sequence[Path],
    settings: "EvaluateSettings",
    *,
    other: str | None = None,
    reporter: Reporter,
    **draw: Any,
) -> Verdict:
    """Score predictions, and others to compare them with; what is wrong with those is told as such.

    Args:
        task: what was predicted.
        predictions: a file, or `-` for stdin.
        references: one or more files.
        settings: for both alike.
        other: a file to compare with, or `-`.
        reporter: hears warnings of both.
        draw: `ci`, `resamples` and `seed` of `judge`.

    Raises:
        UsageError: both are stdin.
        InputError: the two were not scored on the same units.
    """
    from vcap.engine.evaluate import evaluate, text_tools

    if predictions == other == "-":
        raise UsageError("predictions and --compare cannot both be stdin")
    if other is None:
        return judge(evaluate(task, predictions, references, settings, reporter=reporter), **draw)
    truth, against = [held(path) for path in references], held(other)
    with text_tools(settings, reporter) as tools:
        if task in OF_SENTENCES and other != "-":
            tools.announce(_sentences_of(task, against))
        report = evaluate(task, predictions, truth, settings, reporter=reporter, tools=tools)
        second = evaluate(task, against, truth, settings, reporter=Silent(), tools=tools)
    for line in _only_of(second, report):
        reporter.warn(f"{other}: {line}")
    differing = _means_over_others(report.outcome, second.outcome)
    if differing:
        reporter.warn(f"{', '.join(differing)}: not a mean over the same videos in both files")
    return judge(report, second, **draw)


def _sentences_of(task: str, other: Path | str | Given) -> list[str]:
    """Every text of a file of JSON as the task cleans it; none where it cannot be read."""
    try:
        texts = [*_texts_in(open_given(other).load())]
    except InputError:
        return []  # which the evaluation tells
    from vcap.metrics.ptb import clean_ascii, clean_paragraph

    if task == "paragraph":
        return [clean_paragraph(" ".join(texts))]
    return [*texts, *map(clean_ascii, texts)] if task == "dense" else texts


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(part)


def _only_of(other: Report, report: Report) -> list[str]:
    """What is to be told of the other report that was not told of the first."""
    absent, known = other.outcome.unavailable, report.outcome.unavailable
    return [
        *(f"{name} is not available: {why}" for name, why in absent.items() if name not in known),
        *(text for text in other.outcome.warnings if text not in report.outcome.warnings),
        *other.problems.lines(),
    ]


def _means_over_others(first: Outcome, second: Outcome) -> list[str]:
    """Scores of both whose protocol leaves out videos, and not the same in each."""
    if first.units != second.units:
        return []  # which is refused as a whole
    counted, theirs = _counted(first), _counted(second)
    return [
        name
        for name in first.scores
        if name in second.scores and counted.get(name) != theirs.get(name)
    ]


def _counted(outcome: Outcome) -> dict[str, set[str]]:
    """Score -> the units that have a value."""
    found: dict[str, set[str]] = {}
    for unit, item in zip(outcome.units, outcome.items, strict=True):
        for name in item["scores"]:
            found.setdefault(name, set()).add(unit)
    return found


def judge(
    report: Report,
    other: Report | None = None,
    *,
    ci: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Verdict:
    """Resample a report by its videos.

    Args:
        report: the scores in question.
        other: the scores to compare them with, of the same task and references.
        ci: whether each score is to have an interval.
        resamples: how often the videos are drawn.
        seed: of the draws.

    Raises:
        InputError: the two were not scored on the same units.
    """
    if other is not None:
        refuse_other_units(report, other)
    if not (ci or other) or not report.outcome.units:
        return Verdict(report, other=other)
    groups = report.group_numbers()
    draw: dict[str, Any] = {"resamples": resamples, "seed": seed, "level": LEVEL}
    return Verdict(
        report,
        intervals(report.outcome, groups, **draw) if ci else {},
        other,
        paired(report.outcome, other.outcome, groups, **draw) if other else {},
        draw | {"drawn": "videos"},
    )


def refuse_other_units(report: Report, other: Report) -> None:
    """Make sure that two reports judge the same units.

    Raises:
        InputError: they do not; the message says how many are in one only.
    """
    first, second = report.outcome.units, other.outcome.units
    if first == second:
        return
    names = [str(each.stamp.get("predictions", "one")) for each in (report, other)]
    counts = [len({*first} - {*second}), len({*second} - {*first})]
    only = " and ".join(
        f"{count} in {name} only" for name, count in zip(names, counts, strict=True)
    )
    raise InputError(
        f"the two files were not scored on the same things ({only}), so they cannot be compared",
        hint="--missing zero",
    )


def thresholds_of(details: Mapping[str, Any], protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Score -> threshold -> value, where a task judges at several thresholds."""
    heads = [f"tIoU {value:g}" for value in protocol.get("tious", ())]
    return {
        name: dict(zip(heads, values, strict=True))
        for name, values in details.get("per_tiou", {}).items()
    }


def without_nan(value: Any) -> Any:
    """The same, with None for every number that JSON has no way to write, plain types only."""
    if isinstance(value, Mapping):
        return {str(name): without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value.item() if hasattr(value, "item") else value
