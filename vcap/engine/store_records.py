"""What a store knows of its videos besides features: their records, `records.jsonl` in its folder.

A search can then say where a hit lies, and choose by any field of a record.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vcap.engine.files import write_atomic
from vcap.engine.inputs import Source
from vcap.engine.outputs import Item
from vcap.errors import FeatureError

RECORDS_NAME = "records.jsonl"


def keep_records(folder: Path, items: Sequence[Item]) -> None:
    """Write down the records of items beside those that the store knows; new ones win.

    Raises:
        OutputError: the disk is full, or the place cannot be written.
    """
    known = stored_records(folder)
    found = known | {item.key: own for item in items if (own := _record_of(item))}
    if found != known:
        lines = (json.dumps({"id": key, **own}) + "\n" for key, own in found.items())
        write_atomic(folder / RECORDS_NAME, "".join(lines).encode())


def stored_records(folder: Path) -> dict[str, dict[str, Any]]:
    """The records that a store knows, by id and without it; `path` is absolute.

    Raises:
        FeatureError: the file is damaged.
    """
    path = folder / RECORDS_NAME
    if not path.exists():
        return {}
    try:
        records = [json.loads(line) for line in path.read_bytes().splitlines()]
        return {record.pop("id"): record for record in records}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FeatureError(
            f"{path}: damaged ({error})", hint=f"rm {path}  # encode the videos again, it is made"
        ) from error


def _record_of(item: Item) -> dict[str, Any] | None:
    """The record of a video, or of sentences; None for features that came without."""
    if isinstance(item.value, Source):
        record = item.value.record.dump() | {"path": str(item.value.path)}
        record.pop("id", None)
        return record
    if isinstance(item.value, list):
        return {"captions": [{"text": text} for text in item.value]}
    return None
