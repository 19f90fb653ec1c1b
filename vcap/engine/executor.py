"""Prepares items ahead of the model, in threads or in processes.

The threads are daemons: a second Ctrl-C waits for nobody. In process mode every thread looks after
one process of its own; a process that dies therefore costs exactly the item it was at.
"""

import multiprocessing
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol

Call = Callable[[Any], Any]
Attempt = Callable[[Call, Any], Any]  # an outcome with a `value`, whatever the call does
GONE = (EOFError, ConnectionError)
BURIAL_SECONDS = 5.0


class WorkerDied(RuntimeError):
    """A worker process ended while it was at an item."""

    @classmethod
    def after(cls, exit_code: int | None) -> "WorkerDied":
        """What is known about the death, in one line."""
        if exit_code == -signal.SIGKILL:
            return cls("the worker process was killed, as happens when memory is used up")
        if exit_code is not None and exit_code < 0:
            return cls(f"the worker process was ended by {signal.Signals(-exit_code).name}")
        return cls(f"the worker process ended with code {exit_code}")


class Slot:
    """The place where the outcome of one item will be."""

    def __init__(self, value: Any) -> None:
        """Wait for the outcome of this value."""
        self.value = value
        self.begun = False
        self._outcome: Any = None
        self._ready = threading.Event()

    def put(self, outcome: Any) -> None:
        """Hand in the outcome and let go of the value."""
        self._outcome = outcome
        self.value = None
        self._ready.set()

    def wait(self) -> Any:
        """The outcome, as soon as there is one."""
        self._ready.wait()
        return self._outcome


class Pool(Protocol):
    """Workers at work."""

    def submit(self, value: Any) -> Slot:
        """Queue a value; outcomes may be waited for in any order."""
        ...

    def begin_no_more(self) -> None:
        """Leave the values that no worker has begun; their slots stay empty for ever."""
        ...


class Executor(Protocol):
    """Where items are prepared."""

    @property
    def workers(self) -> int:
        """How many items are prepared at the same time."""
        ...

    def open(self, call: Call, attempt: Attempt) -> AbstractContextManager[Pool]:
        """Workers that give `attempt(call, value)` for every value while the block lasts."""
        ...


@dataclass(frozen=True)
class Local:
    """Workers on this machine.

    Attributes:
        workers: how many items are prepared at the same time.
        processes: use processes, for work that holds the interpreter; `call` must be picklable.
    """

    workers: int = 2
    processes: bool = False

    @contextmanager
    def open(self, call: Call, attempt: Attempt) -> Iterator[Pool]:
        """Start the workers; when the block ends they are told to go.

        They are waited for where all is done, as a thread that is still about when the interpreter
        ends can bring it down; after an error or an interrupt nobody waits.
        """
        pool = _Threads(attempt)
        threads: list[threading.Thread] = []
        children: list[_Process] = []
        for _ in range(max(1, self.workers)):
            run = call
            if self.processes:
                children.append(_Process(call, attempt))
                run = children[-1]
            threads.append(
                threading.Thread(target=pool.serve, args=(run,), name="prepare", daemon=True)
            )
            threads[-1].start()
        patience = 0.0
        try:
            yield pool
            patience = BURIAL_SECONDS
        finally:
            pool.end()
            for child in children:
                child.end()
            for thread in threads:
                thread.join(patience)


class _Threads:
    """A queue, and the loop of the threads that serve it."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._waiting: queue.SimpleQueue[Slot | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, value: Any) -> Slot:
        """Queue a value."""
        slot = Slot(value)
        self._waiting.put(slot)
        return slot

    def begin_no_more(self) -> None:
        """Finish what is begun, and nothing else."""
        with self._lock:
            self._closed = True

    def serve(self, run: Call) -> None:
        """Work until told to go."""
        while (slot := self._waiting.get()) is not None:
            with self._lock:
                slot.begun = not self._closed
            if slot.begun:
                slot.put(self._attempt(run, slot.value))
        self._waiting.put(None)  # for the next thread

    def end(self) -> None:
        """Tell the threads to go after what they are at."""
        self.begin_no_more()
        self._waiting.put(None)


class _Process:
    """A worker process, started with its first item and again after its death."""

    def __init__(self, call: Call, attempt: Attempt) -> None:
        self._arguments = (call, attempt)
        self._process: Any = None
        self._pipe: Connection | None = None
        self._lock = threading.Lock()
        self._ended = False

    def __call__(self, value: Any) -> Any:
        """The outcome for one value; raises WorkerDied."""
        pipe = self._pipe or self._start()
        try:
            pipe.send_bytes(ForkingPickler.dumps(value))
            return pipe.recv()
        except GONE:
            raise self._bury() from None

    def _start(self) -> Connection:
        methods = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context(
            "forkserver" if "forkserver" in methods else "spawn"
        )
        ours: Connection
        ours, theirs = context.Pipe()
        with self._lock:
            if self._ended:  # a process that starts now would outlive the run
                raise WorkerDied("the run has ended")
            self._process = context.Process(
                target=_serve, args=(*self._arguments, theirs), daemon=True
            )
            self._process.start()
        theirs.close()  # so that its death is the end of the pipe
        self._pipe = ours
        return ours

    def _bury(self) -> WorkerDied:
        self._pipe = None
        self._process.join(BURIAL_SECONDS)
        self._process.kill()
        return WorkerDied.after(self._process.exitcode)

    def end(self) -> None:
        """End the process at once."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()
                self._process.join(BURIAL_SECONDS)


def _serve(call: Call, attempt: Attempt, pipe: Connection) -> None:
    """The loop of a worker process; signals are for the main process to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(*GONE):
        while True:
            outcome = attempt(call, pipe.recv())
            packed = attempt(ForkingPickler.dumps, outcome)  # the outcome may not be picklable
            pipe.send_bytes(packed.value or ForkingPickler.dumps(packed))
