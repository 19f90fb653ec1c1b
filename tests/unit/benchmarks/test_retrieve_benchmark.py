"""The benchmark of search: that both sides find the same, in a gallery that is what it says."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import galleries
from benchmarks import retrieve as benchmark
from benchmarks.harness import Comparison
from tests.conftest import REPOSITORY
from vcap.features.index import Index
from vcap.models.aggregation import query_cosines_naive

TINY: dict[str, Any] = galleries.small() | {
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def named(rows: list[Comparison], start: str) -> Comparison:
    [found] = [row for row in rows if row.what.startswith(start)]
    return found


def test_clusters_are_the_same_every_time_and_their_queries_are_not_in_them() -> None:
    once, again = (galleries.Clusters(60, 3) for _ in range(2))
    [vectors], [same] = once.blocks(), again.blocks()
    np.testing.assert_array_equal(vectors, same)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = once.queries(8) @ vectors.T
    assert cosines.max(axis=1).min() > 0.3 and cosines.max() < 0.9


def test_a_large_gallery_comes_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "BLOCK", 25)
    blocks = [*galleries.Clusters(60, 3).blocks()]
    assert [len(block) for block in blocks] == [25, 25, 10]
    assert not np.array_equal(blocks[0], blocks[1])


def test_a_gallerys_index_is_one_that_vcap_opens(tmp_path: Path) -> None:
    clusters = galleries.Clusters(30, 5)
    made_by = {"encoder": {"name": "tiny"}}
    index = galleries.write_index(tmp_path / "index", clusters.blocks(), "auto", made_by)
    assert (len(index), index.header.kind, index.fingerprint) == (30, "flat", made_by)
    [vectors] = clusters.blocks()
    scores, rows = Index.open(tmp_path / "index").search(vectors[7:8], 3)
    assert rows[0, 0] == 7 and scores[0, 0] == pytest.approx(1, abs=1e-5)
    assert index.record_of(7)["id"] == galleries.video_id(7)
    np.testing.assert_allclose(index.vector(galleries.video_id(7)), vectors[7], atol=1e-6)


def test_the_baseline_is_the_weighting_of_the_formula(tmp_path: Path) -> None:
    both = benchmark.Weighting(20, tmp_path / "index")
    wanted = query_cosines_naive(
        both.queries[:2], both.frames, temperature=benchmark.TEMPERATURE
    ).numpy()
    for query, row in zip(both.queries[:2], wanted, strict=True):
        np.testing.assert_allclose(both.weighted(query[None])[0], row, atol=1e-5)
        np.testing.assert_allclose(both.contracted(query[None])[0], row, atol=1e-5)
    assert both.apart() < 1e-5


def test_every_way_asks_all_queries_and_each_goal_is_that_of_its_size(tmp_path: Path) -> None:
    timings, rows = benchmark.compare_weighting(20, tmp_path, 1)
    assert [timing.count for timing in timings] == [benchmark.NUM_QUERIES] * 5
    assert [row.goal for row in rows] == [30, 400, 2, 1e-4]
    assert named(rows, "the same weighting").verdict == "met"


def test_slow_ways_of_large_galleries_are_scaled_and_named_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "WEIGHTED", 80)
    timings, _ = benchmark.compare_weighting(20, tmp_path, 1)
    assert [timing.name.endswith("scaled to 64") for timing in timings] == [True] * 3 + [False] * 2
    assert all(timing.count == benchmark.NUM_QUERIES for timing in timings)


def test_a_gallery_that_memory_does_not_hold_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "free_bytes", lambda: 1000)
    timings, [row] = benchmark.compare_weighting(20, tmp_path, 1)
    assert (timings, row.verdict) == ([], "too little memory")


def test_an_exact_gallery_is_searched_as_faiss_does(tmp_path: Path) -> None:
    timings, rows = benchmark.compare_overhead(300, tmp_path, 1)
    assert [timing.count for timing in timings] == [benchmark.LARGE_QUERIES] * 2
    assert named(rows, "the same hits").ratio == 1
    assert named(rows, "exact by default").ratio == 1
    beside = named(rows, "beside faiss")
    assert (beside.baseline, beside.at_least) == (timings[1].name, False)


@pytest.mark.slow
def test_an_index_of_codes_is_compared_with_exact_search_and_with_faiss(tmp_path: Path) -> None:
    timings, rows = benchmark.compare_large(benchmark.QUICK, tmp_path, 1)
    assert all("IVF" in timing.name for timing in timings[3:])
    assert {timing.count for timing in (timings[0], *timings[3:])} == {benchmark.LARGE_QUERIES}
    found = named(rows, "recall@10").ratio
    assert found is not None and found > 0.8
    assert [row.goal for row in rows] == [20, 0.95, 1.1, 1]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    index, seconds = benchmark.large_index(benchmark.QUICK, tmp_path)
    assert len(index) == benchmark.QUICK and seconds > 0
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}


def test_two_ways_that_take_turns_ask_all_queries_one_after_the_other() -> None:
    asked: list[float] = []
    queries = np.arange(20, dtype=np.float32)[:, None]
    turn = benchmark.in_turns(lambda query, k: asked.append(float(query[0, 0])), queries)
    assert [turn() for _ in range(benchmark.TURNS + 1)] == [2] * (benchmark.TURNS + 1)
    assert asked == [*range(20), 0, 1]


@pytest.mark.slow
def test_kept_frames_are_compared_with_all_encoded(tmp_path: Path) -> None:
    timings, rows = benchmark.compare_selection(tmp_path, 1, 14, TINY, quick=True)
    assert timings[0].name.startswith("all 14 frames")
    assert all(timing.wall_seconds > 0 for timing in timings)
    assert named(rows, "the same features").verdict == "met"
    assert {row.goal for row in rows if row.unit == "CPU"} == {3}


@pytest.mark.slow
def test_the_first_hit_of_both_programs_is_found_and_needs_no_torch(tmp_path: Path) -> None:
    timings, rows = benchmark.compare_start(tmp_path, 1, 30, TINY)
    assert len(timings) == 5 and all(timing.wall_seconds > 0 for timing in timings)
    assert named(rows, "no torch").ratio == 1
    assert [row.goal for row in rows] == [1.5, 1, 3, 3]


def test_a_command_that_fails_ends_the_benchmark_with_what_it_said() -> None:
    with pytest.raises(SystemExit, match="no such thing"):
        benchmark.run([sys.executable, "-c", "import sys; sys.exit('no such thing')"])


def test_an_encoder_is_written_once(tmp_path: Path) -> None:
    folder = galleries.write_encoder(tmp_path / "encoder", TINY)
    weights = folder / "open_clip_model.safetensors"
    before = weights.stat().st_mtime_ns
    assert galleries.write_encoder(tmp_path / "encoder", TINY) == folder
    assert weights.stat().st_mtime_ns == before


def test_only_the_parts_that_are_asked_for_are_measured(tmp_path: Path) -> None:
    script = REPOSITORY / "benchmarks" / "retrieve.py"
    options = ["--quick", "--parts", "weighting", "--work", tmp_path, "--json", tmp_path / "j"]
    words = [str(word) for word in (sys.executable, script, *options)]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    rows = json.loads((tmp_path / "j").read_text())["comparisons"]
    assert [row["goal"] for row in rows] == [30, 400, 2, 1e-4]
    assert all(f"| {row['what']} | {row['baseline']} |" in run.stdout for row in rows)
