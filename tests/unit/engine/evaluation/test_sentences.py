"""Captions come out the same from every layout in which they are kept."""

import json
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.evaluation.inputs import Given, open_given
from vcap.engine.evaluation.problems import Problems
from vcap.engine.evaluation.sentences import Line, read_lines, read_split
from vcap.errors import AnnotationError, UsageError

TEXTS = {"7": ["a dog runs", "the dog is running"], "9": ["a cat sleeps"]}
EACH = [("7", "a dog runs"), ("7", "the dog is running"), ("9", "a cat sleeps")]
LAYOUTS: dict[str, Any] = {
    "records": [
        {"id": name, "captions": [{"text": text} for text in texts]}
        for name, texts in TEXTS.items()
    ],
    "COCO annotations": {
        "images": [{"id": 7}, {"id": 9}],
        "annotations": [{"image_id": int(name), "caption": text} for name, text in EACH],
    },
    "COCO results": [{"image_id": int(name), "caption": text} for name, text in EACH],
    "COCO files": [
        {"image": f"val2014/COCO_val2014_{int(name):012d}.jpg", "caption": texts}
        for name, texts in TEXTS.items()
    ],
    "Karpathy": {
        "images": [
            {"cocoid": int(name), "split": "test", "sentences": [{"raw": text} for text in texts]}
            for name, texts in TEXTS.items()
        ]
    },
    "MSR-VTT": {
        "videos": [{"video_id": "7", "split": "validate"}, {"video_id": "9", "split": "val"}],
        "sentences": [{"video_id": name, "caption": text} for name, text in EACH],
    },
    "VATEX": [{"videoID": n, "enCap": texts, "chCap": ["狗"]} for n, texts in TEXTS.items()],
    "MSVD": [{"caption": texts, "id": name} for name, texts in TEXTS.items()],
    "DiDeMo": [{"video": name, "description": text, "annotation_id": 1} for name, text in EACH],
    "lists": TEXTS,
    "AdaCLIP": {name: {"extension": "mp4", "sentences": texts} for name, texts in TEXTS.items()},
    "both parts": {"predictions": {"7": ["wrong"]}, "references": TEXTS},
}


def given(value: Any) -> Given:
    """A file with this value in it."""
    return Given("file", data=(value if isinstance(value, str) else json.dumps(value)).encode())


def united(lines: list[Line]) -> dict[str, list[Any]]:
    """All captions of each id."""
    found: dict[str, list[Any]] = {}
    for line in lines:
        found.setdefault(line.id, []).extend(line.texts)
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_captions(name: str) -> None:
    problems = Problems()
    assert united(read_lines(given(LAYOUTS[name]), problems)) == TEXTS
    assert not problems.counts


@pytest.mark.parametrize("mark", [",", ";"])
def test_the_test_list_of_msrvtt_is_read_with_either_separator(mark: str) -> None:
    rows = [["key", "vid_key", "video_id", "sentence"], ["ret0", "msr7", "video7", "a dog runs"]]
    text = "\r\n".join(mark.join(row) for row in rows) + "\r\n"
    assert read_lines(given(text), Problems()) == [Line("video7", ("a dog runs",))]


def test_a_flat_object_gives_one_caption_an_id() -> None:
    assert united(read_lines(given({"0": " a\ndog", "1": ""}), Problems())) == {
        "0": [" a\ndog"],
        "1": [""],
    }


def test_predictions_are_taken_where_predictions_are_wanted() -> None:
    lines = read_lines(given(LAYOUTS["both parts"]), Problems(), "predictions")
    assert lines == [Line("7", ("wrong",))]


def test_a_record_names_the_video_that_it_is_a_clip_of() -> None:
    record = {"id": "a/2", "video_id": "a", "split": "testing", "captions": [{"text": "x"}]}
    assert read_lines(given(record), Problems()) == [Line("a/2", ("x",), "test", "a")]


