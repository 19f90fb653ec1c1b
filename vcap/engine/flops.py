"""What a video costs a retrieval model, in multiply-adds, as AdaCLIP's paper accounts for it.

Source: AdaCLIP, doi 10.1145/3581783.3612161: kept frames through the encoder, all frames through
the policy; texts and similarity are not counted. Its "GFLOPs" are multiply-adds, and so are these.
Departures: a policy on the encoder's features is charged for all frames, which have to be encoded.
Sizes that no setting tells are those that a training would take.
Shapes: N candidate frames, W width, T tokens.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vcap.engine.schedule import TrainConfig
from vcap.engine.settings import fill
from vcap.engine.weights import own_encoder_folder, read_config
from vcap.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from vcap.models.policy import PolicyConfig
    from vcap.models.retrieval import RetrievalConfig

GIGA = 1e9
MOBILENETS = {"mobilenet_v3_large": 0.227075, "mobilenet_v2": 0.318956}  # a frame at 224 pixels


@dataclass(frozen=True)
class Cost:
    """What one policy makes a video cost, in billions of multiply-adds.

    Attributes:
        policy: what the policy reads; `none`: all frames are kept.
        scoring: of the policy on all frames.
        encoding: of the encoder on the frames that have to be encoded.
        num_encoded: how many these are.
    """

    policy: str
    scoring: float
    encoding: float
    num_encoded: int

    @property
    def total(self) -> float:
        """Both together."""
        return self.scoring + self.encoding


def retrieval_costs(settings: TrainConfig) -> list[Cost]:
    """The cost of a video with each kind of policy, and without one.

    Raises:
        ConfigError: the settings make no retrieval model, or do not tell how many frames.
        UsageError: they are of another method, or there is no such encoder.
        CheckpointError: the encoder's folder is damaged.
    """
    if settings.method != "retrieval":
        raise UsageError(
            f"--flops is of retrieval, not of {settings.method}",
            hint="vcap train retrieval --flops",
        )
    from vcap.models.policy import PolicyConfig

    sizes, policy = _sizes(settings)
    policy = policy or PolicyConfig()
    frame, num_frames = frame_cost(settings.encoder), sizes.num_frames
    found = [Cost("none", 0.0, num_frames * frame, num_frames)]
    widths = {"features": sizes.feature_width, "raw": policy.raw_side**2}
    for name in (*widths, *MOBILENETS):
        scoring = num_frames * MOBILENETS.get(name, 0.0)
        scoring += sequence_cost(
            policy.sequence, num_frames, widths.get(name, 1280), policy.hidden_width
        )
        entering = widths.get(name, 1280) if policy.sequence == "none" else policy.hidden_width
        scoring += head_cost(policy.head, num_frames, entering, policy.head_width)
        encoded = num_frames if name == "features" else sizes.num_kept
        found.append(Cost(name, scoring, encoded * frame, encoded))
    return found


def _sizes(settings: TrainConfig) -> "tuple[RetrievalConfig, PolicyConfig | None]":
    """The sizes of the model that would be trained, and its policy."""
    from vcap.engine.methods.retrieval_options import checked_options, with_frames
    from vcap.engine.methods.retrieval_pictures import usual_frames
    from vcap.models.retrieval import RetrievalConfig

    options = checked_options(settings)
    sizes = with_frames(settings.model, usual_frames([], [], settings), options)
    width = {"feature_width": encoder_width(settings.encoder)}
    return fill(RetrievalConfig, {**sizes, **width}, "model"), options.policy


def cost_rows(settings: TrainConfig) -> list[tuple[str, ...]]:
    """The same as a table of words, its head first; raises what `retrieval_costs` does."""
    head = ("policy", "frames encoded", "policy GMACs", "all GMACs")
    rows = [
        (cost.policy, str(cost.num_encoded), f"{cost.scoring:.2f}", f"{cost.total:.2f}")
        for cost in retrieval_costs(settings)
    ]
    return [head, *rows]


def costs_by_policy(settings: TrainConfig) -> dict[str, dict[str, Any]]:
    """The same as plain values; raises what `retrieval_costs` does."""
    costs = retrieval_costs(settings)
    return {cost.policy: asdict(cost) | {"total": cost.total} for cost in costs}


def sequence_cost(kind: str, num_frames: int, width: int, hidden: int) -> float:
    """A policy's sequence model over N frames of a width, in billions."""
    if kind == "none":
        return 0.0
    if kind == "transformer":
        project = num_frames * width * hidden + hidden
        return (project + block_cost(num_frames, hidden, max(1, hidden // 64))) / GIGA
    a_step = 4 * hidden * (width + hidden) + 10 * hidden + 8 * hidden
    return (2 if kind == "bilstm" else 1) * num_frames * a_step / GIGA


def head_cost(kind: str, num_frames: int, width: int, inner: int) -> float:
    """A policy's head, in billions."""
    if kind == "fc":
        return (num_frames * width + 1) / GIGA
    return (num_frames * inner * (width + 1) + inner + 1) / GIGA


def block_cost(num_tokens: int, width: int, num_heads: int) -> int:
    """One transformer block on T tokens of W numbers; norms and activations are not counted."""
    projections = 4 * num_tokens * width * width
    additions = 5 * num_tokens * width  # scaling, and the offsets of the four projections
    attention = num_tokens**2 * (2 * width + num_heads)
    perceptron = 8 * num_tokens * width * width + 5 * width
    return projections + additions + attention + perceptron


def frame_cost(encoder: str) -> float:
    """The image tower of an encoder on one frame, in billions.

    Raises:
        UsageError: there is no such encoder.
    """
    vision = _open_clip_config(encoder).get("vision_cfg", {})
    if isinstance(vision.get("layers"), int) and "timm_model_name" not in vision:
        return _transformer_cost(vision)
    return _measured_cost(encoder)


def encoder_width(encoder: str) -> int:
    """D of an encoder, from its configuration where there is one, or else from its weights.

    Raises:
        UsageError: there is no such encoder.
        CheckpointError: its folder is damaged.
    """
    folder = own_encoder_folder(encoder)
    if folder is None:
        told = _open_clip_config(encoder).get("embed_dim")
    else:
        model = read_config(folder, "encoder").get("model")
        told = model.get("embed_dim") if isinstance(model, Mapping) else None
        if not isinstance(told, int):
            raise CheckpointError(f"{folder / 'config.json'}: does not tell model.embed_dim")
    if isinstance(told, int):
        return told
    from vcap.engine.encoders import load_encoder

    return load_encoder(encoder).width


def _open_clip_config(encoder: str) -> Mapping[str, Any]:
    """The sizes of an encoder that open_clip knows by its name; empty for any other."""
    import open_clip

    tower, _, weights = encoder.partition(":")
    return (open_clip.get_model_config(tower) if weights else None) or {}


def _transformer_cost(vision: Mapping[str, Any]) -> float:
    patch, width = int(vision["patch_size"]), int(vision["width"])
    places = (int(vision.get("image_size", 224)) // patch) ** 2
    heads = width // int(vision.get("head_width", 64))
    blocks = int(vision["layers"]) * block_cost(places + 1, width, heads)
    return (places * 3 * patch**2 * width + blocks) / GIGA


def _measured_cost(encoder: str) -> float:
    """Counted while one frame goes through, for towers that are no plain transformers."""
    import numpy as np
    from torch.utils.flop_counter import FlopCounterMode

    from vcap.engine.encoders import load_encoder

    loaded = load_encoder(encoder)
    side = loaded.preprocess.size
    with FlopCounterMode(display=False) as counter:
        loaded.encode_frames(np.zeros((1, side, side, 3), np.uint8))
    return float(counter.get_total_flops()) / 2 / loaded.batch_size / GIGA
