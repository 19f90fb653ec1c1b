"""What a run says while it works; everything goes to stderr, from any thread.

On a terminal a task is one live bar; elsewhere it is a plain line every ten seconds, so that logs
stay readable; with `--quiet` it is nothing. Warnings and failed items are told in every case.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from vcap.engine.shown import harmless_lines

INTERVAL_SECONDS = 10.0
GONE = (OSError, ValueError, AttributeError)  # stderr is closed, or there is none
LONGEST_SECONDS = 100 * 3600  # an estimate beyond this says nothing


class Task:
    """Counts the items of one piece of work; this one shows nothing."""

    def __init__(self, reporter: "Reporter", title: str, total: int | None, unit: str) -> None:
        """Start to count at zero; `total` is None where nobody knows it."""
        self.reporter = reporter
        self.title = title
        self.total = total
        self.unit = unit
        self.done = 0
        self.failed = 0
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        """Count finished items."""
        with self._lock:
            self.done += count
        self.show()

    def fail(self, key: str, reason: str) -> None:
        """Count an item that failed, and tell why in one line."""
        with self._lock:
            self.done += 1
            self.failed += 1
        self.reporter.tell("failed", f"{key}: {reason}")
        self.show()

    def show(self) -> None:
        """Bring what the user sees up to date."""

    def open(self) -> None:
        """Start to be seen."""

    def close(self) -> None:
        """Stop to be seen."""


class Reporter:
    """Tells warnings and failures on stderr, the rest as asked; shows no progress."""

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        """Say less with `quiet`, more with `verbose`."""
        self.quiet = quiet
        self.verbose = verbose
        self._lock = threading.RLock()  # a signal may interrupt a line and bring another

    @contextmanager
    def task(self, title: str, total: int | None = None, unit: str = "items") -> Iterator[Task]:
        """Show progress while the block lasts."""
        task = self.make_task(title, total, unit)
        task.open()
        try:
            yield task
        finally:
            task.close()

    def make_task(self, title: str, total: int | None, unit: str) -> Task:
        """The task of this kind of reporter."""
        return Task(self, title, total, unit)

    def warn(self, text: str) -> None:
        """Tell what the user should know even when quiet."""
        self.tell("warning", text)

    def info(self, text: str) -> None:
        """Tell what helps to follow the run."""
        if not self.quiet:
            self.tell("", text)

    def detail(self, text: str) -> None:
        """Tell what only `--verbose` asks for."""
        if self.verbose:
            self.tell("", text)

    def tell(self, kind: str, text: str) -> None:
        """Write one line, with its kind in front where it has one."""
        text = harmless_lines(text)
        self.write(f"{kind}: {text}" if kind else text)

    def write(self, line: str) -> None:
        """Put a line on stderr; one that is gone (a closed terminal) stops nothing."""
        with self._lock, suppress(*GONE):
            write_line(sys.stderr, line)


class Silent(Reporter):
    """Says nothing and keeps what it was told: for the Python face and for tests."""

    def __init__(self) -> None:
        """Start with nothing heard."""
        super().__init__()
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        """Keep the line."""
        with self._lock:
            self.lines.append(line)


class PlainTask(Task):
    """A line every ten seconds, and a last one where there was a first."""

    def __init__(self, reporter: "Plain", title: str, total: int | None, unit: str) -> None:
        """Take the clock and the interval of the reporter."""
        super().__init__(reporter, title, total, unit)
        self._clock = reporter.clock
        self._interval = reporter.interval
        self._begin = self._last = self._clock()
        self._end = threading.Event()
        self._lines = 0

    def show(self) -> None:
        """Write a line when the last one is old enough."""
        now = self._clock()
        with self._lock:
            due = now - self._last >= self._interval
            if due:
                self._last = now
        if due:
            self._say(now)

    def open(self) -> None:
        """Start the thread that speaks while nothing finishes."""
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._ticker.start()

    def close(self) -> None:
        """Write the last line, where anyone has seen a line."""
        self._end.set()
        self._ticker.join(1.0)  # not to be about when the interpreter ends
        if self._lines:
            self._say(self._clock())

    def _tick(self) -> None:
        while not self._end.wait(min(1.0, self._interval)):
            self.show()

    def _say(self, now: float) -> None:
        self._lines += 1
        self.reporter.write(progress_line(self, now - self._begin))


class Plain(Reporter):
    """For logs and pipes: a line now and then."""

    def __init__(
        self,
        quiet: bool = False,
        verbose: bool = False,
        interval: float = INTERVAL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Speak every `interval` seconds of the clock."""
        super().__init__(quiet, verbose)
        self.interval = interval
        self.clock = clock

    def make_task(self, title: str, total: int | None, unit: str) -> Task:
        """A task that writes lines."""
        return PlainTask(self, title, total, unit)


