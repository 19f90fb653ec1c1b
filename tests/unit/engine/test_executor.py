import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.executor import Local, WorkerDied
from vcap.engine.items import FilesOutput, Item, Summary, attempt, map_items
from vcap.engine.reporter import Silent
from vcap.errors import VideoError


def pid_of_worker(value: int) -> int:
    return os.getpid()


def odd_one_out(value: int) -> Any:
    if value == 1:
        raise VideoError("b.mp4: broken", hint="ffmpeg -i b.mp4")
    if value == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if value == 3:
        os._exit(5)
    if value == 4:
        return lambda: "a function cannot travel"
    if value == 5:
        raise ZeroDivisionError("ours")
    if value == 6:
        raise SystemExit(2)
    return value


def signals_ignored(value: int) -> bool:
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    return True


def sleep_long(value: int) -> int:
    time.sleep(60)
    return value


def run(prepare: Any, values: list[Any], executor: Local, **more: Any) -> Summary:
    items = [Item(str(place), value) for place, value in enumerate(values)]
    return map_items(items, None, prepare=prepare, executor=executor, reporter=Silent(), **more)


def test_processes_are_other_processes_and_are_used_again() -> None:
    pids: list[int] = []
    run(pid_of_worker, [0] * 6, Local(1, processes=True), on_result=lambda _, pid: pids.append(pid))
    assert len(set(pids)) == 1 and os.getpid() not in pids


def test_threads_share_this_process() -> None:
    pids: set[int] = set()
    run(pid_of_worker, [0] * 6, Local(3), on_result=lambda _, pid: pids.add(pid))
    assert pids == {os.getpid()}


def test_whatever_happens_in_a_worker_process_costs_its_item_only(tmp_path: Path) -> None:
    output = FilesOutput(tmp_path, lambda i: Path(i.key), lambda r: str(r).encode())
    summary = run(odd_one_out, [*range(9)], Local(2, processes=True), output=output)
    reasons = {failure.key: failure for failure in summary.failed}
    assert sorted(reasons) == ["1", "2", "3", "4", "5", "6"] and summary.done == 3
    assert (reasons["1"].error, reasons["1"].reason) == ("VideoError", "b.mp4: broken")
    assert "killed, as happens when memory is used up" in reasons["2"].reason
    assert "ended with code 5" in reasons["3"].reason
    assert "pickle" in reasons["4"].reason
    assert reasons["5"].reason == "ZeroDivisionError: ours"
    assert reasons["6"].reason == "SystemExit: 2"
    assert summary.bugs == 5 and summary.exit_code == 1
    assert "in odd_one_out" in (tmp_path / ".vcap" / "log").read_text()


def test_a_value_that_cannot_travel_is_a_bug_and_no_standstill() -> None:
    summary = run(pid_of_worker, [lambda: 1, 2], Local(1, processes=True))
    assert summary.bugs == 1 and summary.done == 1


def test_a_thread_that_is_told_to_exit_costs_its_item_only() -> None:
    summary = run(sys.exit, [0, 1], Local(1))
    assert summary.bugs == 2


def test_worker_processes_leave_signals_to_the_main_process() -> None:
    assert run(signals_ignored, [1, 2], Local(1, processes=True)).done == 2


def test_the_end_waits_for_no_worker() -> None:
    for processes in (False, True):
        before = time.monotonic()
        with Local(2, processes).open(sleep_long, attempt) as pool:
            slot = pool.submit(1)
            while not slot.begun:
                time.sleep(0.01)
            time.sleep(0.1)
        assert time.monotonic() - before < 30


def test_after_a_request_nothing_new_is_begun() -> None:
    gate = threading.Event()
    with Local(1).open(lambda value: gate.wait(10), attempt) as pool:
        slots = [pool.submit(n) for n in range(3)]
        while not slots[0].begun:
            time.sleep(0.01)
        pool.begin_no_more()
        gate.set()
        assert slots[0].wait().value is True
        assert [slot.begun for slot in slots] == [True, False, False]


@pytest.mark.parametrize(
    ("code", "words"), [(-9, "killed"), (-11, "SIGSEGV"), (3, "code 3"), (None, "code None")]
)
def test_a_death_is_told_as_far_as_it_is_known(code: int | None, words: str) -> None:
    assert words in str(WorkerDied.after(code))
