"""Decoded pictures on disk: one mapped file a kind, whole or not there at all.

What a cache holds is told by a small file that is written last; it is named by a digest of all that
decides the pictures, so that a changed video, sampler or size has files of its own.
Shapes: F frames of all videos, T of one, H W pixels, C colours.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from vcap.engine.decode_threads import POLL_SECONDS
from vcap.engine.files import ensure_folder, replacing, sweep, write_atomic
from vcap.engine.lock import FolderInUse, hold
from vcap.engine.run import Run
from vcap.errors import VideoError

SUBFOLDER = "pictures"  # of the cache; what else is kept there has no lock

Shape = tuple[int, int, int]
Decoded = Mapping[str, npt.NDArray[np.uint8]]  # [T, H, W, C] by kind


@dataclass(frozen=True)
class Warned:
    """Pictures of a video by kind, when its frames are [T], and what was wrong with it."""

    pictures: Decoded
    warnings: tuple[str, ...] = ()
    times: tuple[float, ...] = ()


Outcome = Warned | str  # or why there are no pictures
Decode = Callable[[Sequence[int]], Iterator[Outcome]]


class _Header(BaseModel):
    """What the file beside the pictures says.

    Attributes:
        counts: frames of each video; 0 where it does not decode.
        failures: why not, by the number of the video.
        times: when the frames of each video are, in seconds.
    """

    model_config = ConfigDict(extra="forbid")

    counts: list[int]
    times: list[list[float]]
    failures: dict[int, str]


class PictureCache:
    """Pictures of many videos, mapped.

    Attributes:
        failures: why a video has none, by its number.
    """

    def __init__(self, files: Mapping[str, npt.NDArray[np.uint8]], header: _Header) -> None:
        self.failures = header.failures
        self._times = header.times
        self._files = files
        self._ends = np.cumsum(header.counts).tolist()
        self._starts = [end - count for end, count in zip(self._ends, header.counts, strict=True)]

    def expect(self, videos: Sequence[int]) -> None:
        """All is there already."""

    def times(self, video: int) -> Sequence[float]:
        """When the frames of a video are, in seconds."""
        return self._times[video]

    def close(self) -> None:
        """Nothing is at work."""

    def get(self, videos: Sequence[int]) -> list[Decoded]:
        """Pictures of each video, not copied."""
        return [
            {name: file[self._starts[v] : self._ends[v]] for name, file in self._files.items()}
            for v in videos
        ]


def open_cache(
    folder: Path, key: str, shapes: Mapping[str, Shape], num_videos: int, decode: Decode, run: Run
) -> PictureCache:
    """The pictures that the cache holds under a key, decoded first where it holds none.

    Videos that failed are tried again, as a disk may have been away. Of several processes that
    want the same one decodes and the others wait.

    Args:
        decode: gives the outcome for each of some videos, in their order.

    Raises:
        VideoError: no video decodes.
        OutputError: the folder cannot be written.
        KeyboardInterrupt: a stop was requested.
    """
    place = _Place(ensure_folder(folder / SUBFOLDER), key, shapes, num_videos)
    found = place.load()
    if found is None or _some_decodes(found, decode):
        with _held(place.folder, run):
            again = place.load()  # another process may have been first
            if again is None or (found is not None and again.failures == found.failures):
                place.fill(decode)
            found = place.load()
    if found is None:
        raise VideoError(f"{place.folder}: the pictures were changed while they were written")
    return found


def _some_decodes(found: PictureCache, decode: Decode) -> bool:
    return any(not isinstance(one, str) for one in decode(list(found.failures)))


@contextmanager
def _held(folder: Path, run: Run) -> Iterator[None]:
    """The lock of the folder, waited for."""
    told = False
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(hold(folder))
                break
            except FolderInUse as error:
                if not told:
                    run.reporter.info(f"{error}; waiting for it to end")
                    told = True
                if run.stop.requested:
                    raise KeyboardInterrupt from None
                time.sleep(POLL_SECONDS)
        sweep(folder)
        yield


@dataclass(frozen=True)
class _Place:
    """Where the pictures of one key lie."""

    folder: Path
    key: str
    shapes: Mapping[str, Shape]
    num_videos: int

    @property
    def header_path(self) -> Path:
        """Written last: without it nothing is there."""
        return self.folder / f"{self.key}.json"

    def path(self, kind: str) -> Path:
        """The pictures of one kind."""
        return self.folder / f"{self.key}-{kind}.u8"

    def load(self) -> PictureCache | None:
        """What is there, if it is whole."""
        try:
            header = _Header.model_validate_json(self.header_path.read_bytes())
            sizes = {kind: self.path(kind).stat().st_size for kind in self.shapes}
        except (OSError, ValidationError):
            return None
        num_frames = sum(header.counts)
        whole = {kind: num_frames * int(np.prod(shape)) for kind, shape in self.shapes.items()}
        if sizes != whole or not len(header.counts) == len(header.times) == self.num_videos:
            return None
        files = {
            kind: np.memmap(self.path(kind), np.uint8, "r", shape=(num_frames, *shape))
            for kind, shape in self.shapes.items()
        }
        return PictureCache(files, header)

    def fill(self, decode: Decode) -> None:
        """Decode all videos; what was there before gives way at the end."""
        counts: list[int] = []
        times: list[Sequence[float]] = []
        failures: dict[int, str] = {}
        with ExitStack() as stack:
            streams: dict[str, BinaryIO] = {}
            for kind in self.shapes:
                part = stack.enter_context(replacing(self.path(kind)))
                streams[kind] = stack.enter_context(part.open("wb"))
            for number, outcome in enumerate(decode(range(self.num_videos))):
                if isinstance(outcome, str):
                    failures[number] = outcome
                    counts.append(0)
                    times.append(())
                    continue
                times.append(outcome.times)
                counts.append(_append(streams, outcome.pictures))
            if not any(counts):
                raise VideoError(nothing_decodes(failures))
            self.header_path.unlink(missing_ok=True)  # of files that give way now
        header: dict[str, Any] = {"counts": counts, "failures": failures, "times": times}
        write_atomic(self.header_path, json.dumps(header).encode())


def _append(streams: Mapping[str, BinaryIO], pictures: Decoded) -> int:
    """Write the pictures of one video; gives how many frames it has."""
    for kind, stream in streams.items():
        stream.write(np.ascontiguousarray(pictures[kind]).data)
    return len(next(iter(pictures.values())))


def nothing_decodes(failures: Mapping[int, str]) -> str:
    """What to say where nothing is left."""
    return f"none of {len(failures)} videos decodes; the first: {failures[min(failures)]}"
