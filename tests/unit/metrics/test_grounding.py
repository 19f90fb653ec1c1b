"""Recall and mean tIoU of proposals, worked by hand."""

import math

import numpy as np
import pytest

from vcap.metrics.grounding import FORMS, proposal_overlaps, score_grounding

TRUE = {"a": (0.0, 10.0), "b": (5.0, 15.0)}


def test_a_perfect_first_proposal_hits_at_every_threshold() -> None:
    scores = score_grounding({"a": [(0, 10)], "b": [(5, 15)]}, TRUE).scores
    assert all(value == pytest.approx(1, abs=1e-8) for value in scores.values())
    assert list(scores)[:2] == ["R@1 tIoU=0.1", "R@1 tIoU=0.3"]
    assert list(scores)[-2:] == ["R@5 tIoU=0.7", "mIoU"]


def test_a_query_without_a_proposal_is_a_miss() -> None:
    scores = score_grounding({"a": [(0, 10)]}, TRUE).scores
    assert scores["R@1 tIoU=0.5"] == 0.5
    assert scores["mIoU"] == pytest.approx(0.5)


def test_an_empty_list_of_proposals_is_a_miss() -> None:
    assert score_grounding({"a": [], "b": []}, TRUE).scores["R@5 tIoU=0.1"] == 0


def test_later_proposals_help_recall_at_five_but_not_the_mean() -> None:
    proposals = {"a": [(90, 95), (0, 10)], "b": [(90, 95)] * 5 + [(5, 15)]}
    scores = score_grounding(proposals, TRUE).scores
    assert scores["R@1 tIoU=0.5"] == 0
    assert scores["R@5 tIoU=0.5"] == 0.5  # the sixth of b is too late
    assert scores["mIoU"] == 0


def test_the_small_divisor_pushes_an_exact_half_under_the_threshold() -> None:
    proposals = {"a": [(0, 5)], "b": [(5, 15)]}
    assert score_grounding(proposals, TRUE).scores["R@1 tIoU=0.5"] == 0.5
    assert score_grounding(proposals, TRUE, form="charades").scores["R@1 tIoU=0.5"] == 1


def test_segments_that_are_apart_share_nothing_in_either_form() -> None:
    for form in FORMS:
        assert proposal_overlaps({"a": [(20, 30)]}, {"a": (0, 10)}, form=form)[0, 0] == 0


def test_the_forms_part_where_a_segment_is_reversed() -> None:
    proposals = {"a": [(8.0, 2.0)]}
    for form in FORMS:
        assert proposal_overlaps(proposals, {"a": (0.0, 10.0)}, form=form)[0, 0] == 0


def test_segments_of_no_length_overlap_by_nothing() -> None:
    for form in FORMS:
        assert proposal_overlaps({"a": [(3, 3)]}, {"a": (3, 3)}, form=form)[0, 0] == 0


def test_charades_measures_first_proposals_at_three_thresholds() -> None:
    scores = score_grounding({"a": [(0, 4)]}, TRUE, form="charades").scores
    assert list(scores) == ["R@1 tIoU=0.3", "R@1 tIoU=0.5", "R@1 tIoU=0.7", "mIoU"]
    assert scores["R@1 tIoU=0.3"] == 0.5
    assert scores["mIoU"] == pytest.approx(0.2)


def test_a_time_that_is_no_number_never_hits() -> None:
    for form in FORMS:
        scores = score_grounding(
            {"a": [(math.nan, 10.0)], "b": [(5.0, math.nan)]}, TRUE, form=form
        ).scores
        assert not any(scores.values())


def test_a_true_segment_that_is_no_number_is_never_hit() -> None:
    for form in FORMS:
        scores = score_grounding({"a": [(0, 10)]}, {"a": (math.nan, math.nan)}, form=form).scores
        assert not any(scores.values())


def test_other_thresholds_may_be_asked_for() -> None:
    outcome = score_grounding({"a": [(0, 10)]}, TRUE, tious=[0.25])
    assert list(outcome.scores) == ["R@1 tIoU=0.25", "R@5 tIoU=0.25", "mIoU"]
    assert outcome.protocol["tious"] == [0.25]


def test_each_query_is_shown_with_its_first_proposal() -> None:
    item = score_grounding({"b": [(5, 10.5), (0, 1)]}, TRUE).items[1]
    assert (item["id"], item["prediction"], item["references"]) == ("b", "5-10.5 s", ["5-15 s"])
    assert item["scores"]["mIoU"] == pytest.approx(0.55)
    assert score_grounding({}, TRUE).items[0]["prediction"] == ""


def test_weights_count_a_query_as_often_as_they_say() -> None:
    outcome = score_grounding({"a": [(0, 10)]}, TRUE)
    assert outcome.rescore(np.array([3.0, 1.0]))["R@1 tIoU=0.3"] == 0.75
    assert outcome.rescore(np.ones(2)) == outcome.scores


@pytest.mark.parametrize(("form", "references"), [("tacos", TRUE), ("activitynet", {})])
def test_an_unknown_form_and_nothing_to_find_are_refused(
    form: str, references: dict[str, tuple[float, float]]
) -> None:
    with pytest.raises(ValueError, match="activitynet, charades"):
        score_grounding({}, references, form=form)


def test_proposals_for_other_queries_are_left_out() -> None:
    alone = score_grounding({"a": [(0, 10)]}, TRUE).scores
    assert score_grounding({"a": [(0, 10)], "z": [(0, 1)]}, TRUE).scores == alone


def test_the_protocol_says_over_which_queries_the_mean_is() -> None:
    whole = score_grounding({"a": [(0, 10)]}, TRUE)
    assert whole.protocol["denominator"] == "all queries"
    left = score_grounding({"a": [(0, 10)]}, TRUE, missing="skip")
    assert left.protocol["denominator"] == "predicted queries"
    assert (left.units, left.scores["R@1 tIoU=0.5"]) == (("a",), 1.0)
