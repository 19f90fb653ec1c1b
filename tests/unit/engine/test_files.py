import errno
import os
import shutil
from pathlib import Path

import pytest

from vcap.engine.files import (
    PART,
    ensure_folder,
    has_leftovers,
    part_of,
    replace_folder,
    replacing,
    settle_folder,
    sweep,
    write_atomic,
)
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


def filled(target: Path, text: str) -> None:
    """A folder that waits for its name."""
    part_of(target).mkdir()
    (part_of(target) / "a.txt").write_text(text)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_takes_the_place_of_an_older_one_and_leaves_nothing_else(
    tmp_path: Path, is_there: bool
) -> None:
    target = tmp_path / "model"
    if is_there:
        target.mkdir()
        (target / "old.txt").touch()
    filled(target, "new")
    replace_folder(target)
    assert [path.name for path in target.iterdir()] == ["a.txt"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_a_kill_while_a_folder_is_replaced_loses_neither_the_old_nor_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    target, real = tmp_path / "model", Path.rename
    target.mkdir()
    (target / "a.txt").write_text("old")
    filled(target, "new")
    count = iter(range(9))

    def dies(self: Path, other: Path) -> Path:
        if next(count) == moment:
            raise KeyboardInterrupt
        return real(self, other)

    def no_time(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", dies)
        patch.setattr(shutil, "rmtree", no_time)
        replace_folder(target)
    whole = [path.read_text() for path in tmp_path.glob("*/a.txt")]
    assert sorted(whole) == ["new", "old"]
    assert has_leftovers(target)
    settle_folder(target)
    assert (target / "a.txt").read_text() == ("old" if moment == 0 else "new")
    assert list(tmp_path.iterdir()) == [target]
    assert not has_leftovers(target)
