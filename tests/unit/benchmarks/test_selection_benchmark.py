"""The benchmark of selection: both sides are the work of `vcap encode`, and find the same."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import galleries, selection
from benchmarks.harness import Timing
from vcap.engine.encode import encode
from vcap.engine.retriever import load_retriever
from vcap.engine.selecting import EncodeKept
from vcap.features.store import FeatureStore

TINY: dict[str, Any] = galleries.small() | {
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def ways(work: Path) -> dict[str, selection.Way]:
    return selection.make_ways(work, 14, 12, TINY)


def test_every_way_is_the_work_of_encode_with_its_own_model(
    work: Path, ways: dict[str, selection.Way]
) -> None:
    assert list(ways) == [
        "all 14 frames",
        *(f"12 kept by {n}" for n in selection.POLICIES.values()),
    ]
    assert [isinstance(way.job, EncodeKept) for way in ways.values()] == [False, True, True]
    source, other = selection.footage(work, quick=True)
    for way, count in zip(ways.values(), (14, 12, 12), strict=True):
        assert way.encoded(way.decoded([source, other])) == 2
        assert len(way.job.work(way.decoded([source]))[0].times) == count


def test_the_models_are_folders_that_encode_takes(work: Path, tmp_path: Path) -> None:
    [folder] = work.glob("raw-12-of-14-*")
    assert load_retriever(str(folder)).selection is not None
    source = selection.footage(work, quick=True)[0]
    encode([source.path], tmp_path / "store", model=str(folder), device="cpu")
    store = FeatureStore(tmp_path / "store")
    assert [store.num_frames(name) for name in store.ids] == [12]
    before = (folder / "model.safetensors").stat().st_mtime_ns
    selection.make_ways(work, 14, 12, TINY)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_a_way_that_gives_another_number_of_frames_is_refused(
    work: Path, ways: dict[str, selection.Way]
) -> None:
    job = ways["all 14 frames"].job
    source = selection.footage(work, quick=True)[0]
    with pytest.raises(ValueError, match="want 12 frames, got 14"):
        selection.Way(job, 12).encoded([job.prepare(source)])


def test_kept_frames_have_the_features_that_they_have_among_all(
    work: Path, ways: dict[str, selection.Way]
) -> None:
    row = selection.agreement(ways, selection.footage(work, quick=True)[0])
    assert row.ratio is not None and row.ratio > 0.9999 and row.verdict == "met"


def test_times_of_models_and_of_decoding_are_told_apart_and_together() -> None:
    names = ["all", "some"]
    decoding = [Timing("all: decoded", 1.0, 1.0, 3), Timing("some: decoded", 1.0, 2.0, 3)]
    encoding = [Timing("all: encoded", 8.0, 8.0, 3), Timing("some: encoded", 1.0, 1.0, 3)]
    alone, together = selection.ratios(decoding, encoding, names, "one video")
    assert (alone.what, alone.ratio) == ("models alone, one video", 8)
    assert (together.what, together.ratio) == ("with decoding, one video", 3)
    assert {alone.goal, together.goal} == {3}


def test_a_quick_run_measures_a_group_and_one_video(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "POLICIES", {"raw": "small grey pictures"})
    timings, rows = selection.compare_selection(work, 1, 14, TINY, quick=True)
    assert [timing.count for timing in timings] == [2] * 4 + [1] * 4
    assert [row.what for row in rows[1:]] == [
        "models alone, 2 videos",
        "with decoding, 2 videos",
        "models alone, one video",
        "with decoding, one video",
    ]
