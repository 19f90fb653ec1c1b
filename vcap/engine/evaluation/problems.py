"""What is wrong with predictions and references: counted and shown, never dropped in silence."""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from vcap.errors import InputError

EXAMPLES = 5  # of each kind
BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")
LINE_BREAK = re.compile("[\r\u2028\u2029]")
WORD = re.compile(r"\w")
OUTSIDE_ASCII = "characters outside ASCII"


class Problems:
    """Counts by kind, each with the first few places.

    Attributes:
        counts: how many of each kind.
        examples: the first places of each kind.
        ascii_only: the protocol makes a blank of every other character, so these are counted
            instead of those that a tokenizer drops.
    """

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}
        self.ascii_only = False

    def add(self, kind: str, where: str, count: int = 1) -> None:
        """Count something that is wrong; `where` says which file, id, sentence."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(printable(where))

    def count(self, kind: str) -> int:
        """How many of a kind there are."""
        return self.counts.get(kind, 0)

    def as_dict(self) -> dict[str, Any]:
        """Kind -> `count` and `examples`, in the order in which they came up."""
        return {
            kind: {"count": count, "examples": list(self.examples[kind])}
            for kind, count in self.counts.items()
        }

    def lines(self) -> list[str]:
        """One line a kind, for eyes."""
        return [
            f"{kind}: {count} ({', '.join(self.examples[kind][:2])}{', ...' if count > 2 else ''})"
            for kind, count in self.counts.items()
        ]

    def compare(
        self,
        predicted: Collection[str],
        wanted: Collection[str],
        *,
        what: str = "video",
        name: str | None = None,
    ) -> None:
        """Count what is missing from the predictions, and what only they have.

        Args:
            what: that the ids are of.
            name: of the file of predictions, for the message.

        Raises:
            InputError: no id is in both.
        """
        known, needed = set(predicted), set(wanted)
        if not known & needed:
            told = _nothing_in_common(list(predicted), list(wanted), what)
            raise InputError(told if name is None else f"{name}: {told}")
        for each in wanted:
            if each not in known:
                self.add("missing", each)
        for each in predicted:
            if each not in needed:
                self.add("extra", each)

    def check_text(self, text: str, where: str) -> None:
        """Count what is unusual in one caption; it is scored as it is."""
        if not text.strip():
            self.add("empty", where)
        elif not WORD.search(text):
            self.add("punctuation only", where)
        if text.isascii() and "\r" not in text:
            return
        if self.ascii_only and not text.isascii():
            self.add(OUTSIDE_ASCII, where)
        elif BEYOND_BMP.search(text):
            self.add("characters outside the BMP", where)
        if LINE_BREAK.search(text):
            self.add("line break", where)

    def check_times(self, start: float, end: float, where: str, duration: float | None) -> bool:
        """Count what is unusual in one segment; False where a time is not a finite number."""
        if not (_is_number(start) and _is_number(end)):
            self.add("not a number", where)
            return False
        if start > end:
            self.add("reversed times", where)
        elif start == end:
            self.add("no length", where)
        if duration is not None and max(start, end) > duration:
            self.add("past the end", where)
        if min(start, end) < 0:
            self.add("before the start", where)
        return True


def _is_number(value: Any) -> bool:
    number = number_of(value)
    return number is not None and math.isfinite(number)


def number_of(value: Any) -> float | None:
    """A JSON number; None for NaN, for one too large for a float, and for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return None if math.isnan(number) else number


def printable(text: str) -> str:
    """The text with what a terminal would act upon written as an escape."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _nothing_in_common(predicted: list[str], wanted: list[str], what: str) -> str:
    if not predicted:
        return f"there are no predictions for any of {len(wanted)} references"
    text = f"predictions and references have no {what} id in common"
    sample = printable(f"predicted: {_few(predicted)}; wanted: {_few(wanted)}")
    bare = {name.removeprefix("v_") for name in wanted}
    prefixed = any(name.removeprefix("v_") in bare for name in predicted)
    return f"{text} ({sample})" + ("; they differ by the prefix v_" if prefixed else "")


def _few(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:3]) + (", ..." if len(shown) > 3 else "")


def text_of(value: Any, where: str, problems: Problems) -> str:
    """A caption as text; anything else counts as an empty caption and is told."""
    if not isinstance(value, str):
        problems.add("unusable record", where)
        return ""
    problems.check_text(value, where)
    return value


def duration_of(record: Mapping[str, Any]) -> float | None:
    """The duration that a record states, where it is a usable number."""
    value = record.get("duration")
    return float(value) if _is_number(value) and value is not None else None
