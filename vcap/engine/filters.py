"""Conditions on the fields of records, as `--where field=value` gives them.

A field may be a part of another (`label.name`, `meta.camera`). Three are more than fields: `folder`
is where the file lies, that folder or one above; `date` is the record's own, or that of its `meta`,
or else the day on which the file was changed; `label` is the name or the number of the class.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from vcap.errors import UsageError

CONDITION = re.compile(r"(?P<field>[\w.-]+?)\s*(?P<sign>!=|>=|<=|=|>|<)\s*(?P<value>.*)", re.DOTALL)
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda have, want: have >= want,
    "<=": lambda have, want: have <= want,
    ">": lambda have, want: have > want,
    "<": lambda have, want: have < want,
}
EXAMPLE = "--where split=test"

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """One condition; a record without the field does not meet it, whatever the sign.

    Attributes:
        field: its name, parts after full stops.
        sign: `=`, `!=` (values are globs) or `<`, `<=`, `>`, `>=` (numbers, else words in order).
    """

    field: str
    sign: str
    value: str

    def __str__(self) -> str:
        """As it is given."""
        return f"{self.field}{self.sign}{self.value}"

    def __call__(self, record: Record) -> bool:
        """Whether a record meets it."""
        values = [value for value in field_values(record, self.field) if value is not None]
        if self.sign == "!=":
            return bool(values) and not any(fnmatchcase(_word(v), self.value) for v in values)
        if self.sign == "=":
            return any(fnmatchcase(_word(value), self.value) for value in values)
        return any(_in_order(self.sign, value, self.value) for value in values)


def parse_condition(text: str) -> Condition:
    """Read `field=value`, with one of the signs `= != < <= > >=`.

    Raises:
        UsageError: the text is none.
    """
    match = CONDITION.fullmatch(text.strip())
    if match is None or not match["value"]:
        raise UsageError(f"--where {text}: want field=value", hint=EXAMPLE)
    value = match["value"].rstrip("/") if match["field"] == "folder" else match["value"]
    return Condition(match["field"], match["sign"], value or "/")


def field_values(record: Record, field: str) -> list[Any]:
    """The values by which a record is told; none where it lacks the field."""
    if field == "folder":
        return _folders(record)
    if field == "date":
        return [_date(record)]
    if field == "label" and isinstance(record.get("label"), Mapping):
        return [record["label"].get("name"), record["label"].get("index")]
    value: Any = record
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def unknown_fields(
    conditions: Sequence[Condition], records: Iterable[Record]
) -> list[tuple[Condition, list[str]]]:
    """The conditions on fields that no record has, each with all fields that some have."""
    unknown = list(conditions)
    known: dict[str, None] = {}
    for record in records:
        unknown = [each for each in unknown if not _has(record, each.field)]
        if not unknown:
            break
        known |= dict.fromkeys(_fields(record))
    return [(each, [name for name in known if name != each.field]) for each in unknown]


def _has(record: Record, field: str) -> bool:
    return any(value is not None for value in field_values(record, field))


def _fields(record: Record, above: str = "") -> Iterator[str]:
    """The names of the fields of a record, and of what is in them."""
    if not above and record.get("path"):
        yield from ("folder", "date")
    for name, value in record.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _fields(value, f"{above}{name}.")


def _folders(record: Record) -> list[str]:
    """The folder of the file and those above it: whole paths, paths below others, and names."""
    if not record.get("path"):
        return []
    above = Path(record["path"]).parents
    whole = [str(folder) for folder in above]
    parts = above[0].parts if len(above) else ()
    tails = ["/".join(parts[start:end]) for end in range(len(parts) + 1) for start in range(end)]
    return list(dict.fromkeys([*whole, *tails]))


def _date(record: Record) -> str | None:
    """A day as `2026-11-20`, with the time where the record says so."""
    meta = record.get("meta")
    for place in (record, meta if isinstance(meta, Mapping) else {}):
        if place.get("date") is not None:
            return str(place["date"])
    try:
        changed = Path(record["path"]).stat().st_mtime
    except (KeyError, TypeError, OSError):
        return None
    return datetime.fromtimestamp(changed).date().isoformat()


def _word(value: Any) -> str:
    """A value as a user writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _in_order(sign: str, have: Any, want: str) -> bool:
    """Compare numbers as numbers and everything else as words, which is right for days."""
    try:
        return ORDER[sign](float(have), float(want))
    except (TypeError, ValueError):
        return ORDER[sign](_word(have), want)
