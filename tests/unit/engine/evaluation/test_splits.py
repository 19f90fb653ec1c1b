"""Records of one split are taken out of a file that holds several."""

import pytest

from vcap.engine.evaluation.splits import of_split
from vcap.errors import UsageError

RECORDS = [
    {"id": "a", "split": "train", "label": {"name": "cat"}},
    {"id": "b", "split": "validation", "label": {"name": "dog"}},
    {"id": "c", "label": {"name": "owl"}},
    {"id": "d", "split": 7, "label": {"name": "owl"}},
]


def test_without_a_split_the_value_is_what_it_was() -> None:
    assert of_split(RECORDS, None, "file") is RECORDS
    assert of_split({"a": "cat"}, None, "file") == {"a": "cat"}


@pytest.mark.parametrize("split", ["val", "validation"])
def test_a_split_is_known_by_any_of_its_names(split: str) -> None:
    assert [record["id"] for record in of_split(RECORDS, split, "file")] == ["b"]


@pytest.mark.parametrize("value", [RECORDS, {"a": "cat"}, []])
def test_a_split_that_is_not_there_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="file has no records of split test"):
        of_split(value, "test", "file")
