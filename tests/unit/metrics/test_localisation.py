"""Coverage of events by proposals, on cases that can be counted by hand."""

import numpy as np
import pytest

from vcap.metrics.localisation import (
    f1_score,
    localisation_scores,
    recall_precision,
    start_hits,
)


def hits(*rows: str) -> np.ndarray:
    """One threshold; a row is a proposal, `x` an event that it covers."""
    return np.array([[[mark == "x" for mark in row] for row in rows]])


def test_recall_counts_events_and_precision_counts_proposals() -> None:
    recall, precision = recall_precision(hits("x..", "x..", "...", ".x."), [3])
    assert recall.tolist() == [2 / 3]
    assert precision.tolist() == [3 / 4]


def test_a_proposal_that_covers_two_events_counts_once_for_precision() -> None:
    recall, precision = recall_precision(hits("xx", ".."), [2])
    assert (recall[0], precision[0]) == (1.0, 0.5)


def test_each_threshold_is_counted_by_itself() -> None:
    both = np.concatenate([hits("x.", ".x"), hits("..", ".x")])
    recall, precision = recall_precision(both, [2])
    assert recall.tolist() == [1.0, 0.5]
    assert precision.tolist() == [1.0, 0.5]


def test_recall_and_precision_may_come_from_different_files() -> None:
    # the first file has one event and it is met, the second has three and both proposals meet one
    recall, precision = recall_precision(hits("xx..", "..x."), [1, 3])
    assert recall.tolist() == [1.0]
    assert precision.tolist() == [1.0]
    assert recall_precision(hits("x", "."), [1])[1].tolist() == [0.5]
    assert recall_precision(hits("x..", ".x."), [3])[0].tolist() == [2 / 3]


def test_a_file_without_events_changes_nothing() -> None:
    with_it, without = recall_precision(hits("x."), [0, 2]), recall_precision(hits("x."), [2])
    np.testing.assert_array_equal(with_it, without)


@pytest.mark.parametrize(("proposals", "events"), [(0, 3), (2, 0), (0, 0)])
def test_nothing_to_compare_gives_0(proposals: int, events: int) -> None:
    recall, precision = recall_precision(np.ones((4, proposals, events), bool), [events])
    assert recall.tolist() == precision.tolist() == [0.0] * 4


def test_a_start_hits_only_if_it_lies_nearer_than_the_distance() -> None:
    found = start_hits(np.array([0.0, 10.0]), np.array([1.0, 12.5, 40.0]), [1, 3, 30])
    assert found.shape == (3, 2, 3)
    assert not found[0].any()  # exactly 1 s away is not nearer than 1 s
    assert found[1].tolist() == [[True, False, False], [False, True, False]]
    assert found[2].tolist() == [[True, True, False], [True, True, False]]


def test_a_start_that_is_no_number_hits_nothing() -> None:
    odd = np.array([np.nan, np.inf])
    assert not start_hits(odd, np.array([0.0, np.inf]), [60]).any()


def test_f1_is_the_harmonic_mean_and_0_where_both_are_0() -> None:
    scores = f1_score(np.array([1.0, 0.5, 0.0, 0.0]), np.array([1.0, 0.25, 0.7, 0.0]))
    assert scores.tolist() == [1.0, pytest.approx(1 / 3), 0.0, 0.0]


def test_f1_of_what_has_no_value_has_none() -> None:
    assert np.isnan(f1_score(np.array([np.nan, 1.0]), np.array([1.0, np.nan]))).all()


def test_the_two_conventions_of_f1_have_two_names() -> None:
    values = {"recall": np.array([1.0, 0.0]), "precision": np.array([0.5, 0.5])}
    scores = localisation_scores(values)
    assert scores["recall"] == scores["precision"] == 0.5
    assert scores["F1"] == pytest.approx((2 / 3 + 0) / 2)
    assert scores["F1 of means"] == pytest.approx(0.5)


def test_figures_of_many_videos_come_out_one_a_video() -> None:
    values = {"recall": np.array([[1.0, 0.0], [1.0, 1.0]]), "precision": np.ones((2, 2))}
    scores = localisation_scores(values)
    assert scores["F1"].tolist() == [0.5, 1.0]
    assert [*scores] == ["recall", "precision", "F1", "F1 of means"]
