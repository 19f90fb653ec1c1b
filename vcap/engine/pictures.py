"""Pictures of the videos that a training run sees: decoded as they are needed, or once and mapped.

Shapes: V videos, B batch, N candidate frames, T frames, H W pixels, C colours.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from vcap.engine.decode_threads import DecodeThreads
from vcap.engine.fingerprint import digest, file_identity
from vcap.engine.picture_cache import (
    Decoded,
    Outcome,
    Shape,
    Warned,
    nothing_decodes,
    open_cache,
)
from vcap.engine.run import Run
from vcap.engine.training_data import Example, Indices
from vcap.errors import AnnotationError, InputError, VideoError
from vcap.video.picture import Size
from vcap.video.pictures import Look, as_look, read_pictures
from vcap.video.sample import Sampler

VERSION = 2  # of what is in a cache
KEEP_BYTES = 2**30  # of decoded pictures that stay in memory where there is no cache
MOST_NAMED = 20  # videos whose failure is told in a line of its own

Failures = Mapping[int, str]
T = TypeVar("T")


class PictureBatch(NamedTuple):
    """Pictures of some videos.

    Attributes:
        pictures: [B, N, H, W, C] uint8 by kind; zeros where the mask is False.
        mask: [B, N] bool, True where a frame is real; at least one of each video is.
    """

    pictures: dict[str, Tensor]
    mask: Tensor


@dataclass(frozen=True)
class Decoding:
    """How a video becomes pictures; more frames than `num_frames` are thinned out evenly."""

    sampler: Sampler
    num_frames: int
    kinds: Mapping[str, Look]

    def decode(self, example: Example) -> Outcome:
        """Pictures of each kind, and what was wrong with the video; or why there are none."""
        warnings: list[str] = []
        looks = list(self.kinds.values())
        try:
            pictures, times = read_pictures(
                example.path,
                self.sampler,
                looks,
                segment=example.segment,
                most=self.num_frames,
                on_warning=warnings.append,
            )
        except (VideoError, AnnotationError) as error:
            return str(error)
        own = dict(zip(self.kinds, pictures, strict=True))
        return Warned(own, tuple(warnings), tuple(times.tolist()))

    def probe(self, example: Example) -> str | None:
        """Why the video gives no pictures; None where its first one decodes, and so all will."""
        try:
            read_pictures(
                example.path,
                self.sampler,
                list(self.kinds.values())[:1],
                segment=example.segment,
                most=1,
            )
        except (VideoError, AnnotationError) as error:
            return str(error)
        return None


class _Source(Protocol):
    """Where the pictures of distinct videos come from."""

    def expect(self, videos: Sequence[int]) -> None:
        """Hear which will be asked for next."""
        ...

    def get(self, videos: Sequence[int]) -> list[Decoded]:
        """Pictures of each kind [T, H, W, C] for each video."""
        ...

    def times(self, video: int) -> Sequence[float]:
        """When the frames of a video are, once its pictures were asked for."""
        ...

    def close(self) -> None:
        """Let go of threads."""
        ...


class PictureTable:
    """Pictures of the candidate frames of many videos.

    Videos that do not decode are named before any work and left out. Which thread decodes what
    has no influence on any byte.

    Attributes:
        examples: those that are left, in their order; rows count these.
        kept: [V] places of `examples` among those that were given.
        shapes: H, W, C of each kind.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        sampler: Sampler,
        num_frames: int,
        kinds: Mapping[str, Size | Look],
        cache: str | None,
        run: Run,
    ) -> None:
        """Find out which videos decode; with a cache, decode all that it does not hold.

        Args:
            examples: of one split, say; several may be about one video or segment.
            num_frames: N, at most so many frames of each video, evenly from its first on.
            kinds: by name, sizes that are the same for every video.
            cache: folder that keeps the pictures between runs; None decodes them when asked.

        Raises:
            VideoError: none of the videos decodes.
            InputError: there are no examples.
            OutputError: the cache cannot be written.
            KeyboardInterrupt: a stop was requested.
        """
        if not examples:
            raise InputError("no videos to decode")
        self.num_frames = num_frames
        looks = {name: as_look(size) for name, size in kinds.items()}
        self.shapes = {name: _fixed(name, look) for name, look in looks.items()}
        videos, video_of = _distinct(examples)
        decoding = Decoding(sampler, num_frames, looks)
        self._source, failures = _opened(_Decoder(videos, decoding, run), self.shapes, cache)
        _tell_left_out(videos, failures, run)
        kept = [row for row, video in enumerate(video_of) if video not in failures]
        self.kept = np.array(kept, dtype=np.int64)
        self.examples = [examples[row] for row in kept]
        self._videos = np.array(video_of, dtype=np.int64)[self.kept]  # [V]

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.examples)

    def __enter__(self) -> Self:
        """Be closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End the threads; nothing more can be gathered."""
        self._source.close()

    def expect(self, rows: Indices) -> None:
        """Decode in the background what will be gathered next; what was expected is forgotten."""
        self._source.expect(self._videos[rows].tolist())

    def gather(self, rows: Indices) -> PictureBatch:
        """Rows [B] -> their pictures and mask.

        Raises:
            VideoError: a video that decoded at first does not any more.
        """
        found = self._source.get(self._videos[rows].tolist())
        mask = np.zeros((len(found), self.num_frames), np.bool_)  # [B, N]
        pictures = {}
        for kind, shape in self.shapes.items():
            batch = np.zeros((*mask.shape, *shape), np.uint8)  # [B, N, H, W, C]
            for row, own in enumerate(found):
                batch[row, : len(own[kind])] = own[kind]
                mask[row, : len(own[kind])] = True
            pictures[kind] = torch.from_numpy(batch)
        return PictureBatch(pictures, torch.from_numpy(mask))

    def times(self, row: int) -> Sequence[float]:
        """When the frames of a video are, in seconds, once its pictures were gathered."""
        return self._source.times(int(self._videos[row]))


