"""What becomes of an index: which videos come in, go, changed or moved.

Shapes: V videos.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.engine.fingerprint import file_identity
from vcap.engine.index_rows import StoreRows, is_store
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
    held = held_now(stores)
    new = [(rows, [one for one in rows.ids if held[one] is rows]) for rows in stores]
    if old is not None and same and _holds_just(old, new):
        return _no_change(old)
    if not held:
        names = ", ".join(rows.folder for rows in stores)
        raise FeatureError(f"{names}: empty, no features of any video", hint="vcap encode VIDEOS")
    return Changes(new=new, counts={"added": len(held)})


def held_now(stores: Sequence[StoreRows]) -> dict[str, StoreRows]:
    """The store that holds each video now, by id: of two, the one whose file of it is there.

    Raises:
        FeatureError: two hold a video of the same id, and neither of its files is gone.
    """
    found: dict[str, StoreRows] = {}
    for rows in stores:
        for video_id in rows.ids:
            there = found.setdefault(video_id, rows)
            if there is rows or _is_gone(rows, video_id):
                continue
            if not _is_gone(there, video_id):
                raise FeatureError(
                    f"{video_id!r} is in {there.folder} and in {rows.folder}; "
                    "an index has an id once",
                    hint=f"vcap index {shlex.quote(rows.folder)} -o INDEX  # one of the two",
                )
            found[video_id] = rows
    return found


def _holds_just(old: Index, new: Sequence[tuple[StoreRows, list[str]]]) -> bool:
    """Whether the index has the videos of the stores in their order, and knows the same of them."""
    pairs = [(rows, video_id) for rows, ids in new for video_id in ids]
    return len(pairs) == old.header.num_videos and all(
        rows.line(video_id, rows.digest(video_id)) == old.line_bytes(number)
        for number, (rows, video_id) in enumerate(pairs)
    )


def added(old: Index, stores: Sequence[StoreRows]) -> Changes:
    """The videos of the stores that the index does not have yet, or that another store had.

    Raises:
        FeatureError: the index has a video of this id from another store, which holds it still.
    """
    held = _held_of(old, stores)
    changes = _no_change(old)
    stays: set[str] = set()
    for number in range(old.header.num_videos):
        line = old.line_of(number)
        rows = held.get(line["id"])
        if rows is None or rows.folder == line.get("store") or _stays(number, line, rows, changes):
            stays.add(line["id"])
    _take_in(changes, stores, held, stays)
    changes.counts = {what: count for what, count in changes.counts.items() if count}
    return changes


def _no_change(old: Index) -> Changes:
    keep = np.ones(old.header.num_videos, dtype=np.bool_)
    return Changes(keep, counts=dict.fromkeys(("added", "removed", "changed", "moved"), 0))


def _held_of(old: Index, stores: Sequence[StoreRows]) -> dict[str, StoreRows]:
    """What `held_now` says of the stores that were named, beside those that the index knows.

    A store that was not named is looked into only where the index has a video of it that one of
    those named holds too.
    """
    held = held_now(stores)
    named = {rows.folder for rows in stores}
    others = {store for store in old.header.stores if store not in named and is_store(store)}
    if not others:
        return held
    lines = (old.line_of(number) for number in range(old.header.num_videos))
    others &= {line.get("store", "") for line in lines if line["id"] in held}
    found = held_now([*(stores[0].beside(Path(other)) for other in sorted(others)), *stores])
    return {video_id: rows for video_id, rows in found.items() if rows.folder in named}


def _take_in(
    changes: Changes, stores: Sequence[StoreRows], held: Mapping[str, StoreRows], stays: set[str]
) -> None:
    """Take in the videos that stores hold and that do not stay; those that went are no news."""
    assert changes.keep is not None
    for rows in stores:
        own = [one for one in rows.ids if held.get(one) is rows and one not in stays]
        changes.new.append((rows, own))
    num_new = sum(len(ids) for _, ids in changes.new)
    changes.counts["added"] = num_new - changes.counts["changed"]


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

    A video whose store is no longer there, or no longer has its file, is looked for in the others.

    Raises:
        FeatureError: a video is in two stores.
        InputError: none of the files of a store is there, as when a drive is absent.
    """
    held = _held_of(old, stores)
    gone = _gone(stores, held)
    for video_id in gone:
        del held[video_id]
    named = {rows.folder for rows in stores}
    changes = _no_change(old)
    assert changes.keep is not None
    stays: set[str] = set()
    went: list[str] = []
    alone: dict[str, list[str]] = {}
    for number in range(old.header.num_videos):
        line = old.line_of(number)
        video_id, rows = line["id"], held.get(line["id"])
        if rows is not None:
            stays |= {video_id} if _stays(number, line, rows, changes) else set()
        elif line.get("store", "") in named or video_id in gone:
            changes.keep[number] = False
            changes.counts["removed"] += 1
            went += [video_id] if video_id in gone else []
        else:
            alone.setdefault(line.get("store", ""), []).append(video_id)
    if went:
        reporter.warn(f"{_named(went)} went: no such file; no longer in the index")
    _warn_of_alone(alone, reporter)
    _take_in(changes, stores, held, stays)
    _warn_of_outdated(stores, held, reporter)
    return changes


