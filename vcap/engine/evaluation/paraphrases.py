"""The part of METEOR's paraphrase table that a run can use, found through an index kept on disk.

METEOR matches a phrase only where its words stand side by side in a sentence. Its normalisation
moves and replaces punctuation but leaves runs of ASCII letters and digits as they are, so a phrase
whose runs do not stand side by side in any sentence can never match. Everything else is kept, in
the order of the table, which makes every alignment the same as with the whole table.

The table has three lines an entry: a probability, which METEOR does not use, and two phrases. The
index has the entries by their first phrase: its hash, and where the text of its group begins.
"""

import gzip
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Event

import numpy as np
import numpy.typing as npt

from vcap.engine.evaluation.java import INSTALL_PROGRAMS
from vcap.engine.evaluation.phrases import (
    NEWLINE,
    Bytes,
    Hashes,
    Places,
    contained,
    line_begins,
    line_hashes,
    span_hashes,
)
from vcap.engine.files import replacing
from vcap.errors import UnavailableError

MAGIC = b"vcap paraphrases 1\n"
HEADER = struct.Struct("<QQ")  # groups, bytes of text
CHUNK_BYTES = 1 << 20
TAIL_BYTES = 4096  # more than the two phrases of any entry
NO_HASHES = np.zeros(0, dtype=np.uint64)


class Cancelled(Exception):
    """The run ended before the work was done."""


@dataclass(frozen=True)
class Index:
    """The table, grouped by first phrase.

    Attributes:
        hashes: of each first phrase, [G].
        starts: where each group begins in `text`, and where the last one ends, [G + 1].
        checks: the CRC-32 of each group's text, [G], where it comes from a file.
        text: of each group, a line for the first phrase and one for each that it may stand for.
        offset: where in `text` the first group begins.
    """

    hashes: Hashes
    starts: npt.NDArray[np.uint32]
    checks: npt.NDArray[np.uint32] | None
    text: bytes | mmap.mmap
    offset: int = 0

    def groups_of(self, known: Hashes) -> list[bytes]:
        """The text of the groups whose first phrase is known.

        Raises:
            ValueError: the text of one is damaged.
        """
        found = np.flatnonzero(contained(self.hashes, known))
        places = self.starts.astype(np.int64) + self.offset
        begins, ends = places[found].tolist(), places[found + 1].tolist()
        blocks = [self.text[begin:end] for begin, end in zip(begins, ends, strict=True)]
        if self.checks is not None and [*map(zlib.crc32, blocks)] != self.checks[found].tolist():
            raise ValueError("the text of a group is damaged")
        return blocks


def filtered_table(index: Index, known: Hashes) -> tuple[bytes, int]:
    """The table (gzip) of the entries whose two phrases are both known, and how many they are.

    Raises:
        ValueError: the index is damaged.
    """
    groups = index.groups_of(known)
    text = b"".join(groups)
    phrases = text.split(b"\n")
    kept = contained(line_hashes(np.frombuffer(text, dtype=np.uint8)), known)
    sizes = np.array([group.count(b"\n") for group in groups], dtype=np.int64)
    heads = np.cumsum(sizes) - sizes
    kept[heads] = False
    entries = np.flatnonzero(kept)
    pairs = zip(np.repeat(heads, sizes)[entries].tolist(), entries.tolist(), strict=True)
    table = b"".join(b"1\n%b\n%b\n" % (phrases[one], phrases[other]) for one, other in pairs)
    return gzip.compress(table, compresslevel=1, mtime=0), len(entries)


def open_index(table: Path, cache_dir: Path) -> Index | None:
    """The index of this table that an earlier run kept; None where there is none that is whole."""
    try:
        with index_path(table, cache_dir).open("rb") as file:
            return _mapped(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError, struct.error):
        return None


def index_path(table: Path, cache_dir: Path) -> Path:
    """Where the index of this table is kept: its name has the table's size and CRC-32."""
    with table.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 8, 0))
        return cache_dir / f"paraphrases-{size}-{file.read(4).hex()}.index"


