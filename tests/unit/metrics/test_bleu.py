"""BLEU by hand, and what repeated and grouped pairs do to it."""

import math

import numpy as np
import pytest

from vcap.metrics.bleu import bleu_of_groups, bleu_scores, bleu_statistics
from vcap.metrics.outcome import Pair

DOG: Pair = ("a man walks a dog", ("a man walks a dog", "a dog is walked by a man"))
CAT: Pair = ("the the the cat", ("the cat sat", "a cat is on the mat"))


def test_statistics_are_the_clipped_counts_and_both_lengths() -> None:
    statistics = bleu_statistics([DOG, CAT])
    assert statistics[0].tolist() == [5, 4, 3, 2, 5, 4, 3, 2, 5, 5]
    assert statistics[1].tolist() == [2, 1, 0, 0, 4, 3, 2, 1, 4, 3]


def test_a_count_is_clipped_by_the_reference_that_has_most() -> None:
    statistics = bleu_statistics([("a a a", ("a", "a a b", "b b b"))])
    assert statistics[0, :2].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("references", "closest"),
    [(("a", "a a a"), 1), (("a a a", "a"), 1), (("a a a", "a a a a a"), 3), (("b",), 1)],
)
def test_the_shorter_of_two_references_as_close_counts(
    references: tuple[str, ...], closest: int
) -> None:
    assert bleu_statistics([("a a", references)])[0, 9] == closest


def test_a_perfect_caption_scores_almost_one() -> None:
    assert bleu_scores(bleu_statistics([DOG]))[0] == pytest.approx([1, 1, 1, 1], abs=1e-8)


def test_the_formula_is_that_of_the_paper_with_its_tiny_constants() -> None:
    found = bleu_scores(bleu_statistics([CAT]))[0]
    p1, p2 = (2 + 1e-15) / (4 + 1e-9), (1 + 1e-15) / (3 + 1e-9)
    p3 = 1e-15 / (2 + 1e-9)
    assert found[:3] == pytest.approx([p1, (p1 * p2) ** 0.5, (p1 * p2 * p3) ** (1 / 3)], rel=1e-12)


def test_a_short_caption_is_punished() -> None:
    found = bleu_scores(bleu_statistics([("a man", ("a man walks",))]))[0, 0]
    assert found == pytest.approx(math.exp(1 - 3 / 2), abs=1e-8)


def test_an_empty_caption_scores_nothing() -> None:
    assert bleu_scores(bleu_statistics([("", ("a man",)), ("", ("",))])).tolist() == [[0] * 4] * 2


def test_groups_add_statistics_before_the_formula() -> None:
    statistics = bleu_statistics([DOG, CAT, DOG])
    found = bleu_of_groups(statistics, np.array([2, 2, 0]), 3)
    assert found[0] == pytest.approx(bleu_scores(statistics[2:])[0])
    assert found[2] == pytest.approx(bleu_scores(statistics[:2].sum(axis=0)[None])[0])
    assert found[2].tolist() != bleu_scores(statistics[:2]).mean(axis=0).tolist()


def test_a_group_without_captions_scores_zero() -> None:
    assert (
        bleu_of_groups(bleu_statistics([DOG]), np.array([1]), 3)[[0, 2]].tolist() == [[0] * 4] * 2
    )
    assert bleu_of_groups(bleu_statistics([]), np.zeros(0, dtype=np.int64), 1).tolist() == [[0] * 4]


def test_a_repeated_pair_repeats_its_row() -> None:
    rows = bleu_statistics([CAT, DOG, CAT])
    assert rows[0].tolist() == rows[2].tolist()
    assert rows.shape == (3, 10)
