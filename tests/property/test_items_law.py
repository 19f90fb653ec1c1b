"""However a run over items is cut up, stopped and failed, what it leaves is the same."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vcap.engine.executor import Local
from vcap.engine.interrupt import StopRequest
from vcap.engine.items import Item, Summary, map_items
from vcap.engine.reporter import Silent
from vcap.errors import VideoError


class Shards:
    """Some items in one file."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size
        self.open: list[tuple[Item, str]] = []

    def plan(self, items: Sequence[Item], done: Callable[[Item], bool]) -> list[list[Item]]:
        starts = range(0, len(items), self.size)
        units = [list(items[start : start + self.size]) for start in starts]
        return [unit for unit in units if not all(map(done, unit))]

    def write(self, item: Item, result: str) -> list[Item]:
        self.open.append((item, result))
        return []

    def flush(self) -> list[Item]:
        kept, self.open = self.open, []
        if kept:
            place = int(kept[0][0].key) // self.size
            text = " ".join(f"{item.key}={result}" for item, result in kept)
            (self.folder / f"shard-{place}").write_text(text)
        return [item for item, _ in kept]


def run(
    folder: Path,
    count: int,
    broken: set[int],
    *,
    size: int,
    group: int,
    workers: int,
    told: Callable[[Item, Any], None],
    stop_at: int | None = None,
) -> Summary:
    stop = StopRequest()

    def prepare(value: int) -> int:
        if value in broken:
            raise VideoError("no frame decodes")
        return value

    def work(values: list[int]) -> list[str]:
        if stop_at in values:
            stop.request()
        return [f"{value}!" for value in values]

    return map_items(
        [Item(str(n), n, {"id": n}) for n in range(count)],
        work,
        prepare=prepare,
        output=Shards(folder, size),
        group=group,
        executor=Local(workers),
        reporter=Silent(),
        stop=stop,
        on_result=told,
    )


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("shard-*")}


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(0, 17),
    broken=st.sets(st.integers(0, 16), max_size=4),
    stops=st.lists(st.integers(0, 16), max_size=3),
    size=st.integers(1, 5),
    group=st.integers(1, 4),
    workers=st.integers(1, 3),
)
def test_a_run_in_pieces_leaves_what_a_run_in_one_piece_leaves(
    count: int, broken: set[int], stops: list[int], size: int, group: int, workers: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        told: list[str] = []
        folder = Path(place)
        for stop_at in [*stops, None]:
            summary = run(
                folder,
                count,
                broken,
                size=size,
                group=group,
                workers=workers,
                told=lambda item, result: told.append(f"{item.key}={result}"),
                stop_at=stop_at,
            )
        good = [n for n in range(count) if n not in broken]
        shards: dict[str, list[str]] = {}
        for n in good:
            shards.setdefault(f"shard-{n // size}", []).append(f"{n}={n}!")
        assert contents(folder) == {name: " ".join(texts) for name, texts in shards.items()}
        assert told == [f"{n}={n}!" for n in good], "each is told once, in order"
        assert summary.done + summary.skipped == len(good)
        assert {int(f.key) for f in summary.failed} == {n for n in broken if n < count}
