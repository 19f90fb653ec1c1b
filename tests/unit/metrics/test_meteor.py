"""METEOR from statistics: the formula, sums of segments and its special cases."""

import numpy as np
import numpy.typing as npt
import pytest

from vcap.metrics.meteor import meteor_of_groups, meteor_scores

Array = npt.NDArray[np.float64]


def segment(candidate: int, reference: int, exact: int, chunks: int) -> Array:
    """A segment of content words, of which some match exactly."""
    row = np.zeros(23)
    row[0], row[1], row[4], row[5] = candidate, reference, exact, exact
    row[20], row[21], row[22] = chunks, exact, exact
    return row


def by_hand(row: Array, chunks: float) -> float:
    """The formula of METEOR 1.5 for English, one number after the other."""
    weights = (1.0, 0.6, 0.8, 0.6)
    sides = []
    for side in (0, 1):
        content = [row[4 + 4 * module + side] for module in range(4)]
        function = [row[6 + 4 * module + side] for module in range(4)]
        matched = sum(
            w * (0.75 * c + 0.25 * f) for w, c, f in zip(weights, content, function, strict=True)
        )
        words = 0.75 * (row[side] - row[2 + side]) + 0.25 * row[2 + side]
        sides.append(matched / words if words else 0.0)
    precision, recall = sides
    if not precision or not recall:
        return 0.0
    mean = 1 / (0.15 / precision + 0.85 / recall)
    return float(mean * (1 - 0.6 * (chunks / ((row[21] + row[22]) / 2)) ** 0.2))


def test_a_segment_scores_what_the_formula_says() -> None:
    rng = np.random.default_rng(4)
    rows = rng.integers(1, 9, (50, 23)).astype(float)
    rows[:, 0:2] += rows[:, 2:4]  # a sentence has at least its function words
    expected = [by_hand(row, row[20]) for row in rows]
    assert meteor_scores(rows) == pytest.approx(expected, abs=1e-12)


def test_a_whole_match_in_one_chunk_is_perfect() -> None:
    assert meteor_scores(segment(4, 4, 4, 1)[None]) == pytest.approx([1.0])


def test_a_whole_match_in_two_chunks_is_not() -> None:
    row = segment(4, 4, 4, 2)
    assert meteor_scores(row[None]) == pytest.approx([by_hand(row, 2)])
    assert meteor_scores(row[None])[0] < 1


def test_one_chunk_that_leaves_words_over_is_punished() -> None:
    row = segment(5, 4, 4, 1)
    assert meteor_scores(row[None]) == pytest.approx([by_hand(row, 1)])


def test_nothing_matched_and_empty_sentences_score_nothing() -> None:
    rows = np.stack([segment(3, 4, 0, 0), segment(0, 4, 0, 0), segment(3, 0, 0, 0), np.zeros(23)])
    assert meteor_scores(rows).tolist() == [0, 0, 0, 0]


def test_a_group_is_the_sum_of_its_segments_not_their_mean() -> None:
    one, other = segment(4, 4, 4, 1), segment(10, 6, 3, 2)
    score = meteor_of_groups(np.stack([one, other]), np.array([0, 0]), 1)
    assert score == pytest.approx([by_hand(one + other, 2)])  # the perfect one adds no chunk
    assert score[0] != pytest.approx(meteor_scores(np.stack([one, other])).mean())


def test_segments_go_to_their_groups_in_any_order() -> None:
    rows = np.stack([segment(4, 4, n, 1) for n in (1, 2, 3, 4)])
    groups = np.array([2, 0, 2, 0])
    order = np.array([3, 1, 2, 0])
    straight = meteor_of_groups(rows, groups, 3)
    assert meteor_of_groups(rows[order], groups[order], 3) == pytest.approx(straight)


def test_a_group_without_segments_scores_nothing() -> None:
    scores = meteor_of_groups(segment(4, 4, 4, 1)[None], np.array([1]), 3)
    assert scores == pytest.approx([0, 1, 0])


def test_no_segments_at_all_are_no_failure() -> None:
    empty = np.zeros((0, 23))
    assert meteor_scores(empty).shape == (0,)
    assert meteor_of_groups(empty, np.zeros(0, dtype=np.int64), 2).tolist() == [0, 0]


def test_the_statistics_stay_as_they_were() -> None:
    rows = segment(4, 4, 4, 1)[None]
    meteor_scores(rows)
    assert rows[0, 20] == 1
