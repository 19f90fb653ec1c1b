"""What a training run is told: its settings, its number of steps and its learning rates."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LARGEST_SEED = 2**63 - 1  # what torch takes
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]


class TrainSettings(BaseModel):
    """The `train:` part of a config: all that the one loop needs to know.

    Attributes:
        epochs: passes over the data; give either this or `steps`.
        warmup: steps, or a fraction of all steps where it is below 1.
        schedule: what follows the warm-up; `whole-cosine` counts from the start of the run, as
            AdaCLIP and CLIP4Clip do, so that the rate jumps where the warm-up ends.
        optimizer: AdamW, or the one of BERT's first code.
        accumulation: batches that are summed into one optimiser step.
        clip_norm: largest gradient norm; 0 leaves gradients alone.
        validate_every: steps between validations; 0 means once an epoch.
        checkpoint_every: steps between checkpoints; 0 means at each validation.
        weights: number type of the exported weights; test scores are measured with it.
        keep: how many of the last checkpoints stay beside the best.
        threads: CPU threads of torch; small models are fastest on one. 0 leaves torch's choice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: Count | None = None
    steps: Count | None = None
    batch_size: Count = 64
    learning_rate: float = Field(default=1e-3, gt=0)
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: Amount = 0.01
    warmup: Amount = 0.05
    schedule: Literal["linear", "cosine", "constant", "whole-cosine"] = "cosine"
    optimizer: Literal["adamw", "bertadam"] = "adamw"
    clip_norm: Amount = 1.0
    accumulation: Count = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    weights: Literal["fp32", "fp16"] = "fp32"
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    log_every: Count = 10
    validate_every: Whole = 0
    checkpoint_every: Whole = 0
    keep: Count = 1
    threads: Whole = 1
    device: str = "auto"

    @model_validator(mode="after")
    def _one_length(self) -> "TrainSettings":
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        return self


class DataSettings(BaseModel):
    """The `data:` part of a config.

    Attributes:
        train: manifests; their val and test records serve where `val` and `test` are empty.
        val: manifests of which the val records (or those without split) are taken.
        test: the same for test.
        features: feature stores; empty means that the run encodes what it needs.
        limit: at most so many records a split.
        cache: folder that keeps decoded frames between runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    limit: Count | None = None
    cache: str | None = None

    @field_validator("train", "val", "test", "features", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return (value,)
        return tuple(value) if isinstance(value, list) else value


class TrainConfig(BaseModel):
    """A whole training config; every part is checked before any work starts.

    Attributes:
        model: the method's own sizes, a mapping that its frozen dataclass is filled from.
        options: the method's own training options, the same way.
        encoder: which encoder gives the features, where the method reads any.
        features: what the encoder gives for a frame; `grid` adds one embedding a place.
        sampler: which frames of a video.
        knows: what the model's card says it knows, such as "rendered shapes only".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    model: dict[str, Any] = {}
    options: dict[str, Any] = {}
    data: DataSettings = DataSettings()
    train: TrainSettings = TrainSettings()
    encoder: str = "tiny"
    features: Literal["embedding", "grid"] = "embedding"
    sampler: str = "uniform 16"
    knows: str = ""


def total_steps(settings: TrainSettings, batches_per_epoch: int) -> int:
    """Optimiser steps of the whole run; ten epochs where nothing is said."""
    if settings.steps is not None:
        return settings.steps
    batches = (settings.epochs or 10) * batches_per_epoch
    return max(1, batches // settings.accumulation)


def rate_steps(settings: TrainSettings, total: int, num_examples: int | None, world: int) -> int:
    """Steps that the learning rates are spread over: those of the run, but with `whole-cosine`.

    That counts examples which fill no batch too, as published, and so ends a little above 0.

    Args:
        total: of `total_steps`.
        num_examples: of an epoch, where the method tells.
        world: processes that train together.
    """
    if settings.schedule != "whole-cosine" or settings.steps is not None or num_examples is None:
        return total
    a_step = world * settings.batch_size * settings.accumulation
    return max(total, math.ceil((settings.epochs or 10) * num_examples / a_step))


def warmup_steps(settings: TrainSettings, total: int) -> int:
    """Steps of warm-up, from a count or from a fraction of the run."""
    return int(settings.warmup * total if settings.warmup < 1 else settings.warmup)


def learning_rate_scale(settings: TrainSettings, step: int, total: int) -> float:
    """What the learning rate is multiplied with at a step, counted from 0.

    With a warm-up the very first step has rate 0, as in the original systems.
    """
    if settings.schedule == "whole-cosine":
        return _whole_cosine(settings, step, total)
    warmup = warmup_steps(settings, total)
    if step < warmup:
        return step / warmup
    if settings.schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    if settings.schedule == "linear":
        return max(0.0, 1.0 - done)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def _whole_cosine(settings: TrainSettings, step: int, total: int) -> float:
    """As published: shares of the run are compared, so that no warm-up is cut to whole steps."""
    done = step / max(1, total)
    warmup = settings.warmup if settings.warmup < 1 else settings.warmup / max(1, total)
    if done < warmup:
        return done / warmup
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def is_due(step: int, every: int, total: int) -> bool:
    """Whether something done every so many steps, and at the end, is due after this step."""
    return step == total or step % every == 0
