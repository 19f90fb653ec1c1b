"""A feature store: a folder with the features of many videos, read by memory map.

`store.json` says what made them; each `shard-NNNNN.safetensors` holds some videos. Shards
appear whole, so a store can be read while it grows. Shapes: T frames, D feature width.
"""

import json
import re
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.errors import FeatureError
from vcap.features.shard import (
    KINDS,
    Entry,
    Features,
    Place,
    Times,
    damaged,
    feature_key,
    read_entries,
    shard_bytes,
    times_key,
)

__all__ = [
    "HEADER_NAME",
    "FeatureStore",
    "feature_key",
    "header_bytes",
    "read_fingerprint",
    "shard_bytes",
    "shard_name",
    "times_key",
]

SCHEMA = 1
HEADER_NAME = "store.json"
SHARD_PATTERN = re.compile(r"shard-(\d{5,})\.safetensors")
MAX_OPEN_SHARDS = 192  # each costs a file descriptor; opening one again costs a training time


def shard_name(number: int) -> str:
    """File name of the shard with that number, from 0."""
    return f"shard-{number:05d}.safetensors"


def header_bytes(fingerprint: Mapping[str, Any], width: int) -> bytes:
    """Content of `store.json`: what made the features, and how wide they are."""
    header = {"schema": SCHEMA, "fingerprint": dict(fingerprint), "width": width}
    return (json.dumps(header, indent=2, sort_keys=True) + "\n").encode()


def read_fingerprint(folder: Path) -> dict[str, Any]:
    """What made the features of a store, without a look at its shards.

    Raises:
        FeatureError: the folder is no store.
    """
    return _read_store_json(folder)[0]


class FeatureStore:
    """Features and times of videos by id, in the order in which they were stored.

    Raises:
        FeatureError: the folder is no store, or one of its files is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.fingerprint, self.width = _read_store_json(self.folder)
        self._entries: dict[str, tuple[Path, Entry]] = {}
        self._shards: set[Path] = set()
        self._maps: dict[Path, npt.NDArray[np.uint8]] = {}
        self.refresh()

    def __reduce__(self) -> tuple[type["FeatureStore"], tuple[Path]]:
        """Go to another process as a folder, not as its contents."""
        return FeatureStore, (self.folder,)

    def refresh(self) -> int:
        """Take in the shards that appeared since; returns how many videos they brought."""
        before = len(self)
        for path in _shard_paths(self.folder):
            if path in self._shards:
                continue
            for video_id, entry in read_entries(path, self.width).items():
                if video_id in self._entries:
                    raise damaged(path, f"{video_id!r} is in {self._entries[video_id][0].name} too")
                self._entries[video_id] = (path, entry)
            self._shards.add(path)
        return len(self) - before

    @property
    def ids(self) -> list[str]:
        """The ids of all videos, in the order of shards and of items in them."""
        return list(self._entries)

    def members(self) -> dict[int, list[str]]:
        """The ids in each shard, by the number of the shard."""
        found: dict[int, list[str]] = {}
        for video_id, (path, _) in self._entries.items():
            match = SHARD_PATTERN.fullmatch(path.name)
            found.setdefault(int(match[1]) if match else 0, []).append(video_id)
        return found

    def __len__(self) -> int:
        """How many videos the store holds."""
        return len(self._entries)

    def __contains__(self, video_id: object) -> bool:
        """Whether there are features of this video."""
        return video_id in self._entries

    def __iter__(self) -> Iterator[str]:
        """The ids in order."""
        return iter(self._entries)

    def features(self, video_id: str) -> Features:
        """Features of a video, float16 [T, D], read-only and not copied."""
        path, entry = self._find(video_id)
        array: Features = self._view(path, entry.features, "F16")  # [T, D]
        return array

    def times(self, video_id: str) -> Times:
        """Times of the frames in seconds, float32 [T], read-only and not copied."""
        path, entry = self._find(video_id)
        array: Times = self._view(path, entry.times, "F32")  # [T]
        return array

    def num_frames(self, video_id: str) -> int:
        """T, how many frames of the video have features; reads no data."""
        return self._find(video_id)[1].times.shape[0]

    def _find(self, video_id: str) -> tuple[Path, Entry]:
        try:
            return self._entries[video_id]
        except KeyError:
            raise FeatureError(f"{self.folder}: no features of {video_id!r}") from None

    def _view(self, path: Path, place: Place, kind: str) -> npt.NDArray[Any]:
        """The array as it lies in the mapped file."""
        mapped = self._mapped(path)
        if place.offset + KINDS[kind].itemsize * prod(place.shape) > len(mapped):
            raise damaged(path, "it became shorter while it was in use")
        return np.ndarray(place.shape, KINDS[kind], buffer=mapped, offset=place.offset)

    def _mapped(self, path: Path) -> npt.NDArray[np.uint8]:
        """The bytes of a shard; arrays that were given out outlive the closing of old ones."""
        if path not in self._maps:
            while len(self._maps) >= MAX_OPEN_SHARDS:
                self._maps.pop(next(iter(self._maps)))
            try:
                self._maps[path] = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
            except (OSError, ValueError) as error:
                raise FeatureError(f"{path}: cannot be read ({error})") from error
        return self._maps[path]


def _read_store_json(folder: Path) -> tuple[dict[str, Any], int]:
    """Fingerprint and width of a store."""
    path = folder / HEADER_NAME
    try:
        header = json.loads(path.read_bytes())
        schema, width = header["schema"], header["width"]
        fingerprint = dict(header["fingerprint"])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FeatureError(
            f"{folder}: no feature store here ({HEADER_NAME} is missing)",
            hint=f"vcap encode VIDEOS -o {folder}",
        ) from error
    except OSError as error:
        raise FeatureError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(path, f"{type(error).__name__} {error}") from error
    if schema != SCHEMA:
        raise FeatureError(
            f"{path}: schema {schema} is not known to this version, which has {SCHEMA}"
        )
    if type(width) is not int or width < 1:
        raise damaged(path, f"width {width!r}")
    return fingerprint, width


def _shard_paths(folder: Path) -> list[Path]:
    """The shards in the order of their numbers; files that are still being written are none."""
    numbered = [
        (int(match[1]), path)
        for path in folder.iterdir()
        if (match := SHARD_PATTERN.fullmatch(path.name))
    ]
    return [path for _, path in sorted(numbered)]
