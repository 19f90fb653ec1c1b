"""The record keeps what it is given."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from vcap.data.records import Caption, Label, Question, Record

FULL: dict[str, Any] = {
    "id": "video7",
    "path": "a/b.mp4",
    "url": "https://example.org/b",
    "media": "video",
    "source_segment": [1, 2.5],
    "segment": [0, 1],
    "duration": 12,
    "split": "test",
    "dataset": "msrvtt",
    "captions": [{"text": " a  dog ", "start": 5, "end": 1.0, "lang": "en", "id": 3}],
    "label": {"name": "sport", "index": 4},
    "qa": [{"question": "who?", "answer": "dog", "id": 1, "candidates": ["dog", "cat"]}],
    "video_id": "long",
    "order": 2,
    "meta": {"b": 1, "a": {"z": None}},
}


def test_a_record_with_every_field_comes_back_as_it_was():
    assert json.dumps(Record.model_validate(FULL).dump()) == json.dumps(FULL)


def test_only_the_id_is_needed_and_absent_fields_stay_absent():
    assert Record(id="x").dump() == {"id": "x"}
    assert Record(id="x").media == "video"


def test_unknown_fields_follow_the_known_ones_in_their_own_order():
    given = {"zebra": 1, "hits": [{"rank": 1}], "id": "x", "answer": None}
    dumped = Record.model_validate(given).dump()
    assert list(dumped) == ["id", "zebra", "hits", "answer"]
    assert dumped["answer"] is None  # not ours to drop


def test_a_known_field_that_is_null_counts_as_absent():
    assert Record.model_validate({"id": "x", "url": None, "path": "a"}).dump() == {
        "id": "x",
        "path": "a",
    }
    record = Record(id="x", captions=[Caption(text="a", start=None)])
    assert record.dump()["captions"] == [{"text": "a"}]


def test_extra_fields_of_a_caption_are_kept():
    record = Record.model_validate({"id": "x", "captions": [{"score": -1.5, "text": "a"}]})
    assert record.captions is not None
    assert record.captions[0].model_extra == {"score": -1.5}
    assert record.dump()["captions"] == [{"text": "a", "score": -1.5}]


def test_extra_fields_of_labels_and_questions_are_kept():
    given = {"id": "x", "label": {"name": "a", "parent": "b"}, "qa": [{"question": "?", "w": 1}]}
    assert Record.model_validate(given).dump() == given


def test_whole_numbers_stay_whole_and_fractions_stay_fractions():
    record = Record.model_validate({"id": "x", "duration": 3, "segment": [0, 1.0]})
    assert json.dumps(record.dump()) == '{"id": "x", "segment": [0, 1.0], "duration": 3}'


def test_times_are_not_repaired():
    given = {"id": "x", "duration": 5.0, "segment": [9.0, 2.0], "source_segment": [-1, 1e6]}
    record = Record.model_validate(given)
    assert record.segment == [9.0, 2.0]
    assert record.source_segment == [-1, 1e6]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", 5),
        ("path", 5),
        ("duration", "5"),
        ("duration", True),
        ("duration", float("nan")),
        ("segment", [1]),
        ("segment", [1, 2, 3]),
        ("segment", ["0", "1"]),
        ("captions", "a dog"),
        ("captions", ["a dog"]),
        ("captions", [{"start": 1}]),
        ("captions", [{"text": None}]),
        ("order", 1.5),
        ("label", {"index": "1"}),
        ("qa", [{"answer": "a"}]),
        ("meta", []),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_and_named(field, value):
    with pytest.raises(ValidationError) as caught:
        Record.model_validate({"id": "x", field: value})
    assert caught.value.errors()[0]["loc"][0] == field


def test_parts_can_be_made_in_code():
    record = Record(
        id="x",
        path="x.mp4",
        captions=[Caption(text="a dog", start=0.0, end=1.5)],
        label=Label(name="pets", index=1),
        qa=[Question(question="what?", answer=["a dog", "dog"], type="what")],
        split=None,
    )
    assert record.dump() == {
        "id": "x",
        "path": "x.mp4",
        "captions": [{"text": "a dog", "start": 0.0, "end": 1.5}],
        "label": {"name": "pets", "index": 1},
        "qa": [{"question": "what?", "answer": ["a dog", "dog"], "type": "what"}],
    }
