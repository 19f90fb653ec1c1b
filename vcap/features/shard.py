"""One file of a feature store: safetensors, written byte for byte alike, read by memory map.

The file is the safetensors format (length, JSON header, data), with all times before all
features so that both lie aligned. The metadata lists the ids in the order of the items.
Shapes: T frames, D feature width.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.errors import FeatureError

LENGTH_BYTES = 8
ALIGNMENT = 8
LARGEST_HEADER = 100_000_000  # what the format allows
KINDS: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}

Features = npt.NDArray[np.float16]
Times = npt.NDArray[np.float32]
Item = tuple[str, npt.NDArray[Any], npt.NDArray[Any]]


@dataclass(frozen=True)
class Place:
    """Where an array lies in a shard: from which byte of the file, and in what shape."""

    offset: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """Where the features [T, D] and the times [T] of one video lie."""

    features: Place
    times: Place


def feature_key(video_id: str) -> str:
    """Key of the features of an id; different ids have different keys."""
    return "f:" + _escaped(video_id)


def times_key(video_id: str) -> str:
    """Key of the times of an id; no id has a feature key like it."""
    return "t:" + _escaped(video_id)


def _escaped(video_id: str) -> str:
    """Ids from file names may hold bytes that are no text; backslashes keep this injective."""
    return video_id.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode()


def shard_bytes(items: Sequence[Item]) -> bytes:
    """The whole file that holds these items; the same items give the same bytes.

    Args:
        items: id, features [T, D] and times [T] in seconds of each video.

    Raises:
        FeatureError: a feature is not finite as float16.
        ValueError: shapes do not fit together, or an id comes twice.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for video_id, _, times in items:
        arrays[times_key(video_id)] = np.ascontiguousarray(times, dtype=KINDS["F32"])  # [T]
    for video_id, features, times in items:
        arrays[feature_key(video_id)] = _checked(video_id, features, times)  # [T, D]
    if len(arrays) != 2 * len(items):
        raise ValueError("an id comes twice in one shard")
    header: dict[str, Any] = {"__metadata__": {"ids": json.dumps([item[0] for item in items])}}
    start = 0
    for key, array in arrays.items():
        end = start + array.nbytes
        kind = "F16" if array.dtype == KINDS["F16"] else "F32"
        header[key] = {"dtype": kind, "shape": [*array.shape], "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    length = len(text).to_bytes(LENGTH_BYTES, "little")
    return b"".join([length, text, *(array.tobytes() for array in arrays.values())])


def _checked(video_id: str, features: npt.NDArray[Any], times: npt.NDArray[Any]) -> Features:
    """The features as float16 [T, D], or an error that says what is wrong with them."""
    if features.ndim != 2 or times.shape != features.shape[:1]:
        raise ValueError(
            f"{video_id}: want [T, D] and [T], got {[*features.shape]} and {[*times.shape]}"
        )
    with np.errstate(over="ignore"):
        small: Features = np.ascontiguousarray(features, dtype=KINDS["F16"])  # [T, D]
    if not np.isfinite(small).all():
        raise FeatureError(f"{video_id}: its features are not finite, or too large for float16")
    return small


def read_entries(path: Path, width: int) -> dict[str, Entry]:
    """Where each video of a shard lies, by its id in the order of the items.

    Raises:
        FeatureError: the file is missing, damaged, or of another width.
    """
    header, start, size = _read_header(path)
    try:
        ids = json.loads(header.pop("__metadata__")["ids"])
        entries: dict[str, Entry] = {}
        used = 0
        for video_id in ids:
            features = _place(header.pop(feature_key(video_id)), "F16", start, size)
            times = _place(header.pop(times_key(video_id)), "F32", start, size)
            if len(features.shape) != 2 or times.shape != features.shape[:1]:
                raise ValueError(f"features and times of {video_id!r} differ in length")
            if features.shape[1] != width:
                raise ValueError(f"width {features.shape[1]} in a store of width {width}")
            entries[video_id] = Entry(features, times)
            used += 2 * math.prod(features.shape) + 4 * math.prod(times.shape)
        if header or used != size - start:
            raise ValueError(f"{size - start} bytes of data where the header has {used}")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise damaged(path, str(error)) from error
    return entries


def _read_header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The JSON header, where the data begin, and the size of the file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            if size < LENGTH_BYTES or length > min(size - LENGTH_BYTES, LARGEST_HEADER):
                raise damaged(path, "it is cut short")
            header = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise damaged(path, "its header is not JSON") from error
    except OSError as error:
        raise FeatureError(f"{path}: cannot be read ({error.strerror})") from error
    if not isinstance(header, dict):
        raise damaged(path, "its header is no object")
    return header, LENGTH_BYTES + length, size


def _place(tensor: dict[str, Any], kind: str, start: int, size: int) -> Place:
    """Where one tensor lies, every number of it checked against the size of the file."""
    shape, (begin, end) = tensor["shape"], tensor["data_offsets"]
    numbers = [*shape, begin, end]
    if tensor["dtype"] != kind or not all(type(number) is int for number in numbers):
        raise ValueError(f"want {kind} and whole numbers, got {tensor}")
    if min(numbers) < 0 or end > size - start:
        raise ValueError(f"data from {begin} to {end} lie outside the file")
    if end - begin != math.prod(shape) * KINDS[kind].itemsize:
        raise ValueError(f"shape {shape} does not fill {end - begin} bytes")
    return Place(start + begin, tuple(shape))


def damaged(path: Path, reason: str) -> FeatureError:
    """The error for a file of a store that cannot be what was written."""
    return FeatureError(
        f"{path}: this file of the feature store is damaged: {reason}",
        hint=f"mv {path.parent} {path.parent}.damaged  # then encode the videos again",
    )
