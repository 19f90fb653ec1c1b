"""n-grams of distinct texts, and what candidates share with their references."""

from collections import Counter

import numpy as np
import pytest

from vcap.metrics import ngrams
from vcap.metrics.ngrams import Counted, count_entries, distinct, stretches
from vcap.metrics.outcome import Pair

TEXTS = ["a b a b", "", "c", "a  b\tc d e", "e d c b a"]
PAIRS: list[Pair] = [
    ("a b a b", ("a b c", "b a b")),
    ("c c", ("a b c",)),
    ("a b a b", ("a b c", "b a b")),
    ("", ("", "x")),
    ("a b a b", ("b a b", "a b c")),
]


def plain(text: str, n: int) -> Counter[tuple[str, ...]]:
    """n-grams of a text, counted the slow way."""
    words = text.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def test_stretches_lay_ranges_end_to_end() -> None:
    owner, value = stretches(np.array([5, 9, 0]), np.array([2, 0, 3]))
    assert owner.tolist() == [0, 0, 2, 2, 2]
    assert value.tolist() == [5, 6, 0, 1, 2]


def test_distinct_values_come_ascending_and_nothing_stays_nothing() -> None:
    assert distinct(np.array([3, 1, 3, 2, 1])).tolist() == [1, 2, 3]
    assert distinct(np.zeros(0, dtype=np.int64)).tolist() == []


def test_every_text_has_the_counts_of_its_ngrams() -> None:
    entries = count_entries(TEXTS)
    assert entries.lengths.tolist() == [4, 0, 1, 5, 5]
    for number, text in enumerate(TEXTS):
        mine = slice(entries.first[number], entries.first[number + 1])
        for n in range(1, 5):
            counts = entries.count[mine][entries.order[entries.gram[mine]] == n - 1]
            assert sorted(counts) == sorted(plain(text, n).values())


def test_an_ngram_has_one_number_wherever_it_is() -> None:
    entries = count_entries(["a b", "x a b", "b a"])
    grams = [set(entries.gram[entries.first[t] : entries.first[t + 1]]) for t in range(3)]
    assert len(grams[0] & grams[1]) == 3  # a, b, a b
    assert len(grams[0] & grams[2]) == 2  # a, b
    assert entries.num_grams == len({g for t in ("a b", "x a b", "b a") for g in grams_of(t)})


def grams_of(text: str) -> set[tuple[str, ...]]:
    """All n-grams of a text."""
    return {gram for n in range(1, 5) for gram in plain(text, n)}


def test_texts_without_words_have_no_entries() -> None:
    entries = count_entries(["", "  "])
    assert entries.num_grams == 0
    assert entries.first.tolist() == [0, 0, 0]
    assert count_entries([]).first.tolist() == [0]


def test_rows_that_are_the_same_pair_are_one_pair() -> None:
    counted = Counted(PAIRS)
    assert counted.pair_of_row.tolist() == [0, 1, 0, 2, 3]
    assert counted.distinct == [PAIRS[0], PAIRS[1], PAIRS[3], PAIRS[4]]
    assert len(counted) == 5
    assert counted[1] == PAIRS[1]
    assert counted[:2] == PAIRS[:2]
    assert sorted(counted.texts) == sorted({text for c, given in PAIRS for text in (c, *given)})


def test_counted_pairs_are_not_counted_again() -> None:
    counted = Counted(PAIRS)
    assert Counted.of(counted) is counted
    assert Counted.of(PAIRS).distinct == counted.distinct


def test_some_rows_of_counted_pairs_are_those_pairs() -> None:
    chosen = Counted(PAIRS).rows(np.array([3, 0, 3]))
    assert [*chosen] == [PAIRS[3], PAIRS[0], PAIRS[3]]
    assert [chosen.distinct[pair] for pair in chosen.pair_of_row] == [*chosen]


def shared(counted: Counted) -> list[list[int]]:
    """How often each matched n-gram is in the candidate and in the reference, by edge."""
    entries, found = counted.entries, counted.matches
    rows = zip(
        found.edge, entries.count[found.candidate], entries.count[found.reference], strict=True
    )
    return sorted([int(value) for value in row] for row in rows)


def wanted(counted: Counted) -> list[list[int]]:
    """The same, the slow way."""
    edges = [(text, one) for text, given in counted.distinct for one in given]
    return sorted(
        [number, plain(text, n)[gram], plain(one, n)[gram]]
        for number, (text, one) in enumerate(edges)
        for n in range(1, 5)
        for gram in plain(text, n).keys() & plain(one, n).keys()
    )


@pytest.mark.parametrize("lookups", [1, 5, 1 << 21])
def test_matches_are_the_ngrams_of_both_texts(
    monkeypatch: pytest.MonkeyPatch, lookups: int
) -> None:
    monkeypatch.setattr(ngrams, "LOOKUPS_AT_ONCE", lookups)
    counted = Counted(PAIRS)
    assert shared(counted) == wanted(counted)
    assert np.all(np.diff(counted.matches.edge) >= 0)


def test_a_set_of_references_has_each_ngram_once() -> None:
    counted = Counted([("q", ("a b", "a c")), ("r", ("a b", "a c")), ("q", ("b",))])
    of_pair, first, gram = counted.reference_sets
    assert of_pair.tolist() == [0, 0, 1]
    assert np.diff(first).tolist() == [5, 1]  # a, b, c, a b, a c; then b
    assert len(set(gram[:5])) == 5


def test_no_pairs_have_no_matches() -> None:
    counted = Counted([])
    assert len(counted.matches.edge) == 0
    assert counted.reference_sets[1].tolist() == [0]


def test_a_candidate_without_references_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a reference"):
        Counted([("a", ())])
