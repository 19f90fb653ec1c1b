"""Building an index from feature stores, and keeping it up to date: `vcap index`.

Every change writes a new generation beside the old one and then makes it count by one rename: a
kill at any moment leaves the old index or the new one. Shapes: N vectors, V videos, D width.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TextIO

from pydantic import BaseModel, ConfigDict, Field

from vcap.engine import index_write
from vcap.engine.index_changes import Changes, added, all_of, removed, stores_after, synced
from vcap.engine.index_generation import EXACT, write_generation
from vcap.engine.index_rows import (
    Aggregate,
    StoreRows,
    is_store,
    level_of,
    mean_vectors,
    refuse_other_features,
)
from vcap.engine.inputs import STDIN
from vcap.engine.lock import hold
from vcap.engine.registry import RETRIEVERS
from vcap.engine.reporter import Reporter, Silent
from vcap.engine.settings import fill
from vcap.errors import CheckpointError, FeatureError, InputError, UnavailableError, UsageError
from vcap.features import index_files as files
from vcap.features.index import Index
from vcap.features.index_files import Header, Level
from vcap.features.store import FeatureStore

__all__ = ["Index", "IndexSettings", "Indexed", "gather_stores", "index"]

MEAN = "mean"
COUNTS = ("added", "removed", "changed", "moved")
KEPT = ("kind", "recall")  # by an index that changes
IDLE = {"add": KEPT, "sync": KEPT, "remove": (*KEPT, "level", "aggregate")}


class IndexSettings(BaseModel):
    """How an index is built.

    Attributes:
        kind: `auto`, or the one wanted.
        level: what a vector stands for; None for `text` of a store of texts, else `video`.
        aggregate: `mean`, or a model that makes one vector of the frames of a video: `tiny` or a
            folder.
        recall: the recall@10 against exact search that is wanted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["auto", "flat", "hnsw", "ivfpq"] = "auto"
    level: Level | None = None
    aggregate: str = MEAN
    recall: float = Field(default=0.95, gt=0, le=1)


@dataclass(frozen=True)
class Indexed:
    """What an index is after a run.

    Attributes:
        header: what it says of itself.
        counts: how many videos were `added`, `removed`, `changed`, `moved`.
        is_new: whether anything was written.
    """

    header: Header
    counts: dict[str, int]
    is_new: bool

    def told(self) -> dict[str, Any]:
        """The same as plain values."""
        header = self.header
        size = {"videos": header.num_videos, "vectors": header.num_vectors, "width": header.width}
        how: dict[str, Any] = {
            "kind": header.kind,
            "factory": header.factory,
            "level": header.level,
        }
        how |= {"aggregate": header.aggregation, "recall@10": header.recall["recall@10"]}
        return {**size, **how, **dict.fromkeys(COUNTS, 0), **self.counts}

    def __str__(self) -> str:
        """`videos: 3 added, 1 removed; 12 in the index (Flat)`."""
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items() if count)
        header = self.header
        recall = header.recall["recall@10"]
        found = "exact" if header.kind == "flat" else f"recall@10 {recall:.3f}"
        told = f"{header.num_videos} in the index ({header.factory}, {found})"
        counts = counts or "none added or removed"  # another place of the model that aggregates
        return f"videos: {counts}; {told}" if self.is_new else f"nothing to do; {told}"


def gather_stores(arguments: Sequence[str], *, stdin: TextIO | None = None) -> list[Path]:
    """The stores that arguments name; `-` stands for lines on stdin, paths or JSON with `store`.

    Raises:
        InputError: stdin names no store.
    """
    found: dict[Path, None] = {}
    for word in arguments:
        if not word:
            raise UsageError("an empty name is no store")
        lines = [line.strip() for line in stdin or ()] if word == STDIN else [word]
        stores = [_store_in(line) if word == STDIN else line for line in lines if line]
        if not stores:
            raise InputError("no store on stdin", hint="vcap encode VIDEOS -o STORE --json")
        found |= {Path(store): None for store in stores}
    return list(found)


def _store_in(line: str) -> str:
    """The store in a line on stdin."""
    if not line.startswith("{"):
        return line
    try:
        return str(json.loads(line)["store"])
    except (ValueError, KeyError, RecursionError) as error:
        raise InputError(
            f"stdin: no `store` in {line[:80]!r}", hint="vcap encode VIDEOS -o STORE --json"
        ) from error


