"""Videos become features in a store: `encode`, for the command line, for Python and for `train`.

Decode workers bring frames, the one model worker turns them into features, shards keep them.
A video that needs more frames than a chunk is streamed, so that memory does not grow with it.
Shapes: T frames, H W pixels, D feature width.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from vcap.engine.batches import FullBatches
from vcap.engine.decoding import Chunks, frame_chunks, start
from vcap.engine.executor import Local
from vcap.engine.fingerprint import digest
from vcap.engine.inputs import Source, gather, to_items
from vcap.engine.items import Item, Summary, map_items
from vcap.engine.registry import nearest
from vcap.engine.reporter import Reporter, Silent
from vcap.engine.settings import fill
from vcap.engine.store_output import SHARD_SIZE, Encoded, StoreOutput
from vcap.errors import FeatureError, InputError, UsageError
from vcap.features.store import HEADER_NAME, FeatureStore
from vcap.types import Frames

if TYPE_CHECKING:
    from vcap.engine.encoders import ClipEncoder

RULES = ("force", "on_error", "max_errors", "retry_failed", "stop", "checksum")
GROUP = 16  # videos that share batches; of one shard
FEW = 16  # frames of a video, below which twice as many share batches

OnEncoded = Callable[[str, int], None]


class EncodeSettings(BaseModel):
    """What decides the features, and how they are made.

    Attributes:
        model: name of the encoder, or of a retrieval model, whose encoder it is then, and whose
            sampler and pixels where those are not set; it may encode the frames it keeps only.
        features: `embedding`, or `grid` for those of places too.
        sampler: which frames; its text, such as `fps 1` or `uniform 16`.
        device: `auto`, `cpu` or `cuda[:N]`.
        dtype: number type that the encoder computes in: `auto`, `fp32`, `bf16` or `fp16`.
        batch_size: frames that go through the encoder at once; None for its own.
        shard_size: videos a file of the store holds.
        stream: number of the video stream in each file; None for the best.
        exact_pixels: resize as published numbers were made; see `vcap.video.picture.Size`.
        fast_frames: answer each time of the sampler with the keyframe before it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "tiny"
    features: str = "embedding"
    sampler: str = "fps 1"
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = Field(default=None, ge=1)
    shard_size: int = Field(default=SHARD_SIZE, ge=1)
    stream: int | None = Field(default=None, ge=0)
    exact_pixels: bool = False
    fast_frames: bool = False

    @property
    def rule(self) -> str:
        """The sampler's text with what `fast_frames` adds.

        Raises:
            UsageError: there is no such sampler, or it goes by frames and cannot be fast.
        """
        from vcap.video.sample import parse_sampler

        asked = parse_sampler(self.sampler)
        return str(replace(asked, keyframes_only=True) if self.fast_frames else asked)


def encode(
    inputs: Sequence[str | Path | Source] | str | Path,
    output: Path | str,
    *,
    reporter: Reporter | None = None,
    workers: int | None = None,
    on_result: OnEncoded | None = None,
    **options: Any,
) -> Summary:
    """Put the features of videos into a store; what is there already is not done again.

    Args:
        inputs: paths, folders and manifests, or what `gather` made of them.
        output: folder of the store; made if absent.
        workers: videos decoded at the same time; None for one a processor.
        on_result: gets id and number of frames of each video once it is kept; at the end those
            that earlier runs kept.
        options: fields of `EncodeSettings`; `force`, `on_error`, `max_errors`, `retry_failed` and
            `stop` as in `map_items`; `checksum`: tell inputs by content, not by time.

    Raises:
        FeatureError: the store holds features of another encoder or sampler.
        OutputError: the store cannot be written.
    """
    from vcap.engine.selecting import plan

    settings, rules = split_options(options)
    items = to_items(as_sources(inputs), checksum=rules.pop("checksum", False))
    reporter = reporter or Silent()
    planned = plan(settings, reporter, Path(output))
    rule, made_by, width = planned.settings.rule, planned.made_by, planned.encoder.width
    tell_approximate(rule, reporter)
    job = planned.job(reporter, alone=len(items) == 1)
    teller = Teller(on_result)
    summary = map_items(
        items,
        job.work,
        prepare=job.prepare,
        output=StoreOutput(Path(output), made_by, width, reporter, settings.shard_size),
        group=videos_at_once(items, rule),
        executor=Local(workers or os.cpu_count() or 1),
        fingerprint=settings_digest(made_by),
        on_result=teller.tell,
        reporter=reporter,
        title="encode",
        unit="videos",
        **rules,
    )
    teller.tell_kept(items, Path(output), summary)
    return summary


