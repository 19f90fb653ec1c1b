"""The files of an index: what they are called, what the header says, and what is wrong with them.

`index.json` names the generation that counts: a folder beside it that holds all other files and
never changes once it is named. Replacing `index.json` is therefore the one step that changes an
index, and a reader that has opened a generation keeps it. Shapes: N vectors, P parts (frames or
sentences), V videos, D width.
"""

import json
import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vcap.errors import FeatureError

Kind = Literal["flat", "hnsw", "ivfpq"]
Level = Literal["video", "frame", "text"]

SCHEMA = 1
HEADER_NAME = "index.json"
VECTORS, PARTS, TIMES = "vectors.npy", "parts.npy", "times.npy"
OFFSETS, LABELS, IDS, FAISS = "offsets.npy", "labels.npy", "ids.jsonl", "index.faiss"
NPY_HEADER_BYTES = 128
HALF_EXPONENT = 0x7C00  # of a float16: all bits set where it is no finite number
THOROUGH = {"flat": (), "hnsw": ("ef",), "ivfpq": ("nprobe",)}  # what `search` says of each kind
SHARD, WHOLE = "shard-", ".safetensors"  # how the files of a store begin and end
LARGEST = 2**31 - 1  # that faiss takes


@dataclass(frozen=True)
class Header:
    """What `index.json` says.

    Attributes:
        generation: folder of the files.
        kind, factory: how vectors are searched: our word, and that of faiss.
        level: what a vector stands for.
        aggregation: `mean`, or the model that made one vector of the frames of a video.
        width: D.
        part_width: the width of frames, another than D where a model made the vectors.
        num_videos, num_vectors, num_parts: V, N, P.
        num_labels: how many vectors were ever put into `index.faiss`.
        search: how thoroughly it is searched: `nprobe` or `ef`, and `rerank`.
        recall: `recall@10` measured on a `sample` of vectors against exact search.
        fingerprint: what made the features, as the store says it.
        stores: folders of the stores that the vectors come from.
        wanted: kind and recall as they were asked for.
        shards: `shards_of` each store when the index followed it; before there were such, none.
        sizes: bytes of each file.
    """

    generation: str
    kind: Kind
    factory: str
    level: Level
    aggregation: str
    width: int
    part_width: int
    num_videos: int
    num_vectors: int
    num_parts: int
    num_labels: int
    search: dict[str, int]
    recall: dict[str, float]
    fingerprint: dict[str, Any]
    stores: list[str]
    wanted: dict[str, Any]
    sizes: dict[str, int] = field(default_factory=dict)
    metric: str = "cosine"
    shards: dict[str, list[int]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The content of `index.json`."""
        text = json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2, sort_keys=True)
        return f"{text}\n".encode()


def read_header(folder: Path) -> Header:
    """The header of an index.

    Raises:
        FeatureError: there is no index, it is damaged, or of another version.
    """
    path = folder / HEADER_NAME
    try:
        said = json.loads(path.read_bytes())
        schema = said.pop("schema")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FeatureError(
            f"{folder}: no index here ({HEADER_NAME} is missing)",
            hint=f"vcap index STORE -o {shlex.quote(str(folder))}",
        ) from error
    except OSError as error:
        raise FeatureError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(path, f"{type(error).__name__} {error}") from error
    if schema != SCHEMA:
        raise FeatureError(
            f"{path}: schema {schema} is not known to this version, which has {SCHEMA}"
        )
    return _checked(path, {"shards": {}, **said})


def _checked(path: Path, said: dict[str, Any]) -> Header:
    """The header, each value of the type that it must have."""
    wrong = [
        own.name
        for own in fields(Header)
        if type(said.get(own.name)) is not _plain_type(own.type)
        or (own.type is int and said[own.name] < 0)
    ]
    if wrong or set(said) - {own.name for own in fields(Header)}:
        raise damaged(path, f"wrong fields: {', '.join(wrong) or 'some are not known'}")
    if Path(said["generation"]).name != said["generation"] or said["width"] < 1:
        raise damaged(path, f"generation {said['generation']!r}, width {said['width']}")
    if said["kind"] not in THOROUGH or said["level"] not in Level.__args__:  # type: ignore[attr-defined]
        raise damaged(path, f"kind {said['kind']!r}, level {said['level']!r}")
    header = Header(**said)
    odd = [name for name, is_good in _inside(header) if not is_good]
    if odd:
        raise damaged(path, "; ".join(f"{name} {said[name]!r}"[:200] for name in odd))
    return header


def _inside(header: Header) -> list[tuple[str, bool]]:
    """Whether what is inside of each field makes sense, beside the others."""
    way, wanted, recall = header.search, header.wanted, header.recall
    rows = header.num_videos if header.level == "video" else header.num_parts
    return [
        ("num_vectors", header.num_vectors == rows <= header.num_parts),
        ("num_labels", header.num_vectors <= header.num_labels < 2**62),
        ("search", set(way) - {"rerank"} == {*THOROUGH[header.kind]}),
        ("search", all(_is_count(value, LARGEST) and value > 0 for value in way.values())),
        ("recall", _is_part(recall.get("recall@10"))),
        ("wanted", wanted.get("kind") in ("auto", *THOROUGH) and _is_part(wanted.get("recall"))),
        ("stores", all(isinstance(store, str) for store in header.stores)),
        ("shards", all(map(_is_state, header.shards.values()))),
        ("sizes", all(_is_count(size, 2**62) for size in header.sizes.values())),
        ("sizes", all(Path(name).name == name for name in header.sizes)),
        ("metric", header.metric == "cosine"),
        ("fingerprint", isinstance(header.fingerprint.get("encoder", ""), str | Mapping)),
    ]


def _is_count(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_state(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(one) is int for one in value)


def _is_part(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _plain_type(declared: Any) -> type:
    origin = getattr(declared, "__origin__", declared)
    return origin if isinstance(origin, type) else str  # the rest are words to choose from


def shards_of(store: Path | str, until: float = math.inf) -> list[int]:
    """What changes whenever a store does: number of shards, their bytes, the newest's time (ns).

    Args:
        store: its folder.
        until: leave out shards that are newer.

    Raises:
        OSError: the store cannot be read.
    """
    with os.scandir(store) as entries:
        names = (one for one in entries if one.name.startswith(SHARD) and one.name.endswith(WHOLE))
        shards = [stat for one in names if (stat := one.stat()).st_mtime_ns <= until]
    newest = max((shard.st_mtime_ns for shard in shards), default=0)
    return [len(shards), sum(shard.st_size for shard in shards), newest]


def only_grew(store: Path | str, known: list[int]) -> bool:
    """Whether a store of which `shards_of` is known has the same shards still, and perhaps more."""
    return shards_of(store, known[-1]) == known


def check_sizes(folder: Path, header: Header) -> None:
    """Make sure that every file of the generation is there in full.

    Raises:
        FileNotFoundError: one is absent.
        FeatureError: one is shorter or longer than it was written.
    """
    for name, size in header.sizes.items():
        path = folder / header.generation / name
        found = path.stat().st_size
        if found != size:
            raise damaged(path, f"it has {found} bytes and was written with {size}")


def load_array(path: Path, kind: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """An array as it lies in its file, memory-mapped.

    Raises:
        FeatureError: the file holds another one.
    """
    try:
        with path.open("rb") as file:
            head = file.read(NPY_HEADER_BYTES)
        if head != npy_header(np.dtype(kind).str, shape):
            raise ValueError(f"it does not begin as {np.dtype(kind)} {[*shape]} does")
        if 0 in shape:
            return np.empty(shape, kind)
        array = np.memmap(path, kind, "r", NPY_HEADER_BYTES, shape)
    except ValueError as error:  # too short, too
        raise damaged(path, str(error)) from error
    plain: npt.NDArray[Any] = np.asarray(array)  # indexing a memmap takes several times as long
    return plain


def refuse_fall(path: Path, numbers: npt.NDArray[np.int64], end: int) -> None:
    """Make sure that numbers rise from 0 on, and not past an end.

    Raises:
        FeatureError: they do not.
    """
    if len(numbers) and not (numbers[0] >= 0 and numbers[-1] <= end):
        raise damaged(path, f"it goes from {numbers[0]} to {numbers[-1]}, not from 0 to {end}")
    if not (numbers[1:] > numbers[:-1]).all():
        raise damaged(path, "its numbers do not rise")


def is_finite(numbers: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Which numbers are finite; of float16, whose bits are looked at, ten times as fast."""
    if numbers.dtype != np.float16:
        return np.asarray(np.isfinite(numbers))
    exponents = numbers.view(np.uint16) & HALF_EXPONENT
    return np.asarray(exponents != HALF_EXPONENT)


def plain_record(record: Any) -> bool:
    """Whether what all commands read of a video's record is of the types that it must have."""
    if not isinstance(record, dict):
        return False
    segment, captions = record.get("segment"), record.get("captions")
    return (
        isinstance(record.get("path", ""), str)
        and (segment is None or _is_segment(segment))
        and (record.get("duration") is None or _is_finite(record["duration"]))
        and (captions is None or isinstance(captions, list))
        and all(isinstance(caption, dict) for caption in captions or ())
    )


def _is_segment(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_finite, value))


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def npy_header(kind: str, shape: tuple[int, ...]) -> bytes:
    """The first 128 bytes of a `.npy`, whatever the shape, so that it can be put in at the end."""
    text = repr({"descr": kind, "fortran_order": False, "shape": shape})
    length = NPY_HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + f"{text:<{length - 1}}\n".encode()


def damaged(path: Path, reason: str) -> FeatureError:
    """The error for a file of an index that cannot be what was written."""
    folder = path.parent if path.name == HEADER_NAME else path.parent.parent
    return FeatureError(
        f"{path}: this file of the index is damaged: {reason}",
        hint=f"vcap index STORE -o {shlex.quote(str(folder))} --force",
    )
