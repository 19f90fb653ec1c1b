"""Which frames of a video are kept: those of the highest scores, by a top-k with a gradient.

Source: Hu et al., "AdaCLIP: Adaptive Clip Selection", ACM MM 2023, doi 10.1145/3581783.3612161; the
relaxation after Xie and Ermon, arXiv:1901.10517. Checked against recorded runs of that system.
**Departures**: padded frames are masked, and a video with fewer frames than are kept keeps them
all; logarithms of numbers below float32's normal range are constants, so that hardware that flushes
them gives the same.
Shapes: B videos, N frames, K kept frames, D feature width.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

LOG_TAKEN = math.log(1e-40)  # what is added to a frame that is wholly taken
LEAST_PROBABILITY = 1e-8


class Selection(NamedTuple):
    """The frames that were kept of each video.

    Attributes:
        matrix: [B, K, N] float32, row k is one at the k-th kept frame; `matrix @ frames` are the
            kept frames [B, K, D]. In training the gradient flows through it to the scores.
        indices: [B, K] int64, the kept frames; 0 where there is none.
        mask: [B, K] bool, False where a video has no k-th real frame; such rows are zero.
    """

    matrix: Tensor
    indices: Tensor
    mask: Tensor

    def in_time_order(self) -> "Selection":
        """The same frames by time, not by score; rows without a frame stay last."""
        last = self.matrix.shape[2]
        order = self.indices.masked_fill(~self.mask, last).argsort(dim=1, stable=True)  # [B, K]
        rows = order[..., None].expand_as(self.matrix)  # [B, K, N]
        return Selection(
            self.matrix.gather(1, rows), self.indices.gather(1, order), self.mask.gather(1, order)
        )

    def take(self, values: Tensor) -> Tensor:
        """values [B, N, ...] of all frames -> [B, K, ...] of the kept; without one, of frame 0."""
        rows = torch.arange(len(values), device=values.device)[:, None]  # [B, 1]
        return values[rows, self.indices]  # [B, K, ...]

    def kept(self) -> Tensor:
        """Which frames were kept, [B, N] of 0 and 1 (in training with gradients)."""
        return self.matrix.sum(dim=1)  # [B, N]


def temperature_at(epoch: int, start: float = 5.0, end: float = 0.5, decay: float = 0.045) -> float:
    """The relaxation's temperature in an epoch counted from 0: exponential down to `end`."""
    return max(start * math.exp(-decay * epoch), end)


def num_kept_at(epoch: int, num_kept: int, num_frames: int, warmup_epochs: int = 0) -> int:
    """How many frames are kept in an epoch: from all but one in even steps down to `num_kept`."""
    if epoch >= warmup_epochs:
        return num_kept
    steps = (num_frames - 1) * warmup_epochs - epoch * (num_frames - 1 - num_kept)
    return steps // warmup_epochs


