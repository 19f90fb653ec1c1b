from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.executor import Local
from vcap.engine.items import FilesOutput, Item, Summary, TransientError, map_items, one_by_one
from vcap.engine.journal import Journal
from vcap.engine.lock import hold
from vcap.engine.reporter import Silent
from vcap.errors import (
    DeviceError,
    FeatureError,
    InputError,
    OutputError,
    UnavailableError,
    VideoError,
)


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


class Shards:
    """An output that keeps three items at a time."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        self.folder = folder
        self.size = size
        self.open: list[tuple[Item, Any]] = []
        self.flushed: list[list[str]] = []

    def plan(self, items: Sequence[Item], done: Callable[[Item], bool]) -> list[list[Item]]:
        units = [list(items[i : i + self.size]) for i in range(0, len(items), self.size)]
        return [unit for unit in units if not all(done(item) for item in unit)]

    def write(self, item: Item, result: Any) -> list[Item]:
        self.open.append((item, result))
        return []

    def flush(self) -> list[Item]:
        kept, self.open = self.open, []
        self.flushed.append([item.key for item, _ in kept])
        return [item for item, _ in kept]


def numbered(count: int) -> list[Item]:
    return [Item(str(n), n, {"id": n}) for n in range(count)]


def files(folder: Path) -> FilesOutput:
    return FilesOutput(folder, lambda item: Path(f"{item.key}.txt"), lambda r: str(r).encode())


def contents(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted(folder.glob("*.txt"))}


def double(values: list[int]) -> list[int]:
    return [2 * value for value in values]


def failing(at: dict[int, Exception]) -> Callable[[int], int]:
    def prepare(value: int) -> int:
        if value in at:
            raise at[value]
        return value

    return prepare


def run(count: int, work: Any = double, **more: Any) -> Summary:
    reporter = more.pop("reporter", None) or Silent()
    return map_items(numbered(count), work, reporter=reporter, **more)


# results


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("group", [1, 3, 10])
def test_results_come_in_the_order_of_the_input_whatever_the_workers_do(
    workers: int, group: int
) -> None:
    def slow_at_first(value: int) -> int:
        time.sleep(0.02 / (value + 1))
        return value

    told: list[tuple[str, int]] = []
    summary = run(
        7,
        prepare=slow_at_first,
        group=group,
        executor=Local(workers),
        on_result=lambda item, result: told.append((item.key, result)),
    )
    assert told == [(str(n), 2 * n) for n in range(7)]
    assert (summary.done, summary.exit_code, str(summary)) == (7, 0, "7 done")


def test_without_work_the_prepared_value_is_the_result(tmp_path: Path) -> None:
    run(3, None, prepare=lambda value: value + 1, output=files(tmp_path))
    assert contents(tmp_path) == {"0": "1", "1": "2", "2": "3"}


def test_the_model_sees_groups_of_consecutive_items_and_only_in_this_thread() -> None:
    seen: list[list[int]] = []

    def work(values: list[int]) -> list[int]:
        assert threading.current_thread() is threading.main_thread()
        seen.append(values)
        return values

    run(7, work, group=3)
    assert seen == [[0, 1, 2], [3, 4, 5], [6]]


def test_groups_do_not_cross_shards(tmp_path: Path) -> None:
    seen: list[list[int]] = []

    def work(values: list[int]) -> list[int]:
        seen.append(values)
        return values

    output = Shards(tmp_path)
    run(7, work, group=2, output=output)
    assert seen == [[0, 1], [2], [3, 4], [5], [6]]
    assert output.flushed == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


def test_no_more_is_prepared_than_the_model_will_soon_need() -> None:
    prepared: list[int] = []
    lead: list[int] = []

    def prepare(value: int) -> int:
        prepared.append(value)
        return value

    def work(values: list[int]) -> list[int]:
        time.sleep(0.01)
        lead.append(len(prepared) - values[-1] - 1)
        return values

    run(40, work, prepare=prepare, group=2, executor=Local(3))
    assert max(lead) <= 3 * 2 + 2


def test_the_model_is_loaded_once_and_only_where_there_is_work(tmp_path: Path) -> None:
    loads: list[int] = []
    for _ in range(2):
        run(3, setup=lambda: loads.append(1), output=files(tmp_path))
    assert loads == [1]


def test_two_items_of_one_key_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="same key"):
        map_items([Item("a", 1), Item("a", 2)], double, reporter=Silent())


def test_a_result_is_told_only_once_it_is_on_disk(tmp_path: Path) -> None:
    def told(item: Item, result: int) -> None:
        assert (tmp_path / f"{item.key}.txt").read_text() == str(result)
        assert Journal.read(tmp_path).done(item.key, item.identity, "")

    assert run(3, output=files(tmp_path), on_result=told).done == 3


# resume


def test_a_second_run_does_nothing_and_says_so(tmp_path: Path) -> None:
    run(3, output=files(tmp_path))
    reporter = Silent()
    summary = run(3, work=None, output=files(tmp_path), reporter=reporter)
    assert (summary.done, summary.skipped, summary.exit_code) == (0, 3, 0)
    assert (
        reporter.lines == ["3 items were done before"] and str(summary) == "0 done, 3 done before"
    )


def test_new_items_are_done_beside_old_ones(tmp_path: Path) -> None:
    run(2, output=files(tmp_path))
    summary = run(4, output=files(tmp_path))
    assert (summary.done, summary.skipped) == (2, 2) and len(contents(tmp_path)) == 4


@pytest.mark.parametrize("change", ["identity", "fingerprint", "file gone", "force"])
def test_what_is_not_the_same_any_more_is_done_again(tmp_path: Path, change: str) -> None:
    items = [Item("a", 1, {"size": 1})]
    map_items(items, double, output=files(tmp_path), reporter=Silent(), fingerprint="f")
    if change == "identity":
        items = [Item("a", 5, {"size": 2})]
    if change == "file gone":
        (tmp_path / "a.txt").unlink()
    summary = map_items(
        items,
        double,
        output=files(tmp_path),
        reporter=Silent(),
        fingerprint="g" if change == "fingerprint" else "f",
        force=change == "force",
    )
    assert summary.done == 1
    assert contents(tmp_path) == {"a": "10" if change == "identity" else "2"}


def test_an_output_may_refuse_what_other_settings_made(tmp_path: Path) -> None:
    class Store(Shards):
        def check(self, fingerprint: str) -> None:
            raise FeatureError(f"encoder tiny there, {fingerprint} here")

    with pytest.raises(FeatureError, match="tiny there, clip here"):
        run(1, output=Store(tmp_path), fingerprint="clip")


def test_a_folder_in_which_another_run_works_is_refused(tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(OutputError, match="in use by"):
        run(1, output=files(tmp_path))


def test_a_shard_that_was_not_kept_is_done_again_whole(tmp_path: Path) -> None:
    def stop_at_four(values: list[int]) -> list[int]:
        if 4 in values:
            raise KeyboardInterrupt
        return values

    with pytest.raises(KeyboardInterrupt):
        run(7, stop_at_four, output=Shards(tmp_path))
    again = Shards(tmp_path)
    summary = run(7, output=again)
    assert again.flushed == [["3", "4", "5"], ["6"]]
    assert (summary.done, summary.skipped) == (4, 3)


# failures


def test_an_item_that_fails_costs_itself_only(tmp_path: Path) -> None:
    reporter = Silent()
    prepare = failing({1: VideoError("b.mp4: no frame decodes")})
    summary = run(3, prepare=prepare, output=files(tmp_path), reporter=reporter)
    assert contents(tmp_path) == {"0": "0", "2": "4"}
    assert reporter.lines == ["failed: 1: b.mp4: no frame decodes"]
    assert (summary.exit_code, summary.failed[0].error) == (3, "VideoError")
    entry = Journal.read(tmp_path).entry("1")
    assert entry and (entry.status, entry.error, entry.permanent) == ("failed", "VideoError", True)


def test_a_run_in_which_nothing_succeeds_is_a_failure(tmp_path: Path) -> None:
    prepare = failing({0: InputError("no"), 1: InputError("no")})
    assert run(2, prepare=prepare).exit_code == 4
    run(3, output=files(tmp_path))
    assert run(2, prepare=prepare, output=files(tmp_path), force=True).exit_code == 4


def test_nothing_new_but_something_from_before_is_a_partial_success(tmp_path: Path) -> None:
    run(1, output=files(tmp_path))
    summary = run(2, prepare=failing({1: InputError("no")}), output=files(tmp_path))
    assert (summary.done, summary.skipped, summary.exit_code) == (0, 1, 3)


def test_the_work_may_refuse_one_item_of_a_group() -> None:
    def work(values: list[int]) -> list[Any]:
        return [InputError("too dark") if value == 1 else value for value in values]

    summary = run(3, work, group=3)
    assert [(f.key, f.reason) for f in summary.failed] == [("1", "too dark")]
    assert summary.done == 2


def test_when_a_group_fails_the_culprit_is_found() -> None:
    sizes: list[int] = []

    def work(values: list[int]) -> list[int]:
        sizes.append(len(values))
        if 4 in values:
            raise VideoError("that one")
        return values

    summary = run(6, work, group=3)
    assert [f.key for f in summary.failed] == ["4"] and summary.done == 5
    assert sizes == [3, 3, 1, 1, 1]


@pytest.mark.parametrize("place", ["prepare", "work", "write"])
def test_a_bug_is_written_down_and_the_rest_goes_on(tmp_path: Path, place: str) -> None:
    def broken(value: int) -> Any:
        return value // 0 if value == 1 else value

    kwargs: dict[str, Any] = {"prepare": broken} if place == "prepare" else {}
    work = (lambda values: [broken(v) for v in values]) if place == "work" else double
    output = files(tmp_path)
    if place == "write":
        output = FilesOutput(
            tmp_path, lambda i: Path(f"{i.key}.txt"), lambda r: str(broken(r // 2)).encode()
        )
    reporter = Silent()
    summary = run(3, work, output=output, reporter=reporter, group=2, **kwargs)
    assert (summary.done, summary.bugs, summary.exit_code) == (2, 1, 1)
    assert "a bug in vcap: ZeroDivisionError" in reporter.lines[0]
    log = (tmp_path / ".vcap" / "log").read_text()
    assert "Traceback" in log and "in broken" in log
    entry = Journal.read(tmp_path).entry("1")
    assert entry and (entry.status, entry.permanent) == ("bug", False)


def test_a_bug_without_an_output_folder_is_told_where_more_was_asked_for() -> None:
    reporter = Silent()
    reporter.verbose = True
    summary = run(2, prepare=failing({0: KeyError("x")}), reporter=reporter)
    assert summary.exit_code == 1 and any("Traceback" in line for line in reporter.lines)


def test_results_that_do_not_match_the_items_are_our_bug() -> None:
    summary = run(2, lambda values: [1], group=2)
    assert summary.bugs == 2 and "1 results for 2 items" in summary.failed[0].reason


def test_a_bug_while_a_shard_is_kept_costs_the_whole_shard(tmp_path: Path) -> None:
    class Broken(Shards):
        def flush(self) -> list[Item]:
            if self.open[0][0].key == "0":
                self.open = []
                raise ZeroDivisionError
            return super().flush()

    summary = run(5, output=Broken(tmp_path))
    assert [f.key for f in summary.failed] == ["0", "1", "2"] and summary.done == 2


def test_an_output_that_forgets_an_item_is_found_out(tmp_path: Path) -> None:
    class Forgetful(Shards):
        def flush(self) -> list[Item]:
            return super().flush()[:-1]

    summary = run(3, output=Forgetful(tmp_path))
    assert [f.key for f in summary.failed] == ["2"] and summary.bugs == 1


@pytest.mark.parametrize(
    "error",
    [
        OutputError("disk full"),
        DeviceError("no GPU"),
        UnavailableError("no weights"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
@pytest.mark.parametrize("place", ["prepare", "work", "setup", "write"])
def test_what_no_item_can_help_ends_the_run_and_leaves_what_is_kept(
    tmp_path: Path, error: Exception, place: str
) -> None:
    calls: list[int] = []

    def fail(value: int) -> int:
        calls.append(value)
        if value == 2:
            raise error
        return value

    def setup() -> None:
        if place == "setup":
            raise error

    output = files(tmp_path)
    if place == "write":
        output = FilesOutput(
            tmp_path, lambda i: Path(f"{i.key}.txt"), lambda r: str(fail(r // 2)).encode()
        )
    work = (lambda values: [2 * fail(v) for v in values]) if place == "work" else double
    prepare = fail if place == "prepare" else None
    with pytest.raises(type(error)):
        try:
            run(4, work, prepare=prepare, output=output, setup=setup)
        except OutputError as told:
            if isinstance(error, OSError):
                assert "full" in str(told)
                raise error from told
            raise
    assert contents(tmp_path) == ({} if place == "setup" else {"0": "0", "1": place_value(place)})
    assert run(4, output=files(tmp_path)).exit_code == 0
    assert contents(tmp_path)["3"] == "6"


def place_value(place: str) -> str:
    return "1" if place == "write" else "2"


def test_stop_on_error_keeps_what_came_before(tmp_path: Path) -> None:
    prepare = failing({2: InputError("no"), 4: InputError("no")})
    summary = run(6, prepare=prepare, output=files(tmp_path), on_error="stop", group=4)
    assert list(contents(tmp_path)) == ["0", "1"]
    assert (summary.stopped, summary.exit_code, len(summary.failed)) == (True, 3, 1)


def test_stop_on_error_goes_past_what_failed_before(tmp_path: Path) -> None:
    prepare = failing({0: InputError("no")})
    assert run(3, prepare=prepare, output=files(tmp_path), on_error="stop").exit_code == 3
    summary = run(3, prepare=prepare, output=files(tmp_path), on_error="stop")
    assert (summary.done, len(summary.failed), summary.stopped) == (2, 1, False)


def test_the_run_ends_after_as_many_failures_as_were_allowed() -> None:
    prepare = failing({n: InputError("no") for n in (1, 3, 5)})
    summary = run(8, prepare=prepare, max_errors=2)
    assert (summary.done, len(summary.failed), summary.stopped) == (2, 2, True)


def test_an_item_that_failed_is_told_again_and_not_tried_again(tmp_path: Path) -> None:
    run(3, prepare=failing({1: VideoError("broken")}), output=files(tmp_path))
    reporter, tried = Silent(), []
    summary = run(3, prepare=tried.append, output=files(tmp_path), reporter=reporter)
    assert tried == [] and summary.exit_code == 3 and summary.skipped == 2
    assert "1: broken (in an earlier run; --retry-failed tries again)" in reporter.lines[-1]


def test_failed_items_and_only_those_are_done_again_when_asked(tmp_path: Path) -> None:
    run(3, prepare=failing({1: VideoError("broken")}), output=files(tmp_path))
    (tmp_path / "0.txt").unlink()
    tried: list[int] = []
    summary = run(
        6, prepare=lambda v: tried.append(v) or v, output=files(tmp_path), retry_failed=True
    )
    assert tried == [1] and (summary.done, summary.exit_code) == (1, 0)
    assert run(3, output=files(tmp_path)).failed == []


def test_each_attempt_is_counted(tmp_path: Path) -> None:
    for _ in range(3):
        run(1, prepare=failing({0: InputError("no")}), output=files(tmp_path), retry_failed=True)
        run(1, prepare=failing({0: InputError("no")}), output=files(tmp_path))
    entry = Journal.read(tmp_path).entry("0")
    assert entry and entry.attempt == 3


@pytest.mark.parametrize("error", [TransientError("no network"), ZeroDivisionError()])
def test_what_may_pass_is_tried_again_by_the_next_run(tmp_path: Path, error: Exception) -> None:
    run(2, prepare=failing({1: error}), output=files(tmp_path))
    assert run(2, output=files(tmp_path)).exit_code == 0
    assert contents(tmp_path) == {"0": "0", "1": "2"}


def test_a_failed_item_whose_input_changed_is_tried_again(tmp_path: Path) -> None:
    run(2, prepare=failing({1: VideoError("broken")}), output=files(tmp_path))
    items = [Item("0", 0, {"id": 0}), Item("1", 1, {"id": 1, "size": 9})]
    summary = map_items(items, double, output=files(tmp_path), reporter=Silent())
    assert (summary.done, summary.failed) == (1, [])


def test_a_failed_item_does_not_hold_up_its_shard(tmp_path: Path) -> None:
    output = Shards(tmp_path)
    run(5, prepare=failing({1: VideoError("broken")}), output=output)
    assert output.flushed == [["0", "2"], ["3", "4"]]
    again = Shards(tmp_path)
    assert run(5, output=again).exit_code == 3 and again.flushed == []


# memory


def test_a_group_that_does_not_fit_into_memory_is_halved_for_good() -> None:
    sizes: list[int] = []

    def work(values: list[int]) -> list[int]:
        sizes.append(len(values))
        if len(values) > 2:
            raise OutOfMemoryError("CUDA out of memory")
        return values

    reporter = Silent()
    summary = run(16, work, group=8, reporter=reporter)
    assert summary.done == 16 and sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert summary.warnings == [line.removeprefix("warning: ") for line in reporter.lines]


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemoryError()])
def test_one_item_that_does_not_fit_is_a_failure_of_the_device(error: Exception) -> None:
    def work(values: list[int]) -> list[int]:
        raise error

    with pytest.raises(DeviceError, match="single item") as caught:
        run(2, work, group=2)
    assert caught.value.exit_code == 6 and caught.value.hint


def test_memory_that_runs_out_while_preparing_costs_the_item() -> None:
    summary = run(2, prepare=failing({0: MemoryError()}))
    assert "memory" in summary.failed[0].reason and summary.exit_code == 3


def test_the_default_plan_is_every_item_by_itself() -> None:
    items = numbered(3)
    assert one_by_one(items, lambda item: item.key == "1") == [[items[0]], [items[2]]]
