"""Building an index and following its stores: what is in it afterwards, and what is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.index_tools import ENCODER, WIDTH, features_of, make_index, make_store
from vcap.engine.files import write_atomic
from vcap.engine.fingerprint import file_identity
from vcap.engine.index import index
from vcap.engine.inputs import gather, to_items
from vcap.engine.journal import Entry, Journal
from vcap.engine.reporter import Silent
from vcap.engine.store_records import keep_records, stored_records
from vcap.errors import FeatureError, InputError, UsageError
from vcap.features.index import Index
from vcap.features.index_search import unit
from vcap.features.shard import shard_bytes

MANY = [f"v{number:03}" for number in range(300)]


class Told(Silent):
    """Keeps warnings and messages."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)

    def info(self, text: str) -> None:
        """Keep it too."""
        self.said.append(text)


def videos_in(folder: Path, names: str) -> Path:
    """A store of files that are there, with records and a journal as `encode` leaves them."""
    media = folder / "media"
    media.mkdir(exist_ok=True)
    for name in names:
        (media / f"{name}.mp4").write_bytes(name.encode())
    items = to_items(gather([str(media / f"{name}.mp4") for name in names]))
    store = make_store(folder / "store", [item.key for item in items], records=False)
    keep_records(store, items)
    journal = Journal.open(store)
    journal.append([Entry(item.key, "done", item.identity) for item in items])
    journal.close()
    return store


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivfpq"])
def test_every_kind_can_be_built_added_to_and_taken_from(tmp_path: Path, kind: str) -> None:
    found = make_index(tmp_path, MANY, kind=kind)
    make_store(tmp_path / "store", ["new1", "new2"], first=900, shard=1)
    added = index([tmp_path / "store"], tmp_path / "index", add=True)
    assert (added.counts, added.header.kind) == ({"added": 2}, kind)
    index([], tmp_path / "index", remove=["v000", "v150", "new1"])
    found = Index.open(tmp_path / "index")
    wanted = [name for name in [*MANY, "new1", "new2"] if name not in {"v000", "v150", "new1"}]
    assert found.ids == wanted
    queries = np.stack([found.vector(name) for name in wanted])
    assert np.mean(found.search(queries, 1)[1][:, 0] == np.arange(len(wanted))) > 0.98
    gone = np.random.default_rng(150).standard_normal((3, WIDTH)).astype(np.float16)
    assert found.search(gone, 5)[1].max() < len(found)
    assert found.header.recall["recall@10"] >= 0.9
    np.testing.assert_array_equal(found.frames_of("new2")[0], features_of(901))


def test_a_removed_video_can_come_back(tmp_path: Path) -> None:
    make_index(tmp_path)
    index([], tmp_path / "index", remove=["b"])
    index([tmp_path / "store"], tmp_path / "index", add=True)
    found = Index.open(tmp_path / "index")
    assert found.ids == ["a", "c", "d", "b"]
    np.testing.assert_array_equal(found.frames_of("b")[0], features_of(1))


def test_all_videos_can_be_removed(tmp_path: Path) -> None:
    make_index(tmp_path)
    assert index([], tmp_path / "index", remove=list("abcd")).header.num_videos == 0
    found = Index.open(tmp_path / "index")
    assert found.search(np.ones((2, WIDTH)), 3)[1].shape == (2, 0)


def test_a_graph_of_which_much_is_gone_is_built_anew(tmp_path: Path) -> None:
    make_index(tmp_path, MANY, kind="hnsw")
    little = index([], tmp_path / "index", remove=MANY[:10]).header
    assert (little.num_labels, little.num_vectors) == (300, 290)
    much = index([], tmp_path / "index", remove=MANY[10:100]).header
    assert (much.num_labels, much.num_vectors) == (200, 200)


