"""Training data laid out so that a batch is a gather by index: tokens in memory, features mapped.

Shapes: N clips, T frames, H W pixels, D feature width, C captions, L tokens, B batch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vcap.data.annotations import read_records
from vcap.data.collate import pad_features, pad_tokens
from vcap.data.manifest import resolve_path
from vcap.data.records import Record
from vcap.engine.files import ensure_folder, replacing
from vcap.engine.fingerprint import differences, digest
from vcap.engine.reporter import Reporter
from vcap.engine.run import Run
from vcap.engine.schedule import DataSettings
from vcap.errors import AnnotationError, FeatureError, InputError, VideoError
from vcap.features.store import FeatureStore
from vcap.types import Segment
from vcap.video.decode import Size, read_frames
from vcap.video.sample import Sampler

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Example:
    """A record, and the absolute folder that its path is below."""

    record: Record
    folder: Path

    @property
    def path(self) -> Path:
        """Where the video lies; absolute.

        Raises:
            AnnotationError: the record has an url only.
        """
        return resolve_path(self.record, self.folder)

    @property
    def segment(self) -> Segment | None:
        """The part of the video that the record is about; None for all of it."""
        return Segment(*self.record.segment) if self.record.segment else None

    @property
    def meta(self) -> dict[str, Any]:
        """The record's true slots and whatever else its source says."""
        return dict(self.record.meta or {})

    @property
    def texts(self) -> list[str]:
        """All captions that say something, verbatim."""
        return [one.text for one in self.record.captions or () if one.text.strip()]


@dataclass(frozen=True)
class Splits:
    """Examples by use; `test` holds the ordinary ones under "test", others under their name."""

    train: list[Example]
    val: list[Example]
    test: dict[str, list[Example]]

    @property
    def everything(self) -> list[Example]:
        """All examples, train first."""
        return [*self.train, *self.val, *(one for part in self.test.values() for one in part)]


def load_splits(settings: DataSettings) -> Splits:
    """Read manifests and annotation files and deal their records to train, val and test.

    Raises:
        AnnotationError: a manifest is wrong, or nothing in it is for training.
    """
    parts = _parts(settings.train, "train")
    if not parts.get("train"):
        raise _none_of("train", settings.train, parts)
    for use, paths in (("val", settings.val), ("test", settings.test)):
        if paths:
            own = {name: rows for name, rows in _parts(paths, use).items() if _use(name) == use}
            if not own:
                raise _none_of(use, paths, _parts(paths, use))
            parts = {name: rows for name, rows in parts.items() if _use(name) != use} | own
    parts = {name: rows[: settings.limit] for name, rows in sorted(parts.items())}
    test = {name: rows for name, rows in parts.items() if _use(name) == "test"}
    return Splits(parts["train"], parts.get("val", []), test)


def _none_of(use: str, paths: Sequence[str], parts: dict[str, list[Example]]) -> AnnotationError:
    found = ", ".join(sorted(parts)) or "none"
    where = ", ".join(paths) or f"data.{use}"
    return AnnotationError(f"{where}: no record of split {use}; splits found: {found}")


def _use(part: str) -> str:
    """What a split is for: every one that is neither train nor val is for a test."""
    return part if part in ("train", "val") else "test"


def _parts(paths: Iterable[str], default: str) -> dict[str, list[Example]]:
    """Examples by split; what is marked as novel stands apart from the rest of a test split."""
    parts: dict[str, list[Example]] = {}
    for example in _read(paths):
        split = example.record.split or default
        if _use(split) == "test" and example.meta.get("novel") is True:
            split = f"{split}/novel"
        parts.setdefault(split, []).append(example)
    return parts


def _read(paths: Iterable[str]) -> list[Example]:
    examples = []
    for name in paths:
        manifest = Path(name)
        folder = manifest.parent.absolute()
        examples += [Example(record, folder) for record in read_records(manifest)]
    return examples


@lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, count: int) -> Indices:
    """The order of an epoch: the same for the same seed and epoch, whatever came before."""
    order = np.random.default_rng((seed, epoch)).permutation(count)
    order.flags.writeable = False  # shared by all who ask
    return order


