"""Where results of items go, and when they count as kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vcap.engine.files import ensure_folder, sweep, write_atomic


@dataclass(frozen=True)
class Item:
    """One piece of work.

    Attributes:
        key: its name in the journal, unique in the run.
        value: what the work is done on.
        identity: what "the same input" means (id, size, time, segment); goes through JSON.
    """

    key: str
    value: Any
    identity: dict[str, Any] = field(default_factory=dict)


Units = Sequence[Sequence[Item]]
IsDone = Callable[[Item], bool]


class Output(Protocol):
    """Keeps results in a folder. May also have `check(fingerprint)`, see `Checked`."""

    folder: Path

    def plan(self, items: Sequence[Item], done: IsDone) -> Units:
        """The items still to do, in their order, in units that are kept whole or not at all.

        `flush` follows the last item of every unit, failed items or not; by then all its results
        must be safe. None follows in a unit that was cut short (a stop): it is done again whole.
        """
        ...

    def write(self, item: Item, result: Any) -> list[Item]:
        """Take a result; gives the items that are safe on disk from now on."""
        ...

    def flush(self) -> list[Item]:
        """Keep the unit that ends here; gives the items that are safe from now on."""
        ...


@runtime_checkable
class Checked(Protocol):
    """An output that can refuse what was made with other settings."""

    def check(self, fingerprint: str) -> None:
        """Refuse settings that do not fit what is there, naming both; before any work.

        Raises:
            FeatureError: what is there was made with other settings.
        """
        ...


@runtime_checkable
class Listed(Protocol):
    """An output that can say which files an item made; the journal keeps the names."""

    def files(self, item: Item) -> tuple[str, ...]:
        """Names below the folder that must be there for the item to count as done."""
        ...


@runtime_checkable
class Forgetful(Protocol):
    """An output that takes back what it kept of an item whose last attempt failed."""

    def forget(self, key: str) -> None:
        """Take back what is kept of an item, if anything is; every run tells it again."""
        ...


@runtime_checkable
class Finished(Protocol):
    """An output that has something to do at the end of a run, while the folder is locked."""

    def finish(self) -> None:
        """Make what can only be made when all that this run does is done."""
        ...


def one_by_one(items: Sequence[Item], done: IsDone) -> Units:
    """The plan of outputs that keep every item by itself."""
    return [[item] for item in items if not done(item)]


class FilesOutput:
    """One file an item, written whole."""

    def __init__(
        self,
        folder: Path,
        path_of: Callable[[Item], Path],
        to_bytes: Callable[[Any], bytes],
    ) -> None:
        """Write `to_bytes(result)` to `path_of(item)`, a path below the folder."""
        self.folder = folder
        self._path_of = path_of
        self._to_bytes = to_bytes
        self._swept: set[Path] = set()

    def path(self, item: Item) -> Path:
        """Where the file of an item is."""
        return self.folder / self._path_of(item)

    def plan(self, items: Sequence[Item], done: IsDone) -> Units:
        """Every item by itself."""
        return one_by_one(items, done)

    def write(self, item: Item, result: Any) -> list[Item]:
        """Write the file; the item is safe at once."""
        path = self.path(item)
        if path.parent not in self._swept:
            sweep(ensure_folder(path.parent))
            self._swept.add(path.parent)
        write_atomic(path, self._to_bytes(result))
        return [item]

    def flush(self) -> list[Item]:
        """Nothing waits."""
        return []

    def files(self, item: Item) -> tuple[str, ...]:
        """The one file of an item."""
        return (str(self._path_of(item)),)
