"""The one loop over many items: skip what is done, survive failures, journal, resume.

`map_items` prepares items ahead in workers, hands them in input order to the one model worker
(this thread), and keeps the results in input order. An InputError costs its item. Any other
unknown exception is a bug of ours: this module is the one place that catches it, writes it down
and goes on. Whatever else is told to the user (a full disk, no device) ends the run; what was kept
until then stays, and the same call goes on from there.
"""

import errno
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

from vcap.engine.executor import Executor, Local, Pool, Slot
from vcap.engine.files import output_errors
from vcap.engine.interrupt import StopRequest
from vcap.engine.journal import Entry, Journal, log_trace
from vcap.engine.lock import hold
from vcap.engine.outputs import (
    Checked,
    FilesOutput,
    Finished,
    Forgetful,
    Item,
    Listed,
    Output,
    one_by_one,
)
from vcap.engine.plan import Group, Plan, Rules, groups, plan_items
from vcap.engine.reporter import Reporter, Task
from vcap.engine.run import free_memory, is_memory_full
from vcap.engine.summary import Failure, Summary, TransientError
from vcap.errors import DeviceError, InputError, OutputError, VcapError

__all__ = ["Failure", "FilesOutput", "Item", "Output", "Summary", "TransientError"]
__all__ += ["map_items", "one_by_one"]

FULL = (errno.ENOSPC, errno.EDQUOT)
Prepare = Callable[[Any], Any]
Work = Callable[[list[Any]], Sequence[Any]]
OnResult = Callable[[Item, Any], None]


@dataclass(frozen=True)
class Outcome:
    """What a call gave: a value, a failure that can be told, or a bug."""

    value: Any = None
    error: VcapError | None = None
    bug: str = ""  # one line
    trace: str = ""
    memory_full: bool = False

    @property
    def is_good(self) -> bool:
        """Whether there is a value."""
        return self.error is None and not self.bug

    @property
    def ends_the_run(self) -> bool:
        """Whether the failure is told to the user and is not that of one item."""
        return self.error is not None and not isinstance(self.error, InputError)


def attempt(call: Callable[..., Any], *arguments: Any) -> Outcome:
    """Call, and return whatever happens; an outcome that the call returns is passed on."""
    try:
        value = call(*arguments)
        return value if isinstance(value, Outcome) else Outcome(value)
    except VcapError as error:
        return Outcome(error=error)
    except (Exception, SystemExit) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            return Outcome(error=OutputError(f"the disk is full: {error}"))
        return Outcome(
            bug=f"{type(error).__name__}: {error}".strip().split("\n")[0],
            trace="".join(traceback.format_exception(error)),
            memory_full=is_memory_full(error),
        )


def map_items(  # noqa: PLR0913  one place where every policy over items meets
    items: Sequence[Item],
    work: Work | None,
    *,
    reporter: Reporter,
    prepare: Prepare | None = None,
    setup: Callable[[], None] | None = None,
    output: Output | None = None,
    group: int = 1,
    executor: Executor | None = None,
    fingerprint: str = "",
    on_error: Literal["skip", "stop"] = "skip",
    max_errors: int | None = None,
    retry_failed: bool = False,
    force: bool = False,
    stop: StopRequest | None = None,
    on_result: OnResult | None = None,
    title: str = "work",
    unit: str = "items",
) -> Summary:
    """Do what is not yet done of `items`, in order, whatever happens to single ones.

    Args:
        work: gets the prepared values of up to `group` consecutive items, gives one result (or an
            InputError) for each; None where the prepared values are the results.
        prepare: runs in the workers of `executor`, ahead of `work`.
        setup: called once before the first `work`, and not at all where nothing is to do.
        output: keeps results; with it come lock, journal and resume. None keeps nothing.
        fingerprint: digest of every setting that changes a result.
        stop: asked between groups; what is in flight is finished.
        on_result: gets every result once it is kept, in input order.

    Raises:
        OutputError: the output is full, locked or not writable.
        DeviceError, UnavailableError: there is no way to go on with any item.
    """
    if len({item.key for item in items}) < len(items):
        raise ValueError("two items have the same key")
    rules = Rules(fingerprint, retry_failed, force)
    with ExitStack() as stack:
        journal = None
        if output is not None:
            stack.enter_context(hold(output.folder))
            journal = Journal.open(output.folder)
            stack.callback(journal.close)
            if isinstance(output, Checked):
                output.check(fingerprint)
        plan = plan_items(items, output, journal, rules)
        task = stack.enter_context(reporter.task(title, len(plan.to_do), unit))
        books = _Books(output, journal, rules, reporter, task, on_result)
        books.open(plan, limit=1 if on_error == "stop" else max_errors)
        loop = _Loop(books, work, group, setup, stop)
        if plan.units and prepare is not None:
            executor = executor or Local()
            loop.pool = stack.enter_context(executor.open(prepare, attempt))
            loop.ahead = 2 * (executor.workers + group)  # of the next group too
        loop.run(plan)
        if isinstance(output, Finished):
            output.finish()
    return books.summary


