"""`--where field=value`: which records meet a condition."""

import os
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.filters import parse_condition, unknown_fields
from vcap.errors import UsageError

RECORD: dict[str, Any] = {
    "id": "trips/rome/a.mp4",
    "path": "/footage/trips/rome/a.mp4",
    "split": "test",
    "duration": 12.5,
    "label": {"name": "riding a bike", "index": 7},
    "tags": ["sun", "street"],
    "meta": {"camera": "left", "date": "2024-05-17", "indoor": False},
}


@pytest.mark.parametrize(
    "text",
    [
        "split=test",
        "split!=train",
        "split=te*",
        "duration>10",
        "duration<=12.5",
        "duration<100",  # as words 12.5 would be before 100, and 9 after it
        "label=riding a bike",
        "label=7",
        "label.name=riding*",
        "meta.camera=left",
        "meta.indoor=false",
        "tags=sun",
        "date>=2024-05-01",
        "date<2025",
        "date=2024-05-*",
        "folder=/footage/trips",
        "folder=/footage/trips/rome/",
        "folder=trips/rome",
        "folder=rome",
        "id=trips/*",
        " split = test",
    ],
)
def test_a_record_meets_what_is_true_of_it(text: str) -> None:
    assert parse_condition(text)(RECORD)


@pytest.mark.parametrize(
    "text",
    [
        "split=train",
        "split!=test",
        "split=Test",
        "duration>12.5",
        "duration<9",
        "label=riding",
        "label!=7",
        "tags=rain",
        "date<2024-05-17",
        "folder=/foot",
        "folder=a.mp4",
        "folder=paris",
        "folder!=rome",
    ],
)
def test_a_record_does_not_meet_what_is_not_true_of_it(text: str) -> None:
    assert not parse_condition(text)(RECORD)


@pytest.mark.parametrize("text", ["dataset=x", "dataset!=x", "dataset<x", "meta.lens=5", "id.a=b"])
def test_a_record_without_the_field_meets_no_condition_on_it(text: str) -> None:
    assert not parse_condition(text)(RECORD)


def test_without_a_date_the_day_of_the_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    os.utime(path, (1_000_040_000, 1_000_040_000))
    assert parse_condition("date>=2001-09-09")({"id": "a", "path": str(path)})
    assert parse_condition("date<=2001-09-10")({"id": "a", "path": str(path)})
    path.unlink()
    assert not parse_condition("date>1900")({"id": "a", "path": str(path)})
    assert not parse_condition("date>1900")({"id": "a"})


@pytest.mark.parametrize("text", ["", "split", "=test", "split=", "a b=c", "?=1"])
def test_what_is_no_condition_is_refused_with_one_that_is(text: str) -> None:
    with pytest.raises(UsageError, match="want field=value") as caught:
        parse_condition(text)
    assert caught.value.hint == "--where split=test"


def test_a_condition_is_shown_as_it_was_given() -> None:
    assert str(parse_condition("duration >= 3")) == "duration>=3"


def test_fields_that_no_record_has_are_told_beside_those_that_some_have() -> None:
    records = [
        {"id": "a", "split": "test"},
        {"id": "b", "meta": {"camera": "left"}, "path": "/x/b.mp4", "note": None},
    ]
    asked = [parse_condition(text) for text in ("splt=test", "meta.camera=x", "note=1", "folder=x")]
    found = unknown_fields(asked, records)
    assert [str(condition) for condition, _ in found] == ["splt=test", "note=1"]
    assert set(found[0][1]) >= {"id", "split", "meta.camera", "folder", "date"}
    assert "note" not in found[1][1]
