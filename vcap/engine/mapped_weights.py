"""Named arrays of a safetensors file, mapped instead of read, and the digest of them all.

Nothing here needs torch. A digest of weights takes as long as reading them, so it is remembered
in the user's cache folder for a file of this place, size and time.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.engine.files import ensure_folder, write_atomic
from vcap.engine.fingerprint import file_identity, weights_digest
from vcap.engine.number_types import cache_path
from vcap.errors import CheckpointError, OutputError

Arrays = dict[str, npt.NDArray[Any]]
LENGTH_BYTES = 8
DIGESTS_NAME = "weights.json"
BF16 = "BF16"  # has no type in numpy: the upper half of a float32
TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    BF16: "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def map_weights(path: Path) -> Arrays:
    """The arrays of a file, float32 as they lie on the disk, other floats as float32 in memory.

    Raises:
        CheckpointError: it is missing, damaged, or holds a type of number that is not known.
    """
    try:
        whole = np.asarray(np.memmap(path, np.uint8, "r"))  # [bytes]
        start = LENGTH_BYTES + int(whole[:LENGTH_BYTES].view("<u8")[0])
        header = json.loads(whole[LENGTH_BYTES:start].tobytes())
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _array(whole[start:], entry) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _array(data: npt.NDArray[np.uint8], entry: Mapping[str, Any]) -> npt.NDArray[Any]:
    """One array of the data behind the header."""
    kind, shape = np.dtype(TYPES[entry["dtype"]]), tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(data) or end - begin != prod(shape) * kind.itemsize:
        raise ValueError(f"bytes {begin} to {end} cannot hold {[*shape]} of {entry['dtype']}")
    found: npt.NDArray[Any] = data[begin:end].view(kind).reshape(shape)
    if entry["dtype"] == BF16:
        return (found.astype(np.uint32) << 16).view(np.float32)
    return found.astype(np.float32) if kind.kind == "f" and kind.itemsize != 4 else found


def digest_of(path: Path, arrays: Arrays) -> str:
    """What `weights_digest` says of a model with these weights; looked up where it is known."""
    where = cache_path().with_name(DIGESTS_NAME)
    key = str(path.resolve())
    known = _known(where)
    identity = file_identity(path)
    entry = known.get(key)
    if isinstance(entry, dict) and entry.get("file") == identity and entry.get("weights"):
        return str(entry["weights"])
    found = weights_digest(arrays)
    known[key] = {"file": identity, "weights": found}
    with suppress(OutputError):  # what cannot be remembered is computed again
        ensure_folder(where.parent)
        write_atomic(where, (json.dumps(known, indent=2) + "\n").encode())
    return found


def _known(path: Path) -> dict[str, Any]:
    """Digests of earlier runs by the path of the weights."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
