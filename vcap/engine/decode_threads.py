"""Threads that decode for a training run, in an order of their own; results come in the asked one.

The threads are daemons, so that a second Ctrl-C waits for nobody.
"""

import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from vcap.engine.interrupt import StopRequest

POLL_SECONDS = 0.1
BURIAL_SECONDS = 2.0  # a thread that is still about when the interpreter ends can bring it down

T = TypeVar("T")
V = TypeVar("V")
Jobs = queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]


class DecodeThreads:
    """A few threads that share one queue of work."""

    def __init__(self, count: int) -> None:
        """Start so many threads; they end when this is closed or forgotten."""
        self.count = count
        self._jobs: Jobs = queue.SimpleQueue()
        threads = [
            threading.Thread(target=_serve, args=(self._jobs,), name="decode", daemon=True)
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        self.close = weakref.finalize(self, _end, self._jobs, threads)

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Queue a piece of work; one that nobody has begun can be cancelled."""
        future: Future[T] = Future()
        self._jobs.put((future, work))
        return future

    def in_order(
        self, work: Callable[[V], T], values: Iterable[V], stop: StopRequest
    ) -> Iterator[T]:
        """What `work` makes of each value; few of them wait at a time, however many there are.

        Raises:
            KeyboardInterrupt: a stop was requested; what nobody has begun is left.
        """
        waiting: deque[Future[T]] = deque()
        try:
            for value in values:
                waiting.append(self.submit(lambda value=value: work(value)))  # type: ignore[misc]
                if len(waiting) > 2 * self.count:
                    yield _awaited(waiting.popleft(), stop)
            while waiting:
                yield _awaited(waiting.popleft(), stop)
        finally:
            for future in waiting:
                future.cancel()


def _awaited(future: "Future[T]", stop: StopRequest) -> T:
    while True:
        if stop.requested:
            future.cancel()
            raise KeyboardInterrupt
        if wait([future], POLL_SECONDS).done:
            return future.result()


def _serve(jobs: Jobs) -> None:
    while (job := jobs.get()) is not None:
        future, work = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:  # raised again where the result is used
                future.set_exception(error)
        del job, future, work  # results are not held until the next piece of work comes


def _end(jobs: Jobs, threads: list[threading.Thread]) -> None:
    """Leave what nobody has begun, and let the threads end."""
    try:
        while True:
            job = jobs.get_nowait()
            if job is not None:
                job[0].cancel()
    except queue.Empty:
        pass
    for _ in threads:
        jobs.put(None)
    end = time.monotonic() + BURIAL_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
