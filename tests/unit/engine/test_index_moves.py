"""An index follows its stores and videos wherever they go: who holds a video now."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.index_tools import features_of, make_store
from vcap.engine.files import write_atomic
from vcap.engine.index import index
from vcap.engine.inputs import gather, to_items
from vcap.engine.reporter import Silent
from vcap.engine.store_records import keep_records
from vcap.errors import FeatureError, InputError
from vcap.features.index import Index
from vcap.features.shard import shard_bytes


class Told(Silent):
    """Keeps warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)


def store_of(folder: Path, names: str, first: int = 0) -> Path:
    """A store of files that are there, beside the folder of the files."""
    media = folder / "media"
    media.mkdir(parents=True, exist_ok=True)
    for name in names:
        (media / f"{name}.mp4").write_bytes(name.encode())
    items = to_items(gather([str(media / f"{name}.mp4") for name in names]))
    make_store(folder / "store", [item.key for item in items], first=first, records=False)
    keep_records(folder / "store", items)
    return folder / "store"


@pytest.fixture
def renamed(tmp_path: Path) -> Path:
    """A store that was renamed since it was indexed."""
    index([make_store(tmp_path / "s1", ["a", "b"])], tmp_path / "index")
    (tmp_path / "s1").rename(tmp_path / "s 2")
    return tmp_path / "s 2"


def test_a_store_that_is_gone_is_told_with_the_command_that_follows_it(
    vcap: Any, tmp_path: Path, renamed: Path
) -> None:
    result = vcap("index", "-o", tmp_path / "index", "--sync")
    assert result.exit_code == 4
    assert f"{tmp_path / 's1'}: the index was made of this store" in result.stderr
    assert f"vcap index NEW_STORE -o {tmp_path / 'index'} --sync" in result.stderr


@pytest.mark.parametrize("flag", ["--sync", "--add"])
def test_a_store_that_was_renamed_is_followed(
    vcap: Any, tmp_path: Path, renamed: Path, flag: str
) -> None:
    make_store(renamed, ["c"], first=7, shard=1)
    before = Index.open(tmp_path / "index").vector("b")
    result = vcap("index", renamed, "-o", tmp_path / "index", flag)
    assert result.exit_code == 0, result.stderr
    assert "videos: 1 added, 2 moved; 3 in the index" in result.stderr
    found = Index.open(tmp_path / "index")
    assert found.header.stores == [str(renamed)]
    assert {found.line_of(number)["store"] for number in range(3)} == {str(renamed)}
    np.testing.assert_array_equal(found.vector("b"), before)
    again = vcap("index", "-o", tmp_path / "index", "--sync")
    assert (again.exit_code, "nothing to do" in again.stderr) == (0, True)


def test_what_changed_while_the_store_was_renamed_is_done_again(
    tmp_path: Path, renamed: Path
) -> None:
    (renamed / "shard-00000.safetensors").unlink()
    make_store(renamed, ["a"])
    make_store(renamed, ["b"], first=50, shard=1)
    done = index([renamed], tmp_path / "index", sync=True)
    assert done.counts == {"added": 0, "removed": 0, "changed": 1, "moved": 1}
    np.testing.assert_array_equal(Index.open(tmp_path / "index").frames_of("b")[0], features_of(50))