def index(
    stores: Sequence[Path | str],
    output: Path | str,
    *,
    add: bool = False,
    remove: Sequence[str] = (),
    sync: bool = False,
    force: bool = False,
    dry_run: bool = False,
    reporter: Reporter | None = None,
    **options: Any,
) -> Indexed:
    """Build an index of all videos of some stores, or bring one up to date.

    Args:
        stores: folders; may be none for `sync` (those it was made of) and `remove`.
        output: folder of the index; made if absent.
        add: put in the videos that it does not have yet.
        remove: ids of videos to take out.
        sync: make it agree with the stores: what came, went, changed or moved.
        force: build anew, whatever is there.
        dry_run: only find out what would be done; nothing is written.
        options: fields of `IndexSettings`.

    Raises:
        FeatureError: a store or the index is damaged, or they are of different encoders.
        InputError: a video to remove is not there.
        OutputError: the index cannot be written, or another run is at work there.
        UsageError: what is asked for contradicts itself, or would do nothing.
    """
    settings = _placed(fill(IndexSettings, options, "index"))
    folder = Path(output)
    modes = {"add": add, "remove": bool(remove), "sync": sync, "force": force}
    _refuse_odd([name for name, given in modes.items() if given], stores, options, folder)
    changing = add or sync or bool(remove)
    if changing:
        files.read_header(folder)  # no folder is made where there is no index
    for store in stores:
        if not is_store(store):
            FeatureStore(Path(store))  # says what is wrong, before a folder is made
    job = Job(folder, settings, reporter or Silent(), dry_run)
    with nullcontext() if dry_run else hold(folder):
        old = None if force else job.old(needed=changing)
        if remove:
            assert old is not None
            return job.write(old, removed(old, remove), old.header)
        return job.update(old, stores, add, sync)


def idle_settings(modes: Mapping[str, Any]) -> set[str]:
    """The settings that count for nothing in the modes (`add`, `sync`, `remove`) that are on."""
    return {name for mode, names in IDLE.items() if modes.get(mode) for name in names}


def _refuse_odd(
    chosen: Sequence[str],
    stores: Sequence[Path | str],
    options: Mapping[str, Any],
    folder: Path,
) -> None:
    """Refuse modes and options that do not go together."""
    own = shlex.quote(str(folder))
    if len(chosen) > 1:
        flags = " and ".join(f"--{name}" for name in chosen)
        raise UsageError(f"{flags} contradict each other; give one of them")
    idle = sorted(idle_settings(dict.fromkeys(chosen, True)) & set(options))
    if idle:
        flags = " and ".join(f"--{name}" for name in idle)
        raise UsageError(
            f"{flags}: the index keeps what it has with --{chosen[0]}",
            hint=f"vcap index STORE -o {own} --force --{idle[0]} {options[idle[0]]}",
        )
    if stores and "remove" in chosen:
        raise UsageError(
            f"--remove takes ids out of the index, whichever their store; {stores[0]} is too much",
            hint=f"vcap index -o {own} --remove ID",
        )
    if not stores and not {"sync", "remove"} & {*chosen}:
        raise UsageError("no store is named", hint=f"vcap index STORE -o {own}")


def _is_as_wanted(header: Header, wanted: dict[str, Any]) -> bool:
    """Whether an index is what another is to be; much that went may have made it an exact one."""
    return header.wanted == wanted and wanted["kind"] in ("auto", header.kind)


def _grown(header: Header, stores: Sequence[StoreRows]) -> dict[str, list[int]]:
    """The shards of stores, but where one that is known may have changed: `sync` looks at it."""
    known = header.shards
    return {
        rows.folder: rows.shards
        for rows in stores
        if rows.folder not in header.stores
        or (rows.folder in known and files.only_grew(rows.folder, known[rows.folder]))
    }


def _placed(settings: IndexSettings) -> IndexSettings:
    """The settings with the whole path of a model, so that it is found from everywhere."""
    path = Path(settings.aggregate).expanduser()
    if settings.aggregate in (MEAN, *RETRIEVERS) or not path.exists():
        return settings
    return settings.model_copy(update={"aggregate": str(path.absolute())})


