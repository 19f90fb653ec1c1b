"""CIDEr-D as the COCO caption evaluation computes it, for one corpus or for many at once.

Document frequencies and the number of documents are those of the item's own group: a group with
one item has log(1) = 0 everywhere and scores 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vcap.metrics.ngrams import ORDERS, Counted, Floats, Ints, stretches
from vcap.metrics.outcome import Pair

_SIGMA = 6.0
_ROWS_AT_ONCE = 1 << 11  # of whole groups; keeps the tables of many small groups in the cache


@dataclass(frozen=True)
class _Rows:
    """Distinct (group, pair), sorted by group, and how often each is there."""

    group: Ints
    pair: Ints
    times: Ints


class _Rarity:
    """log(N / df) of an n-gram in its group."""

    def __init__(self, counted: Counted, rows: _Rows, items: Ints) -> None:
        set_of_pair, first, gram = counted.reference_sets
        self._size = counted.entries.num_grams
        self._whole: Floats = np.log(np.maximum(1, items).astype(np.float64))  # [groups]
        num_sets = len(first) - 1
        key, inverse = np.unique(
            rows.group * num_sets + set_of_pair[rows.pair], return_inverse=True
        )
        times = np.bincount(inverse, rows.times, len(key))
        group, which = np.divmod(key, max(1, num_sets))
        owner, at = stretches(first[which], np.diff(first)[which])
        keys = group[owner] * self._size + gram[at]
        if len(items) == 1:
            self._keys = None  # one group: the n-gram's number is the place in the table
            frequency = np.bincount(keys, times[owner], self._size)
        else:
            self._keys, spot = np.unique(keys, return_inverse=True)
            frequency = np.bincount(spot, times[owner], len(self._keys))
        self._known: Floats = np.log(np.maximum(1, frequency))

    def of(self, group: Ints, gram: Ints) -> Floats:
        """Rarity of each n-gram in the group beside it."""
        if self._keys is None:
            whole: Floats = self._whole[0] - self._known[gram]
            return whole
        if not len(self._keys):
            return self._whole[group]
        wanted = group * self._size + gram
        at = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        rarity: Floats = self._whole[group] - np.where(self._keys[at] == wanted, self._known[at], 0)
        return rarity


def cider(pairs: Sequence[Pair], groups: Ints | None = None, num_groups: int = 1) -> Floats:
    """CIDEr-D of each pair, [N], 0 to 10; the mean over a group is the group's figure.

    Args:
        pairs: candidates and references, tokenised.
        groups: [N] the group of each pair; all one group where None.
        num_groups: number of groups.
    """
    counted = Counted.of(pairs)
    group = np.zeros(len(counted), dtype=np.int64) if groups is None else groups
    num_pairs = max(1, len(counted.distinct))
    key, inverse, times = np.unique(
        group * num_pairs + counted.pair_of_row, return_inverse=True, return_counts=True
    )
    scores = np.zeros(len(key))
    items = np.bincount(group, minlength=num_groups)
    for part, groups_there in _whole_groups(key // num_pairs):
        of_group = key[part] // num_pairs - groups_there.start
        rows = _Rows(of_group, key[part] % num_pairs, times[part])
        scores[part] = _score(counted, rows, items[groups_there])
    return scores[inverse]


def _whole_groups(group: Ints) -> Iterator[tuple[slice, slice]]:
    """Cut sorted rows between groups: which rows, and from which group to which."""
    start = 0
    while start < len(group):
        stop = len(group)
        if stop - start > _ROWS_AT_ONCE:
            last = group[start + _ROWS_AT_ONCE]
            cut = int(np.searchsorted(group, last))
            stop = cut if cut > start else int(np.searchsorted(group, last, side="right"))
        yield slice(start, stop), slice(int(group[start]), int(group[stop - 1]) + 1)
        start = stop


def _score(counted: Counted, rows: _Rows, items: Ints) -> Floats:
    """CIDEr-D of each row."""
    rarity = _Rarity(counted, rows, items)
    sizes = np.diff(counted.first_edge)[rows.pair]
    row, edge = stretches(counted.first_edge[rows.pair], sizes)
    candidate, reference = counted.candidate[rows.pair][row], counted.reference[edge]
    mine, theirs = _norms(counted, rarity, rows.group[row], candidate, reference)
    both = mine * theirs
    value = _overlap(counted, rarity, rows, sizes) / np.where(both > 0, both, 1)
    bigrams = np.maximum(0, counted.entries.lengths - 1)
    gap = (bigrams[candidate] - bigrams[reference]).astype(np.float64)
    similarity = value.mean(axis=1) * np.exp(-(gap**2) / (2 * _SIGMA**2))
    return 10 * np.bincount(row, similarity, len(sizes)) / sizes


def _norms(
    counted: Counted, rarity: _Rarity, group: Ints, candidate: Ints, reference: Ints
) -> tuple[Floats, Floats]:
    """Length of the weight vectors of both texts, by n; each text once a group, [R, 4] both."""
    entries, num_texts = counted.entries, len(counted.entries.lengths)
    both = np.concatenate([group * num_texts + candidate, group * num_texts + reference])
    key, inverse = np.unique(both, return_inverse=True)
    owner, entry = entries.of(key % num_texts)
    gram = entries.gram[entry]
    weight = entries.count[entry] * rarity.of((key // num_texts)[owner], gram)
    cell = owner * ORDERS + entries.order[gram]
    norm = np.sqrt(np.bincount(cell, weight**2, len(key) * ORDERS)).reshape(-1, ORDERS)[inverse]
    return norm[: len(group)], norm[len(group) :]


def _overlap(counted: Counted, rarity: _Rarity, rows: _Rows, sizes: Ints) -> Floats:
    """Sum of min(candidate, reference) * reference over the shared n-grams, by n, [R, 4]."""
    entries, matches = counted.entries, counted.matches
    first = np.searchsorted(matches.edge, counted.first_edge)
    row, at = stretches(first[rows.pair], np.diff(first)[rows.pair])
    begins = np.cumsum(sizes) - sizes
    spot = begins[row] + matches.edge[at] - counted.first_edge[rows.pair][row]
    theirs = entries.count[matches.reference[at]]
    gram = entries.gram[matches.candidate[at]]
    shared = np.minimum(entries.count[matches.candidate[at]], theirs) * theirs
    value = shared * rarity.of(rows.group[row], gram) ** 2
    cell = spot * ORDERS + entries.order[gram]
    total: Floats = np.bincount(cell, value, int(sizes.sum()) * ORDERS).astype(np.float64)
    return total.reshape(-1, ORDERS)
