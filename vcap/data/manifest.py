"""Manifests: records as JSON Lines, read all or not at all."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from vcap.data.records import Record
from vcap.errors import AnnotationError


def read_manifest(path: Path, *, need_source: bool = True) -> list[Record]:
    """The records of a JSON Lines file, in its order.

    Args:
        need_source: whether each record must have a path or an url; predictions and references
            that are only compared need none.

    Raises:
        AnnotationError: the file cannot be read or is empty, a line is no record, or two records
            have one id; all wrong lines are told at once, with line number and field.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}") from error
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return parse_lines(lines, str(path), need_source=need_source)


def parse_lines(
    lines: Iterable[str | bytes], name: str, *, need_source: bool = True
) -> list[Record]:
    """The records of lines that came from somewhere else, such as stdin; blank lines are passed.

    Args:
        name: what the messages call the source.
        need_source: as in `read_manifest`.

    Raises:
        AnnotationError: as in `read_manifest`.
    """
    records: list[Record] = []
    wrong: list[str] = []
    first_lines: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = _parse(line, need_source)
            earlier = first_lines.setdefault(record.id, number)
            if earlier != number:
                raise ValueError(f"id: {record.id!r} is also the id of line {earlier}")
        except (ValueError, RecursionError) as error:  # what json and pydantic raise
            wrong.extend(f"{name}:{number}: {message}" for message in complaints(error))
            continue
        records.append(record)
    if wrong:
        raise AnnotationError("\n".join(wrong))
    if not records:
        raise AnnotationError(f"{name}: no records in it")
    return records


def _parse(line: str | bytes, need_source: bool) -> Record:
    text = line.decode() if isinstance(line, bytes) else line
    record = Record.model_validate(json.loads(text, parse_constant=_refuse))
    if need_source and record.path is None and record.url is None:
        raise ValueError("path: want a path or an url, got neither")
    return record


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number that JSON knows")


def complaints(error: Exception) -> list[str]:
    """What a wrong entry is refused for: one message a field, each beginning with its name."""
    if isinstance(error, ValidationError):
        fields: dict[str, list[str]] = {}
        for part in error.errors(include_url=False, include_input=False):
            place = [str(step) for step in part["loc"]]
            if place and place[-1] in {"str", "int"}:  # one of the kinds that the field may have
                place.pop()
            fields.setdefault(".".join(place) or "record", []).append(part["msg"])
        return [f"{field}: {' or '.join(messages)}" for field, messages in fields.items()]
    if isinstance(error, json.JSONDecodeError):
        return [f"not JSON: {error.msg} at column {error.colno}"]
    if isinstance(error, UnicodeDecodeError):
        return [f"not UTF-8: {error.reason} at byte {error.start + 1}"]
    if isinstance(error, RecursionError):
        return ["not a record: nested too deep"]
    return [str(error)]


def manifest_bytes(records: Iterable[Record]) -> bytes:
    """The file that holds these records: UTF-8, one object a line, the same bytes every time."""
    return b"".join(_line(record.dump()) for record in records)


def _line(fields: dict[str, Any]) -> bytes:
    try:
        return json.dumps(fields, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8, only an escape
        return json.dumps(fields, allow_nan=False).encode() + b"\n"


def resolve_path(record: Record, folder: Path) -> Path:
    """Where a record's file lies: as it stands if absolute, else below the manifest's folder.

    Raises:
        AnnotationError: the record has no path.
    """
    if record.path is None:
        raise AnnotationError(f"record {record.id} has no path, only a url")
    return folder / record.path
