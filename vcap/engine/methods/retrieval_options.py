"""What `vcap train retrieval` can be asked for, and which wishes do not go together.

All of it is checked before a video is opened: what is refused is named by its key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from vcap.engine.methods.pairs import CaptionMode
from vcap.engine.schedule import Amount, TrainConfig, Whole
from vcap.engine.settings import fill
from vcap.errors import ConfigError
from vcap.models.policy import PolicyConfig
from vcap.models.retrieval import RetrievalConfig

OF_POLICY = ("start_temperature", "end_temperature", "temperature_decay", "warmup_epochs")
MANY = 100_000  # stands for a number of frames that only the data will tell


@dataclass(frozen=True)
class RetrievalOptions:
    """Options of the training.

    Attributes:
        policy: what scores the frames; null: all frames are kept.
        policy_weights: what the policy's CNN starts from: a file of torchvision's weights,
            `imagenet` (fetched once), or null: random numbers.
        towers: which of the encoder's towers train along: `none`, `text` or `both`. With `both`
            frames are pictures, and stored features serve for nothing.
        freeze_layers: blocks of a tower that trains before this one stay as they are, and so does
            what comes before the blocks; -1 trains everything.
        tower_rate: what the learning rate of towers is multiplied by.
        max_tokens: texts are cut to so many tokens for a tower that trains or gives words; null:
            to what it can read.
        num_used: so many of the sampled frames are candidates; 0: all.
        exact_pixels: pictures for towers are resized as published numbers were made; slower.
        captions: `concat` joins a video's captions to one text, `indep-one` draws one of them,
            `indep-all` makes a pair of each.
        positives: what is right for a text beside its own video: nothing (`pair`, as published), or
            videos of the batch that have the same text (`same`).
        start_temperature: of the relaxed choice of frames, in the first epoch.
        end_temperature: the lowest one.
        temperature_decay: how fast it falls from epoch to epoch, exponentially.
        warmup_epochs: epochs in which the number of kept frames falls to what it will be.
        decay_all: norms, positions and the scale decay too, as published.
        logit_scale: logarithm of what cosines are multiplied by at the start, ln 100 at most;
            towers that train start with their own.
    """

    policy: PolicyConfig | None = field(default_factory=PolicyConfig)
    policy_weights: str | None = None
    towers: Literal["none", "text", "both"] = "none"
    freeze_layers: Annotated[int, Field(ge=-1)] = 0
    tower_rate: Amount = 0.01
    max_tokens: Annotated[int, Field(ge=2)] | None = None
    num_used: Whole = 0
    exact_pixels: bool = False
    captions: CaptionMode = "indep-one"
    positives: Literal["same", "pair"] = "same"
    start_temperature: Amount = 5.0
    end_temperature: Amount = 0.5
    temperature_decay: Amount = 0.045
    warmup_epochs: Whole = 0
    decay_all: bool = False
    logit_scale: float = 4.6052

    def __post_init__(self) -> None:
        """Refuse what no choice of frames can be made with."""
        if not 0 < self.end_temperature <= self.start_temperature:
            raise ValueError("end_temperature: want above 0 and at most start_temperature")
        if self.policy_weights is not None and not (self.policy and self.policy.uses_cnn):
            raise ValueError("policy_weights: want a policy.encoder with a CNN")

    @property
    def reads_pictures(self) -> bool:
        """Whether the policy looks at pictures."""
        return self.policy is not None and self.policy.encoder != "features"


def checked_options(config: TrainConfig) -> RetrievalOptions:
    """The options of a config that a model can be made of.

    Raises:
        ConfigError: it cannot; the key is named.
    """
    options = fill(RetrievalOptions, config.options, "options")
    sizes = _asked_sizes(config.model)
    for key, is_wrong, why in (*_of_model(options, sizes), *_of_data(options, config)):
        if is_wrong:
            raise ConfigError(f"{key}: {why}")
    with_frames(config.model, 1, options)  # 1: frames that the data will tell refuse nothing yet
    return options


def with_frames(
    asked: Mapping[str, Any], num_frames: int, options: RetrievalOptions
) -> dict[str, Any]:
    """Sizes as asked for; of those that are not, numbers of frames follow from the data.

    Raises:
        ConfigError: the header has fewer positions than frames are kept at first.
    """
    found: dict[str, Any] = {"num_frames": num_frames, **asked}
    if options.num_used:
        found["num_frames"] = options.num_used
    if isinstance(found["num_frames"], int):
        found = {"num_kept": max(1, found["num_frames"] // 2), **found}
        _refuse_few_positions(found, options)
    return found


def _refuse_few_positions(sizes: Mapping[str, Any], options: RetrievalOptions) -> None:
    """Refuse a header that knows fewer positions than are kept without a policy, or at first."""
    places = sizes.get("num_positions", RetrievalConfig.num_positions)
    most, why = sizes["num_frames"], "num_frames, of which none is left out without a policy"
    if options.policy is not None:
        most, why = most - 1, "num_frames - 1, with which options.warmup_epochs begins"
    is_partial = options.policy is not None and not options.warmup_epochs
    if sizes.get("header") != "seqTransf" or is_partial or not isinstance(places, int):
        return
    if places < most:
        raise ConfigError(f"model.num_positions: want at least {most} ({why}), got {places}")


def _asked_sizes(asked: Mapping[str, Any]) -> RetrievalConfig:
    """The sizes as far as they are known before the data: widths that fit, and many frames."""
    heads = asked.get("num_heads")
    width = heads if isinstance(heads, int) and heads > 0 else 64
    found = {"num_frames": MANY, "num_kept": 1, **asked, "feature_width": width}
    return fill(RetrievalConfig, found, "model")


def _of_model(options: RetrievalOptions, sizes: RetrievalConfig) -> list[tuple[str, bool, str]]:
    """Key, whether it is wrong, and why."""
    words = sizes.word_aggregation != "none"
    few = options.num_used
    asked = sizes.num_frames != MANY
    return [
        (
            "options.warmup_epochs",
            bool(options.warmup_epochs) and sizes.header == "transformer",
            "the header `transformer` has no place for more frames than are kept at the end",
        ),
        (
            "options.max_tokens",
            options.max_tokens is not None and options.towers == "none" and not words,
            "wants options.towers text or both, or model.word_aggregation; other texts are read "
            "as the encoder reads them",
        ),
        ("model.reuse_scores", sizes.reuse_scores and options.policy is None, "wants a policy"),
        (
            "options.num_used",
            bool(few) and asked and few > sizes.num_frames,
            f"want at most model.num_frames ({sizes.num_frames}), got {few}",
        ),
        (
            "options.num_used",
            bool(few) and options.policy is not None and few < sizes.num_kept,
            f"want at least model.num_kept ({sizes.num_kept}), got {few}",
        ),
    ]


def _of_data(options: RetrievalOptions, config: TrainConfig) -> list[tuple[str, bool, str]]:
    """Key, whether it is wrong, and why."""
    both = options.towers == "both"
    idle = [name for name in OF_POLICY if name in config.options and options.policy is None]
    return [
        *_of_policy(options, config),
        *((f"options.{name}", True, "wants options.policy, which is null") for name in idle),
        (
            "data.features",
            both and bool(config.data.features),
            "with options.towers both, frames are pictures, and stored features serve for nothing",
        ),
        (
            "options.exact_pixels",
            options.exact_pixels and not both,
            "wants options.towers both; stored features are as `vcap encode --exact-pixels` says",
        ),
        ("features", config.features != "embedding", "retrieval wants embedding"),
    ]


def _of_policy(options: RetrievalOptions, config: TrainConfig) -> list[tuple[str, bool, str]]:
    """Key, whether it would have no effect, and why."""
    policy, said = options.policy, config.options.get("policy")
    if policy is None or not isinstance(said, Mapping):
        return []
    start, reads = "options.policy.", f"has no effect with policy.encoder {policy.encoder}"
    return [
        (f"{start}num_frames", "num_frames" in said, "say it as model.num_frames"),
        (
            f"{start}feature_width",
            "feature_width" in said,
            "it is the encoder's; what can be said is model.num_frames and policy.hidden_width",
        ),
        (
            f"{start}batch_statistics",
            policy.batch_statistics and not policy.uses_cnn,
            f"{reads}; it wants one with a CNN",
        ),
        (f"{start}raw_side", "raw_side" in said and policy.encoder != "raw", f"{reads}, only raw"),
    ]


def departures(
    options: RetrievalOptions, sizes: RetrievalConfig, started: tuple[int, int] = (0, 0)
) -> list[str]:
    """What a model card says of how a training differs from the published one.

    Args:
        started: how many of the header's blocks began as the encoder's text blocks, and of how
            many.
    """
    began, count = started
    policy = options.policy
    still = policy is not None and policy.uses_cnn and policy.freeze_cnn
    told = {
        "the policy reads the encoder's features": policy and policy.encoder == "features",
        "the policy's CNN keeps its statistics": still and policy and not policy.batch_statistics,
        "the encoder stays as it is": options.towers == "none",
        "the image tower stays as it is": options.towers == "text",
        "texts that read the same count for each other's videos": options.positives == "same",
        "norms, positions and the scale do not decay": not options.decay_all,
        f"{began} of {count} blocks of the header began as the encoder's text blocks, the others "
        "as random numbers": began < count,
        "with qscore a video has no vector of its own: neither `vcap index` nor `vcap encode` "
        "takes the model": sizes.is_query_dependent,
        "kept frames are in the order of time": sizes.in_time_order,
    }
    return [sentence for sentence, is_so in told.items() if is_so]
