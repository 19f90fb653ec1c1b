"""A program that maps items, for tests that kill it: `item_run.py FOLDER KIND [--die WHERE:N]`.

Every call of the work leaves a line in `FOLDER.calls`.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vcap.engine import files
from vcap.engine.executor import Local
from vcap.engine.files import sweep, write_atomic
from vcap.engine.interrupt import StopRequest
from vcap.engine.items import FilesOutput, Item, Output, map_items
from vcap.engine.journal import Journal
from vcap.engine.reporter import Reporter
from vcap.errors import VcapError, VideoError

COUNT = 24
BROKEN = 5


class Shards:
    """Four items in one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open: list[tuple[Item, str]] = []

    def plan(self, items: Sequence[Item], done: Callable[[Item], bool]) -> list[list[Item]]:
        sweep(self.folder)
        units = [list(items[start : start + 4]) for start in range(0, len(items), 4)]
        return [unit for unit in units if not all(map(done, unit))]

    def write(self, item: Item, result: str) -> list[Item]:
        self.open.append((item, result))
        return []

    def flush(self) -> list[Item]:
        kept, self.open = self.open, []
        text = "".join(f"{item.key}={result}\n" for item, result in kept)
        if kept:
            write_atomic(self.folder / f"shard-{int(kept[0][0].key) // 4}", text.encode())
        return [item for item, _ in kept]


class Prepare:
    """Notes that it was called, takes its time, and gives the value back."""

    def __init__(self, calls: Path, seconds: float) -> None:
        self.calls = calls
        self.seconds = seconds

    def __call__(self, value: int) -> int:
        with self.calls.open("a") as file:
            file.write(f"{value}\n")
        time.sleep(self.seconds)
        if value == BROKEN:
            raise VideoError("no frame decodes")
        return value


def work(values: list[int]) -> list[str]:
    """A text for each value."""
    return [f"result {value} " * 20 for value in values]


def output_of(kind: str, folder: Path) -> Output:
    """Single files, or shards."""
    if kind == "shards":
        return Shards(folder)
    return FilesOutput(folder, lambda item: Path(f"{item.key}.txt"), str.encode)


def die_at(where: str, number: int) -> None:
    """Have the process killed at the n-th of a kind of steps."""
    left = [number]

    def last(real: Callable[..., Any], before: Callable[..., None]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                before(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        return call

    def half_line(journal: Journal, entries: Sequence[Any]) -> None:
        with journal.path.open("a") as file:
            file.write('{"key": "torn", "sta')

    if where == "rename":
        files.os.replace = last(os.replace, lambda *_: None)  # type: ignore[attr-defined]
    elif where == "journal":
        Journal.append = last(Journal.append, lambda *_: None)  # type: ignore[method-assign]
    elif where == "half a line":
        Journal.append = last(Journal.append, half_line)  # type: ignore[method-assign]


def main() -> int:
    """Run to the end, or to what stops it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("kind", choices=["files", "shards"])
    parser.add_argument("--die", default=":0")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--processes", action="store_true")
    parser.add_argument("--file-limit", type=int)
    options = parser.parse_args()
    where, number = options.die.split(":")
    die_at(where, int(number))
    if options.file_limit:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_limit, options.file_limit))
    reporter = Reporter()
    try:
        with StopRequest(lambda: reporter.warn("stopping")) as stop:
            summary = map_items(
                [Item(str(n), n, {"id": n}) for n in range(COUNT)],
                work,
                prepare=Prepare(options.folder.with_suffix(".calls"), options.seconds),
                output=output_of(options.kind, options.folder),
                group=3,
                executor=Local(2, options.processes),
                reporter=reporter,
                stop=stop,
            )
        return summary.exit_code
    except VcapError as error:
        reporter.warn(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
