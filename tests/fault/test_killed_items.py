"""Runs over items that are killed, interrupted or out of disk, and started again."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fault.item_run import BROKEN, COUNT, Prepare, output_of, work
from vcap.engine.items import Item, map_items
from vcap.engine.journal import Journal
from vcap.engine.reporter import Silent
from vcap.errors import OutputError

PROGRAM = Path(__file__).with_name("item_run.py")
REPOSITORY = PROGRAM.parents[2]
PARTIAL = 3  # one item of the run is broken


def start(folder: Path, kind: str, *options: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(folder), kind, *map(str, options)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def finish(folder: Path, kind: str, *options: object) -> tuple[int, str]:
    with start(folder, kind, *options) as child:
        _, errors = child.communicate(timeout=60)
    return child.returncode, errors


def resume(folder: Path, kind: str) -> int:
    """The same run once more, in this process."""
    return map_items(
        [Item(str(n), n, {"id": n}) for n in range(COUNT)],
        work,
        prepare=Prepare(folder.with_suffix(".calls"), 0),
        output=output_of(kind, folder),
        group=3,
        reporter=Silent(),
    ).exit_code


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def expected(kind: str) -> dict[str, bytes]:
    texts = {n: work([n])[0] for n in range(COUNT) if n != BROKEN}
    if kind == "files":
        return {f"{n}.txt": text.encode() for n, text in texts.items()}
    lines: dict[str, str] = {}
    for n, text in texts.items():
        lines[f"shard-{n // 4}"] = lines.get(f"shard-{n // 4}", "") + f"{n}={text}\n"
    return {name: text.encode() for name, text in lines.items()}


def calls(folder: Path) -> Counter[int]:
    return Counter(map(int, folder.with_suffix(".calls").read_text().split()))


def journalled(folder: Path) -> set[int]:
    """Items that the journal calls done, or failed for good."""
    journal = Journal.read(folder)
    return {n for n in range(COUNT) if journal.entry(str(n))}


def wait_for_journal(folder: Path, child: subprocess.Popen[str], lines: int) -> None:
    path = folder / ".vcap" / "journal.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)


@pytest.mark.parametrize(("kind", "processes"), [("files", True), ("shards", False)])
def test_a_run_that_is_killed_goes_on_and_ends_as_if_nothing_had_been(
    tmp_path: Path, kind: str, processes: bool
) -> None:
    folder = tmp_path / "out"
    options = ["--processes"] if processes else []
    with start(folder, kind, "--seconds", 0.03, *options) as child:
        wait_for_journal(folder, child, 4)
        child.kill()
    before, first_calls = journalled(folder), calls(folder)
    assert child.returncode == -signal.SIGKILL and 0 < len(before) < COUNT
    assert resume(folder, kind) == PARTIAL
    assert kept(folder) == expected(kind) and journalled(folder) == set(range(COUNT))
    again = calls(folder) - first_calls
    assert not before & set(again), "nothing that was kept is done again"
    assert set(again) == set(range(COUNT)) - before and max(again.values()) == 1


@pytest.mark.parametrize("kind", ["files", "shards"])
@pytest.mark.parametrize(
    ("where", "number"), [("rename", 1), ("rename", 3), ("journal", 3), ("half a line", 2)]
)
def test_a_kill_at_the_worst_moment_costs_only_what_was_in_flight(
    tmp_path: Path, kind: str, where: str, number: int
) -> None:
    folder = tmp_path / "out"
    assert finish(folder, kind, "--die", f"{where}:{number}")[0] == -signal.SIGKILL
    before, first_calls = journalled(folder), calls(folder)
    partial = {k: v for k, v in kept(folder).items() if not k.startswith(".vcap-")}
    assert partial.items() <= expected(kind).items(), "what has its name is whole"
    assert resume(folder, kind) == PARTIAL
    assert kept(folder) == expected(kind), "nothing temporary is left either"
    assert not before & set(calls(folder) - first_calls)


@pytest.mark.parametrize(
    ("number", "code", "kind", "processes"),
    [(signal.SIGINT, 130, "files", True), (signal.SIGTERM, 143, "shards", False)],
)
def test_a_signal_to_the_whole_group_ends_in_order_and_the_run_goes_on_later(
    tmp_path: Path, number: signal.Signals, code: int, kind: str, processes: bool
) -> None:
    folder = tmp_path / "out"
    options = ["--processes"] if processes else []
    with start(folder, kind, "--seconds", 0.03, *options) as child:
        wait_for_journal(folder, child, 2)
        os.killpg(child.pid, number)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == code and "Traceback" not in errors
    assert "warning: stopping" in errors and "a bug" not in errors
    before, first_calls = journalled(folder), calls(folder)
    assert 0 < len(before) < COUNT and kept(folder).items() <= expected(kind).items()
    assert resume(folder, kind) == PARTIAL
    assert kept(folder) == expected(kind)
    assert set(calls(folder) - first_calls) == set(range(COUNT)) - before


@pytest.mark.parametrize("processes", [False, True])
def test_a_second_signal_waits_for_nobody(tmp_path: Path, processes: bool) -> None:
    folder = tmp_path / "out"
    options = ["--processes"] if processes else []
    with start(folder, "files", "--seconds", 600, *options) as child:
        while not folder.with_suffix(".calls").exists():
            time.sleep(0.01)
        os.killpg(child.pid, signal.SIGINT)
        assert child.stderr and "stopping" in child.stderr.readline()
        os.killpg(child.pid, signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 130 and "Traceback" not in errors


def test_a_file_that_may_not_grow_ends_the_run_with_nothing_half_written(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    code, errors = finish(folder, "shards", "--file-limit", 900)
    assert code == OutputError.exit_code and "larger than allowed" in errors
    assert kept(folder).items() <= expected("shards").items()
    assert resume(folder, "shards") == PARTIAL
    assert kept(folder) == expected("shards")


@pytest.mark.parametrize("kind", ["files", "shards"])
@pytest.mark.parametrize("at", [1, 2, 3, 5, 8, 13])
def test_a_disk_that_fills_up_leaves_whole_files_and_a_run_that_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, at: int
) -> None:
    folder, real, count = tmp_path / "out", os.fsync, [0]

    def full(handle: int) -> None:
        count[0] += 1
        if count[0] >= at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="disk is full"):
        resume(folder, kind)
    monkeypatch.undo()
    assert not folder.exists() or kept(folder).items() <= expected(kind).items()
    assert resume(folder, kind) == PARTIAL and kept(folder) == expected(kind)
