"""Files of predictions and references as plain values, whatever they are packed in.

JSON, JSON Lines and gzip of either are told apart by what is in the file, not by its name. `NaN` is
let through: the readers count it.
"""

import builtins
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vcap.engine.evaluation.problems import Problems
from vcap.errors import AnnotationError, InputError

GZIP = b"\x1f\x8b"
MANY = 10  # wrong lines that are told one by one


@dataclass(frozen=True)
class Given:
    """One file (or stdin, or a folder) that the user named.

    Attributes:
        name: what messages call it.
        path: where it lies; None for stdin.
        data: the bytes, where there is no path.
    """

    name: str
    path: Path | None = None
    data: builtins.bytes | None = None

    @property
    def short(self) -> str:
        """The name without its folders, for lists of what is wrong inside."""
        return self.path.name if self.path is not None else self.name

    def bytes(self) -> builtins.bytes:
        """What is in it, unpacked if it was gzip.

        Raises:
            AnnotationError: it cannot be read or is a damaged gzip file.
        """
        try:
            data = self.path.read_bytes() if self.path is not None else self.data or b""
            return gzip.decompress(data) if data.startswith(GZIP) else data
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise AnnotationError(f"{self.name}: damaged gzip file: {error}") from error
        except OSError as error:
            raise AnnotationError(f"{self.name}: cannot be read: {error.strerror}") from error

    def text(self) -> str:
        """What is in it as text.

        Raises:
            AnnotationError: as in `bytes`; or it is not UTF-8, or empty.
        """
        try:
            text = self.bytes().removeprefix(b"\xef\xbb\xbf").decode()
        except UnicodeDecodeError as error:
            where = f"{self.name}: not UTF-8: {error.reason} at byte {error.start + 1}"
            raise AnnotationError(where) from error
        if not text.strip():
            raise AnnotationError(f"{self.name}: the file is empty")
        return text

    def load(self, problems: Problems | None = None) -> Any:
        """The value of JSON, or the list of values of JSON Lines (of more than one line).

        Args:
            problems: keys that stand twice in an object are counted here; the last one holds.

        Raises:
            AnnotationError: as in `text`; or it is not JSON, with the line.
        """
        decoder = json.JSONDecoder(object_pairs_hook=_counting(self.short, problems))
        text = self.text()
        try:
            value, end = decoder.raw_decode(text, len(text) - len(text.lstrip()))
        except (json.JSONDecodeError, RecursionError) as error:
            # An object that spans lines is one JSON text; a broken first line is told as such.
            raise AnnotationError(f"{self.name}:{_wrong(error)}") from error
        if not text[end:].strip():
            return value
        return self._lines(text, decoder)

    def _lines(self, text: str, decoder: json.JSONDecoder) -> list[Any]:
        values, wrong = [], []
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                values.append(decoder.decode(line))
            except (json.JSONDecodeError, RecursionError) as error:
                wrong.append(f"{self.name}:{_wrong(error, number)}")
        if wrong:
            more = [f"... and {len(wrong) - MANY} more"] if len(wrong) > MANY else []
            raise AnnotationError("\n".join(wrong[:MANY] + more))
        return values


def _wrong(error: Exception, line: int | None = None) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{line or error.lineno}: not JSON: {error.msg} at column {error.colno}"
    return f"{line or 1}: nested too deep"


def _counting(name: str, problems: Problems | None) -> Any:
    """A hook for objects that counts keys which stand twice; None where nobody counts."""
    if problems is None:
        return None

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    problems.add("duplicate", f"{name}: key {key}")
                seen.add(key)
        return found

    return build


def open_given(source: Path | str, stdin: BinaryIO | None = None) -> Given:
    """What the user named; `-` is stdin, read at once.

    Raises:
        InputError: there is no such file or folder.
    """
    if str(source) == "-":
        if stdin is None:
            raise InputError("- stands for stdin, and there is none")
        return Given("stdin", data=stdin.read())
    path = Path(source)
    if not path.exists():
        raise InputError(f"no such file: {path}")
    return Given(str(path), path)


def records_in(value: Any) -> list[Mapping[str, Any]] | None:
    """The records of a manifest or of predictions; None where the value is something else.

    A record is an object with a text `id` and any of `captions`, `path`, `url`, `qa`, `label`,
    `answer` and `hits`.
    """
    values = [value] if isinstance(value, Mapping) else value
    if not isinstance(values, list) or not values:
        return None
    known = {"captions", "path", "url", "qa", "label", "answer", "hits"}
    found = [v for v in values if isinstance(v, Mapping) and isinstance(v.get("id"), str)]
    if not found or not any(known & record.keys() for record in found):
        return None
    return values


def usable_records(
    records: Sequence[Any], given: Given, problems: Problems
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Id and record of each that has an id not seen before; the others are counted."""
    seen: set[str] = set()
    for number, record in enumerate(records, start=1):
        if not isinstance(record, Mapping) or not isinstance(record.get("id"), str):
            problems.add("unusable record", f"{given.short}: record {number}")
        elif record["id"] in seen:
            problems.add("duplicate", f"{given.short}: record {number}, id {record['id']}")
        else:
            seen.add(record["id"])
            yield record["id"], record
