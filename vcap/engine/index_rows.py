"""Blocks of an index: from the features of a store, or from the index that there was.

Shapes: T frames or sentences of one video, D width, N vectors.
"""

import hashlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.engine.fingerprint import differences, refuse_other_encoder
from vcap.engine.index_write import Block
from vcap.engine.store_records import stored_records
from vcap.errors import FeatureError
from vcap.features.index import Index, id_start
from vcap.features.index_files import Level, is_finite, shards_of
from vcap.features.index_search import Scores, unit
from vcap.features.store import HEADER_NAME as STORE_HEADER
from vcap.features.store import FeatureStore

BLOCK_VIDEOS = 512
GRID_PARTS = 10  # of a feature of kind `grid`, the first of which is the embedding
TEXT_SAMPLER = "text"
FRAMES = ("sampler", "pixels")  # of a fingerprint: which frames, and how they are resized

Aggregate = Callable[[Sequence[npt.NDArray[np.float16]]], Scores]


class StoreRows:
    """The features of a store as an index wants them."""

    def __init__(self, folder: Path, level: Level, aggregate: Aggregate | None) -> None:
        """Open a store.

        Args:
            folder: of the store.
            level: what a vector stands for.
            aggregate: makes one vector of the frames [T, D] of each video; None at other levels.

        Raises:
            FeatureError: there is no store, or it is damaged.
        """
        self.folder = str(folder.resolve())
        self.shards = shards_of(folder) if is_store(folder) else []  # before they are looked into
        self.store = FeatureStore(folder)
        self.records = stored_records(folder)
        self._level = level
        self._aggregate = aggregate
        self._is_grid = encoder_of(self.store.fingerprint).get("features") == "grid"
        self.width = self.store.width // (GRID_PARTS if self._is_grid else 1)

    def beside(self, folder: Path) -> "StoreRows":
        """Another store, read in the same way."""
        return StoreRows(folder, self._level, self._aggregate)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What made the features; of those of kind `grid` an index takes the embeddings."""
        known = self.store.fingerprint
        if not self._is_grid:
            return known
        return {**known, "encoder": {**encoder_of(known), "features": "embedding"}}

    @cached_property
    def ids(self) -> list[str]:
        """The videos that have frames."""
        return [video_id for video_id in self.store if self.store.num_frames(video_id)]

    def features(self, video_id: str) -> npt.NDArray[np.float16]:
        """The embeddings [T, D] of a video."""
        return self.store.features(video_id)[:, : self.width]  # [T, D]

    def digest(self, video_id: str) -> str:
        """Digest of all that the store holds of a video."""
        total = hashlib.blake2b(self.features(video_id).tobytes(), digest_size=8)
        total.update(self.store.times(video_id).tobytes())
        return total.hexdigest()

    def line(self, video_id: str, digest: str) -> bytes:
        """The line of `ids.jsonl` about a video."""
        rest = {"digest": digest, "store": self.folder, "record": self.records.get(video_id, {})}
        return id_start(video_id) + json.dumps(rest)[1:].encode() + b"\n"

    def blocks(self, ids: Sequence[str]) -> Iterator[Block]:
        """These videos, in their order."""
        for start in range(0, len(ids), BLOCK_VIDEOS):
            yield self._block(ids[start : start + BLOCK_VIDEOS])

    def _block(self, ids: Sequence[str]) -> Block:
        own = [self.features(video_id) for video_id in ids]
        lines = [self.line(video_id, self.digest(video_id)) for video_id in ids]
        counts = np.array([len(rows) for rows in own], dtype=np.int64)
        times = np.concatenate([self.store.times(video_id) for video_id in ids])  # [P]
        parts = np.concatenate(own)  # [P, D]
        for numbers in (parts, times):
            self._refuse_odd(is_finite(numbers), ids, counts)
        if self._aggregate is None:
            return Block(lines, counts, unit(parts), times, None)
        return Block(lines, counts, unit(self._aggregate(own)), times, parts)

    def _refuse_odd(
        self, is_good: npt.NDArray[np.bool_], ids: Sequence[str], counts: npt.NDArray[np.int64]
    ) -> None:
        """Refuse numbers [P, ...] that are not finite: they spoil every search."""
        if is_good.all():
            return
        first = int(np.argwhere(~is_good)[0, 0])
        video_id = ids[int(np.searchsorted(np.cumsum(counts), first, side="right"))]
        raise FeatureError(
            f"{self.folder}: features or times of {video_id!r} are not finite numbers",
            hint=f"vcap encode VIDEOS -o {shlex.quote(self.folder)} --force",
        )


def kept_blocks(
    old: Index, keep: npt.NDArray[np.bool_], lines: Mapping[int, bytes]
) -> Iterator[Block]:
    """The videos [V] of an index that are kept; `lines` replaces what is known of some."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]]).astype(np.int8)))
    for first, last in edges.reshape(-1, 2).tolist():
        for start in range(first, last, BLOCK_VIDEOS):
            yield _kept(old, start, min(last, start + BLOCK_VIDEOS), lines)


