from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vcap.engine.journal import Entry, Journal
from vcap.engine.outputs import FilesOutput, Item
from vcap.engine.plan import Rules, groups, plan_items


def items_of(keys: str) -> list[Item]:
    return [Item(key, key, {"id": key}) for key in keys]


def journal_of(folder: Path, **status: Any) -> Journal:
    journal = Journal.open(folder)
    journal.append([Entry(k, s, {"id": k}, reason="r") for k, s in status.items()])
    journal.close()
    return journal


def output(folder: Path) -> FilesOutput:
    return FilesOutput(folder, lambda item: Path(item.key), bytes)


class Pairs:
    """Keeps two items at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def plan(self, items: Sequence[Item], done: Callable[[Item], bool]) -> list[list[Item]]:
        pairs = [list(items[i : i + 2]) for i in range(0, len(items), 2)]
        return [pair for pair in pairs if not all(map(done, pair))]

    def write(self, item: Item, result: Any) -> list[Item]:
        return []

    def flush(self) -> list[Item]:
        return []


def keys(units: Sequence[Sequence[Item]]) -> list[str]:
    return ["".join(item.key for item in unit) for unit in units]


def test_a_plan_sorts_items_into_to_do_done_and_failed(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, a="done", b="failed", c="bug")
    plan = plan_items(items_of("abcd"), output(tmp_path), journal, Rules())
    assert keys(plan.units) == ["c", "d"]
    assert [item.key for item in plan.skipped] == ["a"]
    assert [entry.key for entry in plan.failed] == ["b"]


def test_force_does_everything(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, a="done", b="failed")
    plan = plan_items(items_of("abc"), output(tmp_path), journal, Rules(force=True))
    assert keys(plan.units) == ["a", "b", "c"] and not plan.skipped and not plan.failed


def test_a_retry_does_what_failed_and_no_new_item(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, a="done", b="failed", c="bug")
    plan = plan_items(items_of("abcd"), output(tmp_path), journal, Rules(retry_failed=True))
    assert keys(plan.units) == ["b", "c"] and [item.key for item in plan.skipped] == ["a"]


def test_a_shard_is_planned_without_the_item_that_failed(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, a="done", b="failed", c="failed")
    plan = plan_items(items_of("abcd"), Pairs(tmp_path), journal, Rules())
    assert keys(plan.units) == ["d"]
    retry = plan_items(items_of("abcd"), Pairs(tmp_path), journal, Rules(retry_failed=True))
    assert keys(retry.units) == ["ab", "cd"]


def test_a_dry_run_touches_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    plan = plan_items(items_of("ab"), output(folder), Journal.read(folder), Rules())
    assert keys(plan.units) == ["a", "b"] and not folder.exists()


def test_without_an_output_everything_is_to_do() -> None:
    assert keys(plan_items(items_of("ab"), None, None, Rules()).units) == ["a", "b"]


def test_single_items_are_grouped_and_shards_are_not_mixed() -> None:
    units = [items_of(unit) for unit in ["a", "b", "c", "def", "g", "hi"]]
    found = [("".join(i.key for i in g.items), g.unit_end) for g in groups(units, 2)]
    assert found == [("ab", None), ("c", None), ("de", 6), ("f", 6), ("g", None), ("hi", 9)]


def test_a_group_knows_where_it_begins_and_whether_its_unit_ends() -> None:
    units = [items_of(unit) for unit in ["a", "bcd"]]
    assert [(g.begin, g.ends_unit) for g in groups(units, 2)] == [(0, False), (1, False), (3, True)]
