"""Accuracy by type and WUPS on answers that can be worked by hand."""

import numpy as np
import pytest

from vcap.metrics.bootstrap import intervals
from vcap.metrics.qa import LIST_ACCURACY, OFFICIAL_FREE, TYPES, Answer, score_qa, type_number, wups

NEAR = {("dog", "cat"): 0.8, ("dog", "wolf"): 0.95, ("red", "blue"): 0.5}


def wup(first: str, second: str) -> float:
    """A made-up similarity that is the same both ways."""
    return NEAR.get((first, second), NEAR.get((second, first), 0.0))


def answers(**types: int) -> dict[str, Answer]:
    """One question a name, whose true answer is `yes`."""
    return {name: Answer("yes", number) for name, number in types.items()}


def test_accuracy_is_exact_equality_with_case_and_blanks() -> None:
    references = answers(a=3, b=3, c=3, d=3)
    made = {"a": "yes", "b": "Yes", "c": " yes", "d": "no"}
    assert score_qa(made, references).scores["accuracy"] == 0.25


def test_blanks_around_the_items_do_not_matter_to_the_list_accuracy() -> None:
    references = {"a": Answer("red, blue", 4), "b": Answer("red", 4)}
    outcome = score_qa({"a": "blue,red", "b": " red"}, references)
    assert (outcome.scores["accuracy"], outcome.details[LIST_ACCURACY]) == (0.0, 1.0)


def test_an_unanswered_question_is_wrong_unless_it_is_skipped() -> None:
    references = answers(a=3, b=4)
    assert score_qa({"a": "yes"}, references).scores["accuracy"] == 0.5
    skipped = score_qa({"a": "yes"}, references, missing="skip")
    assert skipped.scores == {"accuracy": 1.0, "accuracy yes/no": 1.0, "accuracy free": 1.0}
    assert skipped.protocol["denominator"] == "answered questions"


def test_an_empty_answer_equals_an_empty_truth_but_not_a_missing_one() -> None:
    references = {"a": Answer("", 3), "b": Answer("", 3)}
    assert score_qa({"a": ""}, references).scores["accuracy"] == 0.5


def test_each_type_has_its_accuracy_and_absent_ones_have_none() -> None:
    scores = score_qa({"a": "yes", "b": "no"}, answers(a=0, b=5)).scores
    assert scores["accuracy motion"] == 1
    assert scores["accuracy object"] == 0
    assert scores["accuracy free"] == 0
    assert "accuracy colour" not in scores


def test_free_is_over_all_types_but_motion_and_relations() -> None:
    references = {f"q{number}": Answer("yes", number) for number in range(len(TYPES))}
    made = {f"q{number}": "yes" for number in (0, 1, 2, 3, 8)}
    scores = score_qa(made, references).scores
    assert scores["accuracy free"] == pytest.approx(2 / 6)
    assert scores["accuracy"] == pytest.approx(5 / 9)


def test_the_scripts_free_figure_divides_by_types_seen_fourth_or_later() -> None:
    references = answers(a=3, b=4, c=5, d=0, e=1)
    outcome = score_qa({"a": "yes", "b": "yes", "c": "no", "d": "no", "e": "no"}, references)
    assert outcome.scores["accuracy free"] == pytest.approx(2 / 3)
    assert outcome.details[OFFICIAL_FREE] == 1.0  # two right, over d and e


def test_with_three_types_the_script_has_no_free_figure() -> None:
    assert OFFICIAL_FREE not in score_qa({}, answers(a=3, b=4, c=5)).details


def test_a_question_of_no_known_type_counts_in_the_whole_only() -> None:
    outcome = score_qa({"a": "yes"}, {"a": Answer("yes"), "b": Answer("yes", 3)})
    assert outcome.scores == {"accuracy": 0.5, "accuracy yes/no": 0.0, "accuracy free": 0.0}


def test_a_similar_answer_counts_a_tenth_below_the_threshold() -> None:
    assert wups("dog", "cat", 0.0, wup) == 0.8
    assert wups("dog", "cat", 0.9, wup) == pytest.approx(0.08)
    assert wups("dog", "wolf", 0.9, wup) == 0.95


def test_equal_answers_need_no_dictionary() -> None:
    assert wups("take a photo", "take a photo", 0.9, wup) == 1
    assert wups(" dog ", "dog", 0.9, wup) == 1
    assert wups("", "", 0.9, wup) == 1


