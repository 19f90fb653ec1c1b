"""Manifests and annotation files are told apart by what is in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from vcap.data.annotations import read_records
from vcap.errors import AnnotationError

RECORD = '{"id": "a", "path": "a.mp4"}'
MSRVTT = {
    "videos": [{"video_id": "video1", "url": "u"}],
    "sentences": [{"video_id": "video1", "caption": "x"}],
}


def written(folder: Path, text: str, name: str = "m.json") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def ids(path: Path, **options: Any) -> list[str]:
    return [record.id for record in read_records(path, **options)]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["m.json", "M.JSON"])
def test_an_annotation_file_may_stand_on_one_line_or_many(
    tmp_path: Path, indent: int | None, name: str
) -> None:
    assert ids(written(tmp_path, json.dumps(MSRVTT, indent=indent), name)) == ["video1"]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert ids(written(tmp_path, "\ufeff" + json.dumps(MSRVTT))) == ["video1"]


@pytest.mark.parametrize("name", ["m.jsonl", "m.json", "m.txt"])
@pytest.mark.parametrize("lines", [1, 2])
def test_a_manifest_may_have_any_name(tmp_path: Path, name: str, lines: int) -> None:
    text = "\n".join([RECORD, RECORD.replace('"a"', '"b"')][:lines])
    assert len(ids(written(tmp_path, text, name))) == lines


def test_wrong_lines_of_a_manifest_are_told_by_line_under_any_name(tmp_path: Path) -> None:
    path = written(tmp_path, RECORD + '\n{"id": 1}\n')
    with pytest.raises(AnnotationError, match=r"m\.json:2: id: "):
        read_records(path)


@pytest.mark.parametrize("text", ["[]", '{"images": []}', "3", '[{"video_id": "a"}]'])
def test_json_of_another_layout_is_refused_saying_what_is_wanted(tmp_path: Path, text: str) -> None:
    with pytest.raises(AnnotationError, match=r"m\.json: want records, .* MSR-VTT"):
        read_records(written(tmp_path, text))


def test_a_file_that_was_cut_off_is_told_once_with_its_line(tmp_path: Path) -> None:
    whole = json.dumps(MSRVTT, indent=2)
    with pytest.raises(AnnotationError) as caught:
        read_records(written(tmp_path, whole[: len(whole) // 2]))
    assert len(caught.value.message.splitlines()) == 1
    assert "m.json:" in caught.value.message and "not JSON" in caught.value.message


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_refused_as_a_manifest_without_records(tmp_path: Path, text: str) -> None:
    with pytest.raises(AnnotationError, match="no records in it"):
        read_records(written(tmp_path, text))


def test_a_file_nested_beyond_reason_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="nested too deep"):
        read_records(written(tmp_path, "[" * 200_000))


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"none\.json: cannot be read"):
        read_records(tmp_path / "none.json")
    path = tmp_path / "binary.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AnnotationError, match=r"binary\.json:1: not UTF-8"):
        read_records(path)


def test_records_that_are_only_compared_need_no_source(tmp_path: Path) -> None:
    path = written(tmp_path, '{"id": "a", "captions": [{"text": "x"}]}')
    assert ids(path, need_source=False) == ["a"]
    with pytest.raises(AnnotationError, match="want a path or an url"):
        read_records(path)


def test_a_number_longer_than_python_reads_is_told_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text('{"videos": [{"id": ' + "7" * 5000 + '}],\n"sentences": []}')
    with pytest.raises(AnnotationError, match=r"m\.json: Exceeds the limit"):
        read_records(path)
