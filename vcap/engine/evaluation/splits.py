"""The records of one split of a file that holds several."""

from collections.abc import Mapping
from typing import Any

from vcap.data.records import SPLITS
from vcap.engine.evaluation.inputs import records_in
from vcap.errors import UsageError


def of_split(value: Any, split: str | None, name: str) -> Any:
    """The records of a split; the whole value where none is wanted.

    Args:
        value: what a file holds.
        name: of the file.

    Raises:
        UsageError: no record is of that split.
    """
    if split is None:
        return value
    wanted = SPLITS.get(split, split)
    kept = [record for record in records_in(value) or () if _split(record) == wanted]
    if not kept:
        raise UsageError(f"{name} has no records of split {split}")
    return kept


def _split(record: Any) -> str | None:
    value = record.get("split") if isinstance(record, Mapping) else None
    return SPLITS.get(value, value) if isinstance(value, str) else None
