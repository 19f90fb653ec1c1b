"""`vcap retrieve` and the streams around it: what is closed, odd or damaged there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.index_tools import make_index
from vcap.engine.reporter import Reporter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index of four videos."""
    made = tmp_path_factory.mktemp("streams")
    make_index(made)
    return made


def in_shell(ending: str, *words: object) -> "subprocess.CompletedProcess[str]":
    """Run a command line of vcap in a shell, with redirections after it."""
    command = [sys.executable, "-c", "from vcap.cli.app import main; main()", *map(str, words)]
    script = f'"$0" "$@" {ending}'
    return subprocess.run(
        ["sh", "-c", script, *command], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("ending", [">&-", ">&- <&-", ">&- 2>&-"])
@pytest.mark.parametrize("command", ["retrieve", "index"])
def test_a_closed_stdout_is_no_failure(folder: Path, command: str, ending: str) -> None:
    words: dict[str, tuple[Any, ...]] = {
        "retrieve": ("--like", "a", "--index", folder / "index"),
        "index": (folder / "store", "-o", folder / "index", "-q"),
    }
    done = in_shell(ending, command, *words[command])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_failure_is_told_where_stdout_is_closed(folder: Path) -> None:
    done = in_shell(">&-", "retrieve", "--like", "gone", "--index", folder / "index")
    assert done.returncode == 4 and "no video 'gone'" in done.stderr


def test_a_playlist_on_stdout_keeps_what_looks_like_colour_in_a_path(
    vcap: Any, small_videos: Path, tmp_path: Path
) -> None:
    film = tmp_path / "esc\x1b[31mred.mp4"
    film.write_bytes((small_videos / "0.mp4").read_bytes())
    vcap("encode", film, small_videos / "1.mp4", "-o", tmp_path / "store", "-q")
    vcap("index", tmp_path / "store", "-o", tmp_path / "index", "-q")
    words = ("--like", "1.mp4", "--index", tmp_path / "index")
    result = vcap("retrieve", *words, "-f", "m3u")
    assert result.stdout.splitlines()[-1] == str(film)
    assert Path(json.loads(vcap("retrieve", *words, "--json").stdout)["path"]) == film
    assert "esc\\x1b[31mred.mp4" in vcap("retrieve", *words).stdout


def test_errors_and_warnings_cannot_command_a_terminal_either(
    folder: Path, vcap: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    result = vcap("retrieve", "a", "--index", "no\x1b]0;x\x07such")
    assert "no\\x1b]0;x\\x07such" in result.stderr and "\x1b]" not in result.stderr
    Reporter().warn("b\x07.mp4: cut\nshort")
    assert capsys.readouterr().err == "warning: b\\x07.mp4: cut\nshort\n"


def test_a_line_of_stdin_that_is_no_query_is_told_with_its_number_and_the_rest_answered(
    folder: Path, vcap: Any
) -> None:
    words = ("retrieve", "-", "--like", "a", "--index", folder / "index", "--json", "-k", 1)
    result = vcap(*words, stdin='gone.mp4\n{"query": 3}\n')
    assert result.exit_code == 3 and json.loads(result.stdout)["query"] == "a"
    assert "failed: stdin:1: gone.mp4: no such file" in result.stderr
    assert "failed: stdin:2: want one of query, text, path" in result.stderr
    assert "queries: 1 done, 2 failed" in result.stderr
    result = vcap("retrieve", "-", "--index", folder / "index", stdin="{\n")
    assert (result.exit_code, result.stdout) == (4, "") and "stdin:1: not JSON" in result.stderr
