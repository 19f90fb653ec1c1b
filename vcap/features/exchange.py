"""Features in and out as one `.npy` a video, the exchange format of other programs.

A file `videos.jsonl` beside them holds the id and the times of each; without it the id is the
path of the file and the times are a plain grid. Shapes: T frames, D feature width.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.errors import FeatureError
from vcap.features.shard import Item
from vcap.features.store import FeatureStore

LIST_NAME = "videos.jsonl"
UNREADABLE = (  # what reading the head of a damaged array can raise
    *(OSError, ValueError, EOFError, OverflowError, TypeError),
    *(SyntaxError, RecursionError, MemoryError, TokenError),
)


def export_npy(store: FeatureStore, folder: Path, name_of: Callable[[str], str]) -> list[Path]:
    """Write the features of each video to its own float16 [T, D] file.

    Args:
        store: where the features are.
        folder: where the files go; made if absent.
        name_of: a file name without its ending for an id, different for different ids.

    Returns:
        The files, in the order of the store.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    lines: list[str] = []
    for video_id in store:
        paths.append(folder / f"{name_of(video_id)}.npy")
        np.save(paths[-1], store.features(video_id), allow_pickle=False)
        times = store.times(video_id).tolist()
        lines.append(json.dumps({"id": video_id, "file": paths[-1].name, "times": times}) + "\n")
    (folder / LIST_NAME).write_text("".join(lines), encoding="utf-8")
    return paths


def import_npy(folder: Path, *, frames_per_second: float = 1.0) -> Iterator[Item]:
    """Read `.npy` files back: id, features [T, D] and times [T] of each video, as shards take them.

    Args:
        folder: with the files; searched below too where there is no list of them.
        frames_per_second: rate of the frames, where their times are not told.

    Raises:
        FeatureError: there is no such file, or one is damaged or of another shape.
    """
    folder = Path(folder)
    listed = folder / LIST_NAME
    if listed.is_file():
        yield from _listed(folder, listed)
        return
    paths = sorted(folder.rglob("*.npy"))
    if not paths:
        raise FeatureError(f"{folder}: no .npy file in it")
    for path in paths:
        features = _load(path)
        times = np.arange(len(features), dtype=np.float32) / np.float32(frames_per_second)  # [T]
        yield path.relative_to(folder).with_suffix("").as_posix(), features, times


def _listed(folder: Path, listed: Path) -> Iterator[Item]:
    """The files that an export has listed, with their ids and times."""
    for number, line in enumerate(listed.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            video_id, name = str(row["id"]), str(row["file"])
            times = np.array(row["times"], dtype=np.float32)  # [T]
        except (ValueError, KeyError, TypeError) as error:
            raise FeatureError(f"{listed}:{number}: want id, file and times ({error})") from error
        features = _load(folder / name)
        if times.shape != features.shape[:1]:
            raise FeatureError(
                f"{listed}:{number}: {len(times)} times for {len(features)} features of {name}"
            )
        yield video_id, features, times


def _load(path: Path) -> npt.NDArray[Any]:
    """Features of one file as [T, D]; a single vector [D] counts as one frame."""
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")  # never objects, never past the end
    except UNREADABLE as error:
        raise FeatureError(f"{path}: cannot be read as an array ({error})") from error
    if mapped.dtype.kind != "f" or mapped.ndim not in (1, 2):
        raise FeatureError(
            f"{path}: want floats [T, D] or [D], got {mapped.dtype} {[*mapped.shape]}"
        )
    array: npt.NDArray[Any] = np.array(mapped)
    return array[None] if array.ndim == 1 else array  # [T, D]
