"""Exact search by inner product, with numpy alone.

Shapes: N vectors, Q queries, D width, k hits wanted, C candidates of a query.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

BLOCK_SCORES = 1 << 24  # held at once in an exact search: 64 MiB
NOWHERE = -1  # row of a hit that was not found


def unit(vectors: npt.NDArray[Any]) -> Scores:
    """The vectors [N, D] at length 1, float32; what is zero stays zero."""
    wide = np.asarray(vectors, dtype=np.float32)  # [N, D]
    lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]  # [N, 1]
    scaled: Scores = wide / np.maximum(lengths, np.finfo(np.float32).tiny)  # [N, D]
    return scaled


def exact_search(vectors: Scores, queries: Scores, k: int) -> tuple[Scores, Rows]:
    """The k best rows of each query [Q, D]: scores [Q, k] and rows [Q, k], best first.

    Of equal scores the lower row comes first. There are fewer than k where N is smaller.
    """
    step = max(1, BLOCK_SCORES // max(1, len(queries)))
    if len(vectors) <= step:
        return best(queries @ vectors.T, k)
    scores, rows = best(queries @ vectors[:step].T, k)
    for start in range(step, len(vectors), step):
        own, places = best(queries @ vectors[start : start + step].T, k)
        both = np.concatenate([scores, own], axis=1)  # [Q, 2 k]
        known = np.concatenate([rows, places + start], axis=1)  # [Q, 2 k]
        scores, order = best(both, k)
        rows = np.take_along_axis(known, order, axis=1)  # [Q, k]
    return scores, rows


def best(scores: Scores, k: int) -> tuple[Scores, Rows]:
    """The k largest of each line [Q, N] and where they stand; of equal ones the first."""
    num_queries, count = scores.shape
    if k >= count:
        return _ordered(scores, np.broadcast_to(np.arange(count), scores.shape))
    least = np.partition(scores, count - k, axis=1)[:, count - k, None]  # [Q, 1]
    fits = scores >= least  # [Q, N]
    if np.count_nonzero(fits) != num_queries * k:  # some are equal to the last that fits
        places = np.stack(
            [_first_best(line, own, k) for line, own in zip(scores, least, strict=True)]
        )
    else:
        places = np.nonzero(fits)[1].reshape(num_queries, k)  # [Q, k]
    return _ordered(np.take_along_axis(scores, places, axis=1), places)


def _first_best(line: Scores, least: Scores, k: int) -> Rows:
    """Where the k best of a line [N] stand, in the order of the line."""
    above, equal = np.flatnonzero(line > least), np.flatnonzero(line == least)
    return np.sort(np.concatenate([above, equal[: k - len(above)]]))


def _ordered(scores: Scores, places: npt.NDArray[Any]) -> tuple[Scores, Rows]:
    order = np.argsort(-scores, axis=1, kind="stable")
    return (
        np.take_along_axis(scores, order, axis=1),
        np.take_along_axis(places, order, axis=1).astype(np.int64, copy=False),
    )


def rerank(vectors: Scores, queries: Scores, rows: Rows, k: int) -> tuple[Scores, Rows]:
    """The k best of the candidates [Q, C] of each query by exact scores; NOWHERE where too few."""
    k = min(k, rows.shape[1])
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)  # [Q, k]
    found = np.full((len(queries), k), NOWHERE, dtype=np.int64)  # [Q, k]
    for place, (query, own) in enumerate(zip(queries, rows, strict=True)):
        known = np.sort(own[own >= 0])  # in order of rows: equal scores as in an exact search
        line, order = best((vectors[known] @ query)[None], k)
        scores[place, : order.shape[1]] = line[0]
        found[place, : order.shape[1]] = known[order[0]]
    return scores, found