@dataclass
class _Books:
    """Keeps results and failures, and counts them."""

    output: Output | None
    journal: Journal | None
    rules: Rules
    reporter: Reporter
    task: Task
    on_result: OnResult | None
    limit: int | None = None
    summary: Summary = field(default_factory=Summary)
    _written: dict[str, tuple[Item, Any]] = field(default_factory=dict)  # not yet safe
    _failures: int = 0

    def open(self, plan: Plan, limit: int | None) -> None:
        """Begin with what earlier runs did; `limit` is how many items may fail now."""
        self.limit = limit
        self.summary.skipped = len(plan.skipped)
        if plan.skipped:
            self.reporter.info(f"{len(plan.skipped)} {self.task.unit} were done before")
        if self.journal and self.journal.damaged:
            self.warn(f"{self.journal.path}: {self.journal.damaged} lines cannot be read")
        for entry in plan.failed:
            self.summary.failed.append(Failure(entry.key, entry.reason, entry.error))
            again = "in an earlier run; --retry-failed tries again"
            self.reporter.tell("failed", f"{entry.key}: {entry.reason} ({again})")
            self._forget(entry.key)  # a kill may have come before it was done

    def warn(self, text: str) -> None:
        """Tell, and remember."""
        self.summary.warnings.append(text)
        self.reporter.warn(text)

    @property
    def is_over(self) -> bool:
        """Whether as many items failed as may fail."""
        return self.limit is not None and self._failures >= self.limit

    def settle(self, item: Item, outcome: Outcome) -> None:
        """Keep a result, or write down a failure.

        Raises:
            VcapError: a failure that is not the item's.
        """
        if outcome.is_good and self.output is not None:
            written = attempt(self._write, item, outcome.value)
            if written.is_good:
                self._written[item.key] = (item, outcome.value if self.on_result else None)
                self._keep(written.value)
                return
            outcome = written
        if outcome.is_good:
            self._written[item.key] = (item, outcome.value)
            self._keep([item])
        else:
            self._fail(item, outcome)

    def end_unit(self) -> None:
        """Have the output keep what it holds; a bug there costs all of it."""
        if self.output is None:
            return
        flushed = attempt(self._flush)
        if flushed.is_good:
            self._keep(flushed.value)
            flushed = Outcome(bug="RuntimeError: the output has not kept it")
        for item, _ in list(self._written.values()):
            self._fail(item, flushed)
        self._written.clear()

    def _write(self, item: Item, value: Any) -> list[Item]:
        assert self.output is not None
        with output_errors(self.output.folder):
            return self.output.write(item, value)

    def _flush(self) -> list[Item]:
        assert self.output is not None
        with output_errors(self.output.folder):
            return self.output.flush()

    def _keep(self, items: Sequence[Item]) -> None:
        """Journal what is safe, then tell it."""
        if items and self.journal is not None:
            self.journal.append([self._entry(item, "done") for item in items])
        for item in items:
            _, value = self._written.pop(item.key)
            self.summary.done += 1
            if self.on_result:
                self.on_result(item, value)
            self.task.advance()

    def _fail(self, item: Item, outcome: Outcome) -> None:
        error = outcome.error
        if error is not None and outcome.ends_the_run:
            raise error
        status: Literal["failed", "bug"] = "bug" if error is None else "failed"
        reason = outcome.bug if error is None else str(error)
        name = reason.split(":")[0] if error is None else type(error).__name__
        if self.journal is not None:
            permanent = error is not None and not isinstance(error, TransientError)
            entry = self._entry(item, status, reason=reason, error=name, permanent=permanent)
            self.journal.append([entry])
        self._forget(item.key)
        self._failures += 1
        self.summary.failed.append(Failure(item.key, reason, name))
        if error is None:
            self.summary.bugs += 1
            reason = f"a bug in vcap: {reason}{self._log(item, outcome.trace)}"
        self.task.fail(item.key, reason)

    def _forget(self, key: str) -> None:
        if isinstance(self.output, Forgetful):
            with output_errors(self.output.folder):
                self.output.forget(key)

    def _entry(self, item: Item, status: Literal["done", "failed", "bug"], **more: Any) -> Entry:
        assert self.journal is not None
        before = self.journal.entry(item.key)
        if status == "done" and isinstance(self.output, Listed):
            more["files"] = self.output.files(item)
        return Entry(
            item.key,
            status,
            identity=item.identity,
            fingerprint=self.rules.fingerprint,
            time=time.time(),
            attempt=before.attempt + 1 if before and before.status != "done" else 1,
            **more,
        )

    def _log(self, item: Item, trace: str) -> str:
        """Keep a traceback; gives where it is."""
        if self.output is None:
            self.reporter.detail(trace)
            return ""
        return f" (traceback in {log_trace(self.output.folder, item.key, trace)})"


