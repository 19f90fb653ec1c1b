"""Kill the filling of a picture cache at every change that it makes to the disk.

Run as a program: `python -m tests.fault.picture_kills WORK`; prints how many kills broke it off.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.small_videos import make_video
from vcap.data.records import Record
from vcap.engine.pictures import PictureTable
from vcap.engine.run import Run
from vcap.engine.training_data import Example
from vcap.video.picture import Size
from vcap.video.pictures import raw, read_pictures
from vcap.video.sample import Sampler

CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.truncate"}
KINDS = {"clip": Size(short_side=24, crop=True), "raw": raw(16)}
SAMPLER = Sampler("uniform", 3)
NAMES = ("0", "1", "2")


def gathered(videos: Path, cache: Path) -> dict[str, np.ndarray]:
    """What a run finds in the cache that it opens, filling it where it must."""
    examples = [Example(Record(id=name, path=f"{name}.mp4"), videos) for name in NAMES]
    with PictureTable(examples, SAMPLER, 3, KINDS, str(cache), Run(videos)) as table:
        batch = table.gather(np.arange(len(NAMES)))
    return {kind: pictures.numpy() for kind, pictures in batch.pictures.items()}


def killed_at(number: int, cache: Path, work: Callable[[], Any]) -> bool:
    """Work in a process that is killed before its change of that number; False where it ended."""
    process = os.fork()
    if process == 0:
        left = number

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            is_change = event in CHANGES
            if event == "open":
                mode, flags = arguments[1], arguments[2]
                is_change = any(c in str(mode or "") for c in "wax+") or flags & os.O_CREAT
            if is_change and str(cache) in str(arguments[0]):
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


def main(place: Path) -> int:
    """Kill the work at its first change, its second, ..; gives how often before it was done."""
    videos = [make_video(place / f"{name}.mp4", int(name)) for name in NAMES]
    each = [read_pictures(path, SAMPLER, list(KINDS.values()))[0] for path in videos]
    wanted = dict(zip(KINDS, map(np.stack, zip(*each, strict=True)), strict=True))
    num_broken = 0
    for number in range(1, 1000):
        cache = place / f"cache{number}"
        if not killed_at(number, cache, lambda cache=cache: gathered(place, cache)):
            return num_broken
        num_broken += not any((cache / "pictures").glob("*.json"))
        found = gathered(place, cache)  # the next run takes no half of a file for whole
        assert all((found[kind] == wanted[kind]).all() for kind in KINDS), number
        left = sorted(path.suffix for path in (cache / "pictures").iterdir())
        assert left == ["", ".json", ".u8", ".u8"], f"after kill {number}: {left}"
    raise AssertionError("it never ended")


if __name__ == "__main__":
    os.fsync = lambda handle: None  # a killed process loses nothing that it wrote
    print(main(Path(sys.argv[1])))