def test_a_kind_that_was_asked_for_comes_back_when_an_emptied_index_is_filled(
    tmp_path: Path,
) -> None:
    folder = make_index(tmp_path, MANY, kind="hnsw").folder
    assert index([], folder, remove=MANY).header.kind == "flat"
    assert index([tmp_path / "store"], folder, add=True).header.kind == "hnsw"
    index([], folder, remove=MANY[:100])
    few = index([], folder, sync=True)
    assert (few.header.num_videos, few.header.kind) == (300, "hnsw")


def test_a_kind_that_is_asked_for_is_built_where_few_are_left(tmp_path: Path) -> None:
    folder = make_index(tmp_path, kind="hnsw").folder
    (tmp_path / "store" / "shard-00000.safetensors").unlink()
    make_store(tmp_path / "store", ["a", "b"])
    assert index([], folder, sync=True).header.kind == "flat"
    done = index([tmp_path / "store"], folder, kind="hnsw")
    assert (done.is_new, done.header.kind) == (True, "hnsw")
    assert not index([tmp_path / "store"], folder, kind="hnsw").is_new


def test_several_stores_make_one_index(tmp_path: Path) -> None:
    one = make_store(tmp_path / "one", ["a", "b"])
    two = make_store(tmp_path / "two", ["c"], first=7)
    header = index([one, two], tmp_path / "index").header
    assert header.stores == [str(one.resolve()), str(two.resolve())]
    assert Index.open(tmp_path / "index").ids == ["a", "b", "c"]


@pytest.mark.parametrize("add", [False, True])
def test_an_id_in_two_stores_is_refused(tmp_path: Path, add: bool) -> None:
    one, two = make_store(tmp_path / "one", ["a"]), make_store(tmp_path / "two", ["a"])
    if add:
        index([one], tmp_path / "index")
    with pytest.raises(FeatureError, match=r"'a' is in .*one and in .*two"):
        index([two] if add else [one, two], tmp_path / "index", add=add)


@pytest.mark.parametrize("flag", ["", "add", "sync", "force"])
@pytest.mark.parametrize("odd", [{"sampler": "uniform 16"}, {"pixels": "exact"}])
def test_features_of_frames_that_were_chosen_otherwise_are_not_mixed(
    tmp_path: Path, flag: str, odd: dict[str, Any]
) -> None:
    one = make_store(tmp_path / "one", ["a"], sampler="uniform 8")
    two = make_store(tmp_path / "two", ["b"], first=3, **{"sampler": "uniform 8", **odd})
    index([one], tmp_path / "index")
    for stores in ([one, two], [two]):
        if flag == "force" and len(stores) == 1:
            index(stores, tmp_path / "index", force=True)
            continue
        with pytest.raises(FeatureError, match="holds features of other frames") as told:
            index(stores, tmp_path / "index", **({flag: True} if flag else {}))
        (name,) = odd
        assert f"{two} holds" in told.value.message and f"{name}: " in told.value.message
        assert told.value.hint
    assert Index.open(tmp_path / "index").ids == (["b"] if flag == "force" else ["a"])


def test_another_build_of_the_decoder_is_no_reason_to_refuse(tmp_path: Path) -> None:
    one = make_store(tmp_path / "one", ["a"])
    two = make_store(tmp_path / "two", ["b"], first=3, decoder="toy 2")
    assert index([one, two], tmp_path / "index").header.num_videos == 2


def test_an_index_of_mixed_frames_from_before_is_still_searched(tmp_path: Path) -> None:
    found = make_index(tmp_path)
    path = found.folder / "index.json"
    said = json.loads(path.read_text())
    said["stores"] += [str(make_store(tmp_path / "two", ["e"], sampler="uniform 16"))]
    path.write_text(json.dumps(said))
    opened = Index.open(found.folder)
    assert opened.search(opened.vector("b")[None], 1)[1].tolist() == [[1]]
    assert index([], found.folder, remove=["a"]).header.num_videos == 3
    assert not index([tmp_path / "store"], found.folder, sync=True).counts["removed"]


