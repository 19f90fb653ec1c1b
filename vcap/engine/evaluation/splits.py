"""One split of a file that holds several."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from vcap.data.records import SPLITS
from vcap.engine.evaluation.inputs import records_in
from vcap.engine.evaluation.problems import printable
from vcap.errors import UsageError

Item = TypeVar("Item")


def split_of(known: Any) -> str | None:
    """The split that a record says it is of, by the name that it goes by here."""
    value = known.get("split", known.get("subset")) if isinstance(known, Mapping) else None
    return SPLITS.get(value, value) if isinstance(value, str) else None


def in_split(
    items: Sequence[Item], splits: Sequence[str | None], split: str | None, name: str
) -> tuple[list[Item], list[str]]:
    """The items of a split (all of them where none is wanted), and a warning where one is due.

    Args:
        splits: of each item.
        name: of the file.

    Raises:
        UsageError: a split is wanted that the file does not know.
    """
    known = sorted({each for each in splits if each is not None})
    told = printable(", ".join(known))
    if split is None:
        many = len(known) > 1
        return list(items), [f"{name} holds the splits {told}; all are scored"] if many else []
    wanted = SPLITS.get(split, split)
    if wanted not in known:
        raise UsageError(f"{name} has no split {split}; it has {told or 'none'}")
    return [item for item, own in zip(items, splits, strict=True) if own == wanted], []


def of_split(value: Any, split: str | None, name: str) -> tuple[Any, list[str]]:
    """The records of a split (the whole value where none is wanted), and warnings.

    Raises:
        UsageError: no record is of that split.
    """
    records = records_in(value) or []
    kept, warnings = in_split(records, [split_of(record) for record in records], split, name)
    return value if split is None else kept, warnings
