"""Slot accuracy, counted by hand."""

import pytest

from vcap.metrics.slots import majority_accuracy, slot_accuracy

TRUTHS = [
    {"colour": "red", "shape": "star", "size": "small", "index": 4},
    {"colour": "red", "shape": "ring", "size": "large"},
    {"colour": "blue", "shape": "ring"},
    {"colour": "green", "shape": "cross", "size": "small"},
]


def parse(text: str) -> dict[str, str]:
    """`colour shape size` in this order; a dash for what is not named."""
    names = ("colour", "shape", "size")
    return {name: word for name, word in zip(names, text.split(), strict=False) if word != "-"}


def test_each_slot_counts_for_itself() -> None:
    said = ["red star small", "red star large", "red ring -", "green cross large"]
    scores = slot_accuracy(said, TRUTHS, parse, ["colour", "shape", "size"])
    assert scores == {
        "colour": 0.75,
        "shape": 0.75,
        "size": pytest.approx(2 / 3),
        "mean": pytest.approx((0.75 + 0.75 + 2 / 3) / 3),
    }


def test_silence_about_a_required_slot_is_a_mistake() -> None:
    said = ["- star -", "red ring -", "blue ring -", "green cross -"]
    scores = slot_accuracy(said, TRUTHS, parse, ["colour", "size"], required=["colour"])
    assert scores == {"colour": 0.75, "mean": 0.75}


def test_an_optional_slot_is_judged_where_it_is_named() -> None:
    said = ["red star small", "red ring small", "blue ring large", "green cross -"]
    scores = slot_accuracy(said, TRUTHS, parse, ["colour", "size"], required=["colour"])
    assert scores == {"colour": 1.0, "size": 0.5, "mean": 1.0}


def test_a_slot_that_a_clip_does_not_have_is_not_judged_there() -> None:
    assert slot_accuracy(["- - small"], [{"size": None}], parse, ["size"]) == {}


def test_only_words_are_slots() -> None:
    assert "index" not in slot_accuracy(["red"], TRUTHS[:1], parse, ["colour", "index"])


def test_the_majority_baseline_names_the_most_frequent_value() -> None:
    assert majority_accuracy(TRUTHS, ["colour", "shape", "size"]) == {
        "colour": 0.5,
        "shape": 0.5,
        "size": pytest.approx(2 / 3),
        "mean": pytest.approx((0.5 + 0.5 + 2 / 3) / 3),
    }


def test_the_mean_is_over_the_required_slots() -> None:
    assert majority_accuracy(TRUTHS, ["colour", "size"], required=["colour"])["mean"] == 0.5


def test_a_captioner_that_always_names_the_majority_scores_as_the_baseline() -> None:
    said = ["red ring small"] * 4
    slots = ["colour", "shape", "size"]
    assert slot_accuracy(said, TRUTHS, parse, slots) == majority_accuracy(TRUTHS, slots)


def test_nothing_to_judge_gives_no_score() -> None:
    assert slot_accuracy([], [], parse, ["colour"]) == {}
    assert majority_accuracy([{}], ["colour"]) == {}


def test_another_number_of_captions_than_of_clips_is_refused() -> None:
    with pytest.raises(ValueError, match="1 candidates for 4 clips"):
        slot_accuracy(["red"], TRUTHS, parse, ["colour"])
