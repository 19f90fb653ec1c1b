"""Files of predictions and references as plain values, whatever they are packed in.

JSON, JSON Lines and gzip of either are told apart by what is in the file, not by its name. `NaN` is
let through: the readers count it.
"""

import builtins
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vcap.engine.evaluation.problems import Problems
from vcap.errors import AnnotationError, InputError

GZIP = b"\x1f\x8b"
MANY = 10  # wrong lines that are told one by one
RECORD_KEYS = {"captions", "path", "url", "qa", "label", "answer", "hits"}
OTHER_IDS = {"image_id", "question_id"}  # beside these a number `id` counts the entries
DIGITS = re.compile(r"\d{1000,}")  # more than a whole number may have


@dataclass(frozen=True)
class Given:
    """One file (or stdin, or a folder) that the user named.

    Attributes:
        name: what messages call it.
        path: where it lies; None for stdin.
        data: the bytes, where there is no path, or one that can be read but once.
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
        with _reading(self.name):
            data = self.path.read_bytes() if self.path is not None else self.data or b""
            return gzip.decompress(data) if data.startswith(GZIP) else data

    def head(self, count: int) -> builtins.bytes:
        """The first bytes of what is in it, unpacked if it was gzip.

        Raises:
            AnnotationError: as in `bytes`.
        """
        if self.path is None:
            return self.bytes()[:count]
        with _reading(self.name), self.path.open("rb") as file:
            packed = file.read(len(GZIP)) == GZIP
            file.seek(0)
            return gzip.GzipFile(fileobj=file).read(count) if packed else file.read(count)

    @property
    def packed(self) -> bool:
        """Whether it has to be unpacked before it can be read."""
        if self.path is None:
            return (self.data or b"").startswith(GZIP)
        with _reading(self.name), self.path.open("rb") as file:
            return file.read(len(GZIP)) == GZIP

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
        except (ValueError, RecursionError) as error:
            # An object that spans lines is one JSON text; a broken first line is told as such.
            raise AnnotationError(f"{self.name}:{_wrong(error, text)}") from error
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
            except (ValueError, RecursionError) as error:
                wrong.append(f"{self.name}:{_wrong(error, line, number)}")
        if wrong:
            more = [f"... and {len(wrong) - MANY} more"] if len(wrong) > MANY else []
            raise AnnotationError("\n".join(wrong[:MANY] + more))
        return values


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Tell what is wrong with a file by its name.

    Raises:
        AnnotationError: it cannot be read or is a damaged gzip file.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise AnnotationError(f"{name}: damaged gzip file: {error}") from error
    except OSError as error:
        raise AnnotationError(f"{name}: cannot be read: {error.strerror}") from error


def _wrong(error: Exception, text: str, line: int | None = None) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{line or error.lineno}: not JSON: {error.msg} at column {error.colno}"
    if isinstance(error, RecursionError):
        return f"{line or 1}: nested too deep"
    found = DIGITS.search(text)
    first = 1 if found is None else 1 + text.count("\n", 0, found.start())
    return f"{line or first}: a number of too many digits"


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


def open_given(source: Path | str | Given, stdin: BinaryIO | None = None) -> Given:
    """What the user named; `-` is stdin, which is read at once, and so is a pipe.

    Args:
        source: what is open already is given back, since a pipe can be read but once.
        stdin: what `-` stands for; only predictions can come from there.

    Raises:
        InputError: there is no such file or folder, or it is out of reach.
    """
    if isinstance(source, Given):
        return source
    if str(source) == "-":
        if stdin is None:
            raise InputError("- is stdin, from where only predictions can come; name a file")
        return Given("stdin", data=stdin.read())
    path = Path(source)
    try:
        if not path.exists():
            raise InputError(f"no such file: {path}")
        once = _is_pipe(path)
        return Given(str(path), data=path.read_bytes()) if once else Given(str(path), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def held(source: Path | str) -> Path | str | Given:
    """A source to be opened more than once: a pipe is read now, anything else stays as it is."""
    try:
        return open_given(source) if _is_pipe(Path(source)) else source
    except OSError:
        return source  # whoever opens it tells what is wrong


def _is_pipe(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


def id_of(value: Any) -> str | None:
    """An id as text, which may be a whole number in the file; None for what is no id."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)


def with_videos(
    items: Sequence[Mapping[str, Any]], videos: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The items of an outcome, with the video of those that are clips of one."""
    return [
        {**item, "video": videos[item["id"]]} if item["id"] in videos else dict(item)
        for item in items
    ]


def records_in(value: Any) -> list[Mapping[str, Any]] | None:
    """The records of a manifest or of predictions; None where the value is something else.

    A record is an object with an `id` and any of `captions`, `path`, `url`, `qa`, `label`,
    `answer` and `hits`.
    """
    values = [value] if isinstance(value, Mapping) else value
    if not isinstance(values, list) or not values:
        return None
    return values if any(map(_is_record, values)) else None


def _is_record(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value.keys() & RECORD_KEYS:
        return False
    name = value.get("id")
    return id_of(name) is not None and (isinstance(name, str) or not value.keys() & OTHER_IDS)


def usable_records(
    records: Sequence[Any], given: Given, problems: Problems
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Id and record of each that has an id not seen before; the others are counted."""
    seen: set[str] = set()
    for number, record in enumerate(records, start=1):
        name = id_of(record.get("id")) if isinstance(record, Mapping) else None
        if name is None:
            problems.add("unusable record", f"{given.short}: record {number}")
        elif name in seen:
            problems.add("duplicate", f"{given.short}: record {number}, id {name}")
        else:
            seen.add(name)
            yield name, record
