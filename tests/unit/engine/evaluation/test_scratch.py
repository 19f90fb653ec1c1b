"""What a killed run leaves in the folder for temporary files is removed by the next one."""

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from vcap.engine.evaluation import scratch
from vcap.engine.evaluation.scratch import LOCK, PREFIX, Scratch, sweep_scratch

OWNER = """
import sys, time
from vcap.engine.evaluation.scratch import Scratch
folder = Scratch()
(folder.path / "1.gz").write_bytes(b"table")
print(folder.path, flush=True)
time.sleep(60)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for temporary files of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(place: Path, name: str, *, locked: bool = True, age_seconds: float = 0) -> Path:
    """A folder as a run leaves it that was killed."""
    folder = place / f"{PREFIX}{name}"
    folder.mkdir()
    (folder / "1.gz").write_bytes(b"table")
    if locked:
        (folder / LOCK).touch()
    then = folder.stat().st_mtime - age_seconds
    os.utime(folder, (then, then))
    return folder


def test_a_folder_is_there_until_it_is_closed(place: Path) -> None:
    made = Scratch()
    assert made.path.parent == place and made.path.is_dir()
    made.close()
    assert [*place.iterdir()] == []
    made.close()  # once more does no harm


def test_the_folder_of_a_run_that_was_killed_goes_with_the_next_start(place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(place)},
    ) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        sweep_scratch(place)
        assert (folder / "1.gz").exists(), "its run was alive"
        owner.kill()
    made = Scratch()
    assert [*place.iterdir()] == [made.path]
    made.close()


def test_folders_of_runs_at_work_stay(place: Path) -> None:
    first, second = Scratch(), Scratch()
    assert {*place.iterdir()} == {first.path, second.path}
    first.close()
    assert {*place.iterdir()} == {second.path}
    second.close()


def test_a_folder_that_is_just_being_made_stays_and_an_old_one_goes(place: Path) -> None:
    new = left(place, "new", locked=False)
    left(place, "old", locked=False, age_seconds=2 * scratch.UNLOCKED_SECONDS)
    sweep_scratch(place)
    assert [*place.iterdir()] == [new]


def test_nothing_else_is_touched(place: Path) -> None:
    (place / "mine").mkdir()
    (place / "mine" / "file").touch()
    link, file = place / f"{PREFIX}link", place / f"{PREFIX}file"
    link.symlink_to(place / "mine")
    file.touch()
    other = place / "vcap-other"
    other.mkdir()
    sweep_scratch(place)
    assert {*place.iterdir()} == {place / "mine", link, file, other}
    assert (place / "mine" / "file").exists()


def test_folders_of_other_people_stay(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = left(place, "theirs")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    sweep_scratch(place)
    assert folder.exists()


def test_a_lock_that_is_a_link_is_not_followed(place: Path) -> None:
    folder = left(place, "odd", locked=False)
    (folder / LOCK).symlink_to(place / "elsewhere")
    sweep_scratch(place)
    assert folder.exists()


def no_space(*_: object) -> None:
    """A full disk."""
    raise OSError(28, "No space left on device")


def no_locks(*_: object) -> None:
    """A place without locks."""
    raise OSError(37, "No locks available")


def test_a_place_that_is_full_is_told_and_left_clean(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "rename", no_space)
    with pytest.raises(OSError, match="No space"):
        Scratch()
    assert [*place.iterdir()] == []


def test_without_locks_everything_works_and_nothing_is_swept(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    folder, made = left(place, "killed"), Scratch()
    assert {*place.iterdir()} == {folder, made.path}
    made.close()
