"""A generation of an index: rows first, then what searches them, then the rename.

Only while the lock of the index's folder is held. Shapes: N vectors, D width.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vcap.engine.files import output_errors
from vcap.engine.index_changes import Changes
from vcap.engine.index_rows import kept_blocks, kept_rows
from vcap.engine.index_write import Block, commit, next_generation, write_array, write_rows
from vcap.engine.reporter import Reporter
from vcap.errors import OutputError
from vcap.features import index_files as files
from vcap.features.index import Index
from vcap.features.index_files import Header, Kind
from vcap.features.index_search import Scores

MOST_GONE = 0.25  # of a graph, before it is built anew
EXACT: dict[str, float] = {"recall@10": 1.0, "sample": 0}


def write_generation(
    folder: Path, old: Index | None, changes: Changes, header: Header, reporter: Reporter
) -> Header:
    """Write an index as the changes make it, and make it count; gives its header.

    Raises:
        OutputError: the disk is full, or the place cannot be written.
    """
    header = replace(header, generation=next_generation(folder))
    place = folder / header.generation
    with ExitStack() as undo:
        undo.callback(_remove_uncounted, folder, place)
        header = write_rows(place, header, _blocks(old, changes))
        vectors = files.load_array(
            place / files.VECTORS, np.dtype("<f4"), (header.num_vectors, header.width)
        )
        work = Searchable(place, header, vectors, reporter)
        header = work.build() if old is None or changes.keep is None else work.change(old, changes)
        commit(folder, header)
        undo.pop_all()
    return header


def _remove_uncounted(folder: Path, place: Path) -> None:
    if not _counts(folder, place.name):
        shutil.rmtree(place, ignore_errors=True)


def _counts(folder: Path, generation: str) -> bool:
    """Whether a generation is the one that the index names."""
    path = folder / files.HEADER_NAME
    return path.exists() and files.read_header(folder).generation == generation


def _blocks(old: Index | None, changes: Changes) -> Iterator[Block]:
    new = chain.from_iterable(rows.blocks(ids) for rows, ids in changes.new)
    if old is None or changes.keep is None:
        return new
    return chain(kept_blocks(old, changes.keep, changes.lines), new)


class Searchable:
    """The part of a generation that faiss makes: `index.faiss`, and the labels in it."""

    def __init__(self, place: Path, header: Header, vectors: Scores, reporter: Reporter) -> None:
        """Work on vectors [N, D] that are written already."""
        self._place = place
        self._header = header
        self._vectors = vectors
        self._reporter = reporter

    def build(self) -> Header:
        """Build anew, of the kind that is wanted; `auto` chooses."""
        from vcap.features import index_kinds as kinds

        wanted, recall = self._header.wanted["kind"], self._header.wanted["recall"]
        count, width = self._vectors.shape
        room = free_bytes() // 2
        kind = kinds.choose_kind(count, width, room, recall) if wanted == "auto" else wanted
        header = self._built(kind, recall)
        reached = header.recall["recall@10"]
        if reached >= recall:
            return header
        told = f"recall@10 is {reached:.3f}, less than {recall:g}, of {header.factory}"
        if wanted == "auto" and 4 * count * width <= room:
            self._reporter.info(f"{told}; searching exactly instead")
            return self._built("flat", recall)
        self._reporter.warn(f"{told}; --kind flat is exact")
        return header

    def _built(self, kind: Kind, recall: float) -> Header:
        from vcap.features import index_kinds as kinds

        count, width = self._vectors.shape
        factory = kinds.factory_of(kind, count, width)
        search: dict[str, int] = {}
        measured = dict(EXACT)
        if kind == "flat":
            with output_errors(self._place):
                kinds.write_flat(self._place / files.FAISS, self._vectors)
        else:
            self._reporter.info(f"index: {factory} of {count} vectors {width} wide")
            index = kinds.build(factory, self._vectors)
            sample = kinds.draw_sample(self._vectors)
            search, reached = kinds.tune(index, self._vectors, sample, recall)
            measured = {"recall@10": reached, "sample": len(sample.rows)}
            write_array(self._place / files.LABELS, np.arange(count))
            self._write(index)
        return replace(
            self._header,
            kind=kind,
            factory=factory,
            num_labels=count,
            search=search,
            recall=measured,
        )

    def change(self, old: Index, changes: Changes) -> Header:
        """Change what there was: no new training, no new graph unless much of it is gone."""
        from vcap.features import index_kinds as kinds

        assert changes.keep is not None
        keep = kept_rows(old, changes.keep)
        count, kind = len(self._vectors), old.header.kind
        wanted = self._header.wanted["kind"]
        if kind == "flat" and wanted == "auto":
            return self.build()  # there may be enough vectors for another kind now
        if kind == "flat":
            return self._rebuilt(wanted)  # so may there be for what too few were left of
        if count <= (1 - MOST_GONE) * old.header.num_labels or not count:
            return self._rebuilt(kind)
        index = kinds.read_to_change(old.folder / old.header.generation / files.FAISS)
        labels, num_kept = old.labels[keep], int(keep.sum())
        first = old.header.num_labels
        kinds.change(index, old.labels[~keep], self._vectors[num_kept:], first)
        labels = np.concatenate([labels, np.arange(count - num_kept) + first])  # [N]
        write_array(self._place / files.LABELS, labels)
        recall = kinds.measure(index, labels, self._vectors, old.header.search)
        self._write(index)
        measured = {"recall@10": recall, "sample": min(count, kinds.SAMPLE)}
        return replace(
            self._header,
            kind=kind,
            factory=old.header.factory,
            num_labels=first + count - num_kept,
            search=old.header.search,
            recall=measured,
        )

    def _rebuilt(self, kind: Kind) -> Header:
        from vcap.features.index_kinds import LEAST_TRAINED

        few = len(self._vectors) < LEAST_TRAINED  # too few to train codes, and soon compared
        return self._built("flat" if few else kind, self._header.wanted["recall"])

    def _write(self, index: Any) -> None:
        from vcap.features.index_kinds import write_faiss

        path = self._place / files.FAISS
        with output_errors(path):
            try:
                write_faiss(path, index)
            except RuntimeError as error:  # what faiss makes of any failed write
                reason = str(error).splitlines()[0]
                raise OutputError(f"cannot write {path}: {reason}") from error


def free_bytes() -> int:
    """The memory that is free, or could be at once."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        said = dict(line.split(":", 1) for line in lines)
        return int(said["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
