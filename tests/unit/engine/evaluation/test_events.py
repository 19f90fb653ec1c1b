"""Events come out the same from every layout, with their odd times as they are."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.evaluation.events import (
    NOWHERE,
    References,
    read_predicted_events,
    read_reference_events,
)
from vcap.engine.evaluation.inputs import Given, open_given
from vcap.engine.evaluation.problems import Problems
from vcap.errors import AnnotationError, UsageError
from vcap.types import Event, Segment

DOG, CAT = Event(Segment(0, 5), " A dog runs."), Event(Segment(4.5, 20), "a cat sleeps")
OFFICIAL = {"v_a": {"duration": 20.0, "timestamps": [[0, 5], [4.5, 20]],
                    "sentences": [" A dog runs.", "a cat sleeps"]}}  # fmt: skip


def given(value: Any) -> Given:
    """A file with this value in it; a list becomes JSON Lines."""
    lines = map(json.dumps, value) if isinstance(value, list) else [json.dumps(value)]
    return Given("file", data="\n".join(lines).encode())


def official(results: Any) -> dict[str, Any]:
    """Predictions in the layout of the challenge."""
    return {"version": "VERSION 1.0", "external_data": {}, "results": results}


def entry(text: Any, *times: Any) -> dict[str, Any]:
    """One predicted event."""
    return {"sentence": text, "timestamp": list(times)}


def record(name: str, *captions: Any, **fields: Any) -> dict[str, Any]:
    """A record with captions of (text, start, end) or with a source in addition."""
    keys = ("text", "start", "end", "source")
    return {"id": name, "captions": [dict(zip(keys, c, strict=False)) for c in captions], **fields}


def predicted(value: Any, **durations: float) -> tuple[dict[str, list[Event]], Problems]:
    """The events of a prediction file, and what was wrong with it."""
    problems = Problems()
    return read_predicted_events(given(value), problems, durations), problems


def references(*values: Any, split: str | None = None) -> tuple[References, Problems]:
    """What reference files say, and what was wrong with them."""
    problems = Problems()
    return read_reference_events([given(value) for value in values], split, problems), problems


def test_official_predictions_and_records_give_the_same_events() -> None:
    results = {"v_a": [entry(" A dog runs.", 0, 5), entry("a cat sleeps", 4.5, 20)], "v_b": []}
    records = [record("v_a", (" A dog runs.", 0, 5), ("a cat sleeps", 4.5, 20)), record("v_b")]
    for value in (official(results), records):
        found, problems = predicted(value)
        assert found == {"v_a": [DOG, CAT], "v_b": []}
        assert not problems.counts


def test_a_caption_without_times_is_about_the_whole_video() -> None:
    found, problems = predicted(record("v_a", ("a dog",), duration=12.5))
    assert found["v_a"] == [Event(Segment(0, 12.5), "a dog")]
    found, _ = predicted(record("v_a", ("a dog",)), v_a=30.0)
    assert found["v_a"] == [Event(Segment(0, 30), "a dog")]
    assert not problems.counts
    found, problems = predicted(record("v_a", ("a dog",)))
    assert found["v_a"] == [Event(NOWHERE, "a dog")]
    assert problems.counts == {"not a number": 1}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"results": {}}, "file: the official layout has the keys .* no version and no external"),
        ({"version": 1, "results": {}}, "there is no external_data"),
        ({"v_a": []}, "there is no version"),
        (official([]), "results: want an object of lists"),
        (5, "want an object with version, external_data, results, or records"),
    ],
)
def test_predictions_in_another_layout_are_refused(value: Any, complaint: str) -> None:
    with pytest.raises(AnnotationError, match=complaint):
        predicted(value)


def test_odd_events_are_kept_and_counted() -> None:
    entries = [
        entry("dog", 0, 5), entry("dog", 0, 5), entry("", 5, 2), entry("cat", 3, 3),
        entry("late", 3, 11), entry("🐕", -1, 3),
    ]  # fmt: skip
    found, problems = predicted(official({"v_a": entries}), v_a=10.0)
    assert [e.segment for e in found["v_a"]] == [tuple(e["timestamp"]) for e in entries]
    assert problems.counts == {
        "empty": 1, "reversed times": 1, "no length": 1, "past the end": 1,
        "before the start": 1, "punctuation only": 1, "characters outside the BMP": 1,
        "duplicate": 1,
    }  # fmt: skip
    assert problems.examples["reversed times"] == ["file: v_a: event 3"]


def test_times_that_are_no_numbers_overlap_nothing_and_still_count() -> None:
    entries = [entry("a", math.nan, 5), entry("b", 0, math.inf), entry("c", "0", 5), entry("d", 0)]
    found, problems = predicted(official({"v_a": entries}))
    assert [e.caption for e in found["v_a"]] == ["a", "b", "c", "d"]
    assert {e.segment for e in found["v_a"]} == {NOWHERE}
    assert problems.counts == {"not a number": 4}


def test_entries_that_are_no_events_are_left_out_and_counted() -> None:
    results = {"v_a": [5, {"sentence": "dog"}, {"timestamp": [0, 1]}], "v_b": "dog", "v_c": None}
    found, problems = predicted(official(results))
    assert found == {"v_a": [], "v_b": [], "v_c": []}
    assert problems.counts == {"unusable record": 5}
    found, problems = predicted({"id": "v_a", "captions": ["dog"]})
    assert found == {"v_a": []}
    assert problems.counts == {"unusable record": 1}


YOUCOOK = {"database": {
    "a": {"duration": 20.0, "subset": "validation", "annotations": [
        {"segment": [0, 5], "id": 0, "sentence": " A dog runs."},
        {"segment": [4.5, 20], "id": 1, "sentence": "a cat sleeps"}]},
    "b": {"duration": 9.0, "subset": "training", "annotations": []},
}}  # fmt: skip


def test_each_reference_file_is_an_annotator() -> None:
    found, problems = references(OFFICIAL, {"v_b": OFFICIAL["v_a"]})
    assert found.files == [{"v_a": [DOG, CAT]}, {"v_b": [DOG, CAT]}]
    assert found.videos == ["v_a", "v_b"]
    assert found.durations == {"v_a": 20.0, "v_b": 20.0}
    assert not problems.counts


def test_youcook2_is_read_by_split() -> None:
    found, _ = references(YOUCOOK, split="val")
    assert found.files == [{"a": [DOG, CAT]}]
    assert references(YOUCOOK)[0].warnings == ["file holds the splits train, val; all are scored"]
    with pytest.raises(UsageError, match="no split test; it has train, val"):
        references(YOUCOOK, split="test")


def test_annotators_of_a_manifest_are_told_apart_by_source() -> None:
    manifest = [
        record("v_b", ("x", 0, 1, "val_2"), duration=3),
        record("v_a", ("y", 0, 2, "val_1"), ("z", 1, 2, "val_2"), ("w", 2, 3, "val_1"), duration=3),
    ]
    found, _ = references(manifest)
    assert [{v: [e.caption for e in es] for v, es in f.items()} for f in found.files] == [
        {"v_b": ["x"], "v_a": ["z"]},
        {"v_a": ["y", "w"]},
    ]
    assert found.durations == {"v_b": 3.0, "v_a": 3.0}


def test_references_that_cannot_be_used_are_counted_but_keep_their_video() -> None:
    found, problems = references(
        {"v_a": {"timestamps": [[0, 5], [5, 6]], "sentences": ["x"]}, "v_b": 5, "v_c": {"a": 1}}
    )
    assert found.files == [{"v_a": [Event(Segment(0, 5), "x")], "v_b": [], "v_c": []}]
    assert problems.counts == {"unusable record": 3}
    assert found.videos == ["v_a", "v_b", "v_c"]


@pytest.mark.parametrize("value", [5, {}, "text"])
def test_references_in_another_layout_are_refused(value: Any) -> None:
    with pytest.raises(AnnotationError, match=r"want \{video: \{duration"):
        references(value)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "num_videos", "odd"),
    [
        ("activitynet/train.json", 300, {"reversed times": 2, "past the end": 10}),
        ("youcook2/val.json", 200, {}),
        ("youcook2/youcookii_annotations_trainval.json", 36, {}),
        ("adaclip/activitynet_val.json", None, {}),
    ],
)
def test_real_references_are_read_whole(
    name: str, num_videos: int | None, odd: dict[str, int], shared_root: Path
) -> None:
    path = shared_root / "data" / "annotations" / name
    problems = Problems()
    found = read_reference_events([open_given(path)], None, problems)
    assert num_videos is None or len(found.videos) == num_videos
    assert all(found.files[0].values())
    for kind, at_least in odd.items():
        assert problems.count(kind) >= min(at_least, 1)
    assert not problems.count("unusable record")
    assert not problems.count("not a number")
