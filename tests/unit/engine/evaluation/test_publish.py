"""Scores as files: which format, where to, and what is never overwritten."""

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engine.evaluation.test_compare import report_of
from vcap.engine.evaluation.compare import judge
from vcap.engine.evaluation.publish import (
    choose_format,
    is_ours,
    item_lines,
    refuse_targets,
    rendered,
    write,
)
from vcap.errors import OutputError, UsageError


@pytest.fixture
def verdict() -> Any:
    """A score that is a number for one item, and none for the other."""
    report = report_of([0.25, 0.75])
    report.outcome.items[1]["scores"]["F1"] = math.nan
    report.problems.add("missing", "v9")
    report.stamp["vcap"] = "0.1.0"
    return judge(report)


@pytest.mark.parametrize(
    ("wanted", "output", "as_json", "chosen"),
    [
        (None, None, False, "table"),
        (None, None, True, "json"),
        ("json", None, True, "json"),
        ("html", None, False, "html"),
        (None, "scores.json", False, "json"),
        (None, "page.HTML", False, "html"),
        (None, "scores.txt", False, "table"),
        ("table", "scores.json", False, "table"),
        ("html", "page", True, "html"),
    ],
)
def test_the_format_is_what_was_asked_for_or_what_the_name_says(
    wanted: Any, output: str | None, as_json: bool, chosen: str
) -> None:
    assert choose_format(wanted, Path(output) if output else None, as_json) == chosen


def test_stdout_gets_one_format_only() -> None:
    with pytest.raises(UsageError, match="--json and -f html"):
        choose_format("html", None, True)


def test_json_is_one_line_without_nan(verdict: Any) -> None:
    text = rendered(verdict, "json")
    assert text.count("\n") == 1
    assert "NaN" not in text
    assert json.loads(text)["scores"] == {"F1": 0.5}


def test_a_table_leaves_out_what_stderr_has_said(verdict: Any) -> None:
    assert "missing: 1 (v9)" in rendered(verdict, "table")
    assert "missing: 1" not in rendered(verdict, "table", told=True)


def test_the_page_is_html(verdict: Any) -> None:
    assert rendered(verdict, "html").startswith("<!doctype html>")


def test_an_item_is_a_line_and_no_number_is_null(verdict: Any) -> None:
    first, second = map(json.loads, item_lines(verdict).splitlines())
    assert first == {"vcap evaluate": "dense", "id": "u0", "scores": {"F1": 0.25}}
    assert second["scores"] == {"F1": None}


def test_half_a_character_is_escaped_and_not_a_failure(verdict: Any, tmp_path: Path) -> None:
    verdict.report.outcome.items[0]["prediction"] = "a \ud83d dog"
    line = item_lines(verdict).splitlines()[0]
    assert json.loads(line)["prediction"] == "a \ud83d dog"
    write(tmp_path / "page.html", rendered(verdict, "html"))
    assert b"a \\ud83d dog" in (tmp_path / "page.html").read_bytes()


@pytest.mark.parametrize("form", ["table", "json", "html"])
def test_what_we_wrote_is_known_again(verdict: Any, tmp_path: Path, form: Any) -> None:
    write(tmp_path / "scores", rendered(verdict, form))
    assert is_ours(tmp_path / "scores")
    refuse_targets([tmp_path / "scores"], [])


def test_items_that_we_wrote_are_known_again(verdict: Any, tmp_path: Path) -> None:
    write(tmp_path / "items", item_lines(verdict))
    assert is_ours(tmp_path / "items")


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "a", "path": "a.mp4"}',
        '{"id": "a", "scores": {"running": 0.9}}\n{"id": "b", "scores": {"singing": 0.8}}\n',
        '{"task": "caption", "scores": {"CIDEr": 1.0}}',
        '{"task": "buy milk"}\n',
        "<html><title>vcap evaluate, my notes</title></html>",
        "metric score\nCIDEr 1.0\n",
        "my thesis",
        '{"a": ["a dog"]}',
        "metric system",
    ],
)
def test_a_file_of_somebody_else_is_kept(tmp_path: Path, text: str) -> None:
    target = tmp_path / "scores.json"
    target.write_text(text)
    with pytest.raises(OutputError) as caught:
        refuse_targets([target], [])
    assert caught.value.hint == "--force"
    refuse_targets([target], [], force=True)
    assert target.read_text() == text  # only looked at


def test_what_is_read_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "a.json"
    with pytest.raises(UsageError, match=r"a\.json is read, or written, already"):
        refuse_targets([Path("a.json")], [source], force=True)
    with pytest.raises(UsageError):
        refuse_targets([Path("b"), tmp_path / "b"], [])


def test_a_folder_is_no_place_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"):
        refuse_targets([tmp_path], [])


def test_a_folder_that_is_absent_is_made(tmp_path: Path) -> None:
    refuse_targets([tmp_path / "new" / "scores.json"], [])
    assert (tmp_path / "new").is_dir()


def test_nothing_is_made_where_nothing_is_to_be_done(tmp_path: Path) -> None:
    refuse_targets([tmp_path / "new" / "scores.json"], [], make=False)
    assert not (tmp_path / "new").exists()


def test_a_name_that_is_too_long_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the name is too long"):
        refuse_targets([tmp_path / ("a" * 300)], [tmp_path / ("b" * 300)])


def test_a_folder_that_may_not_be_entered_is_an_output_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", closed)  # a closed folder is open to root
    with pytest.raises(OutputError, match="no permission"):
        refuse_targets([tmp_path / "closed" / "scores.json"], [])


def test_a_folder_below_a_file_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        refuse_targets([tmp_path / "file" / "scores.json"], [])


def test_a_full_disk_is_an_output_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with pytest.raises(OutputError, match="disk is full"):
        write(Path("/dev/full"), "text")


def test_a_pipe_gets_the_text_and_stays_a_pipe(tmp_path: Path) -> None:
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    write(pipe, "scores\n")
    reader.join(10)
    assert heard == ["scores\n"]
    assert pipe.is_fifo()
