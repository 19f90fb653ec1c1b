"""Whatever lists videos with their captions, as records: manifests and data sets' own files."""

import json
from pathlib import Path
from typing import Any

from vcap.data.adaclip import adaclip_records, is_adaclip
from vcap.data.manifest import read_manifest
from vcap.data.msrvtt import is_msrvtt, msrvtt_records
from vcap.data.records import Record
from vcap.errors import AnnotationError

DOCUMENT = ".json"  # one JSON value, where a manifest has one a line


def read_records(path: Path, *, need_source: bool = True) -> list[Record]:
    """The records of a manifest, or of the JSON file that a data set is published with.

    Args:
        path: a manifest under any name, or `*.json` in the layout of MSR-VTT or of AdaCLIP.
        need_source: as in `read_manifest`.

    Raises:
        AnnotationError: as in `read_manifest`; or the file is JSON of a layout that is not known.
    """
    if path.suffix.lower() == DOCUMENT:
        value = _document(path)
        if is_msrvtt(value):
            return msrvtt_records(value, str(path), path.parent)
        if is_adaclip(value):
            return adaclip_records(value, str(path), path.parent)
        if value is not None and not (isinstance(value, dict) and "id" in value):
            raise AnnotationError(
                f"{path}: want records, one a line, MSR-VTT's videos and sentences, or AdaCLIP's "
                f"sentences by video"
            )
    return read_manifest(path, need_source=need_source)


def _document(path: Path) -> Any:
    """The one value of a JSON file; None where `read_manifest` knows better what it is."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if _is_json(text.lstrip().partition("\n")[0]) or not text.strip():
            return None
        place = f"{path}:{error.lineno}"
        raise AnnotationError(f"{place}: not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise AnnotationError(f"{path}: not a list of videos: nested too deep") from error
    except ValueError as error:  # a number of more digits than Python reads
        raise AnnotationError(f"{path}: {error}") from error


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
