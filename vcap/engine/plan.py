"""What a run over items still has to do, from the journal of its output folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vcap.engine.journal import Entry, Journal
from vcap.engine.outputs import Item, Output, Units


@dataclass(frozen=True)
class Plan:
    """The items of a run, sorted by what has to happen with them.

    Attributes:
        units: still to do, in the order of the input; each unit is kept whole or not at all.
        skipped: done before, from the same input with the same settings.
        failed: failed before in a way that a new attempt would repeat; told again.
    """

    units: Units = ()
    skipped: Sequence[Item] = ()
    failed: Sequence[Entry] = ()

    @property
    def to_do(self) -> list[Item]:
        """The items of all units."""
        return [item for unit in self.units for item in unit]


@dataclass(frozen=True)
class Rules:
    """What counts as done.

    Attributes:
        fingerprint: digest of all settings that change a result.
        retry_failed: do what failed before, and only that.
        force: do everything again.
    """

    fingerprint: str = ""
    retry_failed: bool = False
    force: bool = False


def plan_items(
    items: Sequence[Item], output: Output | None, journal: Journal | None, rules: Rules
) -> Plan:
    """Ask journal and output what there is to do; also the answer of a dry run."""
    if output is None or journal is None:
        return Plan(units=[[item] for item in items])
    past = _Past(output, journal, rules)
    units = output.plan(items, lambda item: past.is_done(item) or past.is_settled(item))
    if rules.retry_failed:
        units = [unit for unit in units if any(past.is_failed(item) for item in unit)]
    units = [[item for item in unit if not past.is_settled(item)] for unit in units]
    left = {item.key for unit in units for item in unit}
    return Plan(
        units=[unit for unit in units if unit],
        skipped=[item for item in items if item.key not in left and past.is_done(item)],
        failed=[past.entry(item) for item in items if past.is_settled(item)],
    )


@dataclass
class _Past:
    """What the journal says about items."""

    output: Output
    journal: Journal
    rules: Rules
    _known: dict[str, bool] = field(default_factory=dict)

    def entry(self, item: Item) -> Entry:
        """The last entry of an item, or one that is about nothing."""
        return self.journal.entry(item.key) or Entry(item.key, "bug")

    def is_done(self, item: Item) -> bool:
        """Whether the item is done in this way and what it made is still there."""
        if self.rules.force:
            return False
        if item.key not in self._known:
            entry = self.entry(item)
            self._known[item.key] = (
                entry.status == "done"
                and entry.is_about(item.identity, self.rules.fingerprint)
                and all((self.output.folder / name).exists() for name in entry.files)
            )
        return self._known[item.key]

    def is_failed(self, item: Item) -> bool:
        """Whether the last attempt failed, for any reason."""
        entry = self.journal.entry(item.key)
        return entry is not None and entry.status != "done"

    def is_settled(self, item: Item) -> bool:
        """Whether the item failed and need not be tried again."""
        if self.rules.force or self.rules.retry_failed:
            return False
        entry = self.entry(item)
        return (
            entry.status == "failed"
            and entry.permanent
            and entry.is_about(item.identity, self.rules.fingerprint)
        )


@dataclass(frozen=True)
class Group:
    """Consecutive items that a model sees at once.

    Attributes:
        begin: how many items of the run come before it.
        unit_end: how many items come before the next unit; None where every item is a unit.
        ends_unit: whether a unit of several items ends with this group.
    """

    items: Sequence[Item]
    begin: int
    unit_end: int | None
    ends_unit: bool


def groups(units: Units, size: int) -> Iterator[Group]:
    """Cut units into groups; a group never crosses the border of a unit of several items."""
    begin = 0
    for unit, is_whole in _joined(units):
        for start in range(0, len(unit), size):
            items = unit[start : start + size]
            end = begin + len(unit) if is_whole else None
            yield Group(items, begin + start, end, is_whole and start + size >= len(unit))
        begin += len(unit)


def _joined(units: Units) -> Iterator[tuple[Sequence[Item], bool]]:
    """Units of several items as they are, and neighbours of one item as one list."""
    singles: list[Item] = []
    for unit in units:
        if len(unit) == 1:
            singles.extend(unit)
            continue
        if singles:
            yield singles, False
            singles = []
        yield unit, True
    if singles:
        yield singles, False
