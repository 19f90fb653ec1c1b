"""One split is taken out of a file that holds several."""

import pytest

from vcap.engine.evaluation.splits import in_split, of_split, split_of
from vcap.errors import UsageError

RECORDS = [
    {"id": "a", "split": "train", "label": {"name": "cat"}},
    {"id": "b", "split": "validation", "label": {"name": "dog"}},
    {"id": "c", "label": {"name": "owl"}},
    {"id": "d", "split": 7, "label": {"name": "owl"}},
]


def test_without_a_split_the_value_is_what_it_was() -> None:
    assert of_split(RECORDS[1:], None, "file") == (RECORDS[1:], [])
    assert of_split({"a": "cat"}, None, "file") == ({"a": "cat"}, [])


def test_several_splits_that_are_all_scored_are_told() -> None:
    told = ["file holds the splits train, val; all are scored"]
    assert of_split(RECORDS, None, "file") == (RECORDS, told)
    assert in_split("abc", ["train", None, "val"], None, "file") == (list("abc"), told)


@pytest.mark.parametrize("split", ["val", "validation"])
def test_a_split_is_known_by_any_of_its_names(split: str) -> None:
    assert of_split(RECORDS, split, "file") == ([RECORDS[1]], [])


@pytest.mark.parametrize(
    ("value", "there"), [(RECORDS, "train, val"), ({"a": "cat"}, "none"), ([], "none")]
)
def test_a_split_that_is_not_there_is_refused(value: object, there: str) -> None:
    with pytest.raises(UsageError, match=f"file has no split test; it has {there}"):
        of_split(value, "test", "file")


def test_the_name_of_a_split_cannot_act_upon_the_terminal() -> None:
    with pytest.raises(UsageError) as told:
        in_split(["a"], ["\x1b[2J"], "test", "file")
    assert told.value.message.endswith(r"it has \x1b[2J")


@pytest.mark.parametrize(
    ("record", "split"),
    [
        ({"split": "restval"}, "restval"),
        ({"subset": "validation"}, "val"),
        ({"split": 7}, None),
        ({}, None),
        (7, None),
    ],
)
def test_a_record_says_its_split_in_one_of_two_fields(record: object, split: str | None) -> None:
    assert split_of(record) == split
