"""Files are read by what is in them, and a wrong one is told with its line."""

import gzip
import io
import json
import math
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.evaluation.inputs import (
    Given,
    held,
    id_of,
    open_given,
    records_in,
    usable_records,
    with_videos,
)
from vcap.engine.evaluation.problems import Problems
from vcap.errors import AnnotationError, InputError

RECORDS = [{"id": "a", "captions": []}, {"id": "b", "captions": []}]
LINES = "\n".join(map(json.dumps, RECORDS)) + "\n"


def given(text: str | bytes) -> Given:
    """A file that came by stdin."""
    return Given("stdin", data=text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.gz", "a.txt"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("text", [LINES, json.dumps(RECORDS, indent=2)], ids=["lines", "json"])
def test_the_name_of_a_file_does_not_matter(
    tmp_path: Path, name: str, packed: bool, text: str
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert open_given(path).load() == RECORDS


def test_one_line_is_one_value() -> None:
    assert given(json.dumps(RECORDS[0])).load() == RECORDS[0]


def test_blank_lines_byte_order_marks_and_windows_ends_do_no_harm() -> None:
    text = "\ufeff\r\n" + LINES.replace("\n", "\r\n\r\n")
    assert given(text).load() == RECORDS


def test_what_is_not_a_number_is_left_to_the_reader() -> None:
    assert math.isnan(given('{"times": [NaN, Infinity]}').load()["times"][0])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "stdin: the file is empty"),
        (" \n\t", "stdin: the file is empty"),
        ('{"a": 1,\n "b": }', "stdin:2: not JSON: Expecting value at column 7"),
        ('{"a": 1}\n{"b": }\n', "stdin:2: not JSON: Expecting value at column 7"),
        ("no json", "stdin:1: not JSON"),
        ("[" * 100_000, "stdin:1: nested too deep"),
        ('{"a":\n ' + "7" * 5000 + "}", "stdin:2: a number of too many digits"),
        ('{"a": 1}\n{"a": ' + "7" * 5000 + "}\n", "stdin:2: a number of too many digits"),
        (b'{"a": "\xff"}', "stdin: not UTF-8: invalid start byte at byte 8"),
        (gzip.compress(b"{}", mtime=0)[:-4], "stdin: damaged gzip file"),
        (b"\x1f\x8b no gzip", "stdin: damaged gzip file"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(text: str | bytes, complaint: str) -> None:
    with pytest.raises(AnnotationError) as told:
        given(text).load()
    assert told.value.message.startswith(complaint)


def test_all_wrong_lines_are_told_but_not_thousands() -> None:
    with pytest.raises(AnnotationError) as told:
        given('{"a": 1}\n' + "{]\n" * 1000).load()
    lines = told.value.message.splitlines()
    assert lines[0].startswith("stdin:2:")
    assert len(lines) == 11
    assert lines[-1] == "... and 990 more"


def test_a_key_that_stands_twice_is_counted_and_the_last_one_holds() -> None:
    problems = Problems()
    assert given('{"v_a": "x", "v_b": "z", "v_a": "y"}').load(problems)["v_a"] == "y"
    assert problems.as_dict() == {"duplicate": {"count": 1, "examples": ["stdin: key v_a"]}}


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match=r"no such file: nowhere\.json"):
        open_given("nowhere.json")


def test_a_name_too_long_for_any_file_is_told() -> None:
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        open_given("a" * 5000)


def test_a_folder_that_may_not_be_entered_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path, **_: Any) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", closed)
    with pytest.raises(InputError, match=r"a\.json: cannot be read: Permission denied"):
        open_given(tmp_path / "a.json")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_pipe_may_be_read_as_often_as_a_file(tmp_path: Path, packed: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = gzip.compress(LINES.encode()) if packed else LINES.encode()
    writer = threading.Thread(target=pipe.write_bytes, args=[data])
    writer.start()
    source = held(pipe)
    writer.join()
    assert isinstance(source, Given)
    assert source.name == str(pipe)
    assert source.head(6) == LINES[:6].encode()
    assert source.load() == source.load() == RECORDS
    assert open_given(source) is source


@pytest.mark.parametrize("name", ["-", "nowhere.json", "a" * 5000, "."])
def test_only_a_pipe_is_read_before_its_turn(name: str) -> None:
    assert held(name) == name


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_the_first_bytes_are_those_of_what_is_packed(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(b"abcdef") if packed else b"abcdef")
    assert open_given(path).head(4) == b"abcd"
    assert open_given(path).packed is packed
    path.write_bytes(b"\x1f\x8b no gzip")
    with pytest.raises(AnnotationError, match="damaged gzip file"):
        open_given(path).head(4)


def test_a_folder_cannot_be_read_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be read: Is a directory"):
        open_given(tmp_path).load()


def test_a_dash_is_stdin() -> None:
    source = open_given("-", io.BytesIO(LINES.encode()))
    assert (source.name, source.short, source.path) == ("stdin", "stdin", None)
    assert source.load() == RECORDS
    with pytest.raises(InputError, match="only predictions can come; name a file"):
        open_given("-")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (RECORDS, RECORDS),
        (RECORDS[0], RECORDS[:1]),
        ([{"id": "a", "hits": []}, 7], [{"id": "a", "hits": []}, 7]),
        ([{"id": "a.avi", "caption": ["a dog"]}], None),
        ([{"image_id": 1, "caption": "a dog"}], None),
        ([{"id": 1, "captions": []}], [{"id": 1, "captions": []}]),
        ([{"id": 1, "image_id": 2, "captions": "a dog"}], None),
        ([{"id": 1, "question_id": 2, "answer": "a dog"}], None),
        ([{"id": True, "captions": []}], None),
        ({"v_a": "a dog"}, None),
        ([], None),
        ("a dog", None),
    ],
)
def test_records_are_told_from_other_layouts(value: Any, found: Any) -> None:
    assert records_in(value) == found


def test_records_that_cannot_be_used_are_counted() -> None:
    problems = Problems()
    records = [*RECORDS, {"id": 3.5}, {"id": "a", "captions": [{"text": "x"}]}, 7]
    usable = list(usable_records(records, given(""), problems))
    assert usable == [("a", RECORDS[0]), ("b", RECORDS[1])]
    assert problems.counts == {"unusable record": 2, "duplicate": 1}
    assert problems.examples["duplicate"] == ["stdin: record 4, id a"]


def test_a_whole_number_is_an_id_as_good_as_text() -> None:
    problems = Problems()
    records = [{"id": 7}, {"id": "7"}, {"id": True}]
    assert list(usable_records(records, given(""), problems)) == [("7", records[0])]
    assert problems.counts == {"duplicate": 1, "unusable record": 1}
    assert [id_of(value) for value in ("a", 0, -1, 2.0, None, False)] == [
        "a", "0", "-1", None, None, None
    ]  # fmt: skip


def test_only_clips_of_a_video_name_it() -> None:
    items = [{"id": "a", "scores": {}}, {"id": "b", "scores": {}}]
    assert with_videos(items, {"b": "film"}) == [items[0], {**items[1], "video": "film"}]
