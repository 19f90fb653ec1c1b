"""Small stores and indexes for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vcap.engine.files import ensure_folder, write_atomic
from vcap.engine.index import index
from vcap.engine.outputs import Item
from vcap.engine.store_records import keep_records
from vcap.features.index import Index
from vcap.features.shard import shard_bytes
from vcap.features.store import HEADER_NAME, header_bytes, shard_name

WIDTH = 16
ENCODER = {"name": "toy", "weights": "0123", "features": "embedding"}


def features_of(number: int, num_frames: int = 3, width: int = WIDTH) -> Any:
    """Features [T, D] that only depend on the number."""
    return np.random.default_rng(number).standard_normal((num_frames, width)).astype(np.float16)


def make_store(
    folder: Path,
    ids: Sequence[str],
    *,
    first: int = 0,
    shard: int = 0,
    records: bool = True,
    num_frames: int = 3,
    width: int = WIDTH,
    **fingerprint: Any,
) -> Path:
    """A store in which video n has the features of `first` + n; another shard adds to it."""
    made_by = {"encoder": ENCODER, "sampler": "fps 1", "decoder": "toy", **fingerprint}
    write_atomic(ensure_folder(folder) / HEADER_NAME, header_bytes(made_by, width))
    times = np.arange(num_frames, dtype=np.float32)
    items = [(key, features_of(first + n, num_frames, width), times) for n, key in enumerate(ids)]
    write_atomic(folder / shard_name(shard), shard_bytes(items))
    if records:
        keep_records(folder, [Item(key, [f"a sentence about {key}"]) for key in ids])
    return folder


def make_index(folder: Path, ids: Sequence[str] = ("a", "b", "c", "d"), **options: Any) -> Index:
    """An index in `folder` / `index` of a store beside it."""
    store = make_store(folder / "store", ids)
    index([store], folder / "index", **options)
    return Index.open(folder / "index")
