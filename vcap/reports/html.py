"""One evaluation as one HTML file: opens from disk, asks nobody for anything, runs no script."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from markupsafe import Markup

from vcap.reports import table
from vcap.reports.charts import histogram, scatter
from vcap.reports.table import Sheet
from vcap.reports.template import open_template

NUM_ITEMS = 10
NUM_TEXTS = 12
LENGTH_UNIT = "length of the prediction"
LEADING = ("CIDEr", "SODA_c", "METEOR", "F1", "ROUGE-L", "BLEU-4", "accuracy", "rank")


def page(sheet: Sheet) -> str:
    """The whole page.

    It shows the scores with what was asked for besides, how each is spread over the items, the
    items with the lowest and the highest score, the score by length, and how all was computed.
    """
    leading = leading_score(sheet)
    scale = table.scale_of(sheet.task, leading)
    low, high = worst_and_best(sheet, leading) if leading else ([], [])
    number = partial(table.shown, scale=scale)
    text: str = open_template("page.html", {"texts": texts, "number": number}).render(
        sheet=sheet,
        scores=table.columns(sheet),
        thresholds=table.threshold_table(sheet),
        stamp=table.stamp_rows(sheet.stamp),
        problems=table.problem_rows(sheet.problems),
        charts=[histogram(_shown(sheet, name, v), name) for name, v in _columns(sheet).items()],
        by_length=_by_length(sheet, leading) if leading else "",
        leading=leading,
        extremes=[("The worst items", low), ("The best items", high)],
        scale_note=table.scale_note(sheet),
    )
    return text


def _shown(sheet: Sheet, name: str, values: Sequence[float]) -> list[float]:
    """Values of a score in the scale of the table."""
    scale = table.scale_of(sheet.task, name)
    return [scale * value for value in values]


def leading_score(sheet: Sheet) -> str:
    """The score that items are sorted by: the best known one that they have; empty without any."""
    names = list(_columns(sheet))
    return next((name for name in LEADING if name in names), names[0] if names else "")


def worst_and_best(
    sheet: Sheet, name: str
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Ten items from each end, the most telling first; no item is on both sides."""
    found = [item for item in sheet.items if _value(item, name) is not None]
    sign = -1 if table.is_better_low(name) else 1
    found.sort(key=lambda item: (sign * float(_value(item, name) or 0.0), str(item["id"])))
    num_worst = min(NUM_ITEMS, (len(found) + 1) // 2)
    num_best = min(NUM_ITEMS, len(found) - num_worst)
    return found[:num_worst], found[len(found) - num_best :][::-1]


def _value(item: Mapping[str, Any], name: str) -> float | None:
    """The item's score, where it has one that is a number."""
    value = item["scores"].get(name)
    usable = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if usable else None


def _columns(sheet: Sheet) -> dict[str, list[float]]:
    """Each score that items have, with the values that are numbers."""
    names = dict.fromkeys(name for item in sheet.items for name in item["scores"])
    columns = {name: [_value(item, name) for item in sheet.items] for name in names}
    numbers = {name: [v for v in values if v is not None] for name, values in columns.items()}
    return {name: values for name, values in numbers.items() if values}


def _by_length(sheet: Sheet, name: str) -> Markup | str:
    points = [(item.get("length"), _value(item, name)) for item in sheet.items]
    known = [(float(length), value) for length, value in points if length is not None]
    usable = [(length, value) for length, value in known if value is not None]
    if not usable:
        return ""
    lengths, values = zip(*usable, strict=True)
    return scatter(lengths, _shown(sheet, name, values), name, LENGTH_UNIT)


def texts(value: Any) -> list[str]:
    """A prediction or references as lines of text, the first dozen of them."""
    if value is None:
        return []
    if isinstance(value, str):
        value = value.splitlines()
    if not isinstance(value, Sequence):
        return [_line(value)]
    lines = [_line(each) for each in value[:NUM_TEXTS]]
    return [*lines, f"... and {len(value) - NUM_TEXTS} more"] if len(value) > NUM_TEXTS else lines


def _line(value: Any) -> str:
    """A caption with its times where it has any, anything unknown as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        times = (value.get("start"), value.get("end"))
        timed = all(isinstance(time, int | float) for time in times)
        return f"{times[0]:.2f} to {times[1]:.2f} s: {value['text']}" if timed else value["text"]
    return json.dumps(value, ensure_ascii=False, default=str)
