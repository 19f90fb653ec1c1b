"""Annotation files of AdaCLIP as records."""

import json
from pathlib import Path
from typing import Any

import pytest

from vcap.data.adaclip import adaclip_records, is_adaclip
from vcap.data.annotations import read_records
from vcap.data.records import Record
from vcap.errors import AnnotationError

CUT = {"extension": "mp4", "timestamps": [[221.77, 233.08]], "sentences": ["a woman"]}
TIMED = {
    "extension": "mkv",
    "sentences": ["One.", "  Two."],
    "timestamps": [[0.28, 55.15], [13.79, 54.32]],
    "duration": 55.15,
}


def one(video: dict[str, Any], **options: Any) -> Record:
    return adaclip_records({"v": video}, "x.json", **options)[0]


def written(folder: Path, value: Any) -> Path:
    path = folder / "val.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_sentences_stay_verbatim_and_keep_their_times() -> None:
    captions = one(TIMED).captions or []
    assert [caption.text for caption in captions] == ["One.", "  Two."]
    assert [(caption.start, caption.end) for caption in captions] == [(0.28, 55.15), (13.79, 54.32)]
    assert one(TIMED).duration == 55.15
    assert one(TIMED).source_segment is None


def test_the_one_time_of_a_video_is_its_place_in_the_source() -> None:
    assert one(CUT).source_segment == [221.77, 233.08]
    assert (one(CUT).captions or [])[0].start is None


def test_the_order_of_the_file_is_kept(tmp_path: Path) -> None:
    value = {name: CUT for name in ("z", "a", "m")}
    assert [record.id for record in read_records(written(tmp_path, value))] == ["z", "a", "m"]


@pytest.mark.parametrize("place", [".", "videos"])
def test_videos_are_found_beside_the_file(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "x.m4v.mp4").touch()
    records = read_records(written(tmp_path, {"x.m4v": CUT, "y.m4v": CUT}))
    assert records[0].path is not None
    assert (tmp_path / records[0].path).is_file()
    assert records[1].path is None


def test_a_layout_is_told_from_others_by_its_first_video() -> None:
    assert is_adaclip({"v": CUT})
    assert not is_adaclip({"v": {"sentences": ["x"], "timestamps": [[0, 1]], "duration": 2}})
    assert not is_adaclip({"videos": [], "sentences": []})
    assert not is_adaclip({})
    assert not is_adaclip([CUT])


@pytest.mark.parametrize(
    ("video", "told"),
    [
        ({"extension": "mp4", "sentences": []}, r"v\.sentences"),
        ({"extension": "mp4", "sentences": ["a", 3]}, r"v\.sentences\.1"),
        ({**TIMED, "timestamps": [[0.0, 1.0]]}, r"v\.timestamps: want one for each of 2"),
        ({**TIMED, "timestamps": [[0.0], [1.0, 2.0]]}, r"v\.timestamps\.0"),
        ({**TIMED, "duration": -1.0}, r"v\.duration"),
    ],
)
def test_a_wrong_entry_is_told_by_its_place(video: dict[str, Any], told: str) -> None:
    with pytest.raises(AnnotationError, match=told):
        one(video)


def test_many_wrong_entries_are_counted() -> None:
    value = {f"v{number}": {**CUT, "sentences": []} for number in range(14)}
    with pytest.raises(AnnotationError, match="and 4 more"):
        adaclip_records(value, "x.json")


PUBLISHED = {
    "msrvtt-jsfusion_val": (1000, 1000),
    "didemo_test": (1004, 3932),
    "didemo_val": (1065, 4109),
    "didemo_train_head": (400, 1661),
    "activitynet_val": (500, 1779),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_files_are_read_whole(shared_root: Path, name: str) -> None:
    folder = shared_root / "data" / "annotations" / "adaclip"
    records = read_records(folder / f"{name}.json", need_source=False)
    sentences = [caption for record in records for caption in record.captions or ()]
    assert (len(records), len(sentences)) == PUBLISHED[name]
    timed = [caption.start is not None for caption in sentences]
    assert all(timed) if name.startswith("activitynet") else not any(timed)
