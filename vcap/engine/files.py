"""Files appear whole or not at all.

Everything is written under a temporary name in the folder where it will live, made durable, and
renamed. A killed run leaves at most temporary files, which `sweep` removes.
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vcap.errors import OutputError

PART = re.compile(r"\.vcap-[0-9a-f]{16}\.part(\..*)?")
REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than allowed",
    errno.EACCES: "no permission to write",
    errno.EPERM: "no permission to write",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "the name is too long",
}


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it holds all of `data`, or what it held before.

    Raises:
        OutputError: the disk is full, or the place cannot be written.
    """
    with replacing(path) as part, part.open("wb") as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path (same suffix) to fill; it becomes `path` when the block succeeds.

    Raises:
        OutputError: the disk is full, or the place cannot be written.
    """
    part = path.with_name(f".vcap-{secrets.token_hex(8)}.part{path.suffix}")
    with output_errors(path):
        try:
            yield part
            sync(part)
            os.replace(part, path)
            sync(path.parent)
        finally:
            with suppress(FileNotFoundError):
                part.unlink()


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Tell a failed write as an OutputError that names the path and the reason."""
    try:
        yield
    except BrokenPipeError:  # a reader that left is no failure of the output
        raise
    except OSError as error:
        reason = REASONS.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(f"cannot write {path}: {reason}") from error


def part_of(target: Path) -> Path:
    """Where a folder is filled before it gets its name."""
    return target.with_name(f".vcap-{target.name}.part")


def _old_of(target: Path) -> Path:
    return target.with_name(f".vcap-{target.name}.old")


def replace_folder(target: Path) -> None:
    """Give the filled folder `part_of(target)` its name, in the place of an older one.

    A kill at any moment leaves the old or the new one whole; `settle_folder` ends what it broke.

    Raises:
        OutputError: the place cannot be written.
    """
    part, old = part_of(target), _old_of(target)
    with output_errors(target):
        for path in (*part.rglob("*"), part):
            sync(path)
        if target.exists():
            target.rename(old)
        part.rename(target)
        sync(target.parent)
        shutil.rmtree(old, ignore_errors=True)


def settle_folder(target: Path) -> None:
    """End what a killed `replace_folder` began, and remove what it or its caller left.

    Only while the lock of the folder above is held.
    """
    part, old = part_of(target), _old_of(target)
    if old.is_dir() and not target.exists():  # so the new one was whole
        with output_errors(target):
            (part if part.is_dir() else old).rename(target)
    for left in (part, old):
        shutil.rmtree(left, ignore_errors=True)


def has_leftovers(target: Path) -> bool:
    """Whether there is something to settle."""
    return part_of(target).exists() or _old_of(target).exists()


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems cannot sync a folder; they have nothing better to offer.
        if not (path.is_dir() and error.errno in {errno.EINVAL, errno.ENOTSUP}):
            raise
    finally:
        os.close(handle)


def sweep(folder: Path) -> int:
    """Remove what killed runs left half-written in a folder; gives how many files that were.

    Only for a folder whose lock is held: another run's temporary files look the same.
    """
    if not folder.is_dir():
        return 0
    with output_errors(folder), os.scandir(folder) as entries:
        parts = [entry.path for entry in entries if PART.fullmatch(entry.name)]
        for part in parts:
            os.unlink(part)
    return len(parts)


def ensure_folder(path: Path) -> Path:
    """Make a folder and the ones above it where they are absent.

    Raises:
        OutputError: it cannot be made, is a file, or cannot be written to.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(f"cannot write into {path}: it is a file, not a folder")
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {path}: no permission to write")
    return path
