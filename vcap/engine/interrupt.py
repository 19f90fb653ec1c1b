"""Ctrl-C, and the signal that ends a process, as a request to stop that can be asked for."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Turns the first signal into a request and the second into KeyboardInterrupt, at once.

    Attributes:
        requested: whether to finish what is in flight and to stop.
        signal: the number of the signal that asked, or None.
    """

    def __init__(self, notify: Callable[[], None] | None = None) -> None:
        """Make a request that nobody has made yet; `notify` is called when somebody does."""
        self.requested = False
        self.signal: int | None = None
        self._notify = notify
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Listen for signals; a thread that is not the main one cannot and does not."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the signals to whom they belonged before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def request(self, number: int | None = signal.SIGINT) -> None:
        """Ask to stop as if the signal had come."""
        self.requested = True
        self.signal = number
        if self._notify:
            # The signal may fall into a write to the same stream; the message is then dropped.
            with suppress(RuntimeError):
                self._notify()

    @property
    def exit_code(self) -> int:
        """The code a process ends with after this request: 130, or 143 when terminated."""
        return 128 + (self.signal or signal.SIGINT)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.request(number)


@contextmanager
def leaving_in_order() -> Iterator[None]:
    """End by SIGTERM as by Ctrl-C: whatever is open is closed, and the exit code is 143."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def ending_at_once(unless: bool = False) -> Iterator[None]:
    """Let SIGTERM end the process as if nobody listened, while it waits where no request is heard.

    Args:
        unless: leave everything as it is.
    """
    if unless or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
