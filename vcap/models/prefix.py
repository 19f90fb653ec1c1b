"""Prefix captioner: frame features become the first words a language model reads.

Source: Mokady et al., "ClipCap", arXiv:2111.09734, and its MSR-VTT variant, which maps a row of
frame features instead of one picture's. Checked against recorded runs of that system.
With `pooled` it is ClipCap itself: one vector a clip, from which the mapper makes all it reads.
**Departures**, all off or without effect by default: padded frames are masked; the MLP's frames are
pooled to P parts where P differs from T; `frame_times` and `temporal_kernel` tell the mapper about
time; `unit_length` and `standardise` even out the numbers of a feature; with `end_token` the end
of a caption is learned and `token_mask` says what counts.
Shapes: B clips, T frames, D feature width, P prefix, W width of the language model, L tokens, V
vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn

from vcap.models import lm as language
from vcap.models.layers import AttentionLayer, TemporalConvolution, TimeEmbedding, frame_shares

MapperName = Literal["mlp", "transformer", "cross"]


@dataclass(frozen=True)
class PrefixConfig:
    """What a prefix captioner is made of, the language model aside.

    Attributes:
        mapper: `mlp` (frame by frame), `transformer` (frames and prefix see each other), or `cross`
            (the prefix looks at the frames, never at itself).
        feature_width: D.
        prefix_length: P.
        clip_length: T, frames the sampler takes of a clip.
        num_layers: layers of the two attention mappers.
        num_heads: their heads.
        lm_width: W.
        frame_times: add an embedding of its time to each frame (attention mappers).
        temporal_kernel: width in frames of the convolutions before the mapper; 0 for none.
        standardise: bring features to the mean 0 and deviation 1 that they have in training.
        end_token: learn where captions end; False counts every token but id 0, as the original.
        pooled: the mean of the frames stands for the clip; `clip_length` tokens are made of it.
        unit_length: bring features to length 1 first, as the original's `--normalize_prefix` meant.
    """

    mapper: MapperName = "transformer"
    feature_width: int = 512
    prefix_length: int = 10
    clip_length: int = 28
    num_layers: int = 8
    num_heads: int = 8
    lm_width: int = 768
    frame_times: bool = False
    temporal_kernel: int = 0
    standardise: bool = False
    end_token: bool = True
    pooled: bool = False
    unit_length: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be built, naming the field."""
        if self.mapper not in ("mlp", "transformer", "cross"):
            raise ValueError(f"mapper: want mlp, transformer or cross, got {self.mapper}")
        if self.mapper == "mlp" and self.frame_times:
            raise ValueError("frame_times: the mlp mapper keeps the order of frames already")
        if self.pooled and (self.frame_times or self.temporal_kernel):
            raise ValueError("pooled: frame_times and temporal_kernel have no frames to work on")
        if min(self.feature_width, self.prefix_length, self.clip_length, self.lm_width) < 1:
            raise ValueError(
                "feature_width, prefix_length, clip_length and lm_width: want at least 1"
            )
        if min(self.num_layers, self.num_heads) < 1 or self.temporal_kernel < 0:
            raise ValueError("num_layers, num_heads: want at least 1; temporal_kernel: at least 0")
        if self.mapper != "mlp" and self.lm_width % self.num_heads:
            raise ValueError(f"num_heads: {self.lm_width} does not divide by {self.num_heads}")


