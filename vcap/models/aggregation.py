"""How frames become one video vector, words one text vector, and what frames tell each other first.

Source: AdaCLIP, ACM MM 2023, doi 10.1145/3581783.3612161, and its published code; mean, LSTM and
transformer headers of Luo et al., "CLIP4Clip", arXiv:2104.08860; the query-dependent scorer of
Bain et al., "A CLIP-Hitchhiker's Guide to Long Video Retrieval", arXiv:2205.08508.
Departures: padded frames and words are masked, each item with its own mask (the original mixes the
masks of a batch's texts); the query-dependent scorer never forms its weighted vectors.
Shapes: V videos, K frames kept of each, Q texts, L words, D width.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vcap.models.layers import ClipLayer, QuickGelu

HeaderName = Literal["meanP", "seqTransf", "transformer", "seqLSTM"]
ScorerName = Literal["mlp", "transformer"]
TEXT_BLOCKS = {"seqTransf": range(4), "transformer": range(4, 5)}  # what a header starts as
LEAST_NORM = 1e-12  # as torch's normalize; keeps videos without frames at zero


def start_small(module: nn.Module) -> None:
    """Small weights without offsets for this one module, as the original starts from."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def masked_softmax(
    logits: Tensor, mask: Tensor | None, temperature: float = 1.0, dim: int = -1
) -> Tensor:
    """logits [..., N], mask [..., N] -> weights [..., N], zero where not real; N may be elsewhere.

    They sum to one, or to zero where nothing is real at all.
    """
    logits = logits / temperature  # [..., N]
    if mask is None:
        return logits.softmax(dim=dim)  # [..., N]
    lowest = torch.finfo(logits.dtype).min
    weights = logits.masked_fill(~mask, lowest).softmax(dim=dim)  # [..., N]
    return weights * mask  # [..., N]


class MlpScorer(nn.Module):
    """Says how much each vector counts, from the vector alone: the MLP-Score."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width),
            QuickGelu(),
            nn.Linear(2 * width, width),
            QuickGelu(),
            nn.Linear(width, 1),
        )
        self.apply(start_small)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x [B, N, D] -> logits [B, N]; a mask changes nothing here."""
        logits: Tensor = self.mlp(x)  # [B, N, 1]
        return logits.squeeze(-1)  # [B, N]