def _mapped(data: mmap.mmap) -> Index:
    begin = len(MAGIC) + HEADER.size
    groups, text_bytes = HEADER.unpack(data[len(MAGIC) : begin])
    sizes = [8 * groups, 4 * (groups + 1), 4 * groups]
    stops = [begin + sum(sizes[:number]) for number in range(4)]
    end = stops[-1] + text_bytes
    arrays = data[begin : stops[-1]]
    whole = data[: len(MAGIC)] == MAGIC and len(data) == end + 4
    if not whole or struct.pack("<I", zlib.crc32(arrays)) != data[end:]:
        raise ValueError("the index is damaged")
    hashes = np.frombuffer(arrays, np.uint64, groups)
    starts = np.frombuffer(arrays, np.uint32, groups + 1, sizes[0])
    checks = np.frombuffer(arrays, np.uint32, groups, sizes[0] + sizes[1])
    return Index(hashes, starts, checks, data, stops[-1])


def save_index(index: Index, path: Path, cancelled: Event) -> None:
    """Keep an index that was built for later runs.

    Raises:
        OutputError: the place cannot be written.
        Cancelled: the run ended.
    """
    size, places = len(index.text), pairwise(index.starts.tolist())
    checks = np.array([zlib.crc32(index.text[a:b]) for a, b in places], dtype=np.uint32)
    arrays = b"".join(part.tobytes() for part in (index.hashes, index.starts, checks))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        file.write(MAGIC + HEADER.pack(len(index.hashes), size) + arrays)
        for begin in range(0, size, CHUNK_BYTES):
            file.write(index.text[begin : begin + CHUNK_BYTES])
            _stop_if(cancelled)
        file.write(struct.pack("<I", zlib.crc32(arrays)))


def build_index(table: Path, cancelled: Event) -> Index:
    """Read the whole table.

    Raises:
        UnavailableError: it is absent or damaged.
        Cancelled: the run ended.
    """
    texts: list[bytes] = []
    heads: list[Places] = []
    hashes: list[Hashes] = []
    last, size = b"", 0
    for chunk in _entries(table):
        _stop_if(cancelled)
        text, places, found = _grouped(chunk, last)
        texts.append(text)
        heads.append(places + size)
        hashes.append(found)
        size += len(text)
        last = _first_of_last(chunk)
    starts = np.concatenate([*heads, [size]]).astype(np.uint32)
    return Index(np.concatenate([NO_HASHES, *hashes]), starts, None, b"".join(texts))


def _entries(table: Path) -> Iterator[Bytes]:
    """The table in pieces of whole entries."""
    rest = b""
    try:
        with gzip.open(table) as file:
            while data := file.read(CHUNK_BYTES):
                rest += data
                ends = np.flatnonzero(np.frombuffer(rest, np.uint8) == NEWLINE)[2::3]
                if len(ends):
                    stop = int(ends[-1]) + 1
                    yield np.frombuffer(rest, np.uint8, stop)
                    rest = rest[stop:]
    except (OSError, EOFError, zlib.error) as error:
        reason = f"METEOR's paraphrase table {table} cannot be read: {error}"
        raise UnavailableError(reason, hint=INSTALL_PROGRAMS) from error


def _first_of_last(entries: Bytes) -> bytes:
    """The first phrase of the last entry."""
    return entries[-TAIL_BYTES:].tobytes().split(b"\n")[-3]


def _grouped(chunk: Bytes, last: bytes) -> tuple[bytes, Places, Hashes]:
    """The phrases of these entries, each first phrase once; where those begin, and their hashes."""
    ends = np.flatnonzero(chunk == NEWLINE)
    begins = line_begins(ends)
    firsts = span_hashes(chunk, begins[1::3], ends[1::3])  # as they stand, not by their runs
    new = np.concatenate([[True], firsts[1:] != firsts[:-1]])
    new[0] = chunk[begins[1] : ends[1]].tobytes() != last
    head = np.zeros(len(ends), dtype=np.bool_)
    head[1::3] = new
    kept = head.copy()
    kept[2::3] = True
    sizes = ends - begins + 1
    places = np.cumsum(sizes * kept) - sizes
    hashes = line_hashes(chunk[np.repeat(head, sizes)])
    return chunk[np.repeat(kept, sizes)].tobytes(), places[head], hashes


def _stop_if(cancelled: Event) -> None:
    if cancelled.is_set():
        raise Cancelled
