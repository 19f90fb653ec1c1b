"""Frames on their way from a decode worker to the model, a chunk at a time.

A worker decodes the first chunk of a video. What is longer than that is decoded while the model
is busy with the chunk before, so that memory holds a few chunks however long the video is.
Shapes: T frames, H W pixels.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from vcap.errors import VideoError
from vcap.types import Frames

if TYPE_CHECKING:
    from vcap.engine.inputs import Source
    from vcap.video.parts import Cut, Part
    from vcap.video.picture import Pixels, Size
    from vcap.video.sample import Sampler

CHUNK = 64  # frames; a multiple of the encoder's batch, so that no batch is filled up in between
POLL_SECONDS = 0.1

T = TypeVar("T")


@dataclass
class Chunks(Generic[T]):
    """The first chunk of a video, and the others where there are more.

    Attributes:
        first: decoded already.
        rest: decodes as it is read; None where the first is all.
        warnings: one sentence for each kind of damage; complete when all is read.
        again: makes `rest` anew.
    """

    first: T
    rest: Iterator[T] | None = None
    warnings: list[str] = field(default_factory=list)
    again: Callable[[], Iterator[T]] | None = None
    _is_read: bool = False

    def __iter__(self) -> Iterator[T]:
        """All chunks in order; the next is decoded while one is in use.

        Read once more (what used them ran out of memory, say), all after the first are decoded
        again.
        """
        yield self.first
        if self.rest is None:
            return
        rest = self.rest if self.again is None or not self._is_read else self.again()
        self._is_read = True
        yield from ahead(rest)


def start(make: Callable[[Callable[[str], None]], Iterator[T]]) -> Chunks[T]:
    """Decode the first chunk of what `make` gives; it is handed where to put warnings.

    Raises:
        VideoError: nothing decodes.
    """
    warnings: list[str] = []
    chunks = make(warnings.append)
    first = next(chunks, None)
    if first is None:
        raise VideoError("no frame of it is in any segment")
    second = list(islice(chunks, 1))  # most videos end here, and their file is closed at once
    rest = _chained(second, chunks) if second else None
    return Chunks(first, rest, warnings, lambda: islice(make(lambda _: None), 1, None))


def _chained(some: list[T], more: Iterator[T]) -> Iterator[T]:
    while some:
        yield some.pop()
    yield from more


def frame_chunks(
    source: "Source",
    sampler: "Sampler",
    size: "Size | None",
    warn: Callable[[str], None],
    *,
    stream: int | None = None,
    alone: bool = False,
) -> Iterator[Frames]:
    """The wanted frames of a video in chunks of at most `CHUNK`; at least one chunk.

    With `alone`, where no other video is decoded, a large one may use several threads.

    Raises:
        VideoError: no frame decodes.
    """
    from vcap.video.decode import iter_frames

    frames = iter_frames(
        source.path,
        sampler,
        segment=source.segment,
        size=size,
        stream=stream,
        alone=alone,
        on_warning=warn,
    )
    while part := list(islice(frames, CHUNK)):
        yield joined(part)


def joined(part: "list[tuple[float, Pixels]]") -> Frames:
    """Times and pictures as one value."""
    times = np.array([time for time, _ in part], dtype=np.float64)  # [T]
    return Frames(np.stack([pixels for _, pixels in part]), times)


def part_chunks(
    source: "Source",
    sampler: "Sampler",
    cut: "Cut",
    size: "Size | None",
    warn: Callable[[str], None],
    *,
    stream: int | None = None,
    alone: bool = False,
) -> "Iterator[list[Part]]":
    """Segments with their frames, as many at a time as hold `CHUNK` frames or a little more.

    A segment of more frames is spread over several chunks. At least one chunk. For `alone` see
    `frame_chunks`.

    Raises:
        VideoError: no frame decodes.
    """
    from vcap.video.parts import iter_parts

    waiting: list[Part] = []
    held = 0
    parts = iter_parts(
        source.path,
        sampler,
        cut,
        size=size,
        stream=stream,
        most=CHUNK,
        alone=alone,
        on_warning=warn,
    )
    for part in parts:
        waiting.append(part)
        held += len(part[1].times)
        if held >= CHUNK:
            yield waiting
            waiting, held = [], 0
    if waiting:
        yield waiting


def ahead(values: Iterable[T]) -> Iterator[T]:
    """The same values, each made in a thread of its own while the one before is in use."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=1)
    unwanted = threading.Event()

    def put(kind: str, value: Any) -> None:
        while not unwanted.is_set():
            with suppress(queue.Full):
                ready.put((kind, value), timeout=POLL_SECONDS)
                return

    def make() -> None:
        try:
            for value in values:
                put("value", value)
                if unwanted.is_set():
                    return
            put("end", None)
        except BaseException as error:  # raised again where the values are used
            put("error", error)

    threading.Thread(target=make, name="decode ahead", daemon=True).start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        unwanted.set()