def test_features_with_places_are_indexed_by_their_embeddings(tmp_path: Path) -> None:
    grid = make_store(
        tmp_path / "grid", ["a"], width=10 * WIDTH, encoder={**ENCODER, "features": "grid"}
    )
    index([grid], tmp_path / "index")
    found = Index.open(tmp_path / "index")
    assert found.width == WIDTH
    assert found.fingerprint["encoder"]["features"] == "embedding"
    np.testing.assert_array_equal(
        found.frames_of("a")[0], features_of(0, width=10 * WIDTH)[:, :WIDTH]
    )


def test_a_model_makes_the_vectors_of_its_own_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Retriever:
        digest = "d1"

        def check(self, store: Any) -> None:
            assert store.width == WIDTH

        def video_vectors(self, videos: Any) -> Any:
            return np.stack([rows[0, :5] for rows in videos]).astype(np.float32)

    monkeypatch.setattr("vcap.engine.retriever.load_retriever", lambda name: Retriever())
    found = make_index(tmp_path, aggregate="mine")
    assert (found.width, found.header.part_width, found.aggregation) == (5, WIDTH, "mine")
    np.testing.assert_allclose(found.vector("b"), unit(features_of(1)[:1, :5])[0], atol=1e-6)
    np.testing.assert_array_equal(found.frames_of("b")[0], features_of(1))
    make_store(tmp_path / "store", ["e"], first=40, shard=1)
    index([tmp_path / "store"], tmp_path / "index", add=True)  # by the same model
    np.testing.assert_allclose(
        Index.open(tmp_path / "index").vector("e"), unit(features_of(40)[:1, :5])[0], atol=1e-6
    )
    with pytest.raises(FeatureError, match="aggregation mine, not mean"):
        index([tmp_path / "store"], tmp_path / "index", add=True, aggregate="mean")


def test_auto_searches_exactly_where_codes_do_not_reach_the_recall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vcap.features.index_kinds.FLAT_BELOW", 100)
    monkeypatch.setattr("vcap.features.index_kinds.tune", lambda *given: ({"nprobe": 1}, 0.2))
    reporter = Told()
    found = make_index(tmp_path, MANY, reporter=reporter)
    assert (found.header.kind, found.header.recall["recall@10"]) == ("flat", 1)
    assert any("0.200, less than 0.95" in said for said in reporter.said)


def test_a_kind_that_was_asked_for_is_built_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = {"nprobe": 1, "rerank": 100}
    monkeypatch.setattr("vcap.features.index_kinds.tune", lambda *given: (way, 0.2))
    reporter = Told()
    assert make_index(tmp_path, MANY, kind="ivfpq", reporter=reporter).header.kind == "ivfpq"
    assert any("--kind flat is exact" in said for said in reporter.said)


def test_an_index_that_grows_past_the_limit_gets_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vcap.features.index_kinds.FLAT_BELOW", 301)
    assert make_index(tmp_path, MANY).header.kind == "flat"
    make_store(tmp_path / "store", ["one more"], first=999, shard=1)
    assert index([tmp_path / "store"], tmp_path / "index", add=True).header.kind == "ivfpq"


def test_sync_follows_what_came_changed_and_left_the_store(tmp_path: Path) -> None:
    make_index(tmp_path)
    times = np.arange(3, dtype=np.float32)
    rows = [
        ("a", features_of(0), times),
        ("c", features_of(77), times),
        ("e", features_of(8), times),
    ]
    write_atomic(tmp_path / "store" / "shard-00000.safetensors", shard_bytes(rows))
    done = index([], tmp_path / "index", sync=True)
    assert done.counts == {"added": 1, "removed": 2, "changed": 1, "moved": 0}
    found = Index.open(tmp_path / "index")
    assert found.ids == ["a", "c", "e"]
    np.testing.assert_array_equal(found.frames_of("c")[0], features_of(77))
    assert not index([], tmp_path / "index", sync=True).is_new


