"""An index: what it finds, what it knows, and how it tells of damage."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.index_tools import WIDTH, features_of, make_index, make_store
from vcap.engine.index import index
from vcap.errors import FeatureError
from vcap.features.index import Index
from vcap.features.index_search import best, exact_search, unit


def test_a_stored_vector_finds_itself_first_with_cosine_one(tmp_path: Path) -> None:
    found = make_index(tmp_path)
    scores, rows = found.search(np.stack([found.vector(name) for name in "abcd"]), 2)
    assert rows[:, 0].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(scores[:, 0], 1, atol=1e-6)
    assert (scores[:, 1] < scores[:, 0]).all()


def test_the_length_of_a_query_does_not_count(tmp_path: Path) -> None:
    found = make_index(tmp_path)
    query = features_of(9)[:1]
    once, tenfold = found.search(query, 3), found.search(10 * query.astype(np.float32), 3)
    assert once[1].tolist() == tenfold[1].tolist()
    np.testing.assert_allclose(once[0], tenfold[0], atol=1e-5)


def test_more_hits_than_videos_gives_all_videos(tmp_path: Path) -> None:
    scores, rows = make_index(tmp_path).search(features_of(9), 100)
    assert scores.shape == rows.shape == (3, 4)
    assert sorted(rows[0].tolist()) == [0, 1, 2, 3]


def test_the_vector_of_a_video_is_the_mean_of_its_frames(tmp_path: Path) -> None:
    found = make_index(tmp_path)
    mean = unit(unit(features_of(1)).mean(axis=0, keepdims=True))[0]
    np.testing.assert_allclose(found.vector("b"), mean, atol=1e-6)


def test_frames_come_as_the_encoder_gave_them_with_their_times(tmp_path: Path) -> None:
    frames, times = make_index(tmp_path).frames_of("c")
    np.testing.assert_array_equal(frames, features_of(2))
    assert times.tolist() == [0, 1, 2]


def test_a_hit_has_the_record_of_its_video(tmp_path: Path) -> None:
    found = make_index(tmp_path)
    assert found.record_of(1) == {"id": "b", "captions": [{"text": "a sentence about b"}]}
    assert found.ids == ["a", "b", "c", "d"]
    assert "b" in found and "z" not in found


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "ünï", "odd\udcff", 'a", "b'])
def test_a_video_of_any_name_is_found_by_its_id(tmp_path: Path, name: str) -> None:
    found = make_index(tmp_path, ["a", name, "c"])
    assert found.rows_of(name) == range(1, 2)
    assert found.record_of(1)["id"] == name


def test_an_id_that_begins_like_another_is_another(tmp_path: Path) -> None:
    found = make_index(tmp_path, ["clip1", "clip", "clip12"])
    assert [found.rows_of(name).start for name in ("clip1", "clip", "clip12")] == [0, 1, 2]
    with pytest.raises(FeatureError, match="no video 'cli'"):
        found.vector("cli")


def test_at_level_frame_a_hit_says_when(tmp_path: Path) -> None:
    found = make_index(tmp_path, level="frame")
    _, rows = found.search(features_of(2)[1:2], 1)
    hit = found.record_of(int(rows[0, 0]))
    assert (hit["id"], hit["time"]) == ("c", 1.0)
    assert found.rows_of("c") == range(6, 9)
    np.testing.assert_allclose(found.frames_of("c")[0], unit(features_of(2)), atol=1e-6)


def test_at_level_text_a_hit_is_a_sentence(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", ["a", "b"], num_frames=1, sampler="text")
    index([store], tmp_path / "index")
    found = Index.open(tmp_path / "index")
    assert found.level == "text"
    assert found.record_of(1)["text"] == "a sentence about b"


def test_a_search_among_some_rows_finds_only_those(tmp_path: Path) -> None:
    found = make_index(tmp_path)
    _, rows = found.search(found.vector("a")[None], 3, among=np.array([3, 1]))
    assert sorted(rows[0].tolist()) == [1, 3]


def test_queries_of_another_width_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="width 16"):
        make_index(tmp_path).search(np.ones((1, WIDTH + 1)), 1)


def test_of_equal_scores_the_first_row_comes_first() -> None:
    scores, places = best(np.array([[1, 3, 3, 2, 3, 3]], dtype=np.float32), 3)
    assert (scores.tolist(), places.tolist()) == ([[3, 3, 3]], [[1, 2, 4]])


def test_an_exact_search_in_blocks_finds_what_a_sort_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcap.features.index_search.BLOCK_SCORES", 64)
    rng = np.random.default_rng(0)
    vectors = unit(rng.integers(-2, 3, (300, 4)))  # many equal scores
    queries = unit(rng.integers(-2, 3, (5, 4)))
    scores, rows = exact_search(vectors, queries, 20)
    for query, own, places in zip(queries, scores, rows, strict=True):
        wanted = np.sort(vectors @ query)[::-1][:20]
        np.testing.assert_allclose(own, wanted, atol=1e-6)
        assert len(set(places.tolist())) == 20


@pytest.mark.parametrize("k", [1, 10, 300, 2999, 3000, 4000])
@pytest.mark.parametrize("num_queries", [1, 3, 20])
def test_the_best_of_many_scores_are_those_a_stable_sort_puts_first(
    num_queries: int, k: int
) -> None:
    """Few values, so that many are equal; in both layouts."""
    rng = np.random.default_rng(k)
    for values in (50, 10**6):
        scores = rng.integers(0, values, (num_queries, 3000)).astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        for given in (scores, np.asfortranarray(scores)):
            found, places = best(given, k)
            np.testing.assert_array_equal(places, order)
            np.testing.assert_array_equal(found, np.take_along_axis(scores, order, axis=1))


def test_the_best_of_equal_scores_are_the_first() -> None:
    assert best(np.zeros((2, 5000), np.float32), 3)[1].tolist() == [[0, 1, 2]] * 2


def test_no_hits_are_wanted_and_none_are_found() -> None:
    assert best(np.ones((2, 5000), np.float32), 0)[1].shape == (2, 0)


@pytest.mark.parametrize("count", [100, 3000])
def test_a_query_alone_finds_what_it_finds_among_others(count: int) -> None:
    rng = np.random.default_rng(0)
    vectors, queries = (unit(rng.standard_normal((size, 16))) for size in (count, 9))
    scores, rows = exact_search(vectors, queries, 10)
    for query, own_scores, own_rows in zip(queries, scores, rows, strict=True):
        alone, found = exact_search(vectors, query[None], 10)
        np.testing.assert_array_equal(found[0], own_rows)
        np.testing.assert_allclose(alone[0], own_scores, atol=1e-6)


@pytest.mark.parametrize("name", ["vectors.npy", "parts.npy", "ids.jsonl", "index.faiss"])
def test_a_file_that_was_cut_short_is_named(tmp_path: Path, name: str) -> None:
    folder = make_index(tmp_path).folder
    path = folder / "generation-000001" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(FeatureError, match=f"{name}: .* damaged") as told:
        Index.open(folder)
    assert told.value.hint == f"vcap index STORE -o {folder} --force"


@pytest.mark.parametrize("name", ["vectors.npy", "offsets.npy"])
def test_a_file_of_another_content_is_named(tmp_path: Path, name: str) -> None:
    folder = make_index(tmp_path).folder
    path = folder / "generation-000001" / name
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(FeatureError, match=f"{name}: .* damaged"):
        Index.open(folder)


def test_a_line_of_ids_that_is_no_json_is_named(tmp_path: Path) -> None:
    folder = make_index(tmp_path).folder
    path = folder / "generation-000001" / "ids.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"digest"', b'"digest '))
    with pytest.raises(FeatureError, match=r"ids\.jsonl: .* damaged: line 1"):
        Index.open(folder).record_of(0)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = make_index(tmp_path).folder
    (folder / "generation-000001" / "vectors.npy").unlink()
    with pytest.raises(FeatureError, match=r"vectors\.npy: .* it is missing"):
        Index.open(folder)


@pytest.mark.parametrize(
    "change",
    [{"width": "wide"}, {"num_videos": -1}, {"kind": "tree"}, {"generation": "../x"}, {"more": 1}],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = make_index(tmp_path).folder / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FeatureError, match=r"index\.json: .* damaged"):
        Index.open(path.parent)


def test_a_header_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = make_index(tmp_path).folder / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(FeatureError, match="schema 99"):
        Index.open(path.parent)


def test_a_folder_without_an_index_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="no index here") as told:
        Index.open(tmp_path / "nothing")
    assert told.value.hint == f"vcap index STORE -o {tmp_path / 'nothing'}"


def test_an_opened_index_stays_as_it_was_while_it_is_replaced(tmp_path: Path) -> None:
    before = make_index(tmp_path)
    make_store(tmp_path / "store", ["e"], first=50, shard=1)
    index([tmp_path / "store"], tmp_path / "index", add=True)
    assert len(before) == 4
    assert before.search(before.vectors[2:3], 1)[1].tolist() == [[2]]
    assert len(Index.open(tmp_path / "index")) == 5


def test_a_flat_search_loads_neither_torch_nor_faiss(tmp_path: Path) -> None:
    folder = make_index(tmp_path).folder
    code = (
        "import sys; from vcap.features.index import Index; found = Index.open(sys.argv[1]); "
        "found.search(found.vector('a')[None], 1); found.record_of(0); "
        "sys.exit(not {'torch', 'faiss'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 0
