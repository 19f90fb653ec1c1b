"""One run at a time in an output folder."""

import fcntl
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from vcap.engine.files import ensure_folder, output_errors
from vcap.errors import OutputError

PRIVATE = ".vcap"  # journal, lock and log of an output folder


class FolderInUse(OutputError):
    """Another run is at work in the folder."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while the block lasts; a killed run lets go by itself.

    Raises:
        FolderInUse: another run is at work there; the message says which.
        OutputError: the folder cannot be written or locked.
    """
    path = ensure_folder(folder / PRIVATE) / "lock"
    with output_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(handle, folder)
        with output_errors(path):
            os.ftruncate(handle, 0)
            os.pwrite(handle, _about_this_run(), 0)
        yield
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _described(os.pread(handle, 4096, 0))
        raise FolderInUse(f"{folder} is in use by {holder}") from None
    except OSError as error:
        raise OutputError(f"cannot lock {folder}: {error.strerror}") from error


def _about_this_run() -> bytes:
    about = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": shlex.join(["vcap", *sys.argv[1:]]),
    }
    return json.dumps(about).encode()


def _described(data: bytes) -> str:
    try:
        about = json.loads(data)
        return (
            f"process {about['pid']} on {about['host']} since {about['since']}: {about['command']}"
        )
    except (ValueError, KeyError, TypeError):  # it is just being written
        return "another run"
