"""The policy: a light network that scores a video's frames, so that the best of them are kept.

Source: Hu et al., "AdaCLIP: Adaptive Clip Selection", ACM MM 2023, doi 10.1145/3581783.3612161.
Checked against recorded runs of that system.
**Departures**: `features` scores the video encoder's own features and needs no second network;
padded frames are masked; a frozen CNN keeps its statistics unless `batch_statistics`, and its
trained last layer, which the original starts anew.
Shapes: B videos, N frames, D width of an encoded frame, W hidden width.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn

from vcap.models.aggregation import start_small
from vcap.models.layers import ClipLayer

EncoderName = Literal["features", "raw", "mobilenet_v3_large", "mobilenet_v2"]
SequenceName = Literal["transformer", "lstm", "bilstm", "none"]
HeadName = Literal["mlp", "fc"]
CNN_WIDTH = 1280  # of both MobileNets
CNN_MEAN, CNN_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of their training


@dataclass(frozen=True)
class PolicyConfig:
    """What a policy is made of.

    Attributes:
        encoder: `features` (the video encoder's features [B, N, D]), `raw` (small grey pictures) or
            one of two CNNs (`models.mobilenet.build_mobilenet`, handed to `Policy`).
        sequence: how frames see each other; `none` scores each for itself.
        head: `mlp` (two layers) or `fc` (one).
        num_frames: the most frames a video can have (the transformer has a place for each).
        feature_width: D of `features`.
        raw_side: height and width of the pictures of `raw`.
        hidden_width: W.
        head_width: width inside of the `mlp` head.
        freeze_cnn: leave the CNN as it is handed in.
        batch_statistics: let a frozen CNN norm by its batch and drift, as the original does.
    """

    encoder: EncoderName = "features"
    sequence: SequenceName = "transformer"
    head: HeadName = "mlp"
    num_frames: int = 16
    feature_width: int = 512
    raw_side: int = 56
    hidden_width: int = 512
    head_width: int = 1024
    freeze_cnn: bool = True
    batch_statistics: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be built, naming the field."""
        names = {"encoder": EncoderName, "sequence": SequenceName, "head": HeadName}
        for field, known in names.items():
            if getattr(self, field) not in get_args(known):
                wanted = ", ".join(get_args(known))
                raise ValueError(f"{field}: want one of {wanted}, got {getattr(self, field)}")
        for field in ("num_frames", "feature_width", "raw_side", "hidden_width", "head_width"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}: want at least 1, got {getattr(self, field)}")
        heads = max(1, self.hidden_width // 64)
        if self.sequence == "transformer" and self.hidden_width % heads:
            raise ValueError(f"hidden_width: {self.hidden_width} does not divide by {heads} heads")

    @property
    def uses_cnn(self) -> bool:
        """Whether pictures go through a network that has to be handed in."""
        return self.encoder.startswith("mobilenet")

    @property
    def frame_width(self) -> int:
        """Width of what the frames give to the sequence model."""
        if self.uses_cnn:
            return CNN_WIDTH
        return self.feature_width if self.encoder == "features" else self.raw_side**2


class Policy(nn.Module):
    """Scores frames: an encoder of single frames, a sequence model over them, a head.

    Args:
        config: what to build.
        cnn: [M, 3, H, W] -> [M, 1280], with its weights; only where `config.uses_cnn`.
    """

    def __init__(self, config: PolicyConfig, cnn: nn.Module | None = None) -> None:
        super().__init__()
        if config.uses_cnn != (cnn is not None):
            wrong = "wants a" if cnn is None else "has no"
            raise ValueError(f"encoder: {config.encoder} {wrong} CNN")
        self.config = config
        width, hidden = config.frame_width, config.hidden_width
        self.project = self.positions = self.layer = self.rnn = None
        if config.sequence == "transformer":
            self.project = nn.Linear(width, hidden)
            self.positions = nn.Embedding(config.num_frames, hidden)
            self.layer = ClipLayer(hidden)
        elif config.sequence != "none":
            both = config.sequence == "bilstm"
            self.rnn = nn.LSTM(width, hidden, batch_first=True, bidirectional=both)
        self.head = _head(width if config.sequence == "none" else hidden, config)
        self.apply(start_small)
        self.cnn = cnn
        if cnn is not None and config.freeze_cnn:
            cnn.requires_grad_(False)
            self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch to training; a frozen CNN stays as it is used later."""
        super().train(mode)
        if self.cnn is not None and self.config.freeze_cnn and not self.config.batch_statistics:
            self.cnn.eval()
        return self

    def pictures(self, pixels: Tensor) -> Tensor:
        """uint8 [B, N, H, W, C], grey for `raw`, else RGB -> frames [B, N, C, H, W] float32."""
        frames = pixels.movedim(-1, 2).float() / 255  # [B, N, C, H, W]
        if self.cnn is None:
            return frames
        mean, std = (frames.new_tensor(own)[:, None, None] for own in (CNN_MEAN, CNN_STD))
        return (frames - mean) / std  # [B, N, C, H, W]

    def encode(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """frames [B, N, D] features or [B, N, C, H, W] pictures -> [B, N, D]; padding gives 0."""
        if self.cnn is not None:
            real = frames.new_ones(frames.shape[:2], dtype=torch.bool) if mask is None else mask
            out = frames.new_zeros(*frames.shape[:2], CNN_WIDTH)  # [B, N, D]
            # Padding stays outside, so that it is not part of a batch's statistics.
            return out.masked_scatter(real[..., None], self.cnn(frames[real]).to(out.dtype))
        flat = frames.flatten(2)  # [B, N, D]
        if self.config.encoder == "features":  # of length sqrt(D), whatever a store holds
            flat = nn.functional.normalize(flat.float(), dim=-1) * math.sqrt(flat.shape[2])
        return flat if mask is None else flat.masked_fill(~mask[..., None], 0)  # [B, N, D]

    def sequence(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x [B, N, D], each frame for itself -> [B, N, W], in the light of the others."""
        if self.rnn is not None:
            return _average_directions(self.rnn, x, mask)  # [B, N, W]
        if self.project is None or self.positions is None or self.layer is None:
            return x
        x = self.project(x) + self.positions.weight[: x.shape[1]]  # [B, N, W]
        out: Tensor = self.layer(x, mask)  # [B, N, W]
        return out

    def score_encoded(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x [B, N, D], what `encode` gives -> scores [B, N]."""
        scores: Tensor = self.head(self.sequence(x, mask))  # [B, N, 1]
        return scores.squeeze(-1)  # [B, N]

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """frames [B, N, ...], mask [B, N] -> scores [B, N], zero on frames that are not real.

        Raises:
            ValueError: frames of another width, or more than the policy has places for.
        """
        limit = self.config.num_frames if self.positions is not None else frames.shape[1]
        if math.prod(frames.shape[2:]) != self.config.frame_width and self.cnn is None:
            wanted, got = self.config.frame_width, [*frames.shape]
            raise ValueError(f"the policy wants frames of {wanted} numbers, got {got}")
        if frames.shape[1] > limit:
            raise ValueError(f"the policy has places for {limit} frames, got {frames.shape[1]}")
        scores = self.score_encoded(self.encode(frames, mask), mask)  # [B, N]
        return scores if mask is None else scores.masked_fill(~mask, 0.0)  # [B, N]


def _head(width: int, config: PolicyConfig) -> nn.Sequential:
    if config.head == "fc":
        return nn.Sequential(nn.Linear(width, 1))
    inner = nn.Linear(width, config.head_width)
    return nn.Sequential(inner, nn.ReLU(), nn.Linear(config.head_width, 1))


def _average_directions(rnn: nn.LSTM, x: Tensor, mask: Tensor | None) -> Tensor:
    """x [B, N, D] -> [B, N, W], read over real frames only, the mean where there are two ways."""
    if mask is None:
        out: Tensor = rnn(x)[0]  # [B, N, W or 2*W]
    else:
        order = (~mask).int().argsort(dim=1, stable=True)  # [B, N], the real ones first
        lengths = mask.sum(dim=1).clamp(min=1).cpu()  # [B]
        moved = x.gather(1, order[..., None].expand_as(x))  # [B, N, D]
        packed = nn.utils.rnn.pack_padded_sequence(
            moved, lengths, batch_first=True, enforce_sorted=False
        )
        read, _ = nn.utils.rnn.pad_packed_sequence(
            rnn(packed)[0], batch_first=True, total_length=x.shape[1]
        )  # [B, N, W or 2*W]
        back = order.argsort(dim=1)[..., None].expand_as(read)  # [B, N, W or 2*W]
        out = read.gather(1, back)  # [B, N, W or 2*W]
    if rnn.bidirectional:
        forward, backward = out.chunk(2, dim=-1)  # 2 x [B, N, W]
        return (forward + backward) / 2  # [B, N, W]
    return out


_PARTS = {
    "cnn_model.": "cnn.",
    "projection.0.": "project.",
    "frame_position_embeddings.": "positions.",
    "transformer.resblocks.0.": "layer.",
    "rnn.": "rnn.",
    "linear.": "head.",
}


def from_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the original's policy, with or without `sampler.` before its names, to ours.

    Raises:
        KeyError: a key that belongs to no part of a policy.
    """
    parts = _PARTS.items()
    return {swap_start(key.removeprefix("sampler."), parts): own for key, own in state.items()}


def to_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename our policy to the original's, `sampler.` before every name."""
    parts = [(ours, theirs) for theirs, ours in _PARTS.items()]
    return {f"sampler.{swap_start(key, parts)}": value for key, value in state.items()}


def swap_start(key: str, parts: Iterable[tuple[str, str]]) -> str:
    """The key with the first of the starts that it has swapped, of pairs of old and new ones.

    Raises:
        KeyError: it has none of them.
    """
    for old, new in parts:
        if key.startswith(old):
            return new + key.removeprefix(old)
    raise KeyError(key)
