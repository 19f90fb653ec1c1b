"""`vcap evaluate` that is stopped while METEOR starts: it ends at once and leaves no process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE_SECONDS = 60
LISTENING = (  # also where the tests run in the background, whose children would ignore Ctrl-C
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('vcap', run_name='__main__')"
)


def children(process: int) -> list[int]:
    """The processes below one that run Java."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # ended meanwhile
        if int(fields[1]) == process and b"java" in command and fields[0] != "Z":
            found.append(int(folder.name))
    return found


def alive(process: int) -> bool:
    """Whether a process still does anything."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_while_meteor_starts_ends_with_its_code_and_without_java(
    tmp_path: Path, number: int, code: int
) -> None:
    if shutil.which("java") is None or not Path("/proc").is_dir():
        pytest.skip("no java, or no /proc")
    captions = {f"v{n}": f"a man plays the guitar number {n}" for n in range(200)}
    for name, value in (("p", captions), ("r", {key: [text] for key, text in captions.items()})):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    words = ("evaluate", "caption", "p.json", "-r", "r.json", "--full-paraphrase-table")
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENING, *words, "-o", "scores.json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    started: list[int] = []
    while not started and process.poll() is None and time.monotonic() < deadline:
        started = children(process.pid)
        time.sleep(0.02)
    assert started, "Java was never started"
    process.send_signal(number)
    _, told = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code, told
    assert "Traceback" not in told
    while any(map(alive, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, started))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.json", "r.json"]
