"""Blocks that two models or more are built from.

Source: Mokady et al., "ClipCap", arXiv:2111.09734, section 3.2 and its published code; `ClipLayer`
after Radford et al., "CLIP", arXiv:2103.00020.
Departures: a mask over the keys, so that padded frames are never looked at.
Shapes: B clips, N queries, M keys, A heads, W width, T frames.
"""

import math

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention with separate queries and keys, as the original parametrises it."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"a width of {width} does not divide into {num_heads} heads")
        self.num_heads = num_heads
        self.scale = (width // num_heads) ** -0.5
        self.to_queries = nn.Linear(width, width, bias=False)
        self.to_keys_values = nn.Linear(width, 2 * width, bias=False)
        self.project = nn.Linear(width, width)

    def weights(self, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """queries [B, A, N, W/A], keys [B, A, M, W/A], mask [B, M] -> weights [B, A, N, M]."""
        scores: Tensor = queries @ keys.transpose(-1, -2) * self.scale  # [B, A, N, M]
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], -torch.inf)  # [B, A, N, M]
        return scores.softmax(dim=-1)  # [B, A, N, M]

    def heads(self, flat: Tensor) -> Tensor:
        """flat [B, N, W] -> one row a head [B, A, N, W/A]."""
        return flat.view(*flat.shape[:2], self.num_heads, -1).transpose(1, 2)  # [B, A, N, W/A]

    def forward(self, x: Tensor, source: Tensor, mask: Tensor | None = None) -> Tensor:
        """x [B, N, W] looks at source [B, M, W] where mask [B, M] is True -> [B, N, W]."""
        keys, values = self.to_keys_values(source).chunk(2, dim=-1)  # 2 x [B, M, W]
        weights = self.weights(self.heads(self.to_queries(x)), self.heads(keys), mask)
        seen = weights @ self.heads(values)  # [B, A, N, W/A]
        out: Tensor = self.project(seen.transpose(1, 2).flatten(2))  # [B, N, W]
        return out


class FeedForward(nn.Module):
    """Two linear layers around a ReLU, twice as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, W] -> [B, N, W]."""
        out: Tensor = self.fc2(self.fc1(x).relu())  # [B, N, W]
        return out


class AttentionLayer(nn.Module):
    """A pre-norm layer: attention, then a feed-forward block, each added to its input."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, num_heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width)

    def forward(
        self, x: Tensor, source: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """x [B, N, W], source [B, M, W] taken as it is (absent: x itself, normed) -> [B, N, W]."""
        queries = self.norm1(x)  # [B, N, W]
        keys = queries if source is None else source  # [B, M, W]
        x = x + self.attention(queries, keys, mask)  # [B, N, W]
        out: Tensor = x + self.mlp(self.norm2(x))  # [B, N, W]
        return out


class QuickGelu(nn.Module):
    """The activation of OpenAI's CLIP, x * sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape -> the same shape."""
        return x * torch.sigmoid(1.702 * x)


class ClipFeedForward(nn.Module):
    """Two linear layers around CLIP's activation, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.gelu = QuickGelu()
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, W] -> [B, N, W]."""
        out: Tensor = self.c_proj(self.gelu(self.c_fc(x)))  # [B, N, W]
        return out


class ClipLayer(nn.Module):
    """A layer of CLIP's transformers under its own names, so that its weights load as they are.

    Args:
        width: W.
        num_heads: A; None gives one for every 64 of the width, as CLIP has it.
        eps: of both norms.
    """

    def __init__(self, width: int, num_heads: int | None = None, eps: float = 1e-5) -> None:
        super().__init__()
        heads = num_heads or max(1, width // 64)
        if width % heads:
            raise ValueError(f"a width of {width} does not divide into {heads} heads")
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.mlp = ClipFeedForward(width)
        self.ln_2 = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x [B, N, W] looks at itself where mask [B, N] is True -> [B, N, W]."""
        hidden = None
        if mask is not None:
            hidden = ~mask & mask.any(dim=1, keepdim=True)  # [B, N], a row of padding sees itself
        normed = self.ln_1(x)  # [B, N, W]
        seen, _ = self.attn(normed, normed, normed, key_padding_mask=hidden, need_weights=False)
        x = x + seen  # [B, N, W]
        out: Tensor = x + self.mlp(self.ln_2(x))  # [B, N, W]
        return out


class TimeEmbedding(nn.Module):
    """Sines of a frame's time at periods of a quarter second to about two minutes, then a layer."""

    periods: Tensor

    def __init__(self, width: int, num_periods: int = 10) -> None:
        super().__init__()
        periods = 0.25 * 2.0 ** torch.arange(num_periods)
        self.register_buffer("periods", periods, persistent=False)
        self.project = nn.Linear(2 * num_periods + 1, width)

    def forward(self, times: Tensor, mask: Tensor) -> Tensor:
        """times [B, T] seconds, mask [B, T] -> what to add to the frames [B, T, W]."""
        seconds = times - times[:, :1]  # [B, T], counted from the clip's first frame
        seconds = seconds.masked_fill(~mask, 0.0)  # [B, T]
        length = seconds.amax(dim=1, keepdim=True).clamp(min=1e-3)  # [B, 1]
        angle = 2 * math.pi * seconds[..., None] / self.periods  # [B, T, periods]
        parts = [angle.sin(), angle.cos(), (seconds / length)[..., None]]
        out: Tensor = self.project(torch.cat(parts, dim=-1))  # [B, T, W]
        return out


class TemporalConvolution(nn.Module):
    """Two short convolutions along time beside a linear layer: a frame learns of its neighbours."""

    def __init__(self, feature_width: int, width: int, kernel: int) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"the kernel has to be odd to stay on its frame, got {kernel}")
        self.norm = nn.LayerNorm(feature_width)
        self.skip = nn.Linear(feature_width, width)
        self.first = nn.Conv1d(feature_width, width, kernel, padding=kernel // 2)
        self.second = nn.Conv1d(width, width, kernel, padding=kernel // 2)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """features [B, T, D], mask [B, T] -> [B, T, W]; padded frames stay zero."""
        real = mask[:, None, :].to(features.dtype)  # [B, 1, T]
        normed = self.norm(features)  # [B, T, D]
        inner = self.first(normed.transpose(1, 2) * real)  # [B, W, T]
        moved = self.second(nn.functional.gelu(inner) * real)  # [B, W, T]
        tokens = self.skip(normed) + moved.transpose(1, 2)  # [B, T, W]
        out: Tensor = tokens * real.transpose(1, 2)  # [B, T, W]
        return out


def frame_shares(mask: Tensor, num_parts: int) -> Tensor:
    """How much of each real frame falls into each of P equal parts of the clip.

    Args:
        mask: [B, T] bool, True where a frame is real.
        num_parts: P; where it equals the number of real frames each part is one frame, exactly.

    Returns:
        [B, P, T], rows sum to one, zero on frames that are not real.
    """
    rank = mask.cumsum(dim=1) - 1  # [B, T]
    num_real = mask.sum(dim=1).clamp(min=1)[:, None, None]  # [B, 1, 1]
    part = torch.arange(num_parts, device=mask.device)[None, :, None]  # [1, P, 1]
    # In units of 1/P of a frame everything is whole, so that P frames give exact ones.
    start, end = part * num_real, (part + 1) * num_real  # [B, P, 1]
    left, right = rank[:, None] * num_parts, (rank[:, None] + 1) * num_parts  # [B, 1, T]
    shared = torch.minimum(end, right) - torch.maximum(start, left)  # [B, P, T]
    return shared.clamp(min=0) * mask[:, None] / num_real  # [B, P, T]
