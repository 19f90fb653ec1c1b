"""Caption files: their names, whose they are, and what a second run does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small_videos import ColourCaptioner, Search, make_video
from vcap.data.records import Record
from vcap.engine import items
from vcap.engine.caption import caption
from vcap.engine.caption_files import (
    CaptionFiles,
    OwnFiles,
    file_names,
    open_files,
    shared_folder,
)
from vcap.engine.caption_work import manner
from vcap.engine.inputs import Source, gather
from vcap.engine.items import Summary
from vcap.engine.lock import hold
from vcap.errors import OutputError, UsageError

Run = Callable[..., Summary]


def source(identity: str, path: str = "") -> Source:
    """A source that is never opened."""
    full = Path(path or f"/data/{identity}")
    return Source(identity, full, None, Record(id=identity, path=str(full)))


def names(*identities: str) -> dict[str, str]:
    """Names below a folder."""
    found = file_names([source(identity) for identity in identities], beside=False)
    return {key: str(path) for key, path in found.items()}


def files_in(folder: Path) -> list[str]:
    """Files that a user sees."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.*")
        if ".vcap" not in path.parts and path.is_file()
    )


def test_a_file_is_called_after_its_video_without_the_suffix() -> None:
    assert names("a.mp4", "b.c.webm", "video7") == {
        "a.mp4": "a",
        "b.c.webm": "b.c",
        "video7": "video7",
    }


def test_two_videos_of_one_stem_keep_their_suffix() -> None:
    assert names("a.avi", "a.webm", "b.avi") == {"a.avi": "a.avi", "a.webm": "a.webm", "b.avi": "b"}


def test_a_suffix_that_is_kept_never_meets_another_name() -> None:
    found = names("a.mp4", "a.webm", "a.mp4.avi")
    assert len(set(found.values())) == 3


def test_folders_below_the_input_stay_folders() -> None:
    assert names("x/a.mp4", "y/a.mp4") == {"x/a.mp4": "x/a", "y/a.mp4": "y/a"}


@pytest.mark.parametrize("identity", ["../../etc/a.mp4", "/etc/a.mp4", "..", ".", "/", ".hidden"])
def test_no_id_leads_out_of_the_folder_or_hides(identity: str) -> None:
    [name] = names(identity).values()
    assert not Path(name).is_absolute()
    assert not any(part.startswith(".") for part in Path(name).parts)


def test_beside_a_video_its_own_stem_is_the_name() -> None:
    found = file_names([source("x", "/data/a.mp4"), source("y", "/data/b/c.mov")], beside=True)
    assert list(found.values()) == [Path("/data/a"), Path("/data/b/c")]


def test_records_of_one_video_are_told_apart_beside_it() -> None:
    both = [source("first", "/data/a.mp4"), source("second", "/data/a.mp4")]
    found = file_names(both, beside=True)
    assert list(found.values()) == [Path("/data/a.first"), Path("/data/a.second")]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab./%", min_size=1, max_size=6), min_size=1, max_size=6, unique=True))
def test_no_two_ids_share_a_name(identities: list[str]) -> None:
    found = names(*identities)
    assert len(set(found.values())) == len(identities)