def _fixed(kind: str, look: Look) -> Shape:
    if look.shape is None:
        raise ValueError(f"{kind}: want a size that is the same for every video, got {look}")
    return look.shape


def _distinct(examples: Sequence[Example]) -> tuple[list[Example], list[int]]:
    """One example for each video or segment, and for each example the number of its own."""
    numbers: dict[object, int] = {}
    videos: list[Example] = []
    video_of = []
    for one in examples:
        name = one.record.id if one.record.path is None else one.folder / one.record.path
        number = numbers.setdefault((str(name), one.segment), len(videos))
        if number == len(videos):
            videos.append(one)
        video_of.append(number)
    return videos, video_of


class _Decoder:
    """Threads that decode some videos."""

    def __init__(self, videos: Sequence[Example], decoding: Decoding, run: Run) -> None:
        self.videos = videos
        self.decoding = decoding
        self.run = run
        self.threads = DecodeThreads(os.cpu_count() or 1)

    def key(self) -> str:
        """Digest of all that decides the pictures."""
        files = []
        for one in self.videos:
            path = one.folder / one.record.path if one.record.path else None
            files.append([str(path), path and file_identity(path), one.segment])
        looks = {name: str(look) for name, look in self.decoding.kinds.items()}
        how = [str(self.decoding.sampler), self.decoding.num_frames, looks]
        return digest({"version": VERSION, "files": files, "how": how})

    def submit(self, video: int) -> "Future[Outcome]":
        """Decode one video in the background."""
        return self.threads.submit(partial(self.decoding.decode, self.videos[video]))

    def decode_all(self, videos: Sequence[int]) -> Iterator[Outcome]:
        """The outcome for each of some videos, with progress and warnings told."""
        for video, outcome in zip(videos, self._shown(self.decoding.decode, videos), strict=True):
            self.tell(video, outcome)
            yield outcome

    def probe_all(self) -> Iterator[str | None]:
        """Why each video gives no pictures."""
        return self._shown(self.decoding.probe, range(len(self.videos)))

    def tell(self, video: int, outcome: Outcome) -> None:
        """Say what was wrong with a video that decodes."""
        if isinstance(outcome, Warned):
            for sentence in outcome.warnings:
                self.run.reporter.warn(f"{self.videos[video].record.id}: {sentence}")

    def _shown(self, work: Callable[[Example], T], videos: Sequence[int]) -> Iterator[T]:
        if not videos:
            return
        examples = (self.videos[video] for video in videos)
        with self.run.reporter.task("decode", len(videos), "videos") as task:
            for found in self.threads.in_order(work, examples, self.run.stop):
                task.advance(1)
                yield found