def test_what_has_no_id_or_caption_is_counted() -> None:
    problems = Problems()
    entries = [{"image_id": 1, "caption": "x"}, {"image_id": 2}, {"caption": "y"}, 5]
    assert united(read_lines(given(entries), problems)) == {"1": ["x"]}
    assert problems.counts == {"unusable record": 3}
    assert problems.examples["unusable record"][0] == "file: entry 2"
    assert united(read_lines(given({"a": 5, "b": "x"}), problems)) == {"a": [], "b": ["x"]}
    assert problems.counts == {"unusable record": 4}


@pytest.mark.parametrize("value", ["[]", "{}", "5", '"text"', "a,b\n1,2\n"])
def test_a_file_without_captions_is_refused(value: str) -> None:
    with pytest.raises(AnnotationError, match="want records, COCO results"):
        read_lines(given(value), Problems())


def test_a_split_is_taken_by_any_of_its_names() -> None:
    splits = {"a": "train", "b": "validation", "c": "test"}
    entries = [{"id": n, "caption": "x", "split": split} for n, split in splits.items()]
    lines = [Line("a", ("x",), "train"), Line("b", ("x",), "val"), Line("c", ("x",), "test")]
    assert read_split(given(entries), "val", Problems()) == (lines[1:2], [])
    warnings = ["file holds the splits test, train, val; all are scored"]
    assert read_split(given(entries), None, Problems()) == (lines, warnings)
    assert read_split(given(entries[:1]), None, Problems()) == (lines[:1], [])
    with pytest.raises(UsageError, match="file has no split odd; it has test, train, val"):
        read_split(given(entries), "odd", Problems())
    with pytest.raises(UsageError, match="it has none"):
        read_split(given(TEXTS), "test", Problems())


def test_records_with_numbers_for_ids_keep_their_captions() -> None:
    records = [{"id": int(n), "captions": [{"text": t} for t in TEXTS[n]]} for n in TEXTS]
    assert united(read_lines(given(records), Problems())) == TEXTS
    record = {"id": 7, "video_id": 3, "captions": ["x"]}
    assert read_lines(given(record), Problems()) == [Line("7", ("x",), None, "3")]


@pytest.mark.parametrize("name", [7, "7"])
@pytest.mark.parametrize("key", ["caption", "captions", "text"])
def test_a_record_may_hold_one_caption_as_text(name: Any, key: str) -> None:
    record = {"id": name, "path": "7.mp4", key: "a dog runs"}
    assert read_lines(given(record), Problems()) == [Line("7", ("a dog runs",))]


def test_an_odd_id_of_a_split_does_no_harm() -> None:
    value = {
        "videos": [{"video_id": [7], "split": "val"}],
        "sentences": [{"video_id": [7], "caption": "x"}],
    }
    assert read_lines(given(value), Problems()) == [Line("[7]", ("x",), "val")]


REAL = {
    "msrvtt/MSRVTT_JSFUSION_test.csv": (300, 300),
    "msrvtt/MSRVTT_data.derived.json": (300, 300),
    "msvd/training_label.json": (60, 1011),
    "msvd/msvd_cn_captions_release_utf8.csv": (None, 300),
    "vatex/vatex_validation_sample.json": (4, 40),
    "mscoco2014/captions_val2014_fakecap_results.json": (300, 300),
    "mscoco2014/coco_karpathy_test.json": (6, 30),
    "flickr30k/flickr30k_test.json": (4, 20),
    "didemo/val_data.json": (72, 300),
    "adaclip/msrvtt-jsfusion_val.json": (1000, 1000),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", REAL)
def test_real_annotations_are_read_whole(name: str, shared_root: Path) -> None:
    path = shared_root / "data" / "annotations" / name
    problems = Problems()
    found = united(read_lines(open_given(path), problems))
    num_ids, num_texts = REAL[name]
    assert num_ids is None or len(found) == num_ids
    assert sum(map(len, found.values())) == num_texts
    assert not problems.counts
    assert all(isinstance(text, str) for texts in found.values() for text in texts)
