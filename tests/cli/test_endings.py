"""How the end of a run is told: the closing line, the exit code, and how to go on."""

import json
import signal
from typing import Any

import pytest
import typer

from vcap.cli.boundary import command_line
from vcap.cli.output import closing_line, conclude, echo_json, echo_plan
from vcap.engine.summary import Failure, Summary

BAD = Failure("a.mp4", "no frame decodes", "VideoError")


def told(capsys: Any, summary: Summary, *words: str, **options: Any) -> tuple[int, str]:
    """Exit code and stderr of a run that ended so."""
    token = command_line.set(words)
    try:
        conclude(summary, "videos", **options)
        code = 0
    except typer.Exit as leaving:
        code = leaving.exit_code
    finally:
        command_line.reset(token)
    out, err = capsys.readouterr()
    assert out == "", "stdout is for data"
    return code, err


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (Summary(done=2), "videos: 2 done"),
        (Summary(skipped=2), "nothing to do"),
        (Summary(done=1, skipped=2), "videos: 1 done, 2 done before"),
        (Summary(skipped=2, failed=[BAD]), "videos: 0 done, 2 done before, 1 failed"),
        (
            Summary(done=1, failed=[BAD, BAD], bugs=1),
            "videos: 1 done, 1 failed, 1 hit a bug in vcap",
        ),
        (Summary(done=1, failed=[BAD], stopped=True), "videos: 1 done, 1 failed, stopped"),
        (Summary(skipped=3, signal=2), "videos: 0 done, 3 done before, interrupted"),
    ],
)
def test_the_closing_line_counts_what_there_is_to_count(summary: Summary, line: str) -> None:
    assert closing_line(summary, "videos") == line


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (Summary(done=1), 0),
        (Summary(done=1, failed=[BAD], bugs=1), 1),
        (Summary(done=1, failed=[BAD]), 3),
        (Summary(failed=[BAD], stopped=True), 3),
        (Summary(failed=[BAD]), 4),
        (Summary(done=1, signal=signal.SIGINT), 130),
        (Summary(done=1, failed=[BAD], signal=signal.SIGTERM), 143),
    ],
)
def test_every_ending_has_its_exit_code(capsys: Any, summary: Summary, code: int) -> None:
    assert told(capsys, summary)[0] == code


def test_quiet_is_silent_only_where_all_went_well(capsys: Any) -> None:
    assert told(capsys, Summary(done=1), quiet=True) == (0, "")
    assert (
        told(capsys, Summary(done=1, failed=[BAD]), quiet=True)[1] == "videos: 1 done, 1 failed\n"
    )


@pytest.mark.parametrize(
    ("words", "kept", "note"),
    [
        (("encode", "my clips", "-o", "s"), True, "goes on from here"),
        (("encode", "my clips", "-o", "s", "--force"), True, "begins again"),
        (("caption", "my clips"), False, "begins again"),
    ],
)
def test_an_interrupted_run_says_truly_what_the_same_command_will_do(
    capsys: Any, words: tuple[str, ...], kept: bool, note: str
) -> None:
    code, err = told(capsys, Summary(done=1, signal=2), *words, kept=kept)
    quoted = " ".join(words).replace("my clips", "'my clips'")
    assert code == 130
    assert err == f"videos: 1 done, interrupted\n  try: vcap {quoted}   # {note}\n"


def test_json_keeps_letters_and_escapes_what_is_no_character(capsys: Any) -> None:
    echo_json({"text": "caf\u00e9"})
    echo_json({"path": "caf\udce9"})
    first, second = capsys.readouterr().out.splitlines()
    assert first == '{"text": "caf\u00e9"}'
    assert second == '{"path": "caf\\udce9"}'
    assert json.loads(second)["path"] == "caf\udce9"


def test_a_plan_is_a_line_a_setting_or_one_object(capsys: Any) -> None:
    from pathlib import Path

    settings = {"output": Path("out"), "sizes": [1, None], "limit": None}
    echo_plan(settings, as_json=False)
    echo_plan(settings, as_json=True)
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == ["output: out", "sizes: [1, None]", "limit: None"]
    assert json.loads(last) == {"output": "out", "sizes": [1, None], "limit": None}
