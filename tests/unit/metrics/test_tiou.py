"""The overlap of segments, with the fine print of the official evaluation."""

import numpy as np
import pytest

from vcap.metrics.tiou import tiou_matrix


def test_every_segment_is_compared_with_every_other() -> None:
    matrix = tiou_matrix([[0, 10], [5, 15]], [[0, 10], [10, 20], [0, 20]])
    assert matrix.shape == (2, 3)
    np.testing.assert_allclose(matrix, [[1, 0, 0.5], [1 / 3, 1 / 3, 0.5]], atol=1e-8)


def test_an_exact_half_lies_just_under_the_threshold() -> None:
    half = tiou_matrix([[0, 10]], [[0, 20]])[0, 0]
    assert half < 0.5
    assert half == pytest.approx(0.5, abs=1e-9)


def test_a_segment_equals_itself_but_for_the_epsilon() -> None:
    assert tiou_matrix([[3, 7]], [[3, 7]])[0, 0] == 4 / (4 + 1e-8)


def test_two_segments_of_no_length_do_not_meet() -> None:
    assert tiou_matrix([[4, 4]], [[4, 4], [0, 9]]).tolist() == [[0.0, 0.0]]


def test_ends_in_the_wrong_order_meet_nothing() -> None:
    assert tiou_matrix([[9, 1]], [[1, 9], [9, 1], [0, 20]]).tolist() == [[0.0, 0.0, 0.0]]


def test_segments_that_touch_do_not_overlap() -> None:
    assert tiou_matrix([[0, 5]], [[5, 10]]).tolist() == [[0.0]]


def test_times_beyond_the_video_or_before_it_are_not_clipped() -> None:
    assert tiou_matrix([[-10, 10]], [[0, 10]])[0, 0] == pytest.approx(0.5, abs=1e-9)


def test_a_time_that_is_not_a_number_meets_nothing() -> None:
    odd = [[np.nan, 5], [0, np.nan], [np.nan, np.nan], [np.inf, np.inf], [-np.inf, np.inf]]
    matrix = tiou_matrix(odd, [[0, 5], [0, np.inf]])
    assert np.isfinite(matrix).all()
    assert not matrix[:3].any()


def test_the_order_of_the_two_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(20, 2)), rng.normal(size=(30, 2))
    np.testing.assert_array_equal(tiou_matrix(first, second), tiou_matrix(second, first).T)


def test_each_value_follows_the_formula_for_one_pair() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.uniform(0, 9, (40, 2)), rng.uniform(0, 9, (50, 2))
    for (start, end), row in zip(first, tiou_matrix(first, second), strict=True):
        for (other_start, other_end), value in zip(second, row, strict=True):
            overlap = max(0, min(end, other_end) - max(start, other_start))
            hull = max(end, other_end) - min(start, other_start)
            union = min(hull, (end - start) + (other_end - other_start))
            assert value == pytest.approx(overlap / (union + 1e-8), abs=1e-15)


@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (3, 0), (0, 0)])
def test_no_segments_give_an_empty_matrix(rows: int, columns: int) -> None:
    assert tiou_matrix([[0, 1]] * rows, [[0, 1]] * columns).shape == (rows, columns)


def test_segments_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"want segments \[N, 2\], got \[2, 3\]"):
        tiou_matrix([[0, 1, 2], [0, 1, 2]], [[0, 1]])
    with pytest.raises(ValueError, match=r"got \[2\]"):
        tiou_matrix([0, 1], [[0, 1]])
