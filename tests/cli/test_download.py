"""`vcap download` as a user meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.download import Plan
from vcap.engine.summary import Failure, Summary

SMALL = ("download", "shapes:clips", "--limit", 2, "--workers", 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds two clips of each split."""
    from typer.testing import CliRunner

    from vcap.cli.app import app

    folder = tmp_path_factory.mktemp("data")
    result = CliRunner().invoke(app, [str(word) for word in (*SMALL, "-o", folder)])
    assert result.exit_code == 0, result.stderr
    return folder


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """The records of the manifest."""
    text = (folder / "shapes-clips.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def made(folder: Path) -> dict[str, bytes]:
    """Every video by its path below the folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.mp4"))}


def test_the_manifest_lists_every_split_in_order_with_videos_that_are_there(data: Path) -> None:
    records = lines_of(data)
    assert [r["id"] for r in records] == [
        f"clips-{split}-{number:06d}" for split in ("train", "val", "test") for number in (0, 1)
    ]
    assert all((data / r["path"]).stat().st_size > 1000 for r in records)
    assert all(len(r["captions"]) >= 5 for r in records)
    assert len(made(data)) == 6


def test_a_second_run_does_nothing_and_says_so(vcap: Any, data: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in data.rglob("*.mp4")}
    result = vcap(*SMALL, "-o", data)
    assert (result.exit_code, result.stdout) == (0, f"{data / 'shapes-clips.jsonl'}\n")
    assert "nothing to do" in result.stderr
    assert {p: p.stat().st_mtime_ns for p in data.rglob("*.mp4")} == before


def test_json_gives_the_records_with_absolute_paths_even_when_nothing_is_left_to_do(
    vcap: Any, data: Path
) -> None:
    result = vcap(*SMALL, "-o", data, "--json", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [r["id"] for r in records] == [r["id"] for r in lines_of(data)]
    assert all(os.path.isabs(r["path"]) and os.path.isfile(r["path"]) for r in records)


def test_the_same_seed_gives_the_same_bytes_elsewhere(
    vcap: Any, data: Path, tmp_path: Path
) -> None:
    assert vcap(*SMALL, "-o", tmp_path).exit_code == 0
    assert made(tmp_path) == made(data)
    assert lines_of(tmp_path) == lines_of(data)


def test_a_lost_video_is_made_again(vcap: Any, data: Path) -> None:
    before = made(data)
    (data / lines_of(data)[0]["path"]).unlink()
    assert vcap(*SMALL, "-o", data).exit_code == 0
    assert made(data) == before


def test_another_seed_is_refused_with_the_command_that_keeps_both(vcap: Any, data: Path) -> None:
    result = vcap(*SMALL, "-o", data, "--seed", 7)
    assert (result.exit_code, result.stdout) == (7, "")
    assert result.stderr == (
        f"error: {data / 'shapes-clips.jsonl'} lists videos of seed 0, not 7\n"
        "  try: vcap download shapes:clips --seed 7 -o another-folder\n"
    )


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ('{"id": "mine", "path": "my.mp4"}', 7, "lists videos of your own"),
        ('{"id": "cut', 4, ":1: not JSON"),
    ],
)
def test_a_manifest_that_vcap_did_not_make_stays_unless_forced(
    vcap: Any, tmp_path: Path, line: str, code: int, told: str
) -> None:
    manifest = tmp_path / "shapes-clips.jsonl"
    manifest.write_text(line)
    words = [*SMALL, "-o", tmp_path, "--split", "test"]
    result = vcap(*words)
    assert (result.exit_code, manifest.read_text()) == (code, line)
    assert result.stderr.startswith(f"error: {manifest}") and told in result.stderr
    assert not made(tmp_path), "refused before any work"
    assert vcap(*words, "--force").exit_code == 0
    assert [r["split"] for r in lines_of(tmp_path)] == ["test", "test"]


def test_a_split_that_is_added_later_keeps_the_others(vcap: Any, tmp_path: Path) -> None:
    for split in ("val", "test"):
        assert vcap(*SMALL, "-o", tmp_path, "--split", split).exit_code == 0
    assert [r["split"] for r in lines_of(tmp_path)] == ["val", "val", "test", "test"]


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(vcap: Any, tmp_path: Path) -> None:
    result = vcap("download", "shapes:clips", "-o", tmp_path / "data", "--dry-run")
    assert result.exit_code == 0
    assert "sizes: {'train': 2000, 'val': 200, 'test': 200}" in result.stdout
    assert not list(tmp_path.iterdir())


def test_all_of_shapes_is_every_subset(vcap: Any, tmp_path: Path) -> None:
    result = vcap("download", "shapes", "-o", tmp_path, "--dry-run", "--json")
    names = [json.loads(line)["dataset"] for line in result.stdout.splitlines()]
    assert names == [f"shapes:{s}" for s in ("frames", "clips", "stories", "recall", "needles")]


FAILED = Summary(done=1, failed=[Failure("frames-train-000001", "no luck", "VideoError")])


@pytest.mark.parametrize(
    ("first", "code", "names", "closing"),
    [
        (FAILED, 3, 5, "videos: 9 done, 1 failed"),
        (replace(FAILED, stopped=True), 3, 1, "videos: 1 done, 1 failed, stopped"),
        (Summary(done=1, signal=signal.SIGINT), 130, 0, "videos: 1 done, interrupted"),
    ],
)
def test_a_video_that_fails_does_not_keep_the_other_subsets_from_coming(
    vcap: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: Summary,
    code: int,
    names: int,
    closing: str,
) -> None:
    def instead(one: Plan, **_: object) -> Summary:
        return first if one.subset == "frames" else Summary(done=2)

    monkeypatch.setattr("vcap.engine.download.download", instead)
    result = vcap("download", "shapes", "-o", tmp_path)
    assert (result.exit_code, len(result.stdout.splitlines())) == (code, names)
    assert result.stderr.splitlines()[0] == closing


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["shape:clips"], "error: no data set 'shape:clips'; did you mean shapes:clips"),
        (["msrvtt"], "error: no data set 'msrvtt'; known: shapes, shapes:frames"),
        (["shapes:clips", "--split", "tset"], "error: no split 'tset'; did you mean test?"),
    ],
)
def test_what_there_is_not_is_answered_with_what_there_is(
    vcap: Any, tmp_path: Path, words: list[str], line: str
) -> None:
    result = vcap("download", *words, "-o", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(line)
    assert result.stderr.endswith("\n  try: vcap download --help\n")


def test_a_file_in_the_place_of_the_folder_is_named(vcap: Any, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.write_text("mine")
    result = vcap(*SMALL, "-o", place)
    assert (result.exit_code, result.stdout) == (7, "")
    assert result.stderr == f"error: cannot write into {place}: it is a file, not a folder\n"
    assert place.read_text() == "mine"


def test_a_place_where_no_folder_can_be_made_is_named(vcap: Any) -> None:
    result = vcap(*SMALL, "-o", "/proc/vcap-data")
    assert (result.exit_code, result.stdout) == (7, "")
    assert result.stderr.startswith("error: cannot write /proc/vcap-data: ")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_made_and_names_the_command_that_goes_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    words = ["download", "shapes:clips", "-o", str(tmp_path), "--limit", "4000", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vcap", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = tmp_path / "shapes-clips" / ".vcap" / "journal.jsonl"
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > 500):
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert f"try: vcap {' '.join(words)}   # goes on from here" in err
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    assert {entry["key"] for entry in entries} == {p.stem for p in tmp_path.rglob("*.mp4")}
    assert not (tmp_path / "shapes-clips.jsonl").exists()
