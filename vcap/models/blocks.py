"""The transformer block of CLIP's text tower, and what else is made in its way.

Source: Radford et al., "CLIP", arXiv:2103.00020; the names of the weights are those of its code, so
that blocks of a text tower can be loaded as they are.
Departures: the mask is one of keys, True where real, the same for every head.
Shapes: B items, N positions, W width.
"""

import torch
from torch import Tensor, nn


class QuickGelu(nn.Module):
    """The activation that OpenAI's weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape -> the same shape."""
        return x * (1.702 * x).sigmoid()


class _FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.gelu = QuickGelu()
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c_proj(self.gelu(self.c_fc(x)))  # [B, N, W]
        return out


class ClipBlock(nn.Module):
    """Pre-norm attention among the positions, then a feed-forward layer four times as wide."""

    def __init__(self, width: int, num_heads: int, eps: float = 1e-5) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"a width of {width} does not divide into {num_heads} heads")
        self.ln_1 = nn.LayerNorm(width, eps)
        self.attn = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width, eps)
        self.mlp = _FeedForward(width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x [B, N, W] sees itself where mask [B, N] is True -> [B, N, W].

        An item without a single real position sees all of its padding, rather than become NaN.
        """
        hidden = None if mask is None else ~(mask | ~mask.any(dim=1, keepdim=True))  # [B, N]
        normed = self.ln_1(x)  # [B, N, W]
        seen, _ = self.attn(normed, normed, normed, key_padding_mask=hidden, need_weights=False)
        x = x + seen  # [B, N, W]
        out: Tensor = x + self.mlp(self.ln_2(x))  # [B, N, W]
        return out


def start_small(module: nn.Module, deviation: float = 0.02) -> None:
    """Give linear and embedding weights a small normal start and zero biases, as AdaCLIP does.

    The joint input weights of attention and the weights of an LSTM keep torch's own.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=deviation)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)


def masked_softmax(logits: Tensor, mask: Tensor | None, temperature: float = 1.0) -> Tensor:
    """logits [..., N], mask [..., N] -> weights [..., N], zero where not real.

    They sum to one, or to zero where nothing is real at all.
    """
    logits = logits / temperature  # [..., N]
    if mask is None:
        return logits.softmax(dim=-1)  # [..., N]
    lowest = torch.finfo(logits.dtype).min
    weights = logits.masked_fill(~mask, lowest).softmax(dim=-1)  # [..., N]
    return weights * mask  # [..., N]