def test_the_weaker_direction_of_two_lists_counts() -> None:
    assert wups("dog", "dog, red", 0.0, wup) == 0
    assert wups("dog, red", "red, dog", 0.0, wup) == 1
    assert wups("dog, red", "cat, blue", 0.0, wup) == pytest.approx(0.4)


def test_wups_is_in_percent_and_its_similarity_is_asked_once_each_way() -> None:
    asked: list[tuple[str, str]] = []

    def counting(first: str, second: str) -> float:
        asked.append((first, second))
        return wup(first, second)

    references = {name: Answer("dog", 5) for name in "abcd"}
    outcome = score_qa({"a": "cat", "b": "cat", "c": "dog"}, references, wup=counting)
    assert outcome.scores["WUPS@0.0"] == pytest.approx(100 * (0.8 + 0.8 + 1) / 4)
    assert outcome.scores["WUPS@0.9"] == pytest.approx(100 * (0.08 + 0.08 + 1) / 4)
    assert sorted(asked) == [("cat", "dog"), ("dog", "cat")]
    over = outcome.details["over answered questions"]
    assert over["WUPS@0.0"] == pytest.approx(100 * 2.6 / 3)


def test_without_a_similarity_there_is_no_wups() -> None:
    assert not any(name.startswith("WUPS") for name in score_qa({}, answers(a=3)).scores)


def test_weights_count_a_question_as_often_as_they_say() -> None:
    outcome = score_qa({"a": "yes", "b": "no"}, answers(a=3, b=4), wup=wup)
    found = outcome.rescore(np.array([3.0, 1.0]))
    assert (found["accuracy"], found["WUPS@0.0"]) == (0.75, 75.0)
    assert outcome.rescore(np.ones(2)) == outcome.scores


def test_a_type_that_is_not_drawn_keeps_its_name() -> None:
    outcome = score_qa({"a": "yes", "b": "yes"}, answers(a=3, b=0))
    assert set(outcome.rescore(np.array([1.0, 0.0]))) == set(outcome.scores)


def test_each_question_is_shown_with_both_answers() -> None:
    item = score_qa({"a": "no way"}, answers(a=3)).items[0]
    assert (item["prediction"], item["references"], item["length"]) == ("no way", ["yes"], 2)
    assert item["scores"] == {"accuracy": 0.0}


def test_answers_to_other_questions_are_left_out() -> None:
    alone = score_qa({"a": "yes"}, answers(a=3)).scores
    assert score_qa({"a": "yes", "z": "yes"}, answers(a=3)).scores == alone


@pytest.mark.parametrize("missing", ["zero", "skip"])
def test_nothing_to_score_is_refused(missing: str) -> None:
    with pytest.raises(ValueError, match="no question"):
        score_qa({}, answers(a=3) if missing == "skip" else {}, missing=missing)


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (0, 0),
        (8, 8),
        ("5", 5),
        ("colour", 4),
        ("Color", 4),
        ("yes/no", 3),
        ("spatial", 1),
        ("temporal_relation", 2),
        (9, None),
        (-1, None),
        ("9", None),
        ("7" * 5000, None),
        ("why", None),
        (None, None),
        (True, None),
        (1.0, None),
    ],
)
def test_a_type_is_known_by_number_and_by_name(given: object, number: int | None) -> None:
    assert type_number(given) == number


def test_draws_without_a_question_of_a_type_do_not_pull_its_interval_down() -> None:
    references = answers(a=0, b=3, c=3, d=3)
    outcome = score_qa(dict.fromkeys(references, "yes"), references)
    drawn = outcome.rescore(np.array([0.0, 2.0, 1.0, 1.0]))
    assert np.isnan(drawn["accuracy motion"])
    assert drawn["accuracy"] == drawn["accuracy yes/no"] == 1
    assert intervals(outcome, resamples=200)["accuracy motion"] == (1.0, 1.0)


def test_a_question_that_is_left_out_is_no_unit() -> None:
    references = answers(a=3, b=4)
    outcome = score_qa({"b": "yes", "z": "yes"}, references, missing="skip")
    assert outcome.units == ("b",)
    assert [item["id"] for item in outcome.items] == ["b"]
    assert outcome.rescore(np.ones(1)) == outcome.scores
    assert score_qa({"b": "yes"}, references).units == ("a", "b")


def test_with_no_answer_at_all_the_figures_of_answered_questions_are_0() -> None:
    details = score_qa({}, answers(a=3)).details
    assert details["over answered questions"] == {"accuracy": 0.0}
    assert details[LIST_ACCURACY] == 0.0
