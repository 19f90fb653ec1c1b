"""`vcap retrieve` and the streams around it: what is closed, odd or damaged there."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.index_tools import make_index


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
