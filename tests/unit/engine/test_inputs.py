import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from vcap.engine.inputs import Source, gather, to_items
from vcap.errors import AnnotationError, InputError
from vcap.types import Segment


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with videos in it."""
    monkeypatch.chdir(tmp_path)
    for name in ["d/b.mp4", "d/a.avi", "d/a.webm", "d/s/a.avi", "d/s/p.PNG", "e/b.mp4", "x.mkv"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")
    for name in ["d/notes.txt", "d/.a.mp4", "d/.h/a.mp4", "d/a.srt", "d/.vcap-0.part.mp4"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def manifest(path: Path, *records: dict) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def ids(sources: Sequence[Source]) -> list[str]:
    return [source.id for source in sources]


def test_a_file_has_its_name_as_id_and_an_absolute_path(here: Path) -> None:
    [source] = gather(["d/b.mp4"])
    assert (source.id, source.path, source.segment) == ("b.mp4", here / "d" / "b.mp4", None)
    assert source.record.path == str(here / "d" / "b.mp4") and source.record.media == "video"


def test_a_folder_is_walked_in_the_order_of_names_without_what_is_hidden(here: Path) -> None:
    sources = gather(["d"])
    assert ids(sources) == ["a.avi", "a.webm", "b.mp4", "s/a.avi", "s/p.PNG"]
    assert sources[3].path == here / "d" / "s" / "a.avi"
    assert [source.record.media for source in sources] == ["video"] * 4 + ["image"]


def test_links_to_folders_are_followed_once_and_never_in_a_circle(here: Path) -> None:
    (here / "d" / "a_link").symlink_to(here / "e")
    (here / "d" / "s" / "again").symlink_to("../../e")
    (here / "d" / "loop").symlink_to(here / "d")
    (here / "d" / "own").symlink_to("s")
    (here / "d" / ".hidden").symlink_to(here / "e")
    (here / "e" / "up").symlink_to("..")
    (here / "d" / "broken").symlink_to("nowhere")
    assert ids(gather(["d"], exclude=["a.*"])) == [
        "a_link/b.mp4",
        "a_link/up/x.mkv",
        "b.mp4",
        "s/p.PNG",
    ]


def test_files_of_one_name_have_their_path_as_id(here: Path) -> None:
    assert ids(gather(["d/b.mp4", "e/b.mp4", "x.mkv"])) == ["d/b.mp4", "e/b.mp4", "x.mkv"]
    assert ids(gather(["d", "e"]))[2] == "d/b.mp4"


def test_a_file_that_is_named_twice_is_taken_once(here: Path) -> None:
    assert ids(gather(["x.mkv", "./x.mkv", str(here / "x.mkv"), "d/b.mp4", "d"])) == [
        "x.mkv",
        "b.mp4",
        "a.avi",
        "a.webm",
        "s/a.avi",
        "s/p.PNG",
    ]


def test_a_file_that_is_absent_is_kept_so_that_only_it_fails(here: Path) -> None:
    absent, present = gather(["no.mp4", "x.mkv"])
    assert absent.path == here / "no.mp4" and present.id == "x.mkv"


@pytest.mark.parametrize("folder", ["empty", "d/.h"])
def test_a_folder_without_videos_is_named(here: Path, folder: str) -> None:
    (here / "d/.h/a.mp4").unlink()
    with pytest.raises(InputError, match=f"no video or image in {folder}") as caught:
        gather([folder])
    assert caught.value.exit_code == 4


def test_globs_choose_by_name_or_by_place(here: Path) -> None:
    assert ids(gather(["d"], include=["*.avi"])) == ["a.avi", "s/a.avi"]
    assert ids(gather(["d"], include=["*.avi"], exclude=["s/*"])) == ["a.avi"]
    assert ids(gather(["d"], exclude=["a.*", "p.PNG"])) == ["b.mp4"]
    with pytest.raises(InputError, match="none of 5 inputs is left"):
        gather(["d"], include=["*.flv"])


def test_a_manifest_gives_its_records_with_paths_from_its_folder(here: Path) -> None:
    name = manifest(
        here / "d" / "m.jsonl",
        {"id": "one", "path": "b.mp4", "segment": [1, 2.5], "mood": "good"},
        {"id": "two", "path": str(here / "x.mkv"), "captions": [{"text": " a dog"}]},
        {"id": "three", "path": "gone.mp4", "url": "https://example.org/gone.mp4"},
    )
    one, two, three = gather([name])
    assert (one.path, one.segment) == (here / "d" / "b.mp4", Segment(1.0, 2.5))
    assert one.record.model_dump()["mood"] == "good"
    assert two.path == here / "x.mkv" and two.record.captions is not None
    assert three.path == here / "d" / "gone.mp4", "a missing file keeps its record"


def test_records_about_parts_of_one_file_are_different_sources(here: Path) -> None:
    name = manifest(
        here / "m.jsonl",
        {"id": "1", "path": "x.mkv", "segment": [0, 1]},
        {"id": "2", "path": "x.mkv", "segment": [1, 2]},
    )
    assert ids(gather([name])) == ["1", "2"]


def test_two_records_of_one_id_are_refused(here: Path) -> None:
    first = manifest(here / "1.jsonl", {"id": "one", "path": "x.mkv"})
    second = manifest(here / "2.jsonl", {"id": "one", "path": "d/b.mp4"})
    with pytest.raises(AnnotationError, match=r"id one: .*x\.mkv and .*b\.mp4"):
        gather([first, second])
    assert ids(gather([first, first])) == ["one"], "the same record twice is one record"


def test_a_record_of_the_name_of_a_file_keeps_its_id(here: Path) -> None:
    name = manifest(here / "m.jsonl", {"id": "b.mp4", "path": "x.mkv"})
    assert ids(gather([name, "d/b.mp4"])) == ["b.mp4", "d/b.mp4"]


def test_wrong_lines_of_a_manifest_are_told_before_any_work(here: Path) -> None:
    (here / "m.jsonl").write_text('{"id": "a", "path": "x.mkv"}\nrubbish\n{"id": 3}\n')
    with pytest.raises(AnnotationError) as caught:
        gather(["m.jsonl"])
    assert "m.jsonl:2" in str(caught.value) and "m.jsonl:3" in str(caught.value)


def test_a_manifest_without_any_video_yet_says_how_to_get_them(here: Path) -> None:
    url = {"id": "a", "url": "https://example.org/a.mp4"}
    with pytest.raises(InputError, match=r"only their urls; fetch them.*`path`") as caught:
        gather([manifest(here / "m.jsonl", url)])
    assert caught.value.hint is None, "no command of vcap fetches them"
    mixed = manifest(here / "m.jsonl", url, {"id": "b", "path": "x.mkv"})
    assert ids(gather([mixed])) == ["a", "b"]


def test_stdin_brings_paths_or_records(here: Path) -> None:
    paths = gather(["-"], stdin=io.StringIO("x.mkv\n\n d/b.mp4\r\n"))
    assert ids(paths) == ["x.mkv", "b.mp4"] and paths[0].path == here / "x.mkv"
    line = json.dumps({"id": "one", "path": "d/b.mp4"})
    [record] = gather(["-"], stdin=io.StringIO(f"\n{line}\n"))
    assert (record.id, record.path) == ("one", here / "d" / "b.mp4")
    with pytest.raises(AnnotationError, match="stdin:2"):
        gather(["-"], stdin=io.StringIO(f"{line}\n{{\n"))


@pytest.mark.parametrize("text", ["x.mkv\n", '{"id": "x.mkv", "path": "x.mkv"}\n'])
def test_a_byte_order_mark_on_stdin_is_no_part_of_a_name(here: Path, text: str) -> None:
    [source] = gather(["-"], stdin=io.StringIO("\ufeff" + text))
    assert (source.id, source.path) == ("x.mkv", here / "x.mkv")


@pytest.mark.parametrize("stdin", [None, io.StringIO(""), io.StringIO("\n \n")])
def test_nothing_on_stdin_is_said(stdin: io.StringIO | None) -> None:
    with pytest.raises(InputError, match="nothing on stdin"):
        gather(["-"], stdin=stdin)


def test_the_limit_counts_every_split_for_itself(here: Path) -> None:
    records = [
        {"id": f"{split}{n}", "path": f"{split}{n}.mp4", "split": split}
        for n in range(3)
        for split in ("train", "val")
    ]
    name = manifest(here / "m.jsonl", *records)
    assert ids(gather([name], limit=2)) == ["train0", "val0", "train1", "val1"]
    assert len(gather(["d"], limit=3)) == 3


def test_items_are_told_apart_by_id_size_time_and_segment(here: Path) -> None:
    name = manifest(here / "m.jsonl", {"id": "one", "path": "x.mkv", "segment": [0, 1]})
    os.utime(here / "x.mkv", ns=(5, 5))
    [item] = to_items(gather([name]))
    assert item.key == "one" and item.value.path == here / "x.mkv"
    assert item.identity == {"id": "one", "segment": [0.0, 1.0], "size": 5, "mtime_ns": 5}
    [by_content] = to_items(gather(["x.mkv"]), checksum=True)
    assert by_content.identity["segment"] is None and len(by_content.identity["sha256"]) == 64
    [absent] = to_items(gather(["no.mp4"]))
    assert absent.identity["size"] is None


def test_a_name_that_is_no_text_can_be_given(here: Path) -> None:
    name = os.fsdecode(b"\xff.mp4")
    Path(name).write_bytes(b"")
    [source] = gather([name])
    assert source.path.exists() and source.id == name


def test_a_folder_that_cannot_be_read_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="cannot read d: Permission denied"):
        gather(["d"])
