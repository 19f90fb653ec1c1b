"""CIDEr-D against its definition, and for many groups at once."""

import math
from collections import Counter

import numpy as np
import pytest

from vcap.metrics import cider as module
from vcap.metrics.cider import cider
from vcap.metrics.outcome import Pair

PAIRS: list[Pair] = [
    ("a man walks a dog", ("a man walks a dog", "the dog is walked by a man")),
    ("a man walks", ("the cat sat on the mat",)),
    ("the cat sat on the mat", ("a cat sat on a mat", "the cat sat on the mat on the floor")),
    ("a man walks a dog", ("a man walks a dog", "the dog is walked by a man")),
    ("dog dog dog", ("a man walks a dog",)),
]


def grams(text: str, n: int) -> Counter[tuple[str, ...]]:
    """n-grams of a text with their counts."""
    words = text.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def by_definition(pairs: list[Pair]) -> list[float]:
    """CIDEr-D of each pair, written down as the protocol says it."""
    documents = [
        {g for text in given for n in range(1, 5) for g in grams(text, n)} for _, given in pairs
    ]
    df = Counter(gram for document in documents for gram in document)

    def weights(text: str, n: int) -> dict[tuple[str, ...], float]:
        whole = math.log(len(pairs))
        return {g: c * (whole - math.log(max(1, df[g]))) for g, c in grams(text, n).items()}

    def alike(text: str, other: str, n: int) -> float:
        mine, theirs = weights(text, n), weights(other, n)
        norm = math.hypot(*mine.values()) * math.hypot(*theirs.values())
        value = sum(min(w, theirs.get(g, 0)) * theirs.get(g, 0) for g, w in mine.items())
        gap = grams(text, 2).total() - grams(other, 2).total()
        return (value / norm if norm else value) * math.exp(-(gap**2) / 72)

    return [
        10 * np.mean([alike(text, one, n) for one in given for n in range(1, 5)]).item()
        for text, given in pairs
    ]


def test_each_pair_scores_what_the_definition_says() -> None:
    found = cider(PAIRS)
    assert found == pytest.approx(by_definition(PAIRS), abs=1e-12)
    assert found[0] == found[3] > found[1]


def test_a_repeated_item_counts_as_a_document_again() -> None:
    once, again = cider(PAIRS[:3]), cider(PAIRS[:4])
    assert again == pytest.approx(by_definition(PAIRS[:4]), abs=1e-12)
    assert again[0] != pytest.approx(once[0])


def test_one_item_alone_scores_zero() -> None:
    assert cider(PAIRS[:1]).tolist() == [0]


@pytest.mark.parametrize("rows", [1, 2, 1 << 14])
def test_each_group_is_a_set_of_its_own(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", rows)
    groups = np.array([2, 0, 2, 5, 0, 2, 1, 2, 1, 0])
    pairs = PAIRS * 2
    found = cider(pairs, groups, 7)
    for group in range(7):
        mine = [pairs[row] for row in np.flatnonzero(groups == group)]
        assert found[groups == group] == pytest.approx(by_definition(mine) if mine else [])


def test_references_without_a_word_score_zero_instead_of_failing() -> None:
    assert cider([("a", ("",)), ("b", ("", ""))]).tolist() == [0, 0]
    pairs: list[Pair] = [("a", ("",)), ("a b", ("a b",)), ("c", ("c",))]
    assert cider(pairs, np.array([0, 1, 1]), 2)[0] == 0
    assert cider([("", ("",)), ("", ("",))], np.array([0, 1]), 2).tolist() == [0, 0]


def test_nothing_to_score_gives_nothing() -> None:
    assert cider([]).shape == (0,)
    assert cider([], np.zeros(0, dtype=np.int64), 3).shape == (0,)