def stores_after(old: Index, changes: Changes, named: Sequence[str]) -> list[str]:
    """The stores of an index after changes: those named, and those it had but what is gone."""
    assert changes.keep is not None
    left = old.header.stores
    if not all(is_store(store) for store in left):
        kept = np.flatnonzero(changes.keep).tolist()
        lines = (json.loads(changes.lines.get(one) or old.line_bytes(one)) for one in kept)
        has = {line.get("store") for line in lines}
        left = [store for store in left if store in has or is_store(store)]
    return list(dict.fromkeys([*left, *named]))


def _stays(number: int, line: Mapping[str, Any], rows: StoreRows, changes: Changes) -> bool:
    """Whether a video of the index stays, perhaps told anew; else it is done again."""
    assert changes.keep is not None
    video_id = line["id"]
    digest = rows.digest(video_id)
    if digest != line["digest"]:
        changes.keep[number] = False
        changes.counts["changed"] += 1
        return False
    told = rows.line(video_id, digest)
    if json.loads(told) != line:
        changes.lines[number] = told
        changes.counts["moved"] += 1
    return True


def _gone(stores: Sequence[StoreRows], held: Mapping[str, StoreRows]) -> set[str]:
    """The videos whose files are gone."""
    found: set[str] = set()
    for rows in stores:
        ids = rows.ids
        gone = [one for one in ids if held.get(one) is rows and _is_gone(rows, one)]
        if gone and len(gone) == len(ids):
            raise InputError(
                f"none of the {len(ids)} videos of {rows.folder} is there any more, the first at "
                f"{_path(rows, gone[0])}; is a drive absent? The index stays as it is",
                hint=f"vcap index {shlex.quote(rows.folder)} -o INDEX --force  # files or not",
            )
        found.update(gone)
    return found


def _is_gone(rows: StoreRows, video_id: str) -> bool:
    """Whether a store says where the file of a video is, and it is not there."""
    path = _path(rows, video_id)
    return path is not None and not path.exists()


def _warn_of_alone(alone: Mapping[str, Sequence[str]], reporter: Reporter) -> None:
    """Tell of videos, by store, whose store is no longer there."""
    for store, ids in alone.items():
        if not is_store(store):
            reporter.warn(
                f"{_named(ids)}: the store {store} is no longer there, nor in another is the "
                "video; it stays in the index until --remove"
            )


def _warn_of_outdated(
    stores: Sequence[StoreRows], held: Mapping[str, StoreRows], reporter: Reporter
) -> None:
    """Tell of files that are no longer what the stores know."""
    for rows in stores:
        changed = _outdated(rows, [one for one in rows.ids if held.get(one) is rows])
        if changed:
            reporter.warn(
                f"{_named(changed)} changed since vcap encoded it: encode it again, then --sync"
            )


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
