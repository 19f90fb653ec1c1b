"""Top-1 and top-5 accuracy on a few labels."""

import math

import numpy as np
import pytest

from vcap.metrics.classification import label_ranks, ranked_labels, score_classification

TRUE = {"a": "cat", "b": "dog", "c": "cat", "d": "owl"}
RANKED = {
    "a": ["cat", "dog"],
    "b": ["cat", "owl", "fox", "elk", "dog"],
    "c": ["dog", "owl", "fox", "elk", "ant", "cat"],
}


def test_the_first_label_and_the_first_five_are_what_counts() -> None:
    scores = score_classification(RANKED, TRUE).scores
    assert scores == {"top-1": 0.25, "top-5": 0.5}


def test_a_video_without_a_prediction_is_wrong() -> None:
    assert score_classification({"a": ["cat", "dog"]}, TRUE).scores["top-1"] == 0.25


def test_with_one_label_a_video_there_is_no_top_five_and_it_says_why() -> None:
    outcome = score_classification({"a": ["cat"], "b": ["cat"]}, TRUE)
    assert outcome.scores == {"top-1": 0.25}
    assert "one label" in outcome.unavailable["top-5"]


def test_ranks_start_at_one_and_an_unnamed_label_has_none() -> None:
    assert label_ranks(RANKED, TRUE).tolist() == [1, 5, 6, math.inf]


def test_scores_become_ranks_with_ties_against_the_model() -> None:
    assert ranked_labels({"cat": 0.2, "dog": 0.9, "owl": 0.2}, "cat") == ["dog", "owl", "cat"]
    assert ranked_labels({"cat": 0.2, "dog": 0.9, "owl": 0.2}, "owl") == ["dog", "cat", "owl"]


def test_a_score_that_is_no_number_comes_last() -> None:
    assert ranked_labels({"cat": math.nan, "dog": -5.0}, "dog") == ["dog", "cat"]


def test_each_class_has_its_own_figures() -> None:
    by_label = score_classification(RANKED, TRUE).details["by_label"]
    assert by_label["cat"] == {"videos": 2, "top-1": 0.5, "top-5": 0.5}
    assert by_label["owl"] == {"videos": 1, "top-1": 0.0, "top-5": 0.0}


def test_each_video_is_shown_with_its_first_label() -> None:
    items = score_classification(RANKED, TRUE).items
    assert (items[1]["prediction"], items[1]["references"]) == ("cat", ["dog"])
    assert items[1]["scores"] == {"top-1": 0.0, "top-5": 1.0}
    assert items[3]["prediction"] == ""


def test_weights_count_a_video_as_often_as_they_say() -> None:
    outcome = score_classification(RANKED, TRUE)
    assert outcome.rescore(np.array([2.0, 0.0, 1.0, 1.0])) == {"top-1": 0.5, "top-5": 0.5}
    assert outcome.rescore(np.ones(4)) == outcome.scores


def test_predictions_for_other_videos_are_left_out() -> None:
    more = {**RANKED, "z": ["cat", "dog"]}
    assert score_classification(more, TRUE).scores == score_classification(RANKED, TRUE).scores


def test_nothing_to_classify_is_refused() -> None:
    with pytest.raises(ValueError, match="no video"):
        score_classification({}, {})


def test_the_protocol_says_over_which_videos_the_mean_is() -> None:
    whole = score_classification({"a": ["cat", "dog"]}, TRUE)
    assert whole.protocol["denominator"] == "all reference videos"
    left = score_classification({"a": ["cat", "dog"]}, TRUE, missing="skip")
    assert left.protocol["denominator"] == "predicted reference videos"
    assert (left.units, left.scores["top-1"]) == (("a",), 1.0)
    with pytest.raises(ValueError, match="no video"):
        score_classification({"z": ["cat"]}, TRUE, missing="skip")
