"""Scores as people read them: a plain table, and the facts that the HTML page shows too."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LOWER_IS_BETTER = ("rank", "MdR", "MnR", "RE@")
SCALE_NOTE = "Fractions are shown times 100; --json has every value as it is."
NUM_EXAMPLES = 3


@dataclass(frozen=True)
class Sheet:
    """All that is told of one evaluation, as plain values.

    Attributes:
        task: caption, dense, retrieval, ...
        scores: headline figures by name, in the order in which they are shown.
        intervals: name -> low and high, where they were asked for.
        level: share of the draws that an interval covers.
        comparison: name -> `difference`, `low`, `high`, `p`, where another file was compared.
        other: name of that file.
        thresholds: what is judged at several thresholds: name -> threshold -> value.
        stamp: how it was computed; problems: what was wrong with the input.
        unavailable: metric -> why it was not computed.
        warnings: one sentence each.
        items: one mapping a video or the like: `id`, `scores`, maybe `prediction`, `references`
            and `length`.
    """

    task: str
    scores: Mapping[str, float]
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    level: float = 0.95
    comparison: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    other: str = ""
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    stamp: Mapping[str, Any] = field(default_factory=dict)
    problems: Mapping[str, Any] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    items: Sequence[Mapping[str, Any]] = ()


class Row(NamedTuple):
    """One score in words; what was not asked for is empty."""

    name: str
    score: str
    interval: str
    difference: str
    p: str


def rows(sheet: Sheet) -> list[Row]:
    """A row a score, rounded for eyes."""
    return [_row(sheet, name, value) for name, value in sheet.scores.items()]


def _row(sheet: Sheet, name: str, value: float) -> Row:
    interval, compared = sheet.intervals.get(name), sheet.comparison.get(name)
    scale = scale_of(sheet.task, name)
    return Row(
        name,
        shown(value, scale),
        range_of(*interval, scale=scale) if interval else "",
        _difference(compared, scale) if compared else "",
        _chance(compared["p"]) if compared else "",
    )


def heads(sheet: Sheet) -> Row:
    """What stands above the columns; empty above those that are not shown."""
    return Row(
        "metric",
        "score",
        f"{100 * sheet.level:g} % interval" if sheet.intervals else "",
        f"against {sheet.other}" if sheet.comparison else "",
        "p" if sheet.comparison else "",
    )


def columns(sheet: Sheet) -> list[list[str]]:
    """The head and a row a score, without the columns that were not asked for."""
    top = heads(sheet)
    kept = [column for column, head in enumerate(top) if head]
    return [[row[column] for column in kept] for row in (top, *rows(sheet))]


def scale_of(task: str, name: str) -> float:
    """What a score is multiplied by for eyes: 100, or 1 for percent and ranks."""
    as_is = task == "retrieval" or name.startswith("WUPS") or name.endswith("rank")
    return 1.0 if as_is else 100.0


def is_better_low(name: str) -> bool:
    """Whether a lower value of this score is a better one."""
    return name.removeprefix("video-to-text ").startswith(LOWER_IS_BETTER)


def shown(value: Any, scale: float = 1.0, sign: bool = False) -> str:
    """A number with two decimals; what is no number is said to be none."""
    if value is None or not math.isfinite(value):
        return "none"
    rounded = round(value * scale, 2) + 0.0  # so that a tiny negative number is not "-0.00"
    return f"{rounded:+.2f}" if sign else f"{rounded:.2f}"


def range_of(low: float, high: float, *, scale: float, sign: bool = False) -> str:
    """`12.10 to 14.20`."""
    return f"{shown(low, scale, sign)} to {shown(high, scale, sign)}"


def _difference(compared: Mapping[str, float], scale: float) -> str:
    low_to_high = range_of(compared["low"], compared["high"], scale=scale, sign=True)
    return f"{shown(compared['difference'], scale, sign=True)} ({low_to_high})"


def _chance(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "none"


def score_table(sheet: Sheet, *, told: bool = False) -> str:
    """The scores in aligned columns, then everything a reader must know to trust them.

    Args:
        sheet: what to show.
        told: whether warnings and problems were told elsewhere; they are left out then.
    """
    parts = ["\n".join(_aligned(columns(sheet)))]
    parts += _thresholds(sheet)
    parts.append("\n".join(notes(sheet, told)))
    return "\n\n".join(part for part in parts if part)


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def threshold_table(sheet: Sheet) -> list[list[str]]:
    """The scores at each threshold: a head, then a row a score; empty where there is none."""
    found = list(dict.fromkeys(key for row in sheet.thresholds.values() for key in row))
    body = [
        [name, *(shown(row.get(key), scale_of(sheet.task, name)) for key in found)]
        for name, row in sheet.thresholds.items()
    ]
    return [["metric", *found], *body] if found else []


def _thresholds(sheet: Sheet) -> list[str]:
    table = threshold_table(sheet)
    return ["\n".join(_aligned(table))] if table else []


def notes(sheet: Sheet, told: bool = False) -> list[str]:
    """What was not computed, what was wrong with the input, how it was computed; a line each."""
    seen = [
        *(f"warning: {text}" for text in sheet.warnings),
        *(f"{kind}: {text}" for kind, text in problem_rows(sheet.problems)),
    ]
    return [
        *(f"{name}: not available: {why}" for name, why in sheet.unavailable.items()),
        *([] if told else seen),
        *(f"{name}: {text}" for name, text in stamp_rows(sheet.stamp)),
        *filter(None, [scale_note(sheet)]),
    ]


def scale_note(sheet: Sheet) -> str:
    """What to know of the numbers; empty where they are shown as they are."""
    return SCALE_NOTE if any(scale_of(sheet.task, name) != 1 for name in sheet.scores) else ""


def problem_rows(problems: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each kind of problem with its number and its first examples."""
    found = []
    for kind, problem in problems.items():
        examples = [str(example) for example in problem["examples"][:NUM_EXAMPLES]]
        more = ", ..." if problem["count"] > len(examples) else ""
        where = f" ({', '.join(examples)}{more})" if examples else ""
        found.append((kind, f"{problem['count']}{where}"))
    return found


def stamp_rows(stamp: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """The facts of a stamp by name, nested ones with the name of what they are in."""
    found: list[tuple[str, str]] = []
    for name, value in stamp.items():
        label = above + (name.replace("_", " ") if name.islower() else name)
        if isinstance(value, Mapping):
            found += stamp_rows(value, f"{label}, ")
        else:
            found.append((label, _words(value)))
    return found


def _words(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