def videos_at_once(items: Sequence[Item], sampler: str) -> int:
    """How many videos share batches: more of those that are known to give few frames."""
    from vcap.video.sample import parse_sampler

    rule = parse_sampler(sampler)
    gives_few = rule.name == "uniform" and rule.value is not None and rule.value <= FEW
    pictures = all(item.value.record.media == "image" for item in items)
    return 2 * GROUP if gives_few or pictures else GROUP


class Teller:
    """Tells which items a store holds: new ones as they are kept, old ones at the end."""

    def __init__(self, on_result: OnEncoded | None) -> None:
        self._on_result = on_result
        self._told: set[str] = set()

    def tell(self, item: Item, encoded: Encoded) -> None:
        """Tell of a new one."""
        self._told.add(item.key)
        if self._on_result is not None:
            self._on_result(item.key, len(encoded.times))

    def tell_kept(self, items: Sequence[Item], folder: Path, summary: Summary) -> None:
        """Tell of those of earlier runs, unless the run was cut short."""
        if self._on_result is None or summary.interrupted or not summary.skipped:
            return
        left_out = self._told | {failure.key for failure in summary.failed}
        store = FeatureStore(folder)
        for item in items:
            if item.key in store and item.key not in left_out:
                self._on_result(item.key, store.num_frames(item.key))


def made_from(
    encoder: Mapping[str, Any], sampler: str, stream: int | None = None, exact: bool = False
) -> dict[str, Any]:
    """The fingerprint of a store: encoder, sampler and decoder; stream and pixels where named."""
    from vcap.video.probe import decoder_version
    from vcap.video.sample import parse_sampler

    text = str(parse_sampler(sampler))
    named: dict[str, Any] = {} if stream is None else {"stream": stream}
    named |= {"pixels": "exact"} if exact else {}
    return {"encoder": dict(encoder), "sampler": text, **named, "decoder": decoder_version()}


def settings_digest(made_by: Mapping[str, Any]) -> str:
    """Digest of what must be equal for a result to count as done; not names, not builds."""
    encoder = {key: value for key, value in made_by["encoder"].items() if key != "name"}
    rest = {key: value for key, value in made_by.items() if key != "decoder"}
    return digest({**rest, "encoder": encoder})


def split_options(options: Mapping[str, Any]) -> tuple[EncodeSettings, dict[str, Any]]:
    """Settings of the features apart from rules of the run.

    Raises:
        UsageError: an option that is neither.
        ConfigError: a setting makes no sense.
    """
    known = EncodeSettings.model_fields
    for name in options:
        if name not in known and name not in RULES:
            raise UsageError(f"encode has no option {name}; {nearest(name, [*known, *RULES])}")
    mine = {name: value for name, value in options.items() if name in known}
    return fill(EncodeSettings, mine, "encode"), {
        k: v for k, v in options.items() if k not in known
    }


def choose_sampler(fps: float | None, frames: int | None, sampler: str | None) -> str | None:
    """The sampler's text that three options amount to; None where none is given.

    Raises:
        UsageError: more than one is given.
    """
    options = {
        "--fps": None if fps is None else f"fps {fps!r}",
        "--frames": None if frames is None else f"uniform {frames}",
        "--sampler": sampler,
    }
    given = {flag: text for flag, text in options.items() if text is not None}
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} contradict each other; give one of them")
    return str(next(iter(given.values()))) if given else None


def tell_default(settings: EncodeSettings, reporter: Reporter) -> None:
    """Say which encoder is used where neither a flag nor the environment names one."""
    if "model" not in settings.model_fields_set:
        reporter.info(
            "model: tiny, embedded, knows rendered shapes only; "
            "for real footage name one: --model ViT-B-32:openai"
        )