class Job:
    """One run on the index in a folder, whose lock is held where anything may be written."""

    def __init__(
        self, folder: Path, settings: IndexSettings, reporter: Reporter, dry_run: bool
    ) -> None:
        self._folder = folder
        self._dry_run = dry_run
        self._settings = settings
        self._reporter = reporter
        self._model: str | None = None  # digest of what makes the vectors

    def old(self, *, needed: bool) -> Index | None:
        """The index that is there, rid of what killed runs left; None where there is none."""
        if not needed and not (self._folder / files.HEADER_NAME).exists():
            return None
        found = Index.open(self._folder)
        if not self._dry_run:
            index_write.tidy(self._folder, found.header.generation)
        return found

    def update(
        self, old: Index | None, stores: Sequence[Path | str], add: bool, sync: bool
    ) -> Indexed:
        """Take in stores: all of them anew, or what the index lacks."""
        asked = self._settings
        given = asked.model_fields_set
        if old is not None and (add or sync):
            aggregate = asked.aggregate if "aggregate" in given else old.aggregation
            settings = asked.model_copy(
                update={"aggregate": aggregate, "level": asked.level or old.level}
            )
            opened = self._opened(stores or self._known(old), settings)
            header = self._header(opened, settings)
            self._refuse_other(old, header)
            changes = synced(old, opened, self._reporter) if sync else added(old, opened)
            known = stores_after(old, changes, header.stores)
            states = old.header.shards | (header.shards if sync else _grown(old.header, opened))
            header = replace(
                old.header,
                stores=known,
                shards={store: states[store] for store in known if store in states},
                aggregation=header.aggregation,
            )
            return self.write(old, changes, header)
        opened = self._opened(stores, asked)
        header = self._header(opened, asked)
        if old is not None:
            self._refuse_other(old, header)
        same = old is not None and _is_as_wanted(old.header, header.wanted)
        changes = all_of(opened, old, same)
        return self.write(old, changes, header)

    def _known(self, old: Index) -> list[str]:
        """The stores that an index was made of, which are all there."""
        for store in old.header.stores:
            if not is_store(store):
                raise FeatureError(
                    f"{store}: the index was made of this store, which is no longer there",
                    hint=f"vcap index NEW_STORE -o {shlex.quote(str(self._folder))} --sync"
                    "  # where it lies now",
                )
        return old.header.stores

    def _opened(self, stores: Sequence[Path | str], settings: IndexSettings) -> list[StoreRows]:
        """The stores, all of one encoder and with the level that is wanted."""
        folders = list({Path(store).resolve(): Path(store) for store in stores}.values())
        level = level_of(FeatureStore(folders[0]), settings.level)
        if level != "video" and settings.aggregate != MEAN:
            raise UsageError(f"--aggregate is for --level video, not for {level}")
        aggregate = self._aggregate(settings.aggregate, folders) if level == "video" else None
        opened = [StoreRows(folder, level, aggregate) for folder in folders]
        first = opened[0]
        for rows in opened[1:]:
            level_of(rows.store, level)
            refuse_other_features(
                rows.fingerprint, first.fingerprint, rows.folder, f"{first.folder} has"
            )
        return opened

    def _aggregate(self, name: str, stores: Sequence[Path]) -> Aggregate:
        """What makes one vector of the frames of a video of the stores."""
        if name == MEAN:
            return mean_vectors
        from vcap.engine.retriever import load_retriever

        try:
            retriever = load_retriever(name)
        except CheckpointError as error:
            if "aggregate" in self._settings.model_fields_set:
                raise
            raise UnavailableError(
                f"{self._folder} was made with a model that cannot be loaded: {error}",
                hint="--aggregate FOLDER  # where that model lies now",
            ) from error
        for store in stores:
            retriever.check(FeatureStore(store))
        self._model = retriever.digest
        return retriever.video_vectors

    def _header(self, opened: Sequence[StoreRows], settings: IndexSettings) -> Header:
        """What is known of an index of these stores before it is built."""
        made_by = {} if self._model is None else {"aggregation": self._model}
        return Header(
            generation="",
            kind="flat",
            factory="Flat",
            level=level_of(opened[0].store, settings.level),
            aggregation=settings.aggregate,
            width=opened[0].width,
            part_width=opened[0].width,
            num_videos=0,
            num_vectors=0,
            num_parts=0,
            num_labels=0,
            search={},
            recall=dict(EXACT),
            fingerprint=opened[0].fingerprint | made_by,
            stores=[rows.folder for rows in opened],
            shards={rows.folder: rows.shards for rows in opened},
            wanted={"kind": settings.kind, "recall": settings.recall},
        )

    def _refuse_other(self, old: Index, new: Header) -> None:
        """Refuse to mix what cannot be compared in one index."""
        hint = "the same command with another folder after -o, or --force"
        try:
            refuse_other_features(
                new.fingerprint, old.fingerprint, new.stores[0], f"the index {self._folder} has"
            )
        except FeatureError as error:
            raise FeatureError(error.message, hint=hint) from error
        by_model, now = (one.fingerprint.get("aggregation") for one in (old, new))
        moved = by_model is not None and by_model == now
        for name in ("level", "aggregation"):
            there, here = getattr(old.header, name), getattr(new, name)
            if there != here and not (name == "aggregation" and moved):
                raise FeatureError(
                    f"{self._folder} is an index with {name} {there}, not {here}", hint=hint
                )
        if by_model != now:
            raise FeatureError(
                f"{self._folder} has vectors of another model than {new.aggregation} is now",
                hint=hint,
            )

    def write(self, old: Index | None, changes: Changes, header: Header) -> Indexed:
        """Write what changes, if anything does and may be written."""
        if self._dry_run:
            return Indexed(header if old is None else old.header, changes.counts, is_new=False)
        moved = old is not None and old.aggregation != header.aggregation
        if old is not None and changes.is_nothing and not moved:
            seen = replace(old.header, stores=header.stores, shards=header.shards)
            if seen != old.header:
                index_write.rename(self._folder, seen)
            return Indexed(seen, changes.counts, is_new=False)
        written = write_generation(self._folder, old, changes, header, self._reporter)
        return Indexed(written, changes.counts, is_new=True)
