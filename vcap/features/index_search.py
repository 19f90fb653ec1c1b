"""Exact search by inner product, with numpy alone.

Shapes: N vectors, Q queries, D width, k hits wanted, C candidates of a query.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

BLOCK_SCORES = 1 << 24  # held at once in an exact search: 64 MiB
FEW = 4  # queries
IN_CACHE = 2048  # vectors
HEADS = 4  # groups of scores for each hit; their largest tell which scores are worth sorting
LEAST_HEADS = 256
TINY = np.finfo(np.float32).tiny  # divides what is zero
NOWHERE = -1  # row of a hit that was not found


def unit(vectors: npt.NDArray[Any]) -> Scores:
    """The vectors [N, D] at length 1, float32; what is zero stays zero."""
    wide = np.asarray(vectors, dtype=np.float32)  # [N, D]
    lengths = np.sqrt(np.vecdot(wide, wide))[:, None]  # [N, 1]
    scaled: Scores = wide / np.maximum(lengths, TINY)  # [N, D]
    return scaled


def exact_search(vectors: Scores, queries: Scores, k: int) -> tuple[Scores, Rows]:
    """The k best rows of each query [Q, D]: scores [Q, k] and rows [Q, k], best first.

    Of equal scores the lower row comes first. There are fewer than k where N is smaller.
    """
    step = max(1, BLOCK_SCORES // max(1, len(queries)))
    scores, rows = best(products(vectors[:step], queries).T, k)
    for start in range(step, len(vectors), step):
        own, places = best(products(vectors[start : start + step], queries).T, k)
        both = np.concatenate([scores, own], axis=1)  # [Q, 2 k]
        known = np.concatenate([rows, places + start], axis=1)  # [Q, 2 k]
        scores, order = best(both, k)
        rows = np.take_along_axis(known, order, axis=1)  # [Q, k]
    return scores, rows


def products(vectors: Scores, queries: Scores) -> Scores:
    """Inner products [N, Q]; for a few queries row by row, which reads memory twice as fast."""
    if len(queries) <= FEW and len(vectors) > IN_CACHE:
        found: Scores = np.vecdot(vectors[:, None], queries[None])  # [N, Q]
        return found
    return vectors @ queries.T  # [N, Q], in this order faster than its transpose


def best(scores: Scores, k: int) -> tuple[Scores, Rows]:
    """The k largest of each line [Q, N] and where they stand; of equal ones the first.

    What is no number comes before all numbers, so that it is seen.
    It is quick where a line's scores lie apart in memory, as in the transpose of a product [N, Q].
    """
    num_queries, count = scores.shape
    num_groups = min(max(HEADS * k, LEAST_HEADS), count // 2)
    if num_groups < HEADS * k or not k:
        return _sorted(scores, k)
    size = count // num_groups
    by_row = scores.T  # [N, Q]
    heads = by_row[: size * num_groups].reshape(size, num_groups, num_queries).max(axis=0)
    if np.isnan(heads).any() or np.isnan(by_row[size * num_groups :]).any():
        return _sorted(scores, k)
    least = np.partition(heads, num_groups - k, axis=0)[num_groups - k]  # [Q], k are as large
    flat = np.flatnonzero(by_row >= least)  # in order of rows
    places, lines = np.divmod(flat, num_queries)
    if len(places) > HEADS * num_queries * k:  # many are equal
        return _sorted(scores, k)
    values = by_row[places, lines]
    order = np.lexsort((-values, lines))  # keeps the order of rows where equal
    first = np.searchsorted(lines[order], np.arange(num_queries))  # [Q]
    kept = order[first[:, None] + np.arange(k)]  # [Q, k]
    return values[kept], places[kept]


def _sorted(scores: Scores, k: int) -> tuple[Scores, Rows]:
    keys = np.where(np.isnan(scores), -np.inf, -scores)  # [Q, N]
    order = np.argsort(keys, axis=1, kind="stable")[:, :k]  # [Q, k]
    return np.take_along_axis(scores, order, axis=1), order