class BarTask(Task):
    """One live line on a terminal."""

    def __init__(self, reporter: "Bar", title: str, total: int | None, unit: str) -> None:
        """Prepare the bar; it appears with `open`."""
        super().__init__(reporter, title, total, unit)
        self._display = make_display(reporter.console)
        self._row = self._display.add_task(title, total=total, failed="", unit=unit)

    def show(self) -> None:
        """Move the bar."""
        failed = f"{self.failed} failed" if self.failed else ""
        self._display.update(self._row, completed=self.done, failed=failed)

    def open(self) -> None:
        """Take the last line of the terminal."""
        self._display.start()

    def close(self) -> None:
        """Leave the bar as it is and give the line back."""
        self._display.stop()


class Bar(Reporter):
    """For eyes: a live bar with lines above it."""

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        """Take stderr as it is now; NO_COLOR is honoured."""
        from rich.console import Console

        super().__init__(quiet, verbose)
        self.console: Any = Console(stderr=True, highlight=False, markup=False, emoji=False)

    def make_task(self, title: str, total: int | None, unit: str) -> Task:
        """A task with a bar."""
        return BarTask(self, title, total, unit)

    def tell(self, kind: str, text: str) -> None:
        """Write one line above the bar, its kind in colour."""
        from rich.text import Text

        text = harmless_lines(text)
        style = {"warning": "yellow", "failed": "red"}.get(kind, "")
        line = Text.assemble((f"{kind}: ", style), text) if kind else Text(text)
        with self._lock, suppress(*GONE):
            self.console.print(line, soft_wrap=True)


def make_reporter(quiet: bool = False, verbose: bool = False) -> Reporter:
    """The reporter that fits where stderr goes."""
    if quiet:
        return Reporter(quiet, verbose)
    with suppress(*GONE):
        if sys.stderr.isatty():
            return Bar(quiet, verbose)
    return Plain(quiet, verbose)


def make_display(console: Any) -> Any:
    """The bar: what, how far, how fast, how long still, how many failed."""
    from rich import progress
    from rich.text import Text

    class Rate(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Any:
            speed = task.finished_speed or task.speed or 0.0
            return Text(f"{speed:.1f}/s" if speed else "")

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=30),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[unit]}"),
        Rate(),
        progress.TimeRemainingColumn(compact=True),
        progress.TextColumn("{task.fields[failed]}", style="red"),
        console=console,
        redirect_stdout=False,  # stdout is data and stays as it is
        redirect_stderr=False,
    )


def progress_line(task: Task, seconds: float) -> str:
    """`caption: 12/100 videos, 3.4/s, 2 failed, ETA 0:26`."""
    total = "" if task.total is None else f"/{task.total}"
    parts = [f"{task.title}: {task.done}{total} {task.unit}"]
    rate = task.done / seconds if seconds > 0 else 0.0
    if rate:
        parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each")
    if task.failed:
        parts.append(f"{task.failed} failed")
    if rate and task.total is not None and task.total > task.done:
        parts.append(f"ETA {clock_time((task.total - task.done) / rate)}")
    return ", ".join(parts)


def clock_time(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    if seconds >= LONGEST_SECONDS:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def write_line(stream: TextIO, line: str) -> None:
    """Write a line in one piece; characters the stream cannot show are escaped."""
    try:
        stream.write(line + "\n")
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
