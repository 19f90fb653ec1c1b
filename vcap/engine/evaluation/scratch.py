"""A folder for the files that a program of the run reads; a killed run's goes with a later one.

Each has a file `lock` that its run holds for as long as it lives, whatever ends it. Where nobody
does, the run is gone.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PREFIX = "vcap-meteor-"
LOCK = "lock"
UNLOCKED_SECONDS = 3600.0  # without a lock: the run died before it had one, or is making it


class Scratch:
    """A new folder in the place for temporary files, held until it is closed."""

    def __init__(self) -> None:
        """Make it, and remove what killed runs left.

        Raises:
            OSError: the place cannot be written.
        """
        sweep_scratch(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._handle = -1
        with ExitStack() as undo:
            undo.callback(self.close)
            self._hold()
            undo.pop_all()

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _hold(self) -> None:
        """Take the lock before others can see it, so that it is never seen without its holder."""
        hidden = self.path / f"{LOCK}.new"
        self._handle = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # no locks in this place: nobody can take it, and nothing is swept
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        hidden.rename(self.path / LOCK)


def sweep_scratch(place: Path) -> None:
    """Remove the folders of runs that are gone; what cannot be removed stays."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError), _abandoned(folder) as gone:
            if gone:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _abandoned(folder: Path) -> Iterator[bool]:
    """Whether no run holds the folder; no other one removes it meanwhile.

    Raises:
        OSError: it vanished, or is none of this user's.
    """
    facts = folder.lstat()
    if facts.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
        yield False
        return
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield time.time() - facts.st_mtime > UNLOCKED_SECONDS
        return
    try:
        yield _free(handle)
    finally:
        os.close(handle)


def _free(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
