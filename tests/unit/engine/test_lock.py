import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vcap.engine.lock import hold
from vcap.errors import OutputError

HOLDER = """
import sys
from pathlib import Path
from vcap.engine.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_the_second_run_is_told_who_is_at_work(tmp_path: Path) -> None:
    with (
        hold(tmp_path),
        pytest.raises(OutputError, match=f"in use by process {os.getpid()} on") as caught,
        hold(tmp_path),
    ):
        pass
    message = str(caught.value)
    assert str(tmp_path) in message and "since" in message and "vcap" in message


def test_the_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    with hold(tmp_path / "out"):
        pass
    with hold(tmp_path / "out"):
        assert (tmp_path / "out").is_dir()


def test_two_folders_do_not_lock_each_other(tmp_path: Path) -> None:
    with hold(tmp_path / "a"), hold(tmp_path / "b"):
        pass


def test_a_process_that_is_killed_lets_go(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match=f"process {holder.pid}"), hold(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with hold(tmp_path):
        about = json.loads((tmp_path / ".vcap" / "lock").read_text())
        assert about["pid"] == os.getpid()


def test_a_holder_that_has_not_yet_said_who_it_is_still_holds(tmp_path: Path) -> None:
    with hold(tmp_path):
        (tmp_path / ".vcap" / "lock").write_text("")
        with pytest.raises(OutputError, match="in use by another run"), hold(tmp_path):
            pass