def _kept(old: Index, first: int, last: int, lines: Mapping[int, bytes]) -> Block:
    ends = old.offsets[first : last + 1]
    parts = slice(int(ends[0]), int(ends[-1]))
    is_video = old.level == "video"
    return Block(
        [lines.get(number) or old.line_bytes(number) for number in range(first, last)],
        np.diff(ends),
        old.vectors[first:last] if is_video else old.vectors[parts],
        old.times[parts],
        old.parts[parts] if is_video else None,
    )


def kept_rows(old: Index, keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which vectors [N] of an index are kept, from which of its videos [V] are."""
    return keep if old.level == "video" else np.repeat(keep, np.diff(old.offsets))


def is_store(folder: Path | str) -> bool:
    """Whether a folder is a feature store."""
    return (Path(folder) / STORE_HEADER).is_file()


def mean_vectors(features: Sequence[npt.NDArray[np.float16]]) -> Scores:
    """One vector a video [N, D]: the mean of its frames, each of length 1."""
    return np.stack([unit(rows).mean(axis=0) for rows in features])  # [N, D]


def encoder_of(fingerprint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The encoder's part of a fingerprint."""
    encoder = fingerprint.get("encoder", {})
    return encoder if isinstance(encoder, Mapping) else {"name": encoder}


def refuse_other_features(
    found: Mapping[str, Any], wanted: Mapping[str, Any], where: object, reader: str
) -> None:
    """Refuse features of another encoder, or of frames that were chosen otherwise.

    Args:
        found: the fingerprint of a store.
        wanted: the one that it must be like.
        where: the store.
        reader: what has the other fingerprint: `the index x has`.

    Raises:
        FeatureError: they differ; both are named.
    """
    refuse_other_encoder(encoder_of(found), encoder_of(wanted), where, reader)
    ours, theirs = ({key: one[key] for key in FRAMES if key in one} for one in (found, wanted))
    if unlike := differences(ours, theirs):
        raise FeatureError(
            f"{where} holds features of other frames than {reader}: {'; '.join(unlike)}",
            hint=f"vcap encode VIDEOS -o STORE --sampler {shlex.quote(str(theirs.get('sampler')))}",
        )


def level_of(store: FeatureStore, wanted: Level | None) -> Level:
    """The level that a store has, or the one that is wanted.

    Raises:
        FeatureError: the store has no such level.
    """
    has_texts = store.fingerprint.get("sampler") == TEXT_SAMPLER
    if wanted is None:
        return "text" if has_texts else "video"
    if has_texts != (wanted == "text"):
        what = "texts" if has_texts else "videos"
        raise FeatureError(
            f"{store.folder} holds features of {what}, which have no level {wanted}",
            hint="--level text" if has_texts else "--level video",
        )
    return wanted