def _opened(
    decoder: _Decoder, shapes: Mapping[str, Shape], cache: str | None
) -> tuple[_Source, Failures]:
    """Where pictures come from, and why some videos have none."""
    with ExitStack() as unless_needed:
        unless_needed.callback(decoder.threads.close)
        if cache is None:
            failures = _probed(decoder)
            _tell_size(decoder, shapes)
            unless_needed.pop_all()
            return _Live(decoder), failures
        key, count = decoder.key(), len(decoder.videos)
        held = open_cache(Path(cache), key, shapes, count, decoder.decode_all, decoder.run)
    return held, held.failures


def _probed(decoder: _Decoder) -> Failures:
    """Why videos give no pictures.

    Raises:
        VideoError: none does.
    """
    reasons = enumerate(decoder.probe_all())
    failures = {number: reason for number, reason in reasons if reason is not None}
    if len(failures) == len(decoder.videos):
        raise VideoError(nothing_decodes(failures))
    return failures


class _Live:
    """Decodes what is asked for, and keeps the first of it in memory."""

    def __init__(self, decoder: _Decoder) -> None:
        self._decoder = decoder
        self._pending: dict[int, Future[Outcome]] = {}
        self._held: dict[int, Decoded] = {}
        self._times: dict[int, Sequence[float]] = {}
        self._room = KEEP_BYTES
        self._told: set[int] = set()

    def expect(self, videos: Sequence[int]) -> None:
        """Begin with these; leave what was begun for others."""
        for video in set(self._pending).difference(videos):
            self._pending.pop(video).cancel()
        self._begin(videos)

    def get(self, videos: Sequence[int]) -> list[Decoded]:
        """Wait for the pictures of each video."""
        self._begin(videos)
        found = {video: self._taken(video) for video in dict.fromkeys(videos)}
        return [found[video] for video in videos]

    def times(self, video: int) -> Sequence[float]:
        """When the frames of a video are that was decoded."""
        return self._times[video]

    def close(self) -> None:
        """End the threads."""
        self._decoder.threads.close()

    def _begin(self, videos: Sequence[int]) -> None:
        for video in videos:
            if video not in self._pending and video not in self._held:
                self._pending[video] = self._decoder.submit(video)

    def _taken(self, video: int) -> Decoded:
        if video in self._held:
            return self._held[video]
        outcome = self._pending.pop(video).result()
        if isinstance(outcome, str):
            name = self._decoder.videos[video].record.id
            raise VideoError(f"{name} decoded when the run began and does not any more: {outcome}")
        if video not in self._told:
            self._told.add(video)
            self._decoder.tell(video, outcome)
        self._times[video] = outcome.times
        size = sum(part.nbytes for part in outcome.pictures.values())
        if size <= self._room:
            self._room -= size
            self._held[video] = outcome.pictures
        return outcome.pictures


def _tell_size(decoder: _Decoder, shapes: Mapping[str, Shape]) -> None:
    """Say so where pictures will be decoded more than once."""
    num_frames = len(decoder.videos) * decoder.decoding.num_frames
    size = num_frames * sum(math.prod(shape) for shape in shapes.values())
    if size > KEEP_BYTES:
        decoder.run.reporter.info(
            f"{size / 2**30:.1f} GiB of pictures do not stay in memory: most are decoded anew in "
            "each epoch; a folder as data.cache keeps them on disk"
        )


def _tell_left_out(videos: Sequence[Example], failures: Failures, run: Run) -> None:
    """Name the videos without pictures, the first of them with the reason."""
    for video in sorted(failures)[:MOST_NAMED]:
        run.reporter.warn(f"{videos[video].record.id} left out: {failures[video]}")
    others = [videos[video].record.id for video in sorted(failures)[MOST_NAMED:]]
    if others:
        run.reporter.warn(f"{len(others)} more videos left out: {', '.join(others)}")