def test_the_journal_of_files_beside_videos_is_where_all_of_them_are_below() -> None:
    assert shared_folder([source("a", "/d/x/a.mp4"), source("b", "/d/y/b.mp4")]) == Path("/d")
    assert shared_folder([source("a", "/x/a.mp4"), source("b", "/y/b.mp4")]) == Path("/x")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"formats": ["srtt"]}, "srt"),
        ({"formats": [], "folder": Path("out")}, "-o out"),
        ({"formats": [], "beside": True}, "--beside"),
        ({"formats": [], "retry_failed": True}, "--retry-failed needs"),
        ({"formats": ["srt"], "folder": Path("out"), "beside": True}, "contradict"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        open_files([source("a.mp4")], **options)


def test_without_a_format_there_are_no_files() -> None:
    assert open_files([source("a.mp4")], []) is None


def test_all_means_every_format(tmp_path: Path) -> None:
    files = open_files([source("a.mp4")], ["all"], folder=tmp_path)
    assert files is not None
    suffixes = [path.suffix for path in files.paths("a.mp4")]
    assert suffixes == [".txt", ".srt", ".vtt", ".tsv", ".json", ".html"]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for number in range(3):
        make_video(tmp_path / "videos" / f"{number}.mp4", number)
    return tmp_path / "videos"


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A folder that a run has begun to write to."""
    (tmp_path / "own" / ".vcap").mkdir(parents=True)
    return tmp_path / "own"


@pytest.fixture
def run(videos: Path, tmp_path: Path) -> Run:
    """Caption the videos into files; `captioner.calls` of the fixture says what was computed."""

    def call(*formats: str, captioner: Any = None, **options: Any) -> Summary:
        sources = options.pop("sources", None) or gather([str(videos)])
        force = options.get("force", False)
        folder = options.pop("folder", tmp_path / "out")
        files = open_files(sources, formats, folder=folder, force=force)
        return caption(sources, captioner or ColourCaptioner(), manner(), files=files, **options)

    return call


def test_each_video_has_a_file_of_each_format_and_jsonl_holds_them_all(
    run: Run, tmp_path: Path
) -> None:
    run("txt", "json", "jsonl")
    out = tmp_path / "out"
    assert files_in(out) == [
        "0.json", "0.txt", "1.json", "1.txt", "2.json", "2.txt", "captions.jsonl",
    ]  # fmt: skip
    joined = [json.loads(line) for line in (out / "captions.jsonl").read_text().splitlines()]
    assert [record["id"] for record in joined] == ["0.mp4", "1.mp4", "2.mp4"]
    assert joined == [json.loads((out / f"{number}.json").read_text()) for number in range(3)]
    assert (out / "1.txt").read_text() == joined[1]["captions"][0]["text"] + "\n"


def test_a_second_run_does_nothing(run: Run, tmp_path: Path) -> None:
    run("all")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.*")}
    captioner = ColourCaptioner()
    summary = run("all", captioner=captioner)
    assert (summary.done, summary.skipped, captioner.calls) == (0, 3, [])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.*")} == before


def test_another_format_is_made_without_captioning_again(run: Run, tmp_path: Path) -> None:
    run("txt")
    captioner = ColourCaptioner()
    run("srt", captioner=captioner)
    assert captioner.calls == []
    assert (tmp_path / "out" / "2.srt").read_text().startswith("1\n00:00:00,000 --> 00:00:03,000\n")


def test_a_file_that_was_deleted_comes_back(run: Run, tmp_path: Path) -> None:
    run("txt")
    text = (tmp_path / "out" / "1.txt").read_text()
    (tmp_path / "out" / "1.txt").unlink()
    run("txt")
    assert (tmp_path / "out" / "1.txt").read_text() == text


def test_another_way_of_captioning_replaces_what_vcap_wrote(run: Run, tmp_path: Path) -> None:
    run("json")
    before = (tmp_path / "out" / "0.json").read_text()
    wider = ColourCaptioner()
    wider.settings = Search(num_beams=9)
    summary = run("json", captioner=wider)
    assert (summary.done, summary.skipped) == (3, 0)
    assert (tmp_path / "out" / "0.json").read_text() != before


@pytest.mark.parametrize("name", ["1.txt", "captions.jsonl"])
def test_a_file_that_vcap_did_not_make_is_not_overwritten(
    run: Run, tmp_path: Path, name: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    captioner = ColourCaptioner()
    with pytest.raises(OutputError, match=name) as caught:
        run("txt", "jsonl", captioner=captioner)
    assert "--force" in str(caught.value.hint)
    assert captioner.calls == []  # refused before any work
    assert (tmp_path / "out" / name).read_text() == "mine"
    run("txt", "jsonl", force=True)
    assert (tmp_path / "out" / name).read_text() != "mine"


def test_an_edit_survives_a_second_run(run: Run, tmp_path: Path) -> None:
    run("txt")
    (tmp_path / "out" / "1.txt").write_text("better words\n")
    assert run("txt").exit_code == 0
    assert (tmp_path / "out" / "1.txt").read_text() == "better words\n"


def test_an_edit_survives_other_settings_unless_forced(run: Run, tmp_path: Path) -> None:
    run("txt")
    (tmp_path / "out" / "1.txt").write_text("better words\n")
    with pytest.raises(OutputError, match=r"1\.txt"):
        run("txt", captioner=ColourCaptioner("uniform 1"))
    assert (tmp_path / "out" / "1.txt").read_text() == "better words\n"
    run("txt", captioner=ColourCaptioner("uniform 1"), force=True)
    assert (tmp_path / "out" / "1.txt").read_text() != "better words\n"


def test_a_failed_video_is_absent_from_the_joined_file_and_told_again(
    run: Run, videos: Path, tmp_path: Path
) -> None:
    run("jsonl")
    (videos / "1.mp4").write_text("broken now")
    for _ in range(2):
        summary = run("jsonl")
        assert summary.exit_code == 3
        lines = (tmp_path / "out" / "captions.jsonl").read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines] == ["0.mp4", "2.mp4"]


def test_old_predictions_are_handed_on_in_the_order_of_the_input(run: Run, videos: Path) -> None:
    run("txt", sources=gather([str(videos / "1.mp4")]))
    said: list[str] = []
    run("txt", on_result=lambda key, _: said.append(key))
    assert said == ["0.mp4", "1.mp4", "2.mp4"]
    again: list[str] = []
    run("txt", on_result=lambda key, _: again.append(key))
    assert again == said


def test_a_file_is_still_known_after_a_kill_between_its_entry_and_its_content(
    own_folder: Path,
) -> None:
    path = own_folder / "a.txt"
    OwnFiles(own_folder).write(path, b"old")
    OwnFiles(own_folder)._remember(path, b"new")  # killed here
    after = OwnFiles(own_folder)
    assert after.is_free(path)
    after.write(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_torn_line_of_the_log_hides_no_other(own_folder: Path) -> None:
    path = own_folder / "a.txt"
    OwnFiles(own_folder).write(path, b"old")
    with (own_folder / ".vcap" / "written.jsonl").open("ab") as stream:
        stream.write(b'{"path": "b.t')
    OwnFiles(own_folder).write(own_folder / "c.txt", b"more")
    assert OwnFiles(own_folder).is_free(path)
    assert OwnFiles(own_folder).is_free(own_folder / "c.txt")


def test_a_folder_that_was_renamed_still_knows_its_files_and_those_elsewhere(
    own_folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere" / "b.srt"
    for path in (own_folder / "x" / "a.srt", elsewhere):
        OwnFiles(own_folder).write(path, b"words")
    moved = own_folder.rename(tmp_path / "moved")
    assert OwnFiles(moved).is_free(moved / "x" / "a.srt")
    assert OwnFiles(moved).is_free(elsewhere)
    (moved / "x" / "a.srt").write_text("better words")
    assert not OwnFiles(moved).is_free(moved / "x" / "a.srt")


def test_after_the_folder_was_renamed_a_new_video_is_added_to_its_files(
    run: Run, videos: Path, tmp_path: Path
) -> None:
    run("txt", "jsonl")
    (tmp_path / "out").rename(tmp_path / "renamed")
    make_video(videos / "3.mp4", 3)
    summary = run("txt", "jsonl", folder=tmp_path / "renamed")
    assert (summary.done, summary.skipped) == (1, 3)
    assert len((tmp_path / "renamed" / "captions.jsonl").read_text().splitlines()) == 4


def test_captions_that_are_kept_go_with_the_record_as_it_is_now(
    run: Run, videos: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "m.jsonl"

    def records(**more: Any) -> list[Source]:
        record = {"id": "v", "path": str(videos / "0.mp4"), **more}
        manifest.write_text(json.dumps(record))
        return gather([str(manifest)])

    run("json", "jsonl", sources=records(split="train", meta={"a": 1}))
    [old] = (json.loads(p.read_text()) for p in (tmp_path / "out").glob("*.json"))
    captioner, said = ColourCaptioner(), {}
    moved = (videos / "0.mp4").rename(videos / "moved.mp4")
    summary = run(
        *("json", "jsonl"),
        sources=records(split="test", own=2, path=str(moved)),
        captioner=captioner,
        on_result=said.__setitem__,
    )
    assert (summary.skipped, captioner.calls) == (1, [])
    now = json.loads((tmp_path / "out" / "v.json").read_text())
    assert (now["split"], now["own"], now["path"]) == ("test", 2, str(moved))
    assert "meta" not in now
    assert now["captions"] == old["captions"]
    assert said == {"v": now}
    assert json.loads((tmp_path / "out" / "captions.jsonl").read_text()) == now


def test_one_lock_is_held_until_all_files_are_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    finish = CaptionFiles.finish

    def finish_alone(files: CaptionFiles) -> None:
        with pytest.raises(OutputError, match="in use"), hold(files.folder):
            pass
        finish(files)

    real = items.hold
    monkeypatch.setattr(items, "hold", lambda folder: taken.append(folder) or real(folder))
    monkeypatch.setattr(CaptionFiles, "finish", finish_alone)
    run("jsonl")
    assert taken == [tmp_path / "out"]
    assert (tmp_path / "out" / "captions.jsonl").is_file()
