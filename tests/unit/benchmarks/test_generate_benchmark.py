"""The benchmark of captions: that its baseline is the recorded search, and its data MSR-VTT's."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import generate as benchmark
from benchmarks.harness import Timing
from tests.conftest import REPOSITORY
from tests.parity.test_prefix import read_cases
from vcap.engine.schedule import DataSettings
from vcap.engine.training_data import FeatureTable, load_splits
from vcap.features.store import FeatureStore

SIZES = benchmark.Sizes(benchmark.TINY, num_tokens=6, num_clips=4, num_videos=12, num_steps=2)


@pytest.fixture(scope="module")
def searches() -> benchmark.Searches:
    """Models of tiny sizes, all of the same weights."""
    return benchmark.Searches(SIZES)


@pytest.mark.parity
def test_the_baseline_finds_the_captions_that_the_original_recorded(golden_root: Path) -> None:
    num_compared = 0
    for case in read_cases(golden_root / "prefix").values():
        lm = case.build().lm
        for item in case.recorded["generations"]:
            asked = (item["algo"], item.get("beam_size"), item["temperature"])
            if asked != ("generate_beam", benchmark.NUM_BEAMS, 1.0):
                continue
            prefix = case.tensors["mapper_out"][item["row"]][None]
            length, stop = item["entry_length"], item["stop_token_id"]
            assert benchmark.recorded_search(lm, prefix, length, stop) == item["ids"]
            num_compared += 1
    assert num_compared


def test_all_ways_find_the_same_captions_one_by_one_and_together(
    searches: benchmark.Searches,
) -> None:
    assert searches.recorded("recorded", 4)() == 4
    assert searches.ours("ours", 4)() == 4
    assert searches.ours("alone", 1)() == 1
    assert searches.same("recorded", "ours") == 1
    assert searches.same("recorded", "alone") == 1
    assert len({tuple(ids) for ids in searches.found["ours"]}) == 4


def test_transformers_finds_the_same_captions_while_none_has_ended(
    searches: benchmark.Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "STOP", SIZES.lm.vocabulary - 1)
    searches.recorded("recorded", 3)()
    searches.transformers("peer", 3)()
    assert searches.same("peer", "recorded") == 1
    assert all(len(ids) == SIZES.num_tokens for ids in searches.found["peer"])


def test_the_models_share_their_weights_in_all_number_types(searches: benchmark.Searches) -> None:
    plain, half = searches.lm.state_dict(), searches.half.state_dict()
    assert plain.keys() == searches.packed.state_dict().keys() == half.keys()
    for name, weight in searches.packed.state_dict().items():
        assert torch.equal(weight, plain[name])
        assert torch.equal(weight.bfloat16(), half[name])
    head = plain["lm_head.weight"]
    assert not torch.equal(head, plain["transformer.wte.weight"])


def test_equal_captions_are_counted_over_the_clips_that_both_tried(
    searches: benchmark.Searches,
) -> None:
    searches.found |= {"a": [[1], [2, 3]], "b": [[1], [2, 4], [5]]}
    assert searches.same("a", "b") == 0.5
    assert searches.same("b", "b") == 1


@pytest.mark.parametrize(
    ("count", "wall", "name"), [(16, 24.0, "way, scaled to 16"), (2, 3.0, "way")]
)
def test_times_of_few_clips_stand_for_many_and_say_so(count: int, wall: float, name: str) -> None:
    found = benchmark.scaled(Timing("way", 3.0, 5.0, 1, 2), count)
    assert (found.wall_seconds, found.name, found.count) == (wall, name, count)
    assert found.cpu_seconds == 5.0 * wall / 3.0


def test_a_comparison_has_both_baselines_and_the_ids(searches: benchmark.Searches) -> None:
    timings, rows, told = benchmark.compare_searches(searches, 4, 2, 12, 1)
    assert [timing.count for timing in timings] == [4] * 4
    assert [row.baseline for row in rows[:2]] == [timing.name for timing in timings[:2]]
    assert {row.ours for row in rows} == {"vcap, 4 clips"}
    assert [row.goal for row in rows] == [12, 12, 1]
    assert rows[2].ratio == 1
    assert [*told] == ["transformers without cache, 2 clips", "vcap in bf16, 4 clips"]


def test_the_stand_ins_are_read_as_msr_vtt(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    benchmark.write_captions(tmp_path / "data.json", 7, draw)
    benchmark.write_store(tmp_path / "store", 7, draw)
    found = load_splits(DataSettings(train=(str(tmp_path / "data.json"),)))
    assert [one.record.id for one in found.train] == [f"video{number}" for number in range(7)]
    assert {len(one.texts) for one in found.train} == {20}
    assert all(6 <= len(text.split()) <= 13 for one in found.train for text in one.texts)
    store = FeatureStore(tmp_path / "store")
    table = FeatureTable([store], [one.record.id for one in found.train])
    features, _, mask = table.gather(np.arange(7))
    assert features.shape == (7, 28, 512)
    assert mask.all()


def test_a_store_of_many_videos_has_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "VIDEOS_A_SHARD", 3)
    benchmark.write_store(tmp_path / "store", 7, np.random.default_rng(0))
    assert [len(names) for names in FeatureStore(tmp_path / "store").members().values()] == [
        3,
        3,
        1,
    ]


def test_waiting_is_a_part_of_the_recipes_step(tmp_path: Path) -> None:
    timings, row = benchmark.compare_waiting(SIZES, tmp_path, ["train.batch_size=4"])
    step, wait = timings
    assert step.name == "a step of training, batch 4"
    assert (step.rounds, step.count, wait.rounds) == (SIZES.num_steps, 4, SIZES.num_steps)
    assert 0 < wait.wall_seconds < step.wall_seconds
    assert row.ratio is not None
    assert math.isclose(row.ratio, wait.wall_seconds / step.wall_seconds)
    assert (row.goal, row.at_least) == (0.1, False)


@pytest.mark.slow
def test_the_benchmark_says_for_every_goal_whether_it_is_met(tmp_path: Path) -> None:
    json_path = tmp_path / "all.json"
    script = REPOSITORY / "benchmarks" / "generate.py"
    words = [sys.executable, script, "--quick", "--work", tmp_path, "--json", json_path]
    run = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    facts = json.loads(json_path.read_text())
    rows = facts["comparisons"]
    assert [found["goal"] for found in rows] == [3, 3, 1, 12, 12, 1, 0.1]
    assert all(f"| {found['what']} | {found['baseline']} |" in run.stdout for found in rows)
    assert [found["ratio"] for found in rows if found["what"].startswith("the same ids")] == [1, 1]
    assert len(facts["share_of_equal_ids"]) == 4
    assert not [*tmp_path.glob("generate-*")]
