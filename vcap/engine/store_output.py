"""Features on their way into a store: shards that appear whole, with the same bytes every time.

Which videos share a shard is settled before any work, in the order of the input, and written down
in `.vcap/shards.json`. A run that was killed therefore goes on with the same shards, and a video
that is done later (it had failed, or it changed) goes to the place it would have had. One that
was done and now fails is taken out.
Shapes: T frames, D feature width.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vcap.engine.files import ensure_folder, sweep, write_atomic
from vcap.engine.fingerprint import canonical
from vcap.engine.lock import PRIVATE
from vcap.engine.outputs import IsDone, Item, Units
from vcap.engine.reporter import Reporter
from vcap.engine.store_records import keep_records
from vcap.errors import FeatureError
from vcap.features.store import HEADER_NAME, FeatureStore, header_bytes, shard_bytes, shard_name

SHARD_SIZE = 64


class Encoded(NamedTuple):
    """Features [T, D] of one video and the times [T] of its frames in seconds."""

    features: npt.NDArray[Any]
    times: npt.NDArray[Any]


class StoreOutput:
    """Keeps features in the shards of a store."""

    def __init__(
        self,
        folder: Path,
        made_by: Mapping[str, Any],
        width: int,
        reporter: Reporter,
        shard_size: int = SHARD_SIZE,
    ) -> None:
        """Prepare to write; `made_by` is the fingerprint that `store.json` will hold."""
        self.folder = folder
        self._made_by = made_by
        self._width = width
        self._reporter = reporter
        self._shard_size = shard_size
        self._members: dict[int, list[str]] = {}
        self._shard_of: dict[str, int] = {}
        self._alone: set[str] = set()  # the only one of its shard that is to do
        self._held: set[str] = set()  # what the shards hold
        self._pending: dict[str, tuple[Item, Encoded]] = {}

    def check(self, fingerprint: str) -> None:
        """Refuse a store of other features; make the header of a new one.

        Raises:
            FeatureError: the store holds what another encoder or sampler made, or is damaged.
        """
        sweep(self.folder)
        if not (self.folder / HEADER_NAME).exists():
            write_atomic(self.folder / HEADER_NAME, header_bytes(self._made_by, self._width))
        store = FeatureStore(self.folder)
        refuse_other(self.folder, store.fingerprint, self._made_by)
        decoder = "decoder"
        if store.fingerprint.get(decoder) != self._made_by.get(decoder):
            self._reporter.warn(
                f"{self.folder} was begun with {store.fingerprint.get(decoder)}; "
                f"here it is {self._made_by.get(decoder)}: frames may differ slightly"
            )
        self._read_members(store)

    def plan(self, items: Sequence[Item], done: IsDone) -> Units:
        """The videos still to do, by shard; those that have no shard yet get new ones."""
        keep_records(self.folder, items)
        new = [item.key for item in items if item.key not in self._shard_of]
        first = max(self._members, default=-1) + 1
        for place in range(0, len(new), self._shard_size):
            self._add(first + place // self._shard_size, new[place : place + self._shard_size])
        if new:
            path = ensure_folder(self.folder / PRIVATE) / "shards.json"
            write_atomic(path, json.dumps(self._members).encode())
        to_do = {item.key: item for item in items if not done(item)}
        units = [
            [to_do[key] for key in self._members[shard] if key in to_do]
            for shard in sorted({self._shard_of[key] for key in to_do})
        ]
        self._alone = {unit[0].key for unit in units if len(unit) == 1}
        return units

    def write(self, item: Item, result: Encoded) -> list[Item]:
        """Take the features of a video; they are safe when their shard is."""
        self._pending[item.key] = (item, result)
        return self.flush() if item.key in self._alone else []

    def flush(self) -> list[Item]:
        """Write the shard of what was taken, together with what it held before."""
        if not self._pending:
            return []
        shard = self._shard_of[next(iter(self._pending))]
        new = {key: encoded for key, (_, encoded) in self._pending.items()}
        self._write_shard(shard, self._kept(shard, without=new) | new)
        self._held.update(new)
        items = [item for item, _ in self._pending.values()]
        self._pending.clear()
        return items

    def forget(self, key: str) -> None:
        """Take a video that failed out of its shard, at once: its features are of another input."""
        self._pending.pop(key, None)
        if key not in self._held:
            return
        shard = self._shard_of[key]
        self._write_shard(shard, self._kept(shard, without=[key]))
        self._held.discard(key)

    def files(self, item: Item) -> tuple[str, ...]:
        """The shard of a video."""
        return (shard_name(self._shard_of[item.key]),)

    def _write_shard(self, shard: int, rows: Mapping[str, Encoded]) -> None:
        """Write a shard whole; one that holds nothing is no file."""
        path = self.folder / shard_name(shard)
        if rows:
            ordered = [(key, *rows[key]) for key in self._members[shard] if key in rows]
            write_atomic(path, shard_bytes(ordered))
        else:
            path.unlink(missing_ok=True)

    def _add(self, shard: int, keys: Sequence[str]) -> None:
        self._members.setdefault(shard, []).extend(keys)
        self._shard_of.update(dict.fromkeys(keys, shard))

    def _read_members(self, store: FeatureStore) -> None:
        """Who is in which shard: as written down, and as the shards themselves say."""
        path = self.folder / PRIVATE / "shards.json"
        try:
            planned = json.loads(path.read_bytes()) if path.exists() else {}
            for shard, keys in planned.items():
                self._add(int(shard), keys)
        except (ValueError, TypeError, AttributeError) as error:
            raise FeatureError(
                f"{path}: damaged ({error})", hint=f"rm {path}  # it is made again from the shards"
            ) from error
        for shard, keys in store.members().items():
            self._add(shard, [key for key in keys if key not in self._shard_of])
        self._held = set(store.ids)

    def _kept(self, shard: int, without: Collection[str]) -> dict[str, Encoded]:
        """What the shard already holds of other videos."""
        if not (self.folder / shard_name(shard)).exists():
            return {}
        store = FeatureStore(self.folder)
        keys = [key for key in store.members().get(shard, []) if key not in without]
        return {
            key: Encoded(np.array(store.features(key)), np.array(store.times(key))) for key in keys
        }


def refuse_other(folder: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise where two fingerprints would give other features; names both sides.

    The name of an encoder says nothing beyond its weights, and a decoder's build is no reason.

    Raises:
        FeatureError: they differ.
    """
    theirs, ours = _flat(there), _flat(here)
    ignored = {"name", "decoder"}
    keys = sorted(key for key in {*theirs, *ours} - ignored if theirs.get(key) != ours.get(key))
    if not keys:
        return
    raise FeatureError(
        f"{folder} holds features of another kind: there {_told(theirs, keys)}; "
        f"here {_told(ours, keys)}",
        hint="the same command with another folder after -o",
    )


def _flat(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    encoder = fingerprint.get("encoder", {})
    rest = {key: value for key, value in fingerprint.items() if key != "encoder"}
    return {**(encoder if isinstance(encoder, Mapping) else {"name": encoder}), **rest}


def _told(side: Mapping[str, Any], keys: Sequence[str]) -> str:
    named = [f"encoder {side.get('name')}"]
    for key in keys:
        value = side.get(key)
        named.append(f"{key} {value if isinstance(value, str) else canonical(value)}")
    return ", ".join(named)
