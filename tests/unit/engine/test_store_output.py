"""Shards: who is in which, when they are written, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vcap.engine.outputs import Item
from vcap.engine.reporter import Silent
from vcap.engine.store_output import Encoded, StoreOutput, refuse_other
from vcap.errors import FeatureError
from vcap.features.store import FeatureStore

MADE_BY: dict[str, Any] = {
    "encoder": {"name": "a", "weights": "w1", "features": "embedding"},
    "sampler": "fps 1",
    "decoder": "build 1",
}


def opened(folder: Path, size: int = 2) -> StoreOutput:
    """An output after its check, as `map_items` leaves it before the plan."""
    (folder / ".vcap").mkdir(parents=True, exist_ok=True)
    output = StoreOutput(folder, MADE_BY, 3, Silent(), size)
    output.check("")
    return output


def items(*keys: str) -> list[Item]:
    return [Item(key, None) for key in keys]


def encoded(value: float) -> Encoded:
    return Encoded(np.full((2, 3), value, np.float16), np.arange(2, dtype=np.float32))


def keep(output: StoreOutput, wanted: list[Item], done: tuple[str, ...] = ()) -> list[list[str]]:
    """Write all that is to do; gives the keys that became safe at each step."""
    safe = []
    for unit in output.plan(wanted, lambda item: item.key in done):
        for item in unit:
            safe.append([one.key for one in output.write(item, encoded(ord(item.key[0])))])
        safe.append([one.key for one in output.flush()])
    return [keys for keys in safe if keys]


def test_a_shard_is_safe_when_its_last_video_is(tmp_path: Path) -> None:
    output = opened(tmp_path)
    assert keep(output, items("a", "b", "c", "d", "e")) == [["a", "b"], ["c", "d"], ["e"]]
    assert FeatureStore(tmp_path).members() == {0: ["a", "b"], 1: ["c", "d"], 2: ["e"]}


def test_a_store_can_be_read_before_its_first_shard(tmp_path: Path) -> None:
    opened(tmp_path)
    store = FeatureStore(tmp_path)
    assert (len(store), store.width, store.fingerprint) == (0, 3, MADE_BY)


def test_members_stay_where_they_were_planned_though_nothing_was_written(tmp_path: Path) -> None:
    opened(tmp_path).plan(items("a", "b", "c"), lambda _: False)
    units = opened(tmp_path).plan(items("c", "a", "b"), lambda _: False)
    assert [[item.key for item in unit] for unit in units] == [["a", "b"], ["c"]]


def test_a_video_that_is_done_later_joins_those_that_are_there(tmp_path: Path) -> None:
    output = opened(tmp_path, size=3)
    units = output.plan(items("a", "b", "c"), lambda _: False)
    for item in units[0]:
        if item.key != "b":  # failed
            output.write(item, encoded(ord(item.key)))
    output.flush()
    assert keep(opened(tmp_path, size=3), items("a", "b", "c"), done=("a", "c")) == [["b"]]
    store = FeatureStore(tmp_path)
    assert store.ids == ["a", "b", "c"]
    assert [float(store.features(key)[0, 0]) for key in store] == [97, 98, 99]


def test_a_shard_of_failures_only_is_no_file(tmp_path: Path) -> None:
    output = opened(tmp_path)
    output.plan(items("a", "b"), lambda _: False)
    assert output.flush() == []
    assert not list(tmp_path.glob("shard-*"))


def test_a_done_video_names_the_file_that_must_still_be_there(tmp_path: Path) -> None:
    output = opened(tmp_path)
    keep(output, items("a", "b", "c"))
    assert output.files(Item("c", None)) == ("shard-00001.safetensors",)


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    opened(tmp_path)
    leftover = tmp_path / ".vcap-0123456789abcdef.part.safetensors"
    leftover.write_bytes(b"half")
    opened(tmp_path)
    assert not leftover.exists()


@pytest.mark.parametrize("content", ["{", "[1]", '{"x": ["a"]}', '{"0": 5}'])
def test_a_damaged_list_of_members_is_told_with_what_mends_it(tmp_path: Path, content: str) -> None:
    keep(opened(tmp_path), items("a", "b", "c"))
    (tmp_path / ".vcap" / "shards.json").write_text(content)
    with pytest.raises(FeatureError, match=r"shards\.json") as caught:
        opened(tmp_path)
    assert str(caught.value.hint).startswith("rm ")
    (tmp_path / ".vcap" / "shards.json").unlink()  # as the hint says
    assert opened(tmp_path).files(Item("c", None)) == ("shard-00001.safetensors",)


@pytest.mark.parametrize(
    ("change", "sides"),
    [
        ({"sampler": "uniform 4"}, ("sampler fps 1", "sampler uniform 4")),
        ({"encoder": {**MADE_BY["encoder"], "weights": "w2"}}, ("weights w1", "weights w2")),
        (
            {"encoder": {**MADE_BY["encoder"], "name": "b", "features": "grid"}},
            ("encoder b", "grid"),
        ),
        ({"encoder": {**MADE_BY["encoder"], "preprocess": {"size": 8}}}, ("preprocess", "size")),
    ],
)
def test_other_features_are_refused_and_both_sides_named(
    change: dict[str, Any], sides: tuple[str, str]
) -> None:
    with pytest.raises(FeatureError) as caught:
        refuse_other(Path("feats"), MADE_BY, {**MADE_BY, **change})
    assert all(side in str(caught.value) for side in ("feats", *sides))


@pytest.mark.parametrize(
    "change", [{"decoder": "build 2"}, {"encoder": {**MADE_BY["encoder"], "name": "other"}}]
)
def test_names_and_builds_are_no_reason_to_refuse(change: dict[str, Any]) -> None:
    refuse_other(Path("feats"), MADE_BY, {**MADE_BY, **change})


def test_members_survive_odd_names(tmp_path: Path) -> None:
    odd = "a\udcff/\u2603 \\ b"
    keep(opened(tmp_path), items(odd))
    assert json.loads((tmp_path / ".vcap" / "shards.json").read_text()) == {"0": [odd]}
    assert opened(tmp_path).files(Item(odd, None)) == ("shard-00000.safetensors",)
