import os
import signal
import threading

import pytest

from vcap.engine.interrupt import StopRequest, leaving_in_order
from vcap.engine.items import Item, map_items
from vcap.engine.reporter import Silent


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_and_the_second_stops_at_once(number: int, code: int) -> None:
    told: list[str] = []
    with StopRequest(lambda: told.append("stopping")) as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert (stop.requested, stop.signal, stop.exit_code) == (True, number, code)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert told == ["stopping"]


def test_signals_belong_to_whom_they_belonged_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    def work() -> None:
        with StopRequest() as stop:
            stop.request()
            seen.append(stop.requested)

    seen: list[bool] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True]


def test_a_message_that_falls_into_another_is_dropped() -> None:
    def inside_a_write() -> None:
        raise RuntimeError("reentrant call")

    stop = StopRequest(inside_a_write)
    stop.request(signal.SIGTERM)
    assert stop.requested and stop.exit_code == 143


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_finishes_what_is_in_flight_and_begins_nothing(number: int) -> None:
    def work(values: list[int]) -> list[int]:
        if 3 in values:
            os.kill(os.getpid(), number)
        return values

    items = [Item(str(n), n) for n in range(100)]
    with StopRequest() as stop:
        summary = map_items(items, work, reporter=Silent(), stop=stop, prepare=lambda v: v, group=2)
    assert 4 <= summary.done <= 4 + 2 * 2 + 2 and summary.interrupted
    assert summary.exit_code == 128 + number and summary.failed == []


def test_without_workers_the_group_under_way_is_the_last() -> None:
    stop = StopRequest()

    def work(values: list[int]) -> list[int]:
        stop.request()
        return values

    items = [Item(str(n), n) for n in range(6)]
    summary = map_items(items, work, reporter=Silent(), stop=stop, group=2)
    assert (summary.done, summary.exit_code) == (2, 130)


def test_a_request_before_the_first_item_does_nothing_at_all() -> None:
    stop = StopRequest()
    stop.request()
    calls: list[int] = []
    summary = map_items(
        [Item("a", 1)],
        None,
        reporter=Silent(),
        stop=stop,
        prepare=calls.append,
        setup=lambda: calls.append(1),
    )
    assert calls == [] and (summary.done, summary.exit_code) == (0, 130)


def test_termination_closes_what_is_open_and_ends_with_143() -> None:
    before, closed = signal.getsignal(signal.SIGTERM), []
    with pytest.raises(SystemExit) as leaving, leaving_in_order():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.sigtimedwait([], 5)
        finally:
            closed.append("file")
    assert (leaving.value.code, closed) == (143, ["file"])
    assert signal.getsignal(signal.SIGTERM) == before


def test_leaving_in_order_outside_the_main_thread_changes_nothing() -> None:
    def work() -> None:
        with leaving_in_order():
            seen.append(signal.getsignal(signal.SIGTERM))

    seen: list[object] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
