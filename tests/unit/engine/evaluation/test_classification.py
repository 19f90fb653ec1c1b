"""Labels come out the same from every layout; what is odd is counted."""

import json
from typing import Any

import pytest

from vcap.engine.evaluate import EvaluateSettings
from vcap.engine.evaluation.classification import (
    Classes,
    evaluate_classification,
    read_classes,
    read_ranked,
)
from vcap.engine.evaluation.inputs import Given
from vcap.engine.evaluation.problems import Problems
from vcap.errors import AnnotationError, InputError, UsageError
from vcap.metrics.outcome import Outcome

TRUE = [
    {"id": "a", "label": {"name": "cat", "index": 0}},
    {"id": "b", "label": {"name": "dog", "index": 1}, "video_id": "film"},
    {"id": "c", "label": {"name": "owl", "index": 2}},
]


def given(value: Any) -> Given:
    """A file with this value in it; a list becomes JSON Lines."""
    lines = map(json.dumps, value) if isinstance(value, list) else [json.dumps(value)]
    return Given("file", data="\n".join(lines).encode())


def classes() -> Classes:
    """What the references say."""
    return read_classes([given(TRUE)], None, Problems())


def scored(
    predictions: Any, references: Any = TRUE, problems: Problems | None = None, **settings: Any
) -> Outcome:
    """The outcome of some labels."""
    chosen, found = EvaluateSettings(**settings), problems or Problems()
    return evaluate_classification(given(predictions), [given(references)], chosen, found, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "predictions",
    [
        {"a": "cat", "b": "owl"},
        {"a": 0, "b": 2},
        {"a": {"name": "cat"}, "b": {"index": 2}},
        [{"id": "a", "label": {"name": "cat", "index": 0}}, {"id": "b", "label": "owl"}],
        [{"id": "a", "label": 0}, {"id": "b", "labels": ["owl"]}],
    ],
)
def test_one_label_is_read_from_every_layout(predictions: Any) -> None:
    assert read_ranked(given(predictions), classes(), Problems()) == {"a": ["cat"], "b": ["owl"]}


@pytest.mark.parametrize(
    "predictions",
    [
        {"a": ["dog", "cat", "owl"]},
        {"a": {"cat": 0.3, "dog": 0.6, "owl": 0.1}},
        {"a": {"scores": [0.3, 0.6, 0.1]}},
        [{"id": "a", "scores": {"0": 3, "1": 6, "2": 1}}],
        [{"id": "a", "labels": [1, {"name": "cat"}, 2]}],
    ],
)
def test_ranked_labels_are_read_from_every_layout(predictions: Any) -> None:
    ranked = read_ranked(given(predictions), classes(), Problems())
    assert ranked == {"a": ["dog", "cat", "owl"]}


def test_the_share_of_right_first_labels_is_over_all_videos() -> None:
    problems = Problems()
    outcome = scored({"a": ["cat", "dog"], "b": ["owl", "dog"], "z": ["cat"]}, TRUE, problems)
    assert outcome.scores == pytest.approx({"top-1": 1 / 3, "top-5": 2 / 3})
    assert problems.examples == {"missing": ["c"], "extra": ["z"]}
    assert outcome.items[1]["video"] == "film"
    assert "video" not in outcome.items[0]


def test_videos_without_prediction_may_be_left_out() -> None:
    left = scored({"a": "cat"}, missing="skip")
    assert (left.units, left.scores) == (("a",), {"top-1": 1.0})
    assert left.protocol["denominator"] == "predicted reference videos"


def test_one_label_a_video_leaves_top_five_unavailable() -> None:
    outcome = scored({"a": "cat", "b": "cat"})
    assert list(outcome.scores) == ["top-1"]
    assert list(outcome.unavailable) == ["top-5"]


def test_equal_scores_count_against_the_model() -> None:
    assert scored({"a": {"cat": 0.5, "dog": 0.5}}).scores["top-1"] == 0


def test_a_score_that_is_no_number_is_counted_and_comes_last() -> None:
    problems = Problems()
    outcome = scored({"a": {"cat": float("nan"), "dog": -9, "owl": "much"}}, TRUE, problems)
    assert outcome.items[0]["prediction"] == "dog"
    assert problems.examples["not a number"] == ["file: a: cat", "file: a: owl"]


def test_what_is_no_label_is_counted_and_wrong() -> None:
    problems = Problems()
    outcome = scored({"a": "cat", "b": None, "c": [True, "owl"]}, TRUE, problems)
    assert outcome.scores["top-1"] == pytest.approx(1 / 3)
    assert problems.examples["unusable record"] == ["file: b", "file: c"]
    assert problems.counts["missing"] == 2


def test_an_empty_list_of_labels_is_no_prediction() -> None:
    problems = Problems()
    scored({"a": "cat", "b": []}, TRUE, problems)
    assert problems.examples["unusable record"] == ["file: b"]


def test_ids_that_come_twice_are_counted_and_the_first_holds() -> None:
    problems = Problems()
    twice = [{"id": "a", "label": "cat"}, {"id": "a", "label": "dog"}]
    assert read_ranked(given(twice), classes(), problems) == {"a": ["cat"]}
    again = read_classes([given(TRUE), given({"a": "dog"})], None, problems)
    assert again.labels["a"] == "cat"
    assert problems.counts["duplicate"] == 2


def test_references_may_be_plain_labels_without_names() -> None:
    assert scored({"a": 3, "b": "4"}, {"a": 3, "b": 4}).scores["top-1"] == 1


def test_a_reference_without_a_label_is_counted_and_left_out() -> None:
    problems = Problems()
    outcome = scored({"a": "cat"}, [*TRUE, {"id": "d", "label": {}}], problems)
    assert outcome.units == ("a", "b", "c")
    assert problems.examples["no reference"] == ["file: d"]


def test_files_without_labels_and_without_a_common_id_are_refused() -> None:
    with pytest.raises(AnnotationError, match="no labels in it"):
        scored({"a": "cat"}, {"a": None})
    with pytest.raises(AnnotationError, match="no labels in it"):
        scored({"a": None})
    with pytest.raises(AnnotationError, match="want records"):
        scored(7)
    with pytest.raises(InputError, match="no video id in common"):
        scored({"z": "cat"})


def test_a_split_of_the_records_may_be_chosen() -> None:
    records = [{**record, "split": "test" if record["id"] == "b" else "val"} for record in TRUE]
    assert scored({"b": "dog"}, records, split="test").units == ("b",)
    with pytest.raises(UsageError, match="no split train; it has test, val"):
        scored({"b": "dog"}, records, split="train")


def test_all_splits_together_are_told() -> None:
    records = [{**record, "split": record["id"]} for record in TRUE]
    told = "file holds the splits a, b, c; all are scored"
    assert told in scored({"b": "dog"}, records).warnings


def test_numbers_are_ids_too() -> None:
    records = [{"id": 1, "label": "cat", "video_id": 9}, {"id": 2, "label": "dog"}]
    outcome = scored({"id": 1, "label": "cat"}, records)
    assert outcome.units == ("1", "2")
    assert outcome.items[0]["video"] == "9"
    assert outcome.scores["top-1"] == 0.5


def test_a_score_too_large_for_a_number_is_none() -> None:
    problems = Problems()
    outcome = scored({"a": {"cat": 10**400, "dog": 0.1}}, TRUE, problems)
    assert outcome.scores["top-1"] == 0
    assert problems.counts["not a number"] == 1
