"""Kill work on an index at every change that it makes to the disk, and look at what is left.

Run as a program: `python -m tests.fault.index_kills WORK FOLDER`. Prints how many kills it was.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss  # here, so that the forked runs do not load it each time
import numpy as np

from tests.index_tools import make_store
from vcap.engine.index import index
from vcap.features.index import Index

CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
OLD, MORE = ("a", "b", "c"), ("d", "e")


def works(store: Path, folder: Path) -> dict[str, Callable[[], Any]]:
    """What is done to an index, by name."""
    return {
        "build": lambda: index([store], folder),
        "rebuild": lambda: index([store], folder, force=True),
        "add": lambda: index([store], folder, add=True),
        "remove": lambda: index([], folder, remove=["b"]),
        "sync": lambda: index([], folder, sync=True),
    }


WANTED = {
    "build": {(), (*OLD, *MORE)},
    "rebuild": {OLD, (*OLD, *MORE)},
    "add": {OLD, (*OLD, *MORE)},
    "remove": {OLD, ("a", "c")},
    "sync": {OLD, (*OLD, *MORE)},
}


def killed_at(number: int, folder: Path, work: Callable[[], Any]) -> bool:
    """Work in a process that is killed before its change of that number; False where it ended."""
    process = os.fork()
    if process == 0:
        left = number

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event == "open":
                mode, flags = arguments[1], arguments[2]
                is_change = any(c in str(mode or "") for c in "wax+") or flags & os.O_CREAT
            else:
                is_change = event in CHANGES
            if is_change and str(folder) in str(arguments[0]):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        work()
        os._exit(0)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the work failed by itself"
    return False


def state_of(folder: Path) -> tuple[str, ...]:
    """The ids in an index, each of which finds itself and has its frames; () where none is."""
    if not (folder / "index.json").exists():
        return ()
    found = Index.open(folder)
    for row, video_id in enumerate(found.ids):
        assert found.search(found.vector(video_id)[None], 1)[1].tolist() == [[row]]
        frames, times = found.frames_of(video_id)
        assert frames.shape == (3, found.width) and len(times) == 3
        assert found.record_of(row)["id"] == video_id
    assert faiss.read_index(str(folder / found.header.generation / "index.faiss")).ntotal
    return tuple(found.ids)


def main(name: str, place: Path) -> int:
    """Kill the work at its first change, its second, and so on; gives how many kills it was."""
    store = make_store(place / "store", OLD)
    before = place / "before"
    if name != "build":
        index([store], before)
    make_store(store, MORE, first=9, shard=1)
    seen = set()
    for number in range(1, 1000):
        folder = place / f"run{number}"
        if before.exists():
            shutil.copytree(before, folder, symlinks=True)
        work = works(store, folder)[name]
        if not killed_at(number, folder, work):
            assert seen == WANTED[name], f"only {seen} were seen"
            return number - 1
        left = state_of(folder)
        assert left in WANTED[name], f"after kill {number}: {left}"
        seen.add(left)
        if left == max(WANTED[name], key=len) or name != "remove":
            work()  # it can go on from whatever was left
        generations = [path.name for path in folder.iterdir() if path.name.startswith("gen")]
        assert name == "remove" or len(generations) == 1, generations
        assert state_of(folder) in WANTED[name] - ({OLD} if name != "remove" else set())
    raise AssertionError("it never ended")


if __name__ == "__main__":
    np.seterr(all="raise")
    os.fsync = lambda handle: None  # a killed process loses nothing that it wrote
    print(main(sys.argv[1], Path(sys.argv[2])))
