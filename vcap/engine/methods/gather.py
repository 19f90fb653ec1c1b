"""Batches of several processes as one, so that every process sees all negatives.

Every process computes the same loss on what was gathered, and their gradients are averaged
afterwards. What a process gets back for its own part is therefore multiplied by their number. The
original of AdaCLIP leaves that out, and trains its encoders with gradients that are too small.
Shapes: B rows of a process, W processes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed

from vcap.models.retrieval import Embedded


def num_processes() -> int:
    """How many processes train together."""
    is_one_of_many = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if is_one_of_many else 1


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.size = len(rows)
        parts = [torch.empty_like(rows) for _ in range(num_processes())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        start = distributed.get_rank() * ctx.size
        return gradients[0][start : start + ctx.size] * num_processes()


def gather_rows(rows: Tensor) -> Tensor:
    """Rows [B, ...] of all processes in their order [W*B, ...]; their own where there is one.

    All processes have as many rows. The gradient is that of one process with the whole batch, once
    the gradients of all processes are averaged.
    """
    if num_processes() == 1:
        return rows
    if rows.dtype == torch.bool:
        return gather_rows(rows.to(torch.uint8)).bool()
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def gather_batch(batch: Embedded, ids: Sequence[Tensor]) -> tuple[Embedded, list[Tensor]]:
    """The embedded batches of all processes as one, and what tells their rows apart."""
    if num_processes() == 1:
        return batch, list(ids)
    parts = [None if part is None else gather_rows(part) for part in batch]
    return Embedded(*parts), [gather_rows(one) for one in ids]  # type: ignore[arg-type]