def dice(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Draws for one batch that depend on nothing but its place."""
    return np.random.default_rng((seed, epoch, index, 1))


class TokenTable:
    """All captions as one padded matrix, with the rows of each clip side by side."""

    def __init__(self, texts: Sequence[Sequence[str]], encode: Callable[[str], list[int]]) -> None:
        """texts: the captions of each clip, at least one each."""
        empty = [number for number, own in enumerate(texts) if not own]
        if empty:
            raise ValueError(f"clip {empty[0]} has no caption")
        rows = [encode(text) for own in texts for text in own]
        tokens, mask = pad_tokens(rows)  # [C, L]
        self.tokens = tokens.numpy().astype(np.int32)
        self.lengths = mask.sum(dim=1).numpy()  # [C]
        self.counts = np.array([len(own) for own in texts], dtype=np.int64)  # [N]
        self.starts = np.cumsum(self.counts) - self.counts  # [N]

    def __len__(self) -> int:
        """Number of captions."""
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest caption."""
        return int(self.tokens.shape[1])

    def draw(self, clips: Indices, generator: np.random.Generator) -> Indices:
        """One caption row [B] for each of the clips [B]."""
        return self.starts[clips] + generator.integers(self.counts[clips])

    def first(self, clips: Indices) -> Indices:
        """The first caption's row [B] of each of the clips [B]."""
        return self.starts[clips]

    def gather(self, rows: Indices) -> tuple[Tensor, Tensor]:
        """Caption rows [B] -> tokens [B, L] int64 and mask [B, L], as long as the longest."""
        lengths = self.lengths[rows]
        longest = int(lengths.max())
        tokens = torch.from_numpy(self.tokens[rows, :longest].astype(np.int64))
        mask = torch.from_numpy(np.arange(longest) < lengths[:, None])
        return tokens, mask


class FeatureTable:
    """Features of all clips where they lie: in stores that are mapped into memory."""

    def __init__(self, stores: Sequence[FeatureStore], ids: Sequence[str]) -> None:
        self._places = [(_holder(stores, name), name) for name in ids]
        self.lengths = np.array([store.num_frames(name) for store, name in self._places])  # [N]
        self.times = np.zeros((len(ids), self.longest), dtype=np.float32)  # [N, T]
        for number, (store, name) in enumerate(self._places):
            self.times[number, : self.lengths[number]] = store.times(name)
            if not np.isfinite(self._row(number)).all():
                raise FeatureError(f"the features of {name} hold numbers that are not finite")

    def _row(self, clip: int) -> npt.NDArray[np.float16]:
        """[T, D] of one clip, not copied."""
        store, name = self._places[clip]
        return store.features(name)

    def is_imported(self, clip: int) -> bool:
        """Whether a clip's features were made elsewhere, so that its times are guesses."""
        return "imported" in self._places[clip][0].fingerprint

    @property
    def width(self) -> int:
        """D."""
        return int(self._row(0).shape[1])

    @property
    def longest(self) -> int:
        """Frames of the longest clip."""
        return int(self.lengths.max())

    def clip_means(self) -> npt.NDArray[np.float32]:
        """Every clip's features averaged over its frames [N, D]."""
        sums = [self._row(clip).sum(axis=0, dtype=np.float32) for clip in range(len(self.lengths))]
        return np.asarray(np.stack(sums) / self.lengths[:, None], dtype=np.float32)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each number of a feature over some of the clips [D]."""
        some = [self._row(clip) for clip in range(min(len(self.lengths), 2048))]
        real = np.concatenate(some).astype(np.float32)  # [n, D]
        return torch.from_numpy(real.mean(axis=0)), torch.from_numpy(real.std(axis=0) + 1e-3)

    def gather(self, clips: Indices) -> tuple[Tensor, Tensor, Tensor]:
        """Clips [B] -> features [B, T, D] float32, times [B, T], mask [B, T]."""
        chosen: list[int] = clips.tolist()
        times = [self.times[clip, : self.lengths[clip]] for clip in chosen]
        features, moments, mask = pad_features([self._row(clip) for clip in chosen], times)
        return features.float(), moments, mask


def _holder(stores: Sequence[FeatureStore], name: str) -> FeatureStore:
    for store in stores:
        if name in store:
            return store
    raise FeatureError(f"no features of {name} in {len(stores)} feature store(s)")


def open_stores(names: Sequence[str]) -> list[FeatureStore]:
    """The feature stores of these folders.

    Raises:
        FeatureError: one is damaged, or they were made by different encoders or samplers.
    """
    stores = [FeatureStore(Path(name)) for name in names]
    for store in stores[1:]:
        ours, theirs = (dict(one.fingerprint) for one in (stores[0], store))
        unlike = [line for line in differences(ours, theirs) if not line.startswith("decoder:")]
        if unlike:
            raise FeatureError(
                f"{stores[0].folder} and {store.folder} were made differently: {'; '.join(unlike)}"
            )
    return stores


def with_features(
    examples: Sequence[Example], stores: Sequence[FeatureStore], reporter: Reporter
) -> list[Example]:
    """The examples that have captions and features; says how many have not.

    Raises:
        FeatureError: none has.
    """
    kept = [
        one for one in examples if one.texts and any(one.record.id in store for store in stores)
    ]
    if examples and not kept:
        raise FeatureError(f"none of {len(examples)} records has both captions and features")
    if len(kept) < len(examples):
        reporter.warn(f"{len(examples) - len(kept)} records without captions or features left out")
    return kept


class FrameTable:
    """Decoded frames of all clips in one array [F, H, W, 3] uint8, in memory or mapped."""

    def __init__(self, frames: npt.NDArray[np.uint8], counts: Indices) -> None:
        """counts [N]: how many frames each clip has."""
        self.frames = frames
        self.counts = counts
        self.starts = np.cumsum(counts) - counts  # [N]

    def draw(self, clips: Indices, generator: np.random.Generator) -> Indices:
        """One frame [B] for each of the clips [B]."""
        return self.starts[clips] + generator.integers(self.counts[clips])

    def middle(self, clips: Indices) -> Indices:
        """The middle frame [B] of each of the clips [B]."""
        return self.starts[clips] + self.counts[clips] // 2

    def gather(self, frames: Indices) -> Tensor:
        """Frame numbers [B] -> [B, H, W, 3] uint8."""
        return torch.from_numpy(self.frames[frames])


def decode_table(
    examples: Sequence[Example], num_frames: int, side: int, cache: str | None, run: Run
) -> FrameTable:
    """Decode up to `num_frames` different frames of every example, evenly spread.

    Args:
        cache: folder from which an earlier run's frames of the same files are taken.

    Raises:
        VideoError: a video cannot be decoded.
        InputError: there is nothing to decode.
    """
    if not examples:
        raise InputError("no videos to decode")
    work = partial(_frames, num_frames=num_frames, side=side)
    if cache is None:
        found = list(_decoded(examples, work, run))
        return FrameTable(np.concatenate(found), np.array([len(own) for own in found]))
    path = ensure_folder(Path(cache)) / f"frames-{_digest(examples, num_frames, side)}.npy"
    pixels_path = path.with_suffix(".rgb")
    if not (path.is_file() and pixels_path.is_file()):
        counts = []
        with replacing(pixels_path) as part, part.open("wb") as stream:
            for frames in _decoded(examples, work, run):
                stream.write(frames.tobytes())
                counts.append(len(frames))
        with replacing(path) as part:
            np.save(part, np.array(counts, dtype=np.int64))
    table = np.load(path)
    shape = (int(table.sum()), side, side, 3)
    return FrameTable(np.memmap(pixels_path, np.uint8, "r", shape=shape), table)


def _digest(examples: Sequence[Example], num_frames: int, side: int) -> str:
    stats = [one.path.stat() for one in examples]
    files = [
        [str(one.path), stat.st_size, stat.st_mtime_ns, one.record.segment]
        for one, stat in zip(examples, stats, strict=True)
    ]
    return digest({"files": files, "num_frames": num_frames, "side": side})


def _decoded(
    examples: Sequence[Example],
    work: Callable[[Example], npt.NDArray[np.uint8]],
    run: Run,
) -> Iterator[npt.NDArray[np.uint8]]:
    with (
        ThreadPoolExecutor(2) as pool,
        run.reporter.task("decode", len(examples), "videos") as task,
    ):
        for start in range(0, len(examples), 512):
            for frames in pool.map(work, examples[start : start + 512]):
                if run.stop.requested:
                    raise KeyboardInterrupt  # nothing of a training is lost before its first step
                task.advance(1)
                yield frames


def _frames(example: Example, num_frames: int, side: int) -> npt.NDArray[np.uint8]:
    """[T, H, W, 3] of one example: T different frames, one for a still."""
    if not example.path.is_file():
        raise VideoError(f"no such file: {example.path} (record {example.record.id})")
    sampler, size = Sampler("uniform", num_frames), Size(width=side, height=side)
    found = read_frames(example.path, sampler, segment=example.segment, size=size)
    new = np.diff(found.times, prepend=-np.inf) > 0  # [T]
    return found.pixels[new]
