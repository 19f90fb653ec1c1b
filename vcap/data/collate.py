"""Rows of unequal length -> padded batches and masks; the edge of `data` to tensors.

Shapes: B clips, T frames, D feature width, L tokens. Masks are True where real.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def pad_tokens(rows: Sequence[Sequence[int]], padding: int = 0) -> tuple[Tensor, Tensor]:
    """Token rows -> tokens [B, L] int64 and mask [B, L], padded on the right."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]  # [B, L]
    tokens = np.full(mask.shape, padding, dtype=np.int64)  # [B, L]
    tokens[mask] = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
    return torch.from_numpy(tokens), torch.from_numpy(mask)


def pad_features(
    features: Sequence[npt.NDArray[np.floating]], times: Sequence[npt.NDArray[np.floating]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Features [T, D] and times [T] of clips -> features [B, T, D], times [B, T], mask [B, T].

    Features keep the number type of the first clip, so that a large table stays in half precision.

    Raises:
        ValueError: a clip has another number of times than of features.
    """
    for one, when in zip(features, times, strict=True):
        if one.ndim != 2 or when.shape != one.shape[:1]:
            raise ValueError(f"want [T, D] and [T], got {[*one.shape]} and {[*when.shape]}")
    lengths = np.array([len(one) for one in features], dtype=np.int64)
    longest = int(lengths.max(initial=0))
    width, kind = (features[0].shape[1], features[0].dtype) if len(features) else (0, np.float32)
    padded = np.zeros((len(features), longest, width), dtype=kind)  # [B, T, D]
    moments = np.zeros((len(features), longest), dtype=np.float32)  # [B, T]
    for number, (one, when) in enumerate(zip(features, times, strict=True)):
        padded[number, : len(one)] = one
        moments[number, : len(one)] = when
    mask = np.arange(longest) < lengths[:, None]  # [B, T]
    return torch.from_numpy(padded), torch.from_numpy(moments), torch.from_numpy(mask)
