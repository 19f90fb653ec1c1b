"""What is wrong with predictions and references is counted, with examples."""

import math
from typing import Any

import pytest

from vcap.engine.evaluation.problems import (
    Problems,
    duration_of,
    number_of,
    printable,
    text_of,
)
from vcap.errors import InputError


def test_counts_go_on_where_examples_end() -> None:
    problems = Problems()
    for number in range(8):
        problems.add("empty", f"v_{number}")
    problems.add("duplicate", "v_a", 3)
    assert problems.count("empty") == 8
    assert problems.count("missing") == 0
    assert problems.as_dict()["empty"]["examples"] == [f"v_{number}" for number in range(5)]
    assert problems.lines() == ["empty: 8 (v_0, v_1, ...)", "duplicate: 3 (v_a, ...)"]


def test_missing_and_extra_ids_are_named_in_file_order() -> None:
    problems = Problems()
    problems.compare(["c", "x", "a", "b"], ["d", "a", "b", "e"])
    assert problems.examples == {"missing": ["d", "e"], "extra": ["c", "x"]}


@pytest.mark.parametrize(
    ("predicted", "wanted", "complaint"),
    [
        (["a"], ["b"], r"no clip id in common \(predicted: a; wanted: b\)$"),
        (["a"], ["v_a"], "they differ by the prefix v_"),
        (["v_a"], ["a"], "they differ by the prefix v_"),
        (list("abcd"), ["z"], r"predicted: a, b, c, \.\.\.;"),
        ([], ["z"], "no predictions for any of 1 references"),
    ],
)
def test_nothing_in_common_is_an_error(
    predicted: list[str], wanted: list[str], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        Problems().compare(predicted, wanted, what="clip")


def test_the_file_that_has_no_id_in_common_is_named() -> None:
    with pytest.raises(InputError, match=r"^other\.json: predictions and references have no"):
        Problems().compare(["a"], ["b"], name="other.json")
    with pytest.raises(InputError, match=r"^other\.json: there are no predictions"):
        Problems().compare([], ["b"], name="other.json")


def test_an_id_cannot_act_upon_the_terminal() -> None:
    problems = Problems()
    problems.compare(["a", "\x1b[2J\u202e"], ["a", "b\rc"])
    problems.add("empty", "狗 \x07")
    assert problems.lines() == [
        r"missing: 1 (b\rc)", r"extra: 1 (\x1b[2J\u202e)", r"empty: 1 (狗 \x07)"
    ]  # fmt: skip
    with pytest.raises(InputError) as told:
        problems.compare(["\x1b[2J"], ["a"])
    assert r"predicted: \x1b[2J;" in told.value.message


@pytest.mark.parametrize(
    ("text", "shown"), [("v_a 狗 é", "v_a 狗 é"), ("\ud800", r"\ud800"), ("\x9b", r"\x9b")]
)
def test_only_what_is_not_printed_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("un café", ["characters outside ASCII"]),
        ("a dog 🐕", ["characters outside ASCII"]),
        ("a\u2028dog", ["characters outside ASCII", "line break"]),
        ("a dog", []),
    ],
)
def test_where_only_ascii_is_read_all_else_is_counted(text: str, kinds: list[str]) -> None:
    problems = Problems()
    problems.ascii_only = True
    assert text_of(text, "here", problems) == text
    assert list(problems.counts) == kinds


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("a dog runs", []),
        ("two\nlines\tand a tab", []),
        ("un café, 狗", []),
        ("", ["empty"]),
        (" \t", ["empty"]),
        ("?! ...", ["punctuation only"]),
        ("a dog 🐕", ["characters outside the BMP"]),
        ("🐕", ["punctuation only", "characters outside the BMP"]),
        ("a\rdog", ["line break"]),
        ("a\u2028dog", ["line break"]),
    ],
)
def test_unusual_captions_are_counted(text: str, kinds: list[str]) -> None:
    problems = Problems()
    assert text_of(text, "here", problems) == text
    assert list(problems.counts) == kinds


@pytest.mark.parametrize("value", [None, 7, ["a"], {"text": "a"}])
def test_a_caption_that_is_no_text_is_empty_and_told(value: Any) -> None:
    problems = Problems()
    assert text_of(value, "here", problems) == ""
    assert problems.examples == {"unusable record": ["here"]}


@pytest.mark.parametrize(
    ("start", "end", "kinds"),
    [
        (0.0, 5.0, []),
        (0, 10, []),
        (5.0, 1.0, ["reversed times"]),
        (5.0, 5.0, ["no length"]),
        (5.0, 10.5, ["past the end"]),
        (12.0, 9.0, ["reversed times", "past the end"]),
        (-1.0, 2.0, ["before the start"]),
    ],
)
def test_unusual_times_are_counted_and_used(start: float, end: float, kinds: list[str]) -> None:
    problems = Problems()
    assert problems.check_times(start, end, "here", 10.0)
    assert list(problems.counts) == kinds


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "3", True, 10**400])
def test_times_that_are_no_numbers_are_not_used(value: Any) -> None:
    problems = Problems()
    assert not problems.check_times(value, 5.0, "here", None)
    assert not problems.check_times(0.0, value, "there", None)
    assert problems.examples == {"not a number": ["here", "there"]}


@pytest.mark.parametrize(
    ("record", "duration"),
    [({"duration": 3}, 3.0), ({}, None), ({"duration": None}, None), ({"duration": "3"}, None),
     ({"duration": 10**400}, None)],
)  # fmt: skip
def test_a_duration_is_a_number_or_unknown(record: Any, duration: float | None) -> None:
    assert duration_of(record) == duration


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0),
        (-math.inf, -math.inf),
        (math.nan, None),
        (10**400, None),
        (-(10**400), None),
        (True, None),
        ("3", None),
        (None, None),
        ([3], None),
    ],
)
def test_a_number_is_one_that_a_float_can_hold(value: Any, number: float | None) -> None:
    assert number_of(value) == number
