import errno
import os
from pathlib import Path

import pytest

from vcap.engine.files import PART, ensure_folder, replacing, sweep, write_atomic
from vcap.errors import OutputError


def fails_with(number: int):
    def call(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.bin", b"\x00\xff" * 1000)
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff" * 1000
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_new_file_has_the_permissions_of_any_other_new_file(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_writer_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_is_given_a_path_with_the_suffix_it_will_have(tmp_path: Path) -> None:
    with replacing(tmp_path / "clip.mp4") as part:
        assert part.suffix == ".mp4" and part.parent == tmp_path
        assert PART.fullmatch(part.name)
        part.write_bytes(b"video")
    assert (tmp_path / "clip.mp4").read_bytes() == b"video"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_names_the_path_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str, step: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, step, fails_with(number))
    with pytest.raises(OutputError, match=words) as caught:
        write_atomic(path, b"new")
    assert str(path) in str(caught.value) and caught.value.exit_code == 7
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no/a\.txt: No such file"):
        write_atomic(tmp_path / "no" / "a.txt", b"")


def test_a_broken_pipe_is_not_told_as_a_failed_write(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), replacing(tmp_path / "a") as part:
        part.write_bytes(b"")
        raise BrokenPipeError


def test_sweeping_removes_what_killed_runs_left_and_nothing_of_the_user(tmp_path: Path) -> None:
    ours = [".vcap-0123456789abcdef.part", ".vcap-fedcba9876543210.part.mp4"]
    theirs = ["a.part", ".vcap-notes.part", ".hidden", "a.mp4", "x.vcap-0123456789abcdef.part"]
    for name in ours + theirs:
        (tmp_path / name).touch()
    assert sweep(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == set(theirs)
    assert sweep(tmp_path) == sweep(tmp_path / "absent") == 0


def test_folders_are_made_with_the_ones_above(tmp_path: Path) -> None:
    assert ensure_folder(tmp_path / "a" / "b").is_dir()
    assert ensure_folder(tmp_path / "a" / "b").is_dir()


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match="is a file, not a folder"):
        ensure_folder(tmp_path / "a")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        ensure_folder(tmp_path / "a" / "b")


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="no permission"):
        ensure_folder(tmp_path)
