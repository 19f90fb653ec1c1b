"""Threads that decode: order, few at a time, errors where results are used, an end on request."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from vcap.engine.decode_threads import DecodeThreads
from vcap.engine.interrupt import StopRequest

PATIENCE_SECONDS = 60.0


@pytest.fixture
def threads() -> Iterator[DecodeThreads]:
    made = DecodeThreads(3)
    yield made
    made.close()


def test_results_come_in_the_order_of_the_values(threads: DecodeThreads) -> None:
    def work(value: int) -> int:
        time.sleep(0.002 * (value % 3))
        return value * value

    assert list(threads.in_order(work, range(20), StopRequest())) == [v * v for v in range(20)]


def test_few_values_wait_at_a_time_however_many_there_are(threads: DecodeThreads) -> None:
    taken = 0

    def values() -> Iterator[int]:
        nonlocal taken
        for value in range(100):
            taken += 1
            yield value

    results = threads.in_order(lambda value: value, values(), StopRequest())
    for number, _ in enumerate(results):
        assert taken - number <= 2 * threads.count + 1
    assert taken == 100


def test_an_error_is_raised_where_its_result_is_used(threads: DecodeThreads) -> None:
    def work(value: int) -> int:
        if value == 2:
            raise LookupError("the third")
        return value

    results = threads.in_order(work, range(9), StopRequest())
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(LookupError, match="the third"):
        next(results)
    assert threads.submit(lambda: "still at work").result(PATIENCE_SECONDS) == "still at work"


def test_a_request_to_stop_does_not_wait_for_a_long_decode(threads: DecodeThreads) -> None:
    go, begun = threading.Event(), threading.Event()

    def work(_: int) -> bool:
        begun.set()
        return go.wait(PATIENCE_SECONDS)

    try:
        with StopRequest() as stop:

            def interrupt() -> None:
                begun.wait(PATIENCE_SECONDS)
                os.kill(os.getpid(), signal.SIGINT)

            threading.Thread(target=interrupt).start()
            with pytest.raises(KeyboardInterrupt):
                list(threads.in_order(work, range(9), stop))
            assert stop.requested
    finally:
        go.set()


def test_what_nobody_has_begun_is_left_when_the_results_are_not_wanted_any_more() -> None:
    threads = DecodeThreads(1)
    go, seen = threading.Event(), []

    def work(value: int) -> int:
        seen.append(value)
        if value == 1:
            go.wait(PATIENCE_SECONDS)
        return value

    results = threads.in_order(work, range(9), StopRequest())
    assert next(results) == 0
    while 1 not in seen:
        time.sleep(0.001)
    results.close()
    go.set()
    assert threads.submit(lambda: "free").result(PATIENCE_SECONDS) == "free"
    assert seen == [0, 1]
    threads.close()


def test_threads_end_when_they_are_closed_or_forgotten() -> None:
    before = threading.active_count()
    closed, forgotten = DecodeThreads(2), DecodeThreads(2)
    assert threading.active_count() == before + 4
    closed.close()
    closed.close()
    del forgotten
    assert threading.active_count() == before


def test_work_in_the_queue_is_cancelled_when_the_threads_are_closed() -> None:
    threads = DecodeThreads(1)
    go = threading.Event()
    first = threads.submit(lambda: go.wait(PATIENCE_SECONDS))
    while not first.running():
        time.sleep(0.001)
    later = [threads.submit(lambda: 1) for _ in range(3)]
    threading.Timer(0.05, go.set).start()
    threads.close()
    assert first.result(PATIENCE_SECONDS) and all(future.cancelled() for future in later)
