"""Runs in processes of their own, killed when the journal of their output has grown."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
DEADLINE_SECONDS = 300


def start_child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Run Python code with arguments; stdout and stderr are kept."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *(str(argument) for argument in arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def journal(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of the journal; none where it does not exist yet."""
    path = folder / ".vcap" / "journal.jsonl"
    data = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


def kill_when_grown(run: subprocess.Popen[str], folder: Path) -> bool:
    """SIGKILL as soon as the journal has more done items than now; False where it ended first."""
    before = done(folder)
    end = time.monotonic() + DEADLINE_SECONDS
    while run.poll() is None and time.monotonic() < end:
        if done(folder) > before:
            run.send_signal(signal.SIGKILL)
            run.communicate()
            return True
        time.sleep(0.005)
    run.communicate()
    return False


def interrupt_when_grown(run: subprocess.Popen[str], folder: Path) -> str:
    """Ctrl-C as soon as the journal has a done item; gives what the run said on stderr."""
    while run.poll() is None and not done(folder):
        time.sleep(0.005)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=DEADLINE_SECONDS)
    assert run.returncode == 130, err
    return err


def most_done(folder: Path) -> int:
    """How often the journal says of one item that it was done, at most."""
    keys = Counter(entry["key"] for entry in journal(folder) if entry["status"] == "done")
    return max(keys.values())


def done(folder: Path) -> int:
    """How many items are journalled as done."""
    return sum(entry["status"] == "done" for entry in journal(folder))