def tell_approximate(sampler: str, reporter: Reporter) -> None:
    """Say that the frames are not those of the wanted times, where they are not."""
    from vcap.video.sample import parse_sampler

    if parse_sampler(sampler).keyframes_only:
        reporter.info("frames: approximate, the keyframe before each time, maybe seconds earlier")


def as_sources(inputs: Sequence[str | Path | Source] | str | Path) -> list[Source]:
    """Inputs as sources; one path may stand for a list of one."""
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    known = [one for one in given if isinstance(one, Source)]
    return known or gather([str(one) for one in given])


def load_named(
    settings: EncodeSettings, reporter: Reporter, store: Path | None = None
) -> "ClipEncoder":
    """The encoder that the settings name, on the device that they name.

    A store that is there decides the number type where none is named: on another machine, too,
    it goes on as it was begun.

    Raises:
        UsageError: no encoder is named so.
        DeviceError: there is no such device.
    """
    from vcap.engine.encoders import load_encoder
    from vcap.engine.number_types import recorded_dtype
    from vcap.engine.run import choose_device, choose_dtype

    device, dtype = choose_device(settings.device, reporter), settings.dtype
    choose_dtype(dtype, device)  # refuses a wrong one before weights are looked for
    if dtype == "auto" and store is not None and (store / HEADER_NAME).exists():
        begun_with = FeatureStore(store).fingerprint.get("encoder")
        known = begun_with if isinstance(begun_with, Mapping) else {}
        dtype = recorded_dtype(known, device) or dtype
    encoder = load_encoder(settings.model, device=device, dtype=dtype, features=settings.features)
    if settings.batch_size:
        encoder.batch_size = settings.batch_size
    return encoder


class EncodeVideos:
    """The work on videos: decode in many threads, encode in one."""

    def __init__(
        self,
        encoder: "ClipEncoder",
        sampler: str,
        reporter: Reporter,
        stream: int | None = None,
        exact: bool = False,
        alone: bool = False,
    ) -> None:
        """Read the sampler's text; `encoder` is used by `work` alone.

        Args:
            exact: resize as published numbers were made.
            alone: there is one video only, which may use several threads.
        """
        from vcap.video.sample import parse_sampler

        self._encoder = encoder
        self._sampler = parse_sampler(sampler)
        self._reporter = reporter
        self._how: dict[str, Any] = {"stream": stream, "alone": alone}
        self._size = replace(encoder.size, exact=exact)

    def prepare(self, source: Source) -> tuple[Source, Chunks[Frames]]:
        """Decode the first chunk.

        Raises:
            VideoError: no frame decodes.
        """
        make = partial(frame_chunks, source, self._sampler, self._size, **self._how)
        return source, start(make)

    def work(self, prepared: list[tuple[Source, Chunks[Frames]]]) -> list[Encoded | InputError]:
        """Features of each video; the frames of all of them fill batches together."""
        batches = FullBatches(self._encoder)
        times = [self._read(source, chunks, batches) for source, chunks in prepared]
        rows = batches.finish()
        return [
            own if isinstance(own, InputError) else checked(source, rows[place], own)
            for place, ((source, _), own) in enumerate(zip(prepared, times, strict=True))
        ]

    def _read(
        self, source: Source, chunks: Chunks[Frames], batches: FullBatches
    ) -> npt.NDArray[np.float64] | InputError:
        """Send the frames of a video on; gives their times [T], or why it fails."""
        times = []
        batches.begin()
        try:
            for chunk in chunks:
                batches.add(chunk.pixels)
                times.append(chunk.times)
        except InputError as error:
            return error
        finally:
            for warning in chunks.warnings:
                self._reporter.warn(f"{source.id}: {warning}")
        return np.concatenate(times)  # [T]


def checked(
    source: Source, features: npt.NDArray[np.float16], times: npt.NDArray[np.float64]
) -> Encoded | InputError:
    """Features [T, D] and times [T] as they are kept, unless a feature is not finite."""
    if not np.isfinite(features).all():
        return FeatureError(f"{source.id}: its features are not finite, or too large for float16")
    return Encoded(features, times.astype(np.float32))
