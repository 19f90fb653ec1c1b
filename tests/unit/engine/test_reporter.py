import io
import os
import pty
import subprocess
import sys
import threading

import pytest

from vcap.engine.reporter import (
    Plain,
    Silent,
    Task,
    clock_time,
    make_reporter,
    progress_line,
    write_line,
)

WORK = """
from vcap.engine.reporter import make_reporter
reporter = make_reporter()
print(type(reporter).__name__)
with reporter.task("caption", 3, "videos") as task:
    task.advance(2)
    task.fail("a[b]", "no [red]frame[/red] :smile:")
    reporter.warn("slow")
"""


class Clock:
    """Time that passes when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_appears_every_ten_seconds_and_one_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    with Plain(clock=clock).task("caption", 100, "videos") as task:
        for second in range(1, 26):
            clock.now = float(second)
            task.advance(2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "caption: 20/100 videos, 2.0/s, ETA 0:40",
        "caption: 40/100 videos, 2.0/s, ETA 0:30",
        "caption: 50/100 videos, 2.0/s, ETA 0:25",
    ]


def test_a_short_run_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with Plain(clock=Clock()).task("caption", 2) as task:
        task.advance(2)
    assert capsys.readouterr().err == ""


def test_a_line_appears_even_while_nothing_finishes(capsys: pytest.CaptureFixture[str]) -> None:
    with Plain(interval=0.01).task("caption", 2):
        threading.Event().wait(0.3)
    assert "caption: 0/2 items" in capsys.readouterr().err


def test_quiet_leaves_warnings_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = make_reporter(quiet=True)
    with reporter.task("caption", 2) as task:
        reporter.info("device: cpu")
        reporter.detail("more")
        reporter.warn("a.mp4 ends early")
        task.fail("b.mp4", "no frame decodes")
    assert capsys.readouterr().err.splitlines() == [
        "warning: a.mp4 ends early",
        "failed: b.mp4: no frame decodes",
    ]


def test_verbose_adds_details(capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (False, True):
        make_reporter(verbose=verbose).detail("frames: 16")
    assert capsys.readouterr().err == "frames: 16\n"


def test_failures_and_progress_are_counted_from_many_threads() -> None:
    reporter = Silent()

    def work(task: Task) -> None:
        for _ in range(50):
            task.advance()
            task.fail("k", "r")

    with reporter.task("x", 400) as task:
        threads = [threading.Thread(target=work, args=(task,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (task.done, task.failed, len(reporter.lines)) == (400, 200, 200)


@pytest.mark.parametrize(
    ("done", "failed", "total", "seconds", "line"),
    [
        (0, 0, 5, 10.0, "x: 0/5 items"),
        (1, 1, 5, 30.0, "x: 1/5 items, 30.0 s each, 1 failed, ETA 2:00"),
        (5, 0, 5, 1.0, "x: 5/5 items, 5.0/s"),
        (7, 0, None, 2.0, "x: 7 items, 3.5/s"),
        (1, 0, 10**9, 10.0, "x: 1/1000000000 items, 10.0 s each, ETA unknown"),
        (0, 0, 0, 0.0, "x: 0/0 items"),
    ],
)
def test_a_progress_line_says_what_is_known(
    done: int, failed: int, total: int | None, seconds: float, line: str
) -> None:
    task = Task(Silent(), "x", total, "items")
    task.done, task.failed = done, failed
    assert progress_line(task, seconds) == line


def test_times_are_told_as_on_a_clock() -> None:
    assert [clock_time(s) for s in (0, 59.6, 61, 3723)] == ["0:00", "1:00", "1:01", "1:02:03"]


def test_a_stream_that_knows_no_such_character_gets_it_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    write_line(stream, "猫 \udcff")
    assert raw.getvalue() == b"\\u732b \\udcff\n"


def test_a_terminal_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.close()
    for gone in (stream, None):
        monkeypatch.setattr(sys, "stderr", gone)
        make_reporter().warn("nobody hears this")


def on_terminal(**environment: str) -> tuple[str, str]:
    """stdout and what a terminal on stderr received."""
    ours, theirs = pty.openpty()
    env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "100"} | environment
    with subprocess.Popen([sys.executable, "-c", WORK], stdout=-1, stderr=theirs, env=env) as child:
        os.close(theirs)
        shown = b"".join(iter(lambda: read(ours), b""))
        out, _ = child.communicate()
    os.close(ours)
    assert child.returncode == 0
    return out.decode(), shown.decode()


def read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # the other end is closed
        return b""


def test_a_terminal_gets_a_bar_with_what_failed_above_it() -> None:
    out, shown = on_terminal()
    assert out == "Bar\n"
    assert "caption" in shown and "3/3" in shown and "1 failed" in shown
    assert "a[b]: no [red]frame[/red] :smile:" in shown, "text is shown as it is"
    assert "\x1b[31mfailed: " in shown and "\x1b[33mwarning: " in shown


def test_a_user_who_wants_no_colour_gets_none() -> None:
    _, shown = on_terminal(NO_COLOR="1")
    assert "failed: a[b]" in shown and "\x1b[31m" not in shown and "\x1b[33m" not in shown


def test_rich_is_loaded_for_a_terminal_only() -> None:
    code = "import sys; from vcap.engine.reporter import make_reporter as m; m().warn('x');"
    code += "print('rich' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.stderr) == ("False\n", "warning: x\n")
