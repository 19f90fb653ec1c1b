"""Writing an index: a new generation beside the old one, then one rename that makes it count.

Only while the lock of the index's folder is held. Shapes: N vectors, P parts (frames or
sentences), V videos, D width.
"""

import re
import shutil
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vcap.engine.files import output_errors, sweep, sync, write_atomic
from vcap.features import index_files as files
from vcap.features.index_files import Header
from vcap.features.index_search import Scores

GENERATION = re.compile(r"generation-(\d{6,})")


@dataclass(frozen=True)
class Block:
    """Some videos on their way into an index.

    Attributes:
        lines: of `ids.jsonl`, one a video.
        counts: how many parts each has.
        vectors: [N, D] float32 of length 1.
        times: [P] float32.
        parts: [P, d] float16; None where the vectors are those of the parts.
    """

    lines: list[bytes]
    counts: npt.NDArray[np.int64]
    vectors: Scores
    times: Scores
    parts: npt.NDArray[np.float16] | None


class GrowingArray:
    """A `.npy` file that grows by blocks of rows."""

    def __init__(self, path: Path, kind: str, *tail: int) -> None:
        """Make the file; `tail` is the shape of a row while none was added."""
        self.count = 0
        self.tail = tail
        self._kind = np.dtype(kind)
        self._file = path.open("wb")
        self._file.write(bytes(files.NPY_HEADER_BYTES))

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Add rows at the end."""
        self.tail = rows.shape[1:]
        self._file.write(np.ascontiguousarray(rows, dtype=self._kind).data)
        self.count += len(rows)

    def __enter__(self) -> Self:
        """Write in a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say at the head of the file what is in it."""
        with self._file as file:
            if kind is None:
                file.seek(0)
                file.write(files.npy_header(self._kind.str, (self.count, *self.tail)))


def write_rows(place: Path, header: Header, blocks: Iterable[Block]) -> Header:
    """Write everything but `index.faiss`; gives the header with what was counted.

    Raises:
        OutputError: the disk is full, or the place cannot be written.
    """
    ends = [np.zeros(1, dtype=np.int64)]
    num_videos = 0
    with output_errors(place), ExitStack() as stack:
        place.mkdir()
        vectors = stack.enter_context(GrowingArray(place / files.VECTORS, "<f4", header.width))
        times = stack.enter_context(GrowingArray(place / files.TIMES, "<f4"))
        parts = None
        if header.level == "video":
            own = GrowingArray(place / files.PARTS, "<f2", header.part_width)
            parts = stack.enter_context(own)
        ids = stack.enter_context((place / files.IDS).open("wb"))
        for block in blocks:
            ids.writelines(block.lines)
            num_videos += len(block.lines)
            vectors.add(block.vectors)
            times.add(block.times)
            ends.append(ends[-1][-1] + np.cumsum(block.counts))
            if parts is not None and block.parts is not None:
                parts.add(block.parts)
    with output_errors(place), GrowingArray(place / files.OFFSETS, "<i8") as offsets:
        offsets.add(np.concatenate(ends))
    return replace(
        header,
        width=vectors.tail[0],
        num_videos=num_videos,
        num_vectors=vectors.count,
        num_parts=times.count,
    )


def write_array(path: Path, rows: npt.NDArray[Any]) -> None:
    """Write rows of numbers as a `.npy`.

    Raises:
        OutputError: the disk is full, or the place cannot be written.
    """
    with output_errors(path), GrowingArray(path, rows.dtype.str) as array:
        array.add(rows)


def commit(folder: Path, header: Header) -> None:
    """Make a generation that is written the one that counts, and remove the others.

    Raises:
        OutputError: the disk is full, or the place cannot be written.
    """
    place = folder / header.generation
    with output_errors(place):
        sizes = {path.name: path.stat().st_size for path in sorted(place.iterdir())}
        for path in (*(place / name for name in sizes), place, folder):
            sync(path)
    rename(folder, replace(header, sizes=sizes))
    tidy(folder, header.generation)


def rename(folder: Path, header: Header) -> None:
    """Write what an index says of itself, which makes the generation that it names count.

    Raises:
        OutputError: the disk is full, or the place cannot be written.
    """
    write_atomic(folder / files.HEADER_NAME, header.to_bytes())


def tidy(folder: Path, generation: str | None) -> None:
    """Remove all generations but one: those before it, and those of killed runs."""
    sweep(folder)
    for path in folder.iterdir():
        if GENERATION.fullmatch(path.name) and path.name != generation:
            shutil.rmtree(path, ignore_errors=True)
    for name in (files.FAISS, files.IDS):  # for other programs, where they expect them
        link = folder / name
        with suppress(OSError):
            if link.is_symlink():
                link.unlink()
        if generation is not None and (folder / generation / name).exists():
            with suppress(OSError):  # some file systems have no links
                link.symlink_to(Path(generation) / name)


def next_generation(folder: Path) -> str:
    """The name of a generation that is not there yet."""
    found = [
        int(match[1]) for path in folder.iterdir() if (match := GENERATION.fullmatch(path.name))
    ]
    return f"generation-{max(found, default=0) + 1:06d}"