@dataclass
class _Loop:
    """Feeds the workers, calls the model, hands over to the books."""

    books: _Books
    work: Work | None
    size: int
    setup: Callable[[], None] | None
    stop: StopRequest | None
    pool: Pool | None = None
    ahead: int = 0
    _slots: deque[Slot] = field(default_factory=deque)

    def run(self, plan: Plan) -> None:
        """Do all groups, unless something ends the run before."""
        waiting = iter(plan.to_do)
        for group in groups(plan.units, self.size):
            self._fill(waiting)
            items = self._allowed(group)
            if items and self.setup is not None:
                self.setup()
                self.setup = None
            for item, outcome in zip(items, self._outcomes(items), strict=True):
                self.books.settle(item, outcome)
                if group.unit_end is None:
                    self.books.end_unit()
                if self.books.is_over:
                    self.books.summary.stopped = True
                    return
            if len(items) < len(group.items):
                break
            if group.ends_unit:
                self.books.end_unit()
        if self.stop is not None and self.stop.requested:
            self.books.summary.signal = self.stop.signal

    def _fill(self, waiting: Iterator[Item]) -> None:
        """Keep the workers busy, but not so far ahead that memory fills."""
        if self.pool is None or (self.stop is not None and self.stop.requested):
            return
        while len(self._slots) < self.ahead and (item := next(waiting, None)) is not None:
            self._slots.append(self.pool.submit(item.value))

    def _allowed(self, group: Group) -> Sequence[Item]:
        """The items of a group that are still to be done: after a request, what is in flight."""
        if self.stop is None or not self.stop.requested:
            return group.items
        in_flight = 0
        if self.pool is not None:
            self.pool.begin_no_more()
            for slot in self._slots:
                if not slot.begun:
                    break
                in_flight += 1
        if group.unit_end is not None and group.begin + in_flight < group.unit_end:
            return ()  # the unit cannot be finished, so nothing of it would be kept
        return group.items[:in_flight]

    def _outcomes(self, items: Sequence[Item]) -> list[Outcome]:
        """Wait for the prepared values, and put those that are good through the model."""
        outcomes = [self._prepared(item) for item in items]
        good = [place for place, outcome in enumerate(outcomes) if outcome.is_good]
        if self.work is not None and good:
            results = self._worked([outcomes[place].value for place in good], self.work)
            for place, result in zip(good, results, strict=True):
                outcomes[place] = result
        return outcomes

    def _prepared(self, item: Item) -> Outcome:
        if self.pool is None:
            return Outcome(item.value)
        outcome: Outcome = self._slots.popleft().wait()
        if outcome.memory_full:
            return Outcome(error=TransientError("memory was used up while it was prepared"))
        return outcome

    def _worked(self, values: list[Any], work: Work) -> list[Outcome]:
        """One outcome a value; a group that does not fit into memory is halved."""
        outcomes: list[Outcome] = []
        while len(outcomes) < len(values):
            part = values[len(outcomes) : len(outcomes) + self.size]
            outcome = attempt(work, part)
            if outcome.memory_full:
                self._halve(len(part))
            elif outcome.is_good or outcome.ends_the_run or len(part) == 1:
                outcomes += _shared(outcome, len(part))
            else:  # one of them is to blame: find out which
                outcomes += [self._alone(value, work) for value in part]
        return outcomes

    def _alone(self, value: Any, work: Work) -> Outcome:
        outcome = attempt(work, [value])
        if outcome.memory_full:
            self._halve(1)
        return _shared(outcome, 1)[0]

    def _halve(self, size: int) -> None:
        if size == 1:
            raise DeviceError("memory is used up by a single item", hint="--device cpu")
        self.size = size // 2
        self.books.warn(f"memory is used up; going on with {self.size} at once")
        free_memory()


def _shared(outcome: Outcome, size: int) -> list[Outcome]:
    """The outcome of a group as one outcome an item."""
    if not outcome.is_good:
        return [outcome] * size
    results = list(outcome.value)
    if len(results) != size:
        return [Outcome(bug=f"ValueError: {len(results)} results for {size} items")] * size
    return [Outcome(error=r) if isinstance(r, InputError) else Outcome(r) for r in results]
