"""The journal of an output folder: one line an attempt at an item, appended and never changed.

The last line of a key counts. A run that was killed may leave a torn last line, which is cut off;
the item it was about is then done again, to the same bytes.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from vcap.engine.files import ensure_folder, output_errors, sync
from vcap.engine.fingerprint import canonical
from vcap.engine.lock import PRIVATE

Status = Literal["done", "failed", "bug"]


@dataclass(frozen=True)
class Entry:
    """What became of one item.

    Attributes:
        identity: what "the same input" means for it.
        fingerprint: digest of the settings it was done with.
        reason, error: one line and the kind of error, where it failed.
        permanent: whether a new attempt at the same input would fail again.
        time: seconds since 1970.
        files: what it made, names below the folder, which must still be there.
    """

    key: str
    status: Status
    identity: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    reason: str = ""
    error: str = ""
    permanent: bool = True
    time: float = 0.0
    attempt: int = 1
    files: tuple[str, ...] = ()

    def is_about(self, identity: Mapping[str, Any], fingerprint: str) -> bool:
        """Whether it was this input with these settings."""
        same_input = canonical(dict(self.identity)) == canonical(dict(identity))
        return same_input and self.fingerprint == fingerprint


class Journal:
    """Reads the journal of a folder once, then appends to it."""

    def __init__(self, path: Path, handle: int | None) -> None:
        self.path = path
        self.damaged = 0  # lines that could not be read; their items are done again
        self._handle = handle
        self._entries: dict[str, Entry] = {}

    @classmethod
    def open(cls, folder: Path) -> "Journal":
        """Open the journal of a folder for appending, and make it where there is none.

        Raises:
            OutputError: it cannot be read or written.
        """
        path = ensure_folder(folder / PRIVATE) / "journal.jsonl"
        with output_errors(path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            journal = cls(path, handle)
            whole = journal._read(path.read_bytes())
            if os.fstat(handle).st_size > whole:
                os.ftruncate(handle, whole)
            sync(path.parent)
        return journal

    @classmethod
    def read(cls, folder: Path) -> "Journal":
        """The journal as it is now, without touching the folder; empty where there is none."""
        path = folder / PRIVATE / "journal.jsonl"
        journal = cls(path, None)
        if path.is_file():
            journal._read(path.read_bytes())
        return journal

    def _read(self, data: bytes) -> int:
        """Take in all whole lines; gives how many bytes they are."""
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].splitlines():
            entry = _parsed(line)
            if entry:
                self._entries[entry.key] = entry
            else:
                self.damaged += 1
        return whole

    def entry(self, key: str) -> Entry | None:
        """The last entry of a key."""
        return self._entries.get(key)

    def entries(self) -> list[Entry]:
        """The last entry of every key, in the order in which the keys first came."""
        return list(self._entries.values())

    def done(self, key: str, identity: Mapping[str, Any], fingerprint: str) -> bool:
        """Whether the item was done from the same input with the same settings."""
        entry = self._entries.get(key)
        return bool(entry and entry.status == "done" and entry.is_about(identity, fingerprint))

    def failed(self) -> list[Entry]:
        """The entries of items whose last attempt failed."""
        return [entry for entry in self._entries.values() if entry.status != "done"]

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries in one write and make them durable; on failure none is added.

        Raises:
            OutputError: the disk is full, or the journal cannot be written.
        """
        if self._handle is None:
            raise ValueError("this journal was opened for reading")
        lines = "".join(json.dumps(dataclasses.asdict(entry)) + "\n" for entry in entries)
        before = os.fstat(self._handle).st_size
        with output_errors(self.path):
            try:
                _write_all(self._handle, lines.encode())
                os.fsync(self._handle)
            except OSError:
                os.ftruncate(self._handle, before)
                raise
        self._entries.update((entry.key, entry) for entry in entries)

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def log_trace(folder: Path, key: str, trace: str) -> Path:
    """Keep a traceback beside the journal of a folder; gives where it is.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / PRIVATE / "log"
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    with output_errors(path), path.open("a", encoding="utf-8", errors="replace") as log:
        log.write(f"{now} {key}\n{trace}\n")
    return path


def _write_all(handle: int, data: bytes) -> None:
    while data:  # a disk that fills up takes a part first and says so at the next write
        data = data[os.write(handle, data) :]


def _parsed(line: bytes) -> Entry | None:
    try:
        values = json.loads(line)
        known = {f.name: values[f.name] for f in dataclasses.fields(Entry) if f.name in values}
        return Entry(**known | {"files": tuple(known.get("files", ()))})
    except (ValueError, TypeError):
        return None
