"""BLEU-1..4 with the closest reference length, as the COCO caption evaluation computes it."""

from collections.abc import Sequence

import numpy as np

from vcap.metrics.ngrams import ORDERS, Counted, Floats, Ints
from vcap.metrics.outcome import Pair

_TINY, _SMALL = 1e-15, 1e-9  # keep a quotient finite; the reason why a zero prints as 4.5e-17


def bleu_statistics(pairs: Sequence[Pair]) -> Floats:
    """What BLEU adds up over captions, [N, 10].

    The columns: n-grams found in a reference (n 1..4), n-grams of the candidate (n 1..4), its
    length, and the length of the reference that comes closest (the shorter one of two as close).
    """
    counted = Counted.of(pairs)
    length = counted.entries.lengths[counted.candidate]
    guesses = np.maximum(0, length[:, None] - np.arange(ORDERS))
    columns = [_correct(counted), guesses, length[:, None], _closest(counted, length)[:, None]]
    return np.concatenate(columns, axis=1)[counted.pair_of_row].astype(np.float64)


def _correct(counted: Counted) -> Ints:
    """n-grams of each candidate, each at most as often as one reference has it, [P, 4]."""
    entries, matches = counted.entries, counted.matches
    pair, entry = entries.of(counted.candidate)
    begins = np.searchsorted(pair, np.arange(len(counted.distinct)))
    of_match = counted.pair_of_edge[matches.edge]
    place = begins[of_match] + matches.candidate - entries.first[counted.candidate][of_match]
    best = np.zeros(len(entry), dtype=np.int64)
    np.maximum.at(best, place, entries.count[matches.reference])
    cell = pair * ORDERS + entries.order[entries.gram[entry]]
    shared = np.minimum(best, entries.count[entry])
    size = len(counted.distinct) * ORDERS
    return np.bincount(cell, shared, size).astype(np.int64).reshape(-1, ORDERS)


def _closest(counted: Counted, length: Ints) -> Ints:
    """Length of the reference closest to each candidate's, [P]."""
    if not len(length):
        return length
    theirs = counted.entries.lengths[counted.reference]
    wide = int(theirs.max()) + 1
    distance = np.abs(theirs - length[counted.pair_of_edge])
    return np.minimum.reduceat(distance * wide + theirs, counted.first_edge[:-1]) % wide


def bleu_scores(statistics: Floats) -> Floats:
    """BLEU-1..4 of each row of (added up) statistics, [N, 10] -> [N, 4]."""
    precision = (statistics[:, :ORDERS] + _TINY) / (statistics[:, ORDERS:8] + _SMALL)
    scores: Floats = np.cumprod(precision, axis=1) ** (1 / np.arange(1, ORDERS + 1))
    ratio = (statistics[:, 8] + _TINY) / (statistics[:, 9] + _SMALL)
    return scores * np.exp(np.minimum(0, 1 - 1 / ratio))[:, None]


def bleu_of_groups(statistics: Floats, groups: Ints, num_groups: int) -> Floats:
    """Corpus BLEU-1..4 of each group of rows, [G, 4]; 0 where a group has no row.

    Args:
        statistics: [N, 10], from `bleu_statistics`.
        groups: [N] group of each row.
        num_groups: G.
    """
    sums = [np.bincount(groups, column, num_groups) for column in statistics.T]
    filled = np.bincount(groups, minlength=num_groups) > 0
    return bleu_scores(np.stack(sums, axis=1)) * filled[:, None]
