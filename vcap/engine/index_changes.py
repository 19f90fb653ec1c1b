"""What becomes of an index: which videos come in, go, changed or moved.

Shapes: V videos.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.engine.fingerprint import file_identity
from vcap.engine.index_rows import StoreRows
from vcap.engine.journal import Journal
from vcap.engine.registry import nearest
from vcap.engine.reporter import Reporter
from vcap.errors import FeatureError, InputError
from vcap.features.index import Index

NAMED = 3  # videos in a message


@dataclass
class Changes:
    """What becomes of an index.

    Attributes:
        keep: which videos [V] of the old index stay; None where there is none.
        new: stores with the videos that come in.
        lines: what is known anew of videos that stay, by number.
        counts: how many videos were `added`, `removed`, `changed`, `moved`.
    """

    keep: npt.NDArray[np.bool_] | None = None
    new: list[tuple[StoreRows, list[str]]] = field(default_factory=list)
    lines: dict[int, bytes] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        """Whether the index stays as it is."""
        stays = self.keep is not None and bool(self.keep.all())
        return stays and not self.lines and not any(ids for _, ids in self.new)


def all_of(stores: Sequence[StoreRows], old: Index | None, same: bool) -> Changes:
    """Everything in the stores; nothing where the old index, built the same way, holds just that.

    Raises:
        FeatureError: a store is empty, or two hold a video of the same id.
    """
    _refuse_doubles(stores)
    if old is not None and same and _holds_just(old, stores):
        return Changes(np.ones(old.header.num_videos, dtype=np.bool_))
    new = [(rows, rows.ids) for rows in stores]
    if not any(ids for _, ids in new):
        names = ", ".join(rows.folder for rows in stores)
        raise FeatureError(f"{names}: empty, no features of any video", hint="vcap encode VIDEOS")
    return Changes(new=new, counts={"added": sum(len(ids) for _, ids in new)})


def _refuse_doubles(stores: Sequence[StoreRows]) -> None:
    where: dict[str, str] = {}
    for rows in stores:
        for video_id in rows.ids:
            _refuse_double(video_id, where.setdefault(video_id, rows.folder), rows.folder)


def _refuse_double(video_id: str, there: str, here: str) -> None:
    if there != here:
        raise FeatureError(f"{video_id!r} is in {there} and in {here}; an index has an id once")


def _holds_just(old: Index, stores: Sequence[StoreRows]) -> bool:
    """Whether the index has the videos of the stores in their order, and knows the same of them."""
    pairs = [(rows, video_id) for rows in stores for video_id in rows.ids]
    return len(pairs) == old.header.num_videos and all(
        rows.line(video_id, rows.digest(video_id)) == old.line_bytes(number)
        for number, (rows, video_id) in enumerate(pairs)
    )


def added(old: Index, stores: Sequence[StoreRows]) -> Changes:
    """The videos of the stores that the index does not have yet.

    Raises:
        FeatureError: the index has a video of this id from another store.
    """
    known = _stores_of(old)
    changes = Changes(np.ones(old.header.num_videos, dtype=np.bool_))
    for rows in stores:
        own = rows.ids
        for video_id in own:
            _refuse_double(video_id, known.get(video_id, rows.folder), rows.folder)
        fresh = [video_id for video_id in own if video_id not in known]
        known |= dict.fromkeys(fresh, rows.folder)
        changes.new.append((rows, fresh))
    changes.counts = {"added": sum(len(ids) for _, ids in changes.new)}
    return changes


def _stores_of(old: Index) -> dict[str, str]:
    lines = (old.line_of(number) for number in range(old.header.num_videos))
    return {line["id"]: line.get("store", "") for line in lines}


def removed(old: Index, ids: Sequence[str]) -> Changes:
    """All but some videos.

    Raises:
        InputError: the index has no such video; nothing is removed then.
    """
    numbers = {video_id: number for number, video_id in enumerate(old.ids)}
    unknown = [video_id for video_id in ids if video_id not in numbers]
    if unknown:
        named = ", ".join(map(repr, unknown[:NAMED]))
        raise InputError(f"{old.folder}: no video {named}; {nearest(unknown[0], list(numbers))}")
    keep = np.ones(old.header.num_videos, dtype=np.bool_)
    keep[[numbers[video_id] for video_id in ids]] = False
    return Changes(keep, counts={"removed": int((~keep).sum())})


def synced(old: Index, stores: Sequence[StoreRows], reporter: Reporter) -> Changes:
    """The index as the stores are now: what came, went (from store or disk), changed or moved.

    Raises:
        FeatureError: a video is in two stores.
        InputError: none of the files of a store is there, as when a drive is absent.
    """
    _refuse_doubles(stores)
    by_folder = {rows.folder: rows for rows in stores}
    present = {rows.folder: _present(rows, reporter) for rows in stores}
    fresh: dict[str, list[str]] = {folder: list(ids) for folder, ids in present.items()}
    keep = np.ones(old.header.num_videos, dtype=np.bool_)
    changes = Changes(keep, counts=dict.fromkeys(("added", "removed", "changed", "moved"), 0))
    stays: set[str] = set()
    again: set[str] = set()
    for number in range(old.header.num_videos):
        line = old.line_of(number)
        rows = by_folder.get(line.get("store", ""))
        if rows is None:  # of a store that was not named
            stays.add(line["id"])
            continue
        _compare(number, line, rows, present[rows.folder], changes)
        (stays if keep[number] else again).add(line["id"])
    for folder, rows in by_folder.items():
        own = [video_id for video_id in fresh[folder] if video_id not in stays]
        changes.new.append((rows, own))
        changes.counts["added"] += sum(video_id not in again for video_id in own)
    return changes


def _compare(
    number: int,
    line: Mapping[str, Any],
    rows: StoreRows,
    present: Mapping[str, None],
    changes: Changes,
) -> None:
    """Look at one video of the index: it stays, is told anew, is done again, or goes."""
    assert changes.keep is not None
    video_id = line["id"]
    if video_id not in present:
        changes.keep[number] = False
        changes.counts["removed"] += 1
        return
    digest = rows.digest(video_id)
    if digest != line["digest"]:
        changes.keep[number] = False
        changes.counts["changed"] += 1
        return
    told = rows.line(video_id, digest)
    if json.loads(told) != line:
        changes.lines[number] = told
        changes.counts["moved"] += 1


def _present(rows: StoreRows, reporter: Reporter) -> dict[str, None]:
    """The videos of a store but those whose files are gone; warns of files that changed since."""
    ids = rows.ids
    gone = [video_id for video_id in ids if (path := _path(rows, video_id)) and not path.exists()]
    if gone and len(gone) == len(ids):
        raise InputError(
            f"none of the {len(ids)} videos of {rows.folder} is there any more, the first at "
            f"{_path(rows, gone[0])}; is a drive absent? The index stays as it is",
            hint=f"vcap index {rows.folder} -o INDEX --force  # files or not",
        )
    if gone:
        reporter.warn(f"{_named(gone)} went: no such file; no longer in the index")
    left = dict.fromkeys(ids)
    for video_id in gone:
        del left[video_id]
    changed = _outdated(rows, list(left))
    if changed:
        reporter.warn(
            f"{_named(changed)} changed since vcap encoded it: encode it again, then --sync"
        )
    return left


def _path(rows: StoreRows, video_id: str) -> Path | None:
    path = rows.records.get(video_id, {}).get("path")
    return Path(path) if isinstance(path, str) else None


def _outdated(rows: StoreRows, ids: Sequence[str]) -> list[str]:
    """The videos whose files are no longer those that the store was made of."""
    journal = Journal.read(Path(rows.folder))
    found = []
    for video_id in ids:
        entry, path = journal.entry(video_id), _path(rows, video_id)
        if entry is None or path is None:
            continue
        now = file_identity(path, "sha256" in entry.identity)
        if any(entry.identity.get(key, value) != value for key, value in now.items()):
            found.append(video_id)
    return found


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"{', '.join(ids[:NAMED])}{more}"