class MlpMapper(nn.Module):
    """One hidden layer, frame by frame; the frames' outputs are the prefix.

    A clip's one vector is mapped to the whole prefix at once.
    """

    def __init__(self, config: PrefixConfig, feature_width: int) -> None:
        super().__init__()
        self.prefix_length = config.prefix_length
        self.pooled = config.pooled
        width = config.lm_width * (config.prefix_length if config.pooled else 1)
        self.hidden = nn.Linear(feature_width, width // 2)
        self.output = nn.Linear(width // 2, width)

    def forward(self, features: Tensor, times: Tensor, mask: Tensor) -> Tensor:
        """features [B, T, D], times [B, T], mask [B, T] -> prefix [B, P, W]."""
        if self.pooled:
            whole: Tensor = self.output(self.hidden(features[:, 0]).tanh())  # [B, P*W]
            return whole.reshape(len(whole), self.prefix_length, -1)  # [B, P, W]
        shares = frame_shares(mask, self.prefix_length).to(features.dtype)  # [B, P, T]
        parts = shares @ features  # [B, P, D]
        out: Tensor = self.output(self.hidden(parts).tanh())  # [B, P, W]
        return out


class AttentionMapper(nn.Module):
    """Learned constants that turn into the prefix while looking at the frames."""

    def __init__(self, config: PrefixConfig, feature_width: int) -> None:
        super().__init__()
        width = config.lm_width
        self.cross = config.mapper == "cross"
        self.num_tokens = config.clip_length if config.pooled else 0  # made of one vector
        self.linear = nn.Linear(feature_width, width * max(1, self.num_tokens))
        self.constants = nn.Parameter(torch.randn(config.prefix_length, width))  # [P, W]
        self.times = TimeEmbedding(width) if config.frame_times else None
        self.layers = nn.ModuleList(
            AttentionLayer(width, config.num_heads) for _ in range(config.num_layers)
        )

    def tokens(self, features: Tensor, times: Tensor, mask: Tensor) -> Tensor:
        """features [B, T, D], times [B, T], mask [B, T] -> frame tokens [B, T, W]."""
        tokens: Tensor = self.linear(features)  # [B, T, W]
        return tokens if self.times is None else tokens + self.times(times, mask)  # [B, T, W]

    def forward(self, features: Tensor, times: Tensor, mask: Tensor) -> Tensor:
        """features [B, T, D], times [B, T], mask [B, T] -> prefix [B, P, W]."""
        tokens = self.tokens(features, times, mask)  # [B, T, W]
        if self.num_tokens:
            tokens = tokens.reshape(len(tokens), self.num_tokens, -1)  # [B, T, W]
            mask = mask.new_ones(tokens.shape[:2])  # [B, T]
        constants = self.constants.expand(len(tokens), -1, -1)  # [B, P, W]
        if self.cross:
            x = constants
            for layer in self.layers:
                x = layer(x, tokens, mask)  # [B, P, W]
            return x
        x = torch.cat([tokens, constants], dim=1)  # [B, T+P, W]
        seen = torch.cat([mask, mask.new_ones(constants.shape[:2])], dim=1)  # [B, T+P]
        for layer in self.layers:
            x = layer(x, None, seen)  # [B, T+P, W]
        return x[:, tokens.shape[1] :]  # [B, P, W]


class PrefixCaptioner(nn.Module):
    """A mapper in front of a GPT-2."""

    feature_mean: Tensor  # [D]
    feature_std: Tensor  # [D]

    def __init__(self, config: PrefixConfig, lm: nn.Module) -> None:
        super().__init__()
        self.config = config
        if config.standardise:
            self.register_buffer("feature_mean", torch.zeros(config.feature_width))
            self.register_buffer("feature_std", torch.ones(config.feature_width))
        kernel, width = config.temporal_kernel, config.feature_width
        self.convolution = TemporalConvolution(width, config.lm_width, kernel) if kernel else None
        mapper = MlpMapper if config.mapper == "mlp" else AttentionMapper
        self.mapper = mapper(config, config.lm_width if kernel else width)
        self.lm = lm
        self.lm_frozen = False

    def freeze_lm(self) -> Self:
        """Train the mapper only: the language model gets no gradient and no dropout."""
        self.lm_frozen = True
        self.lm.requires_grad_(False)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch to training; a frozen language model stays as it is used later."""
        super().train(mode)
        if self.lm_frozen:
            self.lm.eval()
        return self

    def prefix(self, features: Tensor, times: Tensor, mask: Tensor) -> Tensor:
        """features [B, T, D], times [B, T], mask [B, T] -> prefix [B, P, W]."""
        if features.shape[:2] != mask.shape or features.shape[2] != self.config.feature_width:
            wanted = self.config.feature_width
            got = f"{[*features.shape]} and {[*mask.shape]}"
            raise ValueError(f"want [B, T, {wanted}] and [B, T], got {got}")
        out: Tensor = self.mapper(self.frame_tokens(features, mask), times, mask)  # [B, P, W]
        return out

    def frame_tokens(self, features: Tensor, mask: Tensor) -> Tensor:
        """features [B, T, D], mask [B, T] -> what the mapper reads, [B, T or 1, D or W]."""
        if self.config.unit_length:
            features = nn.functional.normalize(features, dim=-1)  # [B, T, D]
        if self.config.standardise:
            features = (features - self.feature_mean) / self.feature_std  # [B, T, D]
        if self.config.pooled:
            real = mask[..., None].to(features.dtype)  # [B, T, 1]
            features = (features * real).sum(1, keepdim=True) / real.sum(
                1, keepdim=True
            )  # [B, 1, D]
        if self.convolution is not None:
            features = self.convolution(features, mask)  # [B, T, W]
        return features

    def read(self, prefix: Tensor, tokens: Tensor, token_mask: Tensor) -> Tensor:
        """prefix [B, P, W], tokens [B, L], token_mask [B, L] -> logits [B, P+L, V]."""
        words = language.embed(self.lm, tokens)  # [B, L, W]
        embeddings = torch.cat([prefix, words], dim=1)  # [B, P+L, W]
        real = token_mask.new_ones(prefix.shape[:2])  # [B, P]
        return language.read(self.lm, embeddings, torch.cat([real, token_mask], dim=1))

    def forward(
        self, features: Tensor, times: Tensor, mask: Tensor, tokens: Tensor, token_mask: Tensor
    ) -> Tensor:
        """features [B, T, D], tokens [B, L] and their masks -> logits [B, P+L, V]."""
        return self.read(self.prefix(features, times, mask), tokens, token_mask)

    def loss(self, logits: Tensor, tokens: Tensor, token_mask: Tensor) -> Tensor:
        """logits [B, P+L, V] against tokens [B, L] -> mean cross-entropy of what counts []."""
        return caption_loss(logits, tokens, self.counted(tokens, token_mask))

    def counted(self, tokens: Tensor, token_mask: Tensor) -> Tensor:
        """tokens [B, L], token_mask [B, L] -> which tokens the loss is about [B, L]."""
        return token_mask if self.config.end_token else tokens != 0  # [B, L]

    def reader(self) -> language.CachedReader:
        """What `generation.generate` continues a prefix with."""
        return language.CachedReader(self.lm)


def caption_loss(logits: Tensor, tokens: Tensor, counted: Tensor) -> Tensor:
    """Mean cross-entropy of the counted tokens, each predicted from all before it.

    Args:
        logits: [B, P+L, V]; position P-1 predicts the first token.
        tokens: [B, L] int64.
        counted: [B, L] bool; none at all gives a loss of zero.
    """
    guesses = logits[:, -tokens.shape[1] - 1 : -1]  # [B, L, V]
    each = nn.functional.cross_entropy(guesses.transpose(1, 2), tokens, reduction="none")  # [B, L]
    return (each * counted).sum() / counted.sum().clamp(min=1)  # []


_PARTS = {
    "clip_project.model.0.": "mapper.hidden.",
    "clip_project.model.2.": "mapper.output.",
    "clip_project.linear.": "mapper.linear.",
    "clip_project.prefix_const": "mapper.constants",
    "clip_project.transformer.layers.": "mapper.layers.",
    "gpt.": "lm.",
}
_DROPPED = (".attn.bias", ".attn.masked_bias")


def from_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the original's weights to ours; the output layer is tied and may be absent.

    Raises:
        KeyError: a key that belongs to no part of the original.
    """
    renamed = {}
    for key, value in state.items():
        if key.startswith("gpt.") and key.endswith(_DROPPED):
            continue  # causal masks that old versions of transformers saved along
        name = _swap(key, _PARTS)
        if name.startswith("mapper."):
            name = name.replace(".attn.", ".attention.")
        renamed[name] = value
    if "lm.transformer.wte.weight" in renamed:
        renamed.setdefault("lm.lm_head.weight", renamed["lm.transformer.wte.weight"])
    return renamed


def to_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename our weights to the original's.

    Raises:
        KeyError: a part the original does not have, as a temporal convolution.
    """
    parts = {ours: theirs for theirs, ours in _PARTS.items()}
    return {
        _swap(key, parts).replace(".attention.", ".attn."): value for key, value in state.items()
    }


def _swap(key: str, parts: Mapping[str, str]) -> str:
    for old, new in parts.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    raise KeyError(key)