def gumbel_noise(scores: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Gumbel(0, 1) noise of the shape and on the device of scores [B, N], float32.

    The numbers are drawn on the generator's device, so that they do not depend on the scores'.
    """
    device = scores.device if generator is None else generator.device
    draws = torch.empty(scores.shape, dtype=torch.float32, device=device)  # [B, N]
    return -draws.exponential_(generator=generator).log().to(scores.device)  # [B, N]


def log_probabilities(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """scores [B, N], mask [B, N] -> logarithms of their softmax, bounded below, [B, N] float32."""
    with torch.autocast(scores.device.type, enabled=False):
        scores = scores.float()  # [B, N]
        if mask is not None:
            scores = scores.masked_fill(~_choosable(mask), -torch.inf)  # [B, N]
        return scores.softmax(dim=-1).clamp(min=LEAST_PROBABILITY).log()  # [B, N]


def relax(
    logs: Tensor,
    k: int,
    temperature: float,
    mask: Tensor | None = None,
    exclude_taken: bool = False,
) -> tuple[Tensor, Tensor]:
    """k softmaxes one after another, each pushed away from what those before it took.

    Args:
        logs: [B, N] log-probabilities, noise added.
        k: K.
        temperature: above 0.
        mask: [B, N] bool; frames that are not real get nothing.
        exclude_taken: give nothing to frames that an earlier row picked, which softly keep a share
            otherwise; the recorded variant without the hard mask.

    Returns:
        Rows [B, K, N] float32 that sum to one, and the frame each picks [B, K]: its largest that is
        not picked yet, the first among equals.
    """
    if k < 1 or temperature <= 0:
        raise ValueError(f"want k of at least 1 and a temperature above 0, got {k}, {temperature}")
    free = torch.ones_like(logs, dtype=torch.bool) if mask is None else mask  # [B, N]
    rows, picks = list[Tensor](), list[Tensor]()
    with torch.autocast(logs.device.type, enabled=False):
        y = logs.float().masked_fill(~_choosable(free), -torch.inf)  # [B, N]
        for _ in range(k):
            if rows:
                y = y + _log_left(rows[-1])  # [B, N]
            rows.append((y / temperature).softmax(dim=-1))  # [B, N]
            best = rows[-1].detach().masked_fill(~free, -1.0).argmax(dim=-1, keepdim=True)  # [B, 1]
            picks.append(best)
            free = free.scatter(1, best, False)  # [B, N]
            if exclude_taken:
                y = y.scatter_add(1, best, torch.full_like(best, LOG_TAKEN, dtype=y.dtype))
    return torch.stack(rows, dim=1), torch.cat(picks, dim=1)  # [B, K, N], [B, K]


def _log_left(taken: Tensor) -> Tensor:
    """Logarithm of what a row [B, N] leaves; where that is nothing, a constant."""
    left = 1 - taken  # [B, N]
    none = left <= 0  # [B, N], masked twice: the gradient of log(0) would not be finite
    return torch.where(none, LOG_TAKEN, left.masked_fill(none, 1.0).log())  # [B, N]


def hard_topk(
    logs: Tensor,
    k: int,
    temperature: float,
    mask: Tensor | None = None,
    exclude_taken: bool = False,
) -> Selection:
    """Keep k frames by noisy log-probabilities; the gradient is that of the relaxation.

    Args:
        logs: [B, N] `log_probabilities` plus `gumbel_noise`.
        k: K; never more than N rows come out.
        temperature: of the relaxation.
        mask: [B, N] bool, True where a frame is real.
        exclude_taken: as of `relax`.

    Returns:
        A selection in the order of the picks.
    """
    num_frames = logs.shape[1]
    soft, picks = relax(logs, min(k, num_frames), temperature, mask, exclude_taken)  # [B, K, N]
    chosen = _selection(picks, mask, num_frames)
    # The straight-through estimate: one-hot rows forward, relaxed rows backward.
    matrix = chosen.matrix - soft.detach() + soft  # [B, K, N]
    return chosen._replace(matrix=matrix * chosen.mask[..., None])


def hard_k_hot(logs: Tensor, k: int, temperature: float, mask: Tensor | None = None) -> Tensor:
    """The variant that takes the k largest sums of the relaxed rows, straight-through, [B, N]."""
    soft = relax(logs, min(k, logs.shape[1]), temperature, mask)[0].sum(dim=1)  # [B, N]
    hard = keep_best(soft.detach(), k, mask).kept()  # [B, N]
    out = hard - soft.detach() + soft  # [B, N]
    return out if mask is None else out * mask  # [B, N]


def keep_best(scores: Tensor, k: int, mask: Tensor | None = None) -> Selection:
    """Keep the k frames of the highest scores [B, N], the earlier among equals; no gradient."""
    if k < 1:
        raise ValueError(f"want k of at least 1, got {k}")
    ranked = scores.detach().float()  # [B, N]
    if mask is not None:
        ranked = ranked.masked_fill(~mask, -torch.inf)  # [B, N]
    best = ranked.argsort(dim=1, descending=True, stable=True)[:, :k]  # [B, K]
    return _selection(best, mask, scores.shape[1])


def _choosable(mask: Tensor) -> Tensor:
    """mask [B, N], but all True for a video without a real frame: its softmax has to exist."""
    return mask | ~mask.any(dim=1, keepdim=True)  # [B, N]


def _selection(indices: Tensor, mask: Tensor | None, num_frames: int) -> Selection:
    """One-hot rows of indices [B, K]; rows that are past the last real frame are empty."""
    real = torch.ones_like(indices, dtype=torch.bool)  # [B, K]
    if mask is not None:
        rank = torch.arange(indices.shape[1], device=indices.device)  # [K]
        real = rank < mask.sum(dim=1, keepdim=True)  # [B, K]
        indices = indices.masked_fill(~real, 0)  # [B, K]
    rows = nn.functional.one_hot(indices, num_frames).float()  # [B, K, N]
    return Selection(rows * real[..., None], indices, real)
