"""Pairs with the n-grams of each distinct text counted once, for BLEU and CIDEr to share.

A text is split at white space; n runs from 1 to 4. Every distinct n-gram gets a number, so that
counting, matching and document frequencies are work on arrays. An *entry* is one n-gram of one
text with its count; the entries of a text lie together, sorted by number. An *edge* is one
reference of one distinct pair; the edges of a pair lie together.

Shapes: N rows as given, P distinct pairs, E edges, S distinct texts, K entries, G n-grams.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import overload

import numpy as np
import numpy.typing as npt

from vcap.metrics.outcome import Pair

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ORDERS = 4
LOOKUPS_AT_ONCE = 1 << 21  # bounds the memory of matching, whatever the size of the set


def stretches(starts: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """Lay the ranges start, start + 1, ... end to end: the range of each element, its value."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    shift = starts - (np.cumsum(sizes) - sizes)
    return owner, np.arange(len(owner)) + shift[owner]


def distinct(values: Ints) -> Ints:
    """Distinct values, ascending; a sort is several times faster here than numpy's hash table."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered[new]


@dataclass(frozen=True)
class Entries:
    """The n-grams of distinct texts with their counts.

    Attributes:
        lengths: [S] words of each text.
        first: [S + 1] where the entries of each text begin.
        gram: [K] n-gram number.
        count: [K] how often it occurs in the text.
        order: [G] n - 1 of each n-gram.
        key: [K] text * G + n-gram, ascending.
    """

    lengths: Ints
    first: Ints
    gram: Ints
    count: Ints
    order: Ints
    key: Ints

    @property
    def num_grams(self) -> int:
        """Number of distinct n-grams."""
        return len(self.order)

    def of(self, texts: Ints) -> tuple[Ints, Ints]:
        """Entries of the texts: the place in `texts` each belongs to, the entry."""
        return stretches(self.first[texts], self.first[texts + 1] - self.first[texts])


def count_entries(texts: Iterable[str]) -> Entries:
    """Split each text at white space and count its n-grams."""
    words = [text.split() for text in texts]
    lengths = np.array([len(each) for each in words], dtype=np.int64)
    number: defaultdict[str, int] = defaultdict()
    number.default_factory = number.__len__
    every = map(number.__getitem__, chain.from_iterable(words))
    tokens = np.fromiter(every, dtype=np.int64, count=int(lengths.sum()))
    owner, gram, order = _numbered_grams(tokens, lengths, len(number))
    key, count = np.unique(owner * max(1, len(order)) + gram, return_counts=True)
    text, gram = np.divmod(key, max(1, len(order)))
    first = np.searchsorted(text, np.arange(len(words) + 1))
    return Entries(lengths, first, gram, count.astype(np.int64), order, key)


def _numbered_grams(tokens: Ints, lengths: Ints, num_words: int) -> tuple[Ints, Ints, Ints]:
    """Text and number of every n-gram occurrence, and the order of every number.

    An n-gram is the pair (number of its first n - 1 words, last word), so that one packed integer
    stands for it without collisions.
    """
    owner = np.repeat(np.arange(len(lengths)), lengths)
    left = np.cumsum(lengths)[owner] - np.arange(len(tokens))  # words from here to the text's end
    at, gram = np.arange(len(tokens)), tokens
    owners, grams, sizes, offset = [owner], [tokens], [num_words], num_words
    for order in range(1, ORDERS):
        keep = left[at] > order
        at = at[keep]
        packed = gram[keep] * num_words + tokens[at + order]
        known, gram = np.unique(packed, return_inverse=True)
        owners.append(owner[at])
        grams.append(gram + offset)
        sizes.append(len(known))
        offset += len(known)
    return np.concatenate(owners), np.concatenate(grams), np.repeat(np.arange(ORDERS), sizes)


@dataclass(frozen=True)
class Matches:
    """Where a candidate's n-gram is in a reference too, sorted by edge.

    Attributes:
        edge: [M] the edge.
        candidate: [M] the candidate's entry.
        reference: [M] the reference's entry of the same n-gram.
    """

    edge: Ints
    candidate: Ints
    reference: Ints


class Counted(Sequence[Pair]):
    """Pairs that several metrics judge; each distinct pair and text is looked at once.

    Attributes:
        pair_of_row: [N] number of the distinct pair in each row.
        distinct: the P distinct pairs, in order of appearance.
        candidate: [P] text number of each pair's candidate.
        reference: [E] text number of each edge's reference.
        first_edge: [P + 1] where the edges of each pair begin.
        texts: the S distinct texts, tokenised as they are given.

    Raises:
        ValueError: a pair has no reference.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._pairs = pairs
        seen: dict[Pair, int] = {}
        rows = [seen.setdefault(pair, len(seen)) for pair in pairs]
        self.pair_of_row = np.array(rows, dtype=np.int64)
        self.distinct = list(seen)
        if not all(references for _, references in self.distinct):
            raise ValueError("every candidate needs a reference to be judged against")
        number: defaultdict[str, int] = defaultdict()
        number.default_factory = number.__len__
        self.candidate = _array(number[text] for text, _ in self.distinct)
        self.reference = _array(number[text] for _, given in self.distinct for text in given)
        sizes = _array(len(given) for _, given in self.distinct)
        self.first_edge = np.concatenate([[0], np.cumsum(sizes)])
        self.pair_of_edge = np.repeat(np.arange(len(sizes)), sizes)
        self.texts = list(number)

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> "Counted":
        """The pairs themselves if they are counted already, so that metrics can share them."""
        return pairs if isinstance(pairs, cls) else cls(pairs)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | Sequence[Pair]:
        """One row, or some."""
        return self._pairs[index]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._pairs)

    def rows(self, rows: Ints) -> "Counted":
        """These rows, in this order and as often as they are named; nothing is counted again."""
        chosen = copy(self)
        chosen._pairs = [self._pairs[row] for row in rows.tolist()]
        chosen.pair_of_row = self.pair_of_row[rows]
        return chosen

    @cached_property
    def entries(self) -> Entries:
        """n-grams of every distinct text."""
        return count_entries(self.texts)

    @cached_property
    def matches(self) -> Matches:
        """What each distinct pair's candidate shares with each of its references."""
        candidate = self.candidate[self.pair_of_edge]
        first = self.entries.first
        found = [
            self._matched(candidate, part) for part in _parts(np.diff(first)[candidate].cumsum())
        ]
        edge, mine, theirs = (np.concatenate(column) for column in zip(*found, strict=True))
        return Matches(edge, mine, theirs)

    def _matched(self, candidate: Ints, part: slice) -> tuple[Ints, Ints, Ints]:
        """Matches of some edges; `candidate` [E] is each edge's candidate."""
        entries = self.entries
        edge, mine = entries.of(candidate[part])
        wanted = self.reference[part][edge] * entries.num_grams + entries.gram[mine]
        there = np.minimum(np.searchsorted(entries.key, wanted), len(entries.key) - 1)
        hit = entries.key[there] == wanted
        return edge[hit] + part.start, mine[hit], there[hit]

    @cached_property
    def reference_sets(self) -> tuple[Ints, Ints, Ints]:
        """Which set of references each pair has [P], and the distinct n-grams of every set.

        The n-grams of set r are gram[first[r] : first[r + 1]]; gives (set of pair, first, gram).
        """
        seen: dict[tuple[str, ...], int] = {}
        of_pair = _array(seen.setdefault(given, len(seen)) for _, given in self.distinct)
        example = np.unique(of_pair, return_index=True)[1]
        edges, edge = stretches(self.first_edge[example], np.diff(self.first_edge)[example])
        owner, entry = self.entries.of(self.reference[edge])
        size = max(1, self.entries.num_grams)
        which, gram = np.divmod(distinct(edges[owner] * size + self.entries.gram[entry]), size)
        return of_pair, np.searchsorted(which, np.arange(len(seen) + 1)), gram


def _array(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)


def _parts(running: Ints) -> Iterator[slice]:
    """Cut so that each part has about as many lookups as are done at once; one at least."""
    start = 0
    for limit in range(LOOKUPS_AT_ONCE, int(running[-1]) if len(running) else 0, LOOKUPS_AT_ONCE):
        stop = int(np.searchsorted(running, limit))
        if stop > start:
            yield slice(start, stop)
            start = stop
    yield slice(start, len(running))
