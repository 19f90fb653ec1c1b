"""Manifests are read whole or refused with every reason."""

import json
from pathlib import Path

import pytest

from vcap.data.manifest import manifest_bytes, parse_lines, read_manifest, resolve_path
from vcap.data.records import Record
from vcap.errors import AnnotationError


def written(folder: Path, *lines: str) -> Path:
    path = folder / "m.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_records_come_in_the_order_of_the_file(tmp_path):
    path = written(tmp_path, '{"id": "b", "path": "b.mp4"}', '{"id": "a", "url": "http://a"}')
    assert [record.id for record in read_manifest(path)] == ["b", "a"]


def test_what_is_read_is_written_as_the_same_bytes(tmp_path):
    line = (
        '{"id": "é", "path": " a.mp4", "captions": [{"text": "  Ein Hund\\u2028 läuft"}], "q": 1}'
    )
    path = written(tmp_path, line)
    once = manifest_bytes(read_manifest(path))
    path.write_bytes(once)
    assert manifest_bytes(read_manifest(path)) == once
    assert json.loads(once) == json.loads(line)
    assert once.count(b"\n") == 1
    assert "Ein Hund\u2028 läuft".encode() in once  # readable, not escaped


def test_blank_lines_a_byte_order_mark_and_carriage_returns_do_no_harm(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "a", "path": "a"}\r\n\r\n{"id": "b", "path": "b"}')
    assert [record.id for record in read_manifest(path)] == ["a", "b"]


def test_all_wrong_lines_are_told_at_once_with_line_and_field(tmp_path):
    path = written(
        tmp_path,
        '{"id": "good", "path": "a"}',
        "",
        '{"id": "x", "path": "a", "duration": "long", "captions": [{"text": 1}]}',
        "{not json",
        '{"path": "b"}',
        "[1, 2]",
    )
    with pytest.raises(AnnotationError) as caught:
        read_manifest(path)
    lines = caught.value.message.splitlines()
    assert [line.removeprefix(f"{path}:").split(": ")[:2] for line in lines] == [
        ["3", "duration"],
        ["3", "captions.0.text"],
        ["4", "not JSON"],
        ["5", "id"],
        ["6", "record"],
    ]


def test_a_field_of_two_possible_kinds_is_told_once(tmp_path):
    path = written(tmp_path, '{"id": "x", "path": "a", "captions": [{"text": "a", "id": 1.5}]}')
    with pytest.raises(AnnotationError) as caught:
        read_manifest(path)
    assert caught.value.message.count("captions.0.id:") == 1
    assert " or " in caught.value.message


def test_two_records_with_one_id_are_told_with_both_lines(tmp_path):
    path = written(
        tmp_path, '{"id": "a", "path": "1"}', '{"id": "b", "path": "2"}', '{"id": "a", "path": "3"}'
    )
    with pytest.raises(AnnotationError, match=r"m\.jsonl:3: id: 'a' is also the id of line 1"):
        read_manifest(path)


def test_a_record_without_path_and_url_is_refused_unless_it_is_only_compared(tmp_path):
    path = written(tmp_path, '{"id": "a", "captions": []}')
    with pytest.raises(AnnotationError, match=":1: path: want a path or an url"):
        read_manifest(path)
    assert read_manifest(path, need_source=False)[0].captions == []


@pytest.mark.parametrize("content", ["", "\n\n", "  \n"])
def test_a_file_without_records_is_refused(tmp_path, content):
    path = tmp_path / "m.jsonl"
    path.write_text(content)
    with pytest.raises(AnnotationError, match="no records"):
        read_manifest(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"gone\.jsonl: cannot be read: No such file"):
        read_manifest(tmp_path / "gone.jsonl")


def test_a_folder_is_not_a_manifest(tmp_path):
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id": "a", "path": "\xff"}', ":1: not UTF-8"),
        (b'{"id": "a", "path": "a", "meta": {"x": NaN}}', ":1: NaN is not a number"),
        (b'{"id": "a", "path": "a", "meta": ' + b"[" * 100_000, ":1: "),
        (b'{"id": "a", "path": "a", "duration": Infinity}', ":1: Infinity is not a number"),
    ],
)
def test_lines_that_break_the_parser_are_told_like_others(tmp_path, line, message):
    path = tmp_path / "m.jsonl"
    path.write_bytes(line)
    with pytest.raises(AnnotationError, match=message):
        read_manifest(path)


def test_lines_from_stdin_carry_the_name_of_their_source():
    assert parse_lines(['{"id": "a", "path": "/a.mp4"}\n'], "stdin")[0].path == "/a.mp4"
    with pytest.raises(AnnotationError, match=r"^stdin:2: not JSON"):
        parse_lines(['{"id": "a", "path": "a"}\n', "oops\n"], "stdin")


def test_half_a_surrogate_pair_survives(tmp_path):
    path = written(tmp_path, '{"id": "a", "path": "a", "meta": {"x": "\\ud83d"}}')
    data = manifest_bytes(read_manifest(path))
    assert b"\\ud83d" in data
    path.write_bytes(data)
    assert manifest_bytes(read_manifest(path)) == data


def test_no_records_make_an_empty_file():
    assert manifest_bytes([]) == b""


def test_relative_paths_lie_below_the_manifest_and_absolute_ones_stay():
    folder = Path("/data/set")
    assert resolve_path(Record(id="a", path="videos/a.mp4"), folder) == folder / "videos/a.mp4"
    assert resolve_path(Record(id="a", path="/tmp/a.mp4"), folder) == Path("/tmp/a.mp4")


def test_a_record_without_a_file_says_so_when_its_path_is_asked():
    with pytest.raises(AnnotationError, match="record a has no path"):
        resolve_path(Record(id="a", url="http://a"), Path())