def test_a_video_of_a_store_that_is_gone_stays_where_nobody_has_it(tmp_path: Path) -> None:
    one = make_store(tmp_path / "one", ["a", "b"])
    index([one], tmp_path / "index")
    shutil.rmtree(one)
    other, reporter = make_store(tmp_path / "other", ["b"], first=1), Told()
    done = index([other], tmp_path / "index", sync=True, reporter=reporter)
    assert (done.counts["moved"], done.counts["removed"]) == (1, 0)
    assert Index.open(tmp_path / "index").ids == ["a", "b"]
    (said,) = reporter.said
    assert said.startswith(f"a: the store {one} is no longer there")
    assert done.header.stores == [str(one), str(other)]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two indexed stores; then the second video of the first went over to the other."""
    one, two = store_of(tmp_path / "A", "ab"), store_of(tmp_path / "B", "c", first=5)
    index([one, two], tmp_path / "index")
    os.rename(tmp_path / "A" / "media" / "b.mp4", tmp_path / "B" / "media" / "b.mp4")
    items = to_items(gather([str(tmp_path / "B" / "media" / "b.mp4")]))
    rows = [("b.mp4", features_of(1), np.arange(3, dtype=np.float32))]
    write_atomic(two / "shard-00001.safetensors", shard_bytes(rows))
    keep_records(two, items)
    return one, two


@pytest.mark.parametrize("named", [(), (0, 1), (1,)])
@pytest.mark.parametrize("mode", ["sync", "add"])
def test_a_video_that_went_over_to_another_store_is_followed(
    tmp_path: Path, two: tuple[Path, Path], named: tuple[int, ...], mode: str
) -> None:
    stores = [two[number] for number in named] or ([] if mode == "sync" else [*two])
    reporter = Told()
    done = index(stores, tmp_path / "index", reporter=reporter, **{mode: True})
    counts = {what: count for what, count in done.counts.items() if count}
    assert (counts, reporter.said) == ({"moved": 1}, [])
    found = Index.open(tmp_path / "index")
    assert found.ids == ["a.mp4", "b.mp4", "c.mp4"]
    assert found.record_of(1)["path"] == str(tmp_path / "B" / "media" / "b.mp4")
    assert found.line_of(1)["store"] == str(two[1])
    assert not index([], tmp_path / "index", sync=True).is_new


def test_an_index_is_built_anew_of_stores_between_which_a_video_went(
    tmp_path: Path, two: tuple[Path, Path]
) -> None:
    index([*two], tmp_path / "index", force=True)
    found = Index.open(tmp_path / "index")
    assert found.ids == ["a.mp4", "c.mp4", "b.mp4"]
    assert found.record_of(2)["path"] == str(tmp_path / "B" / "media" / "b.mp4")
    assert not index([*two], tmp_path / "index").is_new


def test_all_videos_of_a_store_may_go_over_to_another(
    tmp_path: Path, two: tuple[Path, Path]
) -> None:
    os.rename(tmp_path / "A" / "media" / "a.mp4", tmp_path / "B" / "media" / "a.mp4")
    items = to_items(gather([str(tmp_path / "B" / "media" / "a.mp4")]))
    rows = [("a.mp4", features_of(0), np.arange(3, dtype=np.float32))]
    write_atomic(two[1] / "shard-00002.safetensors", shard_bytes(rows))
    keep_records(two[1], items)
    assert index([], tmp_path / "index", sync=True).counts["moved"] == 2


@pytest.mark.parametrize(
    ("mode", "named"),
    [("sync", (0, 1)), ("sync", (1,)), ("add", (0, 1)), ("add", (1,)), ("force", (0, 1))],
)
def test_a_video_that_lies_in_two_stores_is_refused_with_a_way_out(
    tmp_path: Path, two: tuple[Path, Path], mode: str, named: tuple[int, ...]
) -> None:
    shutil.copy(tmp_path / "B" / "media" / "b.mp4", tmp_path / "A" / "media" / "b.mp4")
    with pytest.raises(FeatureError, match=r"'b\.mp4' is in .*A.store and in .*B.store|B.*A") as no:
        index([two[number] for number in named], tmp_path / "index", **{mode: True})
    assert no.value.hint and no.value.hint.startswith(f"vcap index {tmp_path}")


def test_a_video_that_went_is_told_once(tmp_path: Path) -> None:
    store = store_of(tmp_path, "abc")
    index([store], tmp_path / "index")
    (tmp_path / "media" / "b.mp4").unlink()
    said = []
    for _ in range(2):
        reporter = Told()
        index([], tmp_path / "index", sync=True, reporter=reporter)
        said.append(reporter.said)
    assert said == [["b.mp4 went: no such file; no longer in the index"], []]


def test_a_drive_that_is_absent_takes_out_nothing(tmp_path: Path) -> None:
    stores = [store_of(tmp_path / "A", "ab"), store_of(tmp_path / "my B", "c", first=5)]
    index(stores, tmp_path / "index")
    (tmp_path / "my B" / "media").rename(tmp_path / "unplugged")
    with pytest.raises(InputError, match="is a drive absent") as told:
        index([], tmp_path / "index", sync=True)
    assert told.value.hint and f"vcap index '{stores[1]}' -o" in told.value.hint
    assert len(Index.open(tmp_path / "index")) == 3


@pytest.fixture
def warns(vcap: Any, tmp_path: Path) -> Any:
    """Whether a search in the index says that a store has changed."""

    def asked() -> bool:
        result = vcap("retrieve", "--like", "a", "--index", tmp_path / "index", "-k", 1)
        assert result.exit_code == 0, result.stderr
        return "has changed since it was indexed" in result.stderr

    return asked


@pytest.mark.parametrize("words", [("--sync",), ("store",)])
def test_a_store_that_was_touched_is_told_of_until_the_index_followed_it(
    vcap: Any, warns: Any, tmp_path: Path, words: tuple[str, ...]
) -> None:
    store = make_store(tmp_path / "store", ["a", "b"])
    index([store], tmp_path / "index")
    assert not warns()
    os.utime(store / "shard-00000.safetensors", ns=(1, 2**62))
    assert warns()
    given = [store if word == "store" else word for word in words]
    assert "nothing to do" in vcap("index", *given, "-o", tmp_path / "index").stderr
    assert not warns()
    assert list((tmp_path / "index").glob("generation-*")) == [
        tmp_path / "index" / "generation-000001"
    ]


def test_a_shard_is_noticed_however_old_it_is_and_whichever_store_was_followed(
    warns: Any, tmp_path: Path
) -> None:
    one, two = make_store(tmp_path / "one", ["a"]), make_store(tmp_path / "two", ["b"], first=3)
    index([one, two], tmp_path / "index")
    make_store(one, ["c"], first=5, shard=1)
    os.utime(one / "shard-00001.safetensors", ns=(1, 1))
    assert warns()
    make_store(two, ["d"], first=6, shard=1)
    index([two], tmp_path / "index", sync=True)
    assert warns()
    index([], tmp_path / "index", sync=True)
    assert not warns()
    index([], tmp_path / "index", remove=["d"])
    assert not warns()


def test_adding_is_no_reason_to_be_silent_of_what_changed(
    vcap: Any, warns: Any, tmp_path: Path
) -> None:
    store = make_store(tmp_path / "store", ["a", "b"])
    index([store], tmp_path / "index")
    make_store(store, ["c"], first=5, shard=1)
    index([store], tmp_path / "index", add=True)
    assert not warns()
    (store / "shard-00001.safetensors").unlink()
    make_store(store, ["c"], first=50, shard=1)
    make_store(store, ["d"], first=6, shard=2)
    assert index([store], tmp_path / "index", add=True).counts == {"added": 1}
    assert warns()
    assert index([], tmp_path / "index", sync=True).counts["changed"] == 1
    assert not warns()


def test_an_index_that_knows_no_shards_goes_by_time_until_it_is_followed(
    warns: Any, tmp_path: Path
) -> None:
    store = make_store(tmp_path / "store", ["a", "b"])
    index([store], tmp_path / "index")
    path = tmp_path / "index" / "index.json"
    said = json.loads(path.read_text())
    del said["shards"]  # as it was written before there were such
    path.write_text(json.dumps(said))
    assert not warns()
    os.utime(path, ns=(1, 1))
    assert warns()
    index([], tmp_path / "index", sync=True)
    assert not warns()


def test_a_store_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", ["a"])
    again = tmp_path / "x" / ".." / "store"
    (tmp_path / "x").mkdir()
    assert index([store, again], tmp_path / "index").header.num_videos == 1