class TransformerScorer(nn.Module):
    """Says how much each vector counts after all have looked at each other, without positions."""

    def __init__(self, width: int, num_heads: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.block = ClipLayer(width, num_heads, eps)
        self.project = nn.Linear(width, 1)
        self.apply(start_small)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x [B, N, D], mask [B, N] -> logits [B, N]."""
        logits: Tensor = self.project(self.block(x, mask))  # [B, N, 1]
        return logits.squeeze(-1)  # [B, N]


class TransformerHeader(nn.Module):
    """Positions and blocks before the frames are aggregated; real frames come first.

    With `residual` it is seqTransf of CLIP4Clip, without it AdaCLIP's `transformer`.
    """

    def __init__(
        self, width: int, num_heads: int, num_positions: int, num_blocks: int, residual: bool
    ) -> None:
        super().__init__()
        self.residual = residual
        self.positions = nn.Embedding(num_positions, width)
        eps = 1e-12 if residual else 1e-5
        self.blocks = nn.ModuleList(ClipLayer(width, num_heads, eps) for _ in range(num_blocks))
        self.apply(start_small)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """frames [V, K, D], mask [V, K] -> [V, K, D].

        Raises:
            ValueError: more frames than positions.
        """
        num_frames = frames.shape[1]
        if num_frames > self.positions.num_embeddings:
            most = self.positions.num_embeddings
            raise ValueError(f"the header knows {most} positions, got {num_frames} frames")
        x = frames + self.positions.weight[:num_frames]  # [V, K, D]
        for block in self.blocks:
            x = block(x, mask)  # [V, K, D]
        return x + frames if self.residual else x  # [V, K, D]


class LstmHeader(nn.Module):
    """What an LSTM has read so far, added to each frame; real frames come first, in their order."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """frames [V, K, D] -> [V, K, D]; it never reads padding before a real frame."""
        read, _ = self.lstm(frames)  # [V, K, D]
        out: Tensor = read + frames  # [V, K, D]
        return out


def build_header(
    name: HeaderName, width: int, num_heads: int, num_positions: int
) -> nn.Module | None:
    """The header of this name; None for `meanP`, which has none."""
    if name == "meanP":
        return None
    if name == "seqLSTM":
        return LstmHeader(width)
    num_blocks = len(TEXT_BLOCKS[name])
    return TransformerHeader(width, num_heads, num_positions, num_blocks, name == "seqTransf")


def build_scorer(name: ScorerName, width: int, num_heads: int, eps: float = 1e-5) -> nn.Module:
    """The scorer of this name."""
    return MlpScorer(width) if name == "mlp" else TransformerScorer(width, num_heads, eps)


def start_from_text(header: TransformerHeader, tower: Mapping[str, Tensor]) -> int:
    """Start a header as blocks of a CLIP text tower, the first four or the fifth, as far as it has.

    The positions are taken too where the tables are as wide, for seqTransf; the original cannot
    take them for its `transformer`, whose table has one row a kept frame.

    Args:
        header: changed in place.
        tower: weights under CLIP's names.

    Returns:
        How many of its blocks begin so; the others, of other sizes or not there, stay random.
    """
    num_started = 0
    numbers = TEXT_BLOCKS["seqTransf" if header.residual else "transformer"]
    for block, number in zip(header.blocks, numbers, strict=True):
        start = f"transformer.resblocks.{number}."
        part = {k.removeprefix(start): v for k, v in tower.items() if k.startswith(start)}
        if _shapes(part) != _shapes(block.state_dict()):
            break
        block.load_state_dict(part)
        num_started += 1
    if header.residual and num_started:
        table = header.positions.weight.data  # [P, D]
        rows = min(len(table), len(tower["positional_embedding"]))
        table[:rows] = tower["positional_embedding"][:rows].to(table)  # [rows, D]
    return num_started


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def mean_vector(frames: Tensor, mask: Tensor | None = None) -> Tensor:
    """frames [V, K, D], mask [V, K] -> mean of the unit frames, made unit again [V, D]."""
    unit = normalize(frames, dim=-1)  # [V, K, D]
    if mask is not None:
        unit = unit * mask[..., None]  # [V, K, D]
    return normalize(unit.sum(dim=1), dim=-1)  # [V, D], length 1 whatever the count


def weighted_sum(x: Tensor, weights: Tensor) -> Tensor:
    """x [B, N, D], weights [B, N] -> [B, D], of the vectors as they are."""
    return (weights[:, None] @ x).squeeze(1)  # [B, D]


def query_cosines_naive(
    texts: Tensor, frames: Tensor, mask: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """The query-dependent scorer as its formula reads: a video vector for every pair.

    Args:
        texts: [Q, D] of any length.
        frames: [V, K, D] of any length.
        mask: [V, K] bool, True where a frame is real.
        temperature: of the softmax over a video's frames.

    Returns:
        [Q, V] cosines.
    """
    texts = normalize(texts, dim=-1)  # [Q, D]
    cosines = torch.einsum("qd,vkd->qvk", texts, normalize(frames, dim=-1))  # [Q, V, K]
    weights = masked_softmax(cosines, _each(mask, cosines), temperature)  # [Q, V, K]
    videos = torch.einsum("qvk,vkd->qvd", weights, frames)  # [Q, V, D]
    return torch.einsum("qd,qvd->qv", texts, normalize(videos, dim=-1))  # [Q, V]


def gram_matrices(frames: Tensor) -> Tensor:
    """frames [V, K, D] -> products of each video's frames with each other [V, K, K]."""
    return frames @ frames.transpose(1, 2)  # [V, K, K]


def query_cosines(
    texts: Tensor,
    frames: Tensor,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    grams: Tensor | None = None,
) -> Tensor:
    """The same numbers as `query_cosines_naive` without a vector a pair.

    With products s = F q and weights w, the cosine is w.s / sqrt(w' G w), where G are the products
    of a video's frames with each other, made once.

    Args:
        texts: [Q, D] of any length.
        frames: [V, K, D] of any length.
        mask: [V, K] bool, True where a frame is real.
        temperature: of the softmax over a video's frames.
        grams: [V, K, K] of `gram_matrices`; absent, they are made here.

    Returns:
        [Q, V] cosines.
    """
    texts = normalize(texts, dim=-1)  # [Q, D]
    grams = gram_matrices(frames) if grams is None else grams  # [V, K, K]
    lengths = _root(grams.diagonal(dim1=1, dim2=2))[..., None]  # [V, K, 1]
    products = _products(frames, texts)  # [V, K, Q]
    real = None if mask is None else mask[..., None]  # [V, K, 1]
    weights = masked_softmax(products / lengths, real, temperature, dim=1)  # [V, K, Q]
    squares = (weights * (grams @ weights)).sum(dim=1)  # [V, Q]
    return ((weights * products).sum(dim=1) / _root(squares)).T  # [Q, V]


def _products(frames: Tensor, texts: Tensor) -> Tensor:
    """frames [V, K, D], texts [Q, D] -> inner products [V, K, Q].

    One text is multiplied video by video, which reads the frames more than twice as fast.
    """
    if len(texts) == 1:
        return torch.bmm(frames, texts.T[None].expand(len(frames), -1, -1))  # [V, K, 1]
    return (frames.flatten(0, 1) @ texts.T).view(*frames.shape[:2], -1)  # [V, K, Q]


def _root(squares: Tensor) -> Tensor:
    return squares.clamp(min=LEAST_NORM**2).sqrt()


def _each(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """mask [V, K] -> the same for every text [Q, V, K]."""
    return None if mask is None else mask.expand_as(like)  # [Q, V, K]