def test_sync_leaves_the_videos_of_other_stores(tmp_path: Path) -> None:
    one, two = make_store(tmp_path / "one", ["a"]), make_store(tmp_path / "two", ["b"], first=3)
    index([one, two], tmp_path / "index")
    make_store(one, ["c"], first=5, shard=1)
    make_store(two, ["d"], first=6, shard=1)
    assert index([one], tmp_path / "index", sync=True).counts["added"] == 1
    assert Index.open(tmp_path / "index").ids == ["a", "b", "c"]


def test_sync_takes_the_new_path_of_a_video_that_moved(tmp_path: Path) -> None:
    store = videos_in(tmp_path, "ab")
    index([store], tmp_path / "index")
    moved = tmp_path / "elsewhere" / "a.mp4"
    moved.parent.mkdir()
    (tmp_path / "media" / "a.mp4").rename(moved)
    keep_records(store, to_items(gather([str(moved)])))
    before = Index.open(tmp_path / "index").vector("a.mp4")
    assert index([], tmp_path / "index", sync=True).counts["moved"] == 1
    found = Index.open(tmp_path / "index")
    assert found.record_of(0)["path"] == str(moved)
    np.testing.assert_array_equal(found.vector("a.mp4"), before)


def test_sync_takes_out_a_video_whose_file_is_gone(tmp_path: Path) -> None:
    store = videos_in(tmp_path, "abc")
    index([store], tmp_path / "index")
    (tmp_path / "media" / "b.mp4").unlink()
    reporter = Told()
    assert index([], tmp_path / "index", sync=True, reporter=reporter).counts["removed"] == 1
    assert Index.open(tmp_path / "index").ids == ["a.mp4", "c.mp4"]
    assert reporter.said == ["b.mp4 went: no such file; no longer in the index"]


def test_sync_keeps_an_index_whose_drive_is_absent(tmp_path: Path) -> None:
    store = videos_in(tmp_path, "ab")
    index([store], tmp_path / "index")
    (tmp_path / "media").rename(tmp_path / "unplugged")
    with pytest.raises(InputError, match=r"none of the 2 videos .* is a drive absent"):
        index([], tmp_path / "index", sync=True)
    assert len(Index.open(tmp_path / "index")) == 2


def test_sync_warns_of_a_file_that_changed_since_it_was_encoded(tmp_path: Path) -> None:
    store = videos_in(tmp_path, "ab")
    index([store], tmp_path / "index")
    path = tmp_path / "media" / "a.mp4"
    path.write_bytes(b"longer")
    assert file_identity(path)["size"] == 6
    reporter = Told()
    assert not index([], tmp_path / "index", sync=True, reporter=reporter).is_new
    (said,) = reporter.said
    assert said.startswith("a.mp4 changed since vcap encoded it")


def test_a_build_that_fails_leaves_the_old_index_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_index(tmp_path).folder
    before = sorted(path.name for path in folder.rglob("*"))

    def fail(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vcap.engine.index_write.GrowingArray.add", fail)
    with pytest.raises(Exception, match="disk is full"):
        index([tmp_path / "store"], folder, force=True)
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert len(Index.open(folder)) == 4


def test_a_link_for_other_programs_leads_to_the_newest_files(tmp_path: Path) -> None:
    folder = make_index(tmp_path).folder
    index([], folder, remove=["a"])
    lines = (folder / "ids.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["b", "c", "d"]
    assert (folder / "index.faiss").exists()


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", ["a"])
    with pytest.raises(Exception, match="knid"):
        index([store], tmp_path / "index", knid="flat")
    with pytest.raises(UsageError, match="--remove and --sync"):
        index([store], tmp_path / "index", sync=True, remove=["a"])


def test_a_damaged_list_of_records_is_named(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", ["a"])
    (store / "records.jsonl").write_text("[1]\n")
    with pytest.raises(FeatureError, match=r"records\.jsonl: damaged"):
        stored_records(store)


def test_a_store_without_records_still_makes_an_index(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", ["a"], records=False)
    index([store], tmp_path / "index")
    assert Index.open(tmp_path / "index").record_of(0) == {"id": "a"}
