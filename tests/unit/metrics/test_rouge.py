"""ROUGE-L by hand, and on the texts where splitting at blanks matters."""

import pytest

from vcap.metrics.outcome import Pair
from vcap.metrics.rouge import rouge_l


def f_score(precision: float, recall: float) -> float:
    """The F-score with beta 1.2."""
    return 2.44 * precision * recall / (recall + 1.44 * precision)


@pytest.mark.parametrize(
    ("candidate", "reference", "common"),
    [
        ("a b c", "a b c", 3),
        ("a b c d", "b d", 2),
        ("b a", "a b", 1),
        ("a b a b a", "b a b", 3),
        ("x y", "a b", 0),
        ("a", "b a b", 1),
        (" ".join("abcdefgh" * 20), " ".join("hgfedcba" * 20), 39),
    ],
)
def test_the_common_subsequence_keeps_the_order(
    candidate: str, reference: str, common: int
) -> None:
    precision, recall = common / len(candidate.split()), common / len(reference.split())
    wanted = f_score(precision, recall) if common else 0
    assert slow_common(candidate.split(), reference.split()) == common
    assert rouge_l([(candidate, (reference,))])[0] == pytest.approx(wanted, abs=1e-12)


def slow_common(one: list[str], other: list[str]) -> int:
    """The longest common subsequence by the usual table."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            longer = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else longer
    return table[-1][-1]


def test_precision_and_recall_are_each_the_best_of_all_references() -> None:
    pair: Pair = ("a b", ("a b c d e f g h", "b"))
    assert rouge_l([pair])[0] == pytest.approx(f_score(1, 1))


def test_two_empty_texts_agree_and_an_empty_caption_agrees_with_nothing_else() -> None:
    assert rouge_l([("", ("",)), ("", ("a",)), ("a", ("",))]).tolist() == [1, 0, 0]


def test_double_blanks_make_an_empty_word() -> None:
    assert rouge_l([("a  b", ("a b",))])[0] == pytest.approx(f_score(2 / 3, 1))


def test_repeated_pairs_have_one_score_each_in_their_order() -> None:
    pairs: list[Pair] = [("a b", ("a",)), ("x", ("x",)), ("a b", ("a",))]
    first, second, third = rouge_l(pairs)
    assert first == third != second == 1
    assert rouge_l([]).shape == (0,)
