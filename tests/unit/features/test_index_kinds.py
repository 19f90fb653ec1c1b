"""Approximate kinds of index: what they find, how recall is measured, and what changes keep."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from vcap.errors import FeatureError
from vcap.features import index_kinds as kinds
from vcap.features.index_search import NOWHERE, exact_search, unit

COUNT, WIDTH = 2000, 32


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Vectors in clusters, as features of videos lie."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, WIDTH))
    noise = rng.standard_normal((COUNT, WIDTH))
    return unit(centres[rng.integers(0, 40, COUNT)] + 0.5 * noise)


@pytest.mark.parametrize(
    ("count", "free", "recall", "kind"),
    [
        (10, 1 << 30, 0.95, "flat"),
        (99_999, 1 << 30, 0.95, "flat"),
        (100_000, 1 << 30, 0.95, "ivfpq"),
        (1_000_000, 1 << 40, 1.0, "flat"),
        (50_000, 1 << 20, 0.95, "ivfpq"),
        (100, 1, 0.95, "flat"),
    ],
)
def test_auto_goes_by_count_memory_and_recall(
    count: int, free: int, recall: float, kind: str
) -> None:
    assert kinds.choose_kind(count, 512, free, recall) == kind


@pytest.mark.parametrize(
    ("count", "width", "factory"),
    [
        (1_000_000, 512, "IVF4096,PQ128x4fsr"),
        (100_000, 512, "IVF1024,PQ128x4fsr"),
        (300, 16, "IVF7,PQ4x4fsr"),
        (300, 7, "IVF7,PQ1x4fsr"),
        (1000, 100, "IVF25,PQ25x4fsr"),
    ],
)
def test_lists_and_codes_fit_count_and_width(count: int, width: int, factory: str) -> None:
    assert kinds.factory_of("ivfpq", count, width) == factory


def test_too_few_vectors_for_codes_are_refused_with_a_way_out() -> None:
    with pytest.raises(FeatureError, match="256 vectors at least; there are 255") as told:
        kinds.factory_of("ivfpq", 255, 16)
    assert told.value.hint == "--kind flat"


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_a_tuned_index_has_the_recall_that_was_wanted(vectors: np.ndarray, kind: str) -> None:
    index = kinds.build(kinds.factory_of(kind, COUNT, WIDTH), vectors)
    sample = kinds.draw_sample(vectors)
    settings, recall = kinds.tune(index, vectors, sample, 0.95)
    assert recall >= 0.95
    found = kinds.Approximate(index, np.arange(COUNT), settings)
    queries = unit(vectors[:50] + 0.1)
    rows = found.search(vectors, queries, 10)[1]
    wanted = exact_search(vectors, queries, 10)[1]
    same = [len({*a} & {*b}) for a, b in zip(rows.tolist(), wanted.tolist(), strict=True)]
    assert np.mean(same) >= 9


def test_scores_of_an_approximate_search_are_exact(vectors: np.ndarray) -> None:
    index = kinds.build("IVF32,PQ8x4fsr", vectors)
    found = kinds.Approximate(index, np.arange(COUNT), {"nprobe": 8, "rerank": 100})
    scores, rows = found.search(vectors, vectors[:5], 10)
    for own, places, query in zip(scores, rows, vectors, strict=False):
        np.testing.assert_allclose(own, vectors[places] @ query, atol=1e-6)
        assert (np.diff(own) <= 0).all()


def test_queries_may_lie_in_memory_in_any_order(vectors: np.ndarray) -> None:
    found = kinds.Approximate(kinds.build("IVF32,PQ4", vectors), np.arange(COUNT), {"nprobe": 8})
    plain = found.search(vectors, vectors[:5], 10)
    for own, same in zip(
        plain, found.search(vectors, np.asfortranarray(vectors[:5]), 10), strict=True
    ):
        np.testing.assert_array_equal(own, same)


class Damaged:
    """A faiss index whose file names rows that are not there."""

    ntotal, nprobe = 20, 1

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.tile(np.array([3, 2**40, -7, 5]), (len(queries), 1))
        return np.zeros(labels.shape, np.float32), labels


def test_rows_that_only_a_damaged_file_names_are_not_read(vectors: np.ndarray) -> None:
    found = kinds.Approximate(Damaged(), np.arange(20), {"nprobe": 1, "rerank": 4})
    scores, rows = found.search(vectors[:20], vectors[:2], 4)
    assert sorted(rows[0].tolist()) == [-1, -1, 3, 5]
    assert np.isfinite(scores[0]).sum() == 2


def test_the_cheapest_sufficient_way_is_taken(vectors: np.ndarray) -> None:
    index = kinds.build("IVF32,PQ8x4fsr", vectors)
    sample = kinds.draw_sample(vectors)
    weak, weak_recall = kinds.tune(index, vectors, sample, 0.3)
    strong, strong_recall = kinds.tune(index, vectors, sample, 1.1)
    ways = kinds.ways(index, COUNT)
    assert ways.index(weak) < ways.index(strong) == len(ways) - 1
    assert 0.3 <= weak_recall <= strong_recall <= 1


def test_a_recall_that_is_reached_by_chance_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the sample finds all, half finds little: more luck would lift the mean above."""
    ways = [{"nprobe": 1, "rerank": 11}, {"nprobe": 2, "rerank": 11}]
    monkeypatch.setattr(kinds, "ways", lambda index, count: ways)
    vectors = unit(np.random.default_rng(0).standard_normal((40, 8)))
    sample = kinds.draw_sample(vectors)
    right = np.column_stack([sample.rows, sample.nearest])
    half = np.where(np.arange(40)[:, None] % 2, right, NOWHERE)

    class Index:
        ntotal, nprobe = 40, 0

        def search(self, queries: np.ndarray, k: int) -> tuple[None, np.ndarray]:
            return None, half if self.nprobe == 1 else right

    assert kinds.tune(Index(), vectors, sample, 0.4) == (ways[0], 0.5)
    assert kinds.tune(Index(), vectors, sample, 0.5) == (ways[1], 1.0)


