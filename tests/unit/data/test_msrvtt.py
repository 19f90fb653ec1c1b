"""MSR-VTT's annotation file becomes records without losing or changing a word."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vcap.data.annotations import read_records
from vcap.data.manifest import manifest_bytes, read_manifest
from vcap.data.msrvtt import CATEGORIES, is_msrvtt, msrvtt_records, official_split
from vcap.errors import AnnotationError


def video(number: int, **changes: Any) -> dict[str, Any]:
    """One entry of `videos` as the published file has it."""
    url = f"https://www.youtube.com/watch?v=-id{number}"
    times = {"start time": 1.5, "end time": 11}
    plain = {"id": number, "video_id": f"video{number}", "category": 9, "url": url, **times}
    return {**plain, "split": "train", **changes}


def sentence(number: int, sen_id: int, caption: Any = "a car") -> dict[str, Any]:
    return {"sen_id": sen_id, "video_id": f"video{number}", "caption": caption}


def value(videos: list[Any], sentences: list[Any]) -> dict[str, Any]:
    return {"info": {"year": "2017"}, "videos": videos, "sentences": sentences}


def refusal(videos: list[Any], sentences: list[Any]) -> list[str]:
    with pytest.raises(AnnotationError) as caught:
        msrvtt_records(value(videos, sentences), "m.json")
    return caught.value.message.splitlines()


def test_a_record_says_all_that_the_file_says() -> None:
    found = msrvtt_records(value([video(3)], [sentence(3, 7, " A car  drives ")]), "m.json")
    assert [one.dump() for one in found] == [
        {
            "id": "video3",
            "url": "https://www.youtube.com/watch?v=-id3",
            "source_segment": [1.5, 11],
            "split": "train",
            "dataset": "msrvtt",
            "captions": [{"text": " A car  drives ", "id": 7}],
            "label": {"name": "vehicles/autos", "index": 9},
            "meta": {"id": 3},
        }
    ]


def test_sentences_go_to_their_video_in_file_order_wherever_they_stand() -> None:
    sentences = [sentence(2, 5, "e"), sentence(1, 1, "a"), sentence(2, 0, "d"), sentence(1, 2, "a")]
    found = msrvtt_records(value([video(1), video(2)], sentences), "m.json")
    assert [[one.text for one in record.captions or ()] for record in found] == [
        ["a", "a"],
        ["e", "d"],
    ]


def test_what_the_file_says_beyond_the_known_is_kept() -> None:
    said = {**sentence(1, 0), "lang": "en", "rater": 3}
    record = msrvtt_records(value([video(1, note="blurred")], [said]), "m.json")[0].dump()
    assert record["meta"] == {"id": 1, "note": "blurred"}
    assert record["captions"] == [{"text": "a car", "lang": "en", "id": 0, "rater": 3}]


@pytest.mark.parametrize(
    ("theirs", "ours"), [("validate", "val"), ("val", "val"), ("train", "train"), ("test", "test")]
)
def test_both_spellings_of_a_split_are_one(theirs: str, ours: str) -> None:
    assert msrvtt_records(value([video(1, split=theirs)], []), "m.json")[0].split == ours


def test_the_number_of_a_video_says_its_split_where_the_file_does_not() -> None:
    numbers = (0, 6512, 6513, 7009, 7010, 9999)
    videos = [{k: v for k, v in video(number).items() if k != "split"} for number in numbers]
    found = [record.split for record in msrvtt_records(value(videos, []), "m.json")]
    assert found == ["train", "train", "val", "val", "test", "test"]
    assert Counter(map(official_split, range(10000))) == {"train": 6513, "val": 497, "test": 2990}


def test_a_number_longer_than_python_reads_is_refused() -> None:
    endless = {**video(1), "video_id": "video" + "7" * 5000}
    del endless["split"]
    (told,) = refusal([endless], [])
    assert "video77777" in told and "a number of 5000 digits" in told
    assert len(told) < 200


def test_a_video_of_another_name_has_no_split_of_its_own() -> None:
    entry = {"video_id": "clip-a"}
    assert msrvtt_records(value([entry], []), "m.json")[0].dump() == {
        "id": "clip-a",
        "dataset": "msrvtt",
        "captions": [],
    }


def test_a_category_without_a_name_keeps_its_number() -> None:
    assert (CATEGORIES[0], CATEGORIES[19], len(CATEGORIES)) == ("music", "advertisement", 20)
    record = msrvtt_records(value([video(1, category=20)], []), "m.json")[0]
    assert record.dump()["label"] == {"index": 20}


def test_wrong_entries_are_told_all_at_once_with_place_and_field() -> None:
    videos = [video(1, category="music"), {"id": 2}, "video3"]
    lines = refusal(videos, [sentence(1, 0, 5), {"caption": "x"}])
    assert [line.split(": ")[:2] for line in lines] == [
        ["m.json", "videos.0.category"],
        ["m.json", "videos.1.video_id"],
        ["m.json", "videos.2"],
        ["m.json", "sentences.0.caption"],
        ["m.json", "sentences.1.video_id"],
    ]


def test_a_further_field_that_vcap_would_read_otherwise_is_told_by_its_name() -> None:
    [line] = refusal([video(1)], [{**sentence(1, 0), "start": "soon"}])
    assert line.startswith("m.json: video1: captions.0.start: ")


def test_two_videos_of_one_id_are_refused() -> None:
    assert refusal([video(1), video(2), video(1)], []) == [
        "m.json: videos.2.video_id: video1 is also the id of videos.0"
    ]


def test_sentences_of_no_video_are_refused_and_the_rest_counted() -> None:
    lines = refusal([video(1)], [sentence(n, n) for n in range(1, 24)])
    assert lines[0] == "m.json: sentences.1.video_id: no video video2"
    assert (len(lines), lines[-1]) == (11, "... and 12 more")


def test_a_file_without_videos_is_refused() -> None:
    assert refusal([], [])[0].startswith("m.json: videos: ")


@pytest.mark.parametrize("other", [[], {}, {"videos": []}, {"videos": {}, "sentences": []}, None])
def test_other_layouts_are_not_taken_for_it(other: Any) -> None:
    assert not is_msrvtt(other)


@pytest.mark.parametrize("place", ["", "videos", "videos/all", "TrainValVideo"])
def test_videos_that_lie_beside_the_file_are_found(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "video1.mp4").touch()
    path = tmp_path / "all.json"
    path.write_text(json.dumps(value([video(1), video(10)], [])))
    here, absent = read_records(path)
    assert tmp_path / str(here.path) == tmp_path / place / "video1.mp4"
    assert absent.path is None and absent.url


def test_the_published_layout_reads_whole(shared_root: Path, tmp_path: Path) -> None:
    path = shared_root / "data" / "annotations" / "msrvtt" / "videodatainfo_it_2017.json"
    records = read_records(path)
    assert Counter(record.split for record in records) == {"train": 8, "val": 4, "test": 3}
    assert {len(record.captions or ()) for record in records} == {20}
    plain = json.loads(path.read_text(encoding="utf-8"))
    theirs = [(one["sen_id"], one["caption"]) for one in plain["sentences"]]
    ours = [(one.id, one.text) for record in records for one in record.captions or ()]
    assert sorted(ours) == sorted(theirs), "a caption was lost or changed"
    assert all(record.split == official_split(int(record.id[5:])) for record in records)


def test_records_of_the_file_are_a_manifest_with_the_same_bytes(
    shared_root: Path, tmp_path: Path
) -> None:
    path = shared_root / "data" / "annotations" / "msrvtt" / "MSRVTT_data.derived.json"
    records = read_records(path)
    assert (len(records), {record.split for record in records}) == (300, {"test"})
    manifest = tmp_path / "m.jsonl"
    manifest.write_bytes(manifest_bytes(records))
    assert manifest_bytes(read_manifest(manifest)) == manifest.read_bytes()


def test_evaluation_reads_the_same_captions_from_the_same_file(shared_root: Path) -> None:
    from vcap.engine.evaluation.inputs import open_given
    from vcap.engine.evaluation.problems import Problems
    from vcap.engine.evaluation.sentences import read_lines

    path = shared_root / "data" / "annotations" / "msrvtt" / "videodatainfo_it_2017.json"
    theirs: dict[str, list[str]] = {}
    for line in read_lines(open_given(path), Problems()):
        theirs.setdefault(line.id, []).extend(line.texts)
    assert theirs == {
        record.id: [one.text for one in record.captions or ()] for record in read_records(path)
    }