def test_an_index_of_the_eight_bit_codes_of_before_is_still_tuned(vectors: np.ndarray) -> None:
    index = kinds.build("IVF32,PQ4", vectors)
    settings, recall = kinds.tune(index, vectors, kinds.draw_sample(vectors), 0.9)
    assert set(settings) == {"nprobe", "rerank"} and recall >= 0.9


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_vectors_come_and_go_without_training(vectors: np.ndarray, kind: str) -> None:
    old, new = vectors[:1500], vectors[1500:]
    index = kinds.build(kinds.factory_of(kind, 1500, WIDTH), old)
    keep = np.arange(1500) % 3 > 0
    kinds.change(index, np.flatnonzero(~keep), new, 1500)
    labels = np.concatenate([np.flatnonzero(keep), np.arange(500) + 1500])
    rows = np.concatenate([old[keep], new])
    thorough = {"nprobe": 32} if kind == "ivfpq" else {"ef": 256}
    found = kinds.Approximate(index, labels, {**thorough, "rerank": 100})
    _, places = found.search(rows, rows, 1)
    assert np.mean(places[:, 0] == np.arange(len(rows))) > 0.99
    gone = found.search(rows, old[~keep], 5)[1]
    assert gone.min() >= 0 and gone.max() < len(rows)


def test_a_neighbour_is_not_the_vector_itself() -> None:
    vectors = unit(np.eye(4) + 0.1)
    sample = kinds.draw_sample(vectors)
    assert sample.nearest.shape == (4, 3)
    assert not (sample.nearest == sample.rows[:, None]).any()
    assert kinds.recall_of(exact_search(vectors, vectors, 4)[1], sample) == 1


def test_equal_vectors_do_not_lower_an_exact_recall() -> None:
    vectors = unit(np.ones((30, 4)))
    sample = kinds.draw_sample(vectors)
    assert kinds.recall_of(exact_search(vectors, vectors, 11)[1], sample) == 1


def test_half_of_the_neighbours_is_half_the_recall() -> None:
    sample = kinds.Sample(np.array([0]), np.array([[1, 2, 3, 4]]))
    assert kinds.recall_of(np.array([[0, 1, 9, 2, 8]]), sample) == 0.5


def test_one_vector_has_no_neighbours_to_miss() -> None:
    sample = kinds.draw_sample(unit(np.ones((1, 4))))
    assert kinds.recall_of(np.array([[0]]), sample) == 1


def test_candidates_that_are_nowhere_are_no_hits() -> None:
    vectors = unit(np.eye(3))
    scores, rows = kinds.rerank(vectors, vectors[:1], np.array([[NOWHERE, 2, NOWHERE, 0]]), 3)
    assert rows.tolist() == [[0, 2, NOWHERE]]
    assert scores[0, :2].tolist() == [1, 0] and scores[0, 2] == -np.inf


def test_candidates_in_any_order_are_ranked_as_exact_search_ranks_all() -> None:
    rng = np.random.default_rng(0)
    vectors, queries = unit(rng.standard_normal((60, 9))), unit(rng.standard_normal((5, 9)))
    vectors[40:] = vectors[:20]  # equal scores: the lower row first
    rows = np.stack([rng.permutation(60) for _ in queries])
    scores, found = kinds.rerank(vectors, queries, rows, 12)
    wanted_scores, wanted = exact_search(vectors, queries, 12)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(scores, wanted_scores, atol=1e-6)


def test_a_sample_is_the_same_every_time() -> None:
    once, again = kinds.sample_rows(1000, 10), kinds.sample_rows(1000, 10)
    assert once.tolist() == again.tolist() == sorted(once.tolist())
    assert kinds.sample_rows(5, 10).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("factory", ["IVF32,PQ8x4fsr", "IVF32,PQ4", "HNSW32,Flat"])
def test_a_written_index_is_searched_where_it_lies(
    vectors: np.ndarray, tmp_path: Path, factory: str
) -> None:
    index = kinds.build(factory, vectors)
    kinds.write_faiss(tmp_path / "index.faiss", index)
    mapped = kinds.read_faiss(tmp_path / "index.faiss")
    assert isinstance(mapped, faiss.IndexIVFPQFastScan | faiss.IndexIVFPQ | faiss.IndexHNSW)
    own = index.search(vectors[:9], 5)[1]
    np.testing.assert_array_equal(mapped.search(vectors[:9], 5)[1], own)


@pytest.mark.parametrize("count", [0, 1, 700])
def test_an_exact_index_is_what_faiss_would_write(
    vectors: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(kinds, "BLOCK", 300)
    own, theirs = tmp_path / "own", tmp_path / "theirs"
    kinds.write_flat(own, vectors[:count])
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(np.ascontiguousarray(vectors[:count]))
    faiss.write_index(flat, str(theirs))
    assert own.read_bytes() == theirs.read_bytes()
    found = faiss.read_index(str(own))
    assert (found.ntotal, found.metric_type) == (count, faiss.METRIC_INNER_PRODUCT)
