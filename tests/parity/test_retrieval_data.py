"""Frames, words and scores are those of the original AdaCLIP's loader and evaluation.

Recorded data: `golden/adaclip`, with its README.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from vcap.engine.methods.pairs import candidate_frames
from vcap.metrics.retrieval import score_retrieval, text_ranks, video_ranks
from vcap.video.sample import Sampler, choose_frames

pytestmark = pytest.mark.parity

Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def data(golden_root: Path) -> dict[str, Any]:
    """What the original loader chose."""
    found: dict[str, Any] = json.loads((golden_root / "adaclip" / "data.json").read_text())
    return found


def test_samplers_take_the_files_that_the_original_takes(data: dict[str, Any]) -> None:
    whole = [case for case in data["sampling"] if not case["num_frm_subset"]]
    assert {case["segment_sampling"] for case in whole} == {True, False}
    for case in whole:
        count = case["frames_on_disk"]
        name = "adaclip-segments" if case["segment_sampling"] else "adaclip-linspace"
        keys = np.zeros(count, dtype=np.bool_)
        times = np.arange(count) / 25
        chosen = choose_frames(Sampler(name, case["num_frm"]), times, keys, count / 25)
        assert [f"image_{index + 1:05d}.jpg" for index in chosen] == case["files"]


def test_candidates_of_longer_stored_videos_are_those_the_original_samples(
    data: dict[str, Any],
) -> None:
    for case in data["sampling"]:
        count, wanted = case["frames_on_disk"], case["num_frm"]
        if case["segment_sampling"] or case["num_frm_subset"] or count < wanted:
            continue
        numbers = torch.arange(count)[None, :, None]
        frames, mask = candidate_frames(numbers, torch.ones(1, count, dtype=torch.bool), wanted)
        assert mask.all()
        assert [f"image_{int(n) + 1:05d}.jpg" for n in frames[0, :, 0]] == case["files"]


def test_captions_become_the_tokens_of_the_original(data: dict[str, Any]) -> None:
    from open_clip import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    assert data["tokens"]
    for case in data["tokens"]:
        ours = tokenizer([case["caption"]], context_length=case["max_txt_len"])[0]
        assert ours.tolist() == case["tokens"]


def test_ranks_are_the_recorded_ones_and_ties_stay_within_what_was_possible(
    golden_root: Path,
) -> None:
    folder = golden_root / "adaclip"
    recorded = json.loads((folder / "metrics.json").read_text())
    for name, similarity in load_file(folder / "metrics.safetensors").items():
        case = recorded.get(name, {})
        if "ranks_t2v" not in case:
            continue
        target = np.arange(len(similarity))
        for ours, theirs in (
            (text_ranks(similarity, target), "ranks_t2v"),
            (video_ranks(similarity, target), "ranks_v2t"),
        ):
            low = np.array(case.get(f"{theirs}_min", case[theirs]))
            high = np.array(case.get(f"{theirs}_max", case[theirs]))
            assert (ours.best - 1 == low).all(), name
            assert (ours.worst - 1 == high).all(), name


def test_figures_without_ties_are_the_recorded_ones(golden_root: Path) -> None:
    folder = golden_root / "adaclip"
    recorded = json.loads((folder / "metrics.json").read_text())
    tensors = load_file(folder / "metrics.safetensors")
    names = {"R1": "R@1", "R5": "R@5", "R10": "R@10", "R50": "R@50", "MedR": "MdR", "MeanR": "MnR"}
    for name in ("random", "perfect", "even_median"):
        scores = score_retrieval(tensors[name], np.arange(len(tensors[name]))).scores
        for theirs, ours in names.items():
            assert scores[ours] == pytest.approx(recorded[name]["t2v"][theirs])
            assert scores[f"video-to-text {ours}"] == pytest.approx(recorded[name]["v2t"][theirs])


def test_several_captions_of_a_video_are_ranked_as_recorded(golden_root: Path) -> None:
    folder = golden_root / "adaclip"
    case = json.loads((folder / "metrics.json").read_text())["multi"]
    similarity = load_file(folder / "metrics.safetensors")["multi"]
    counts = (
        np.diff([0, *case["break_pts"]]) if case["break_pts"][0] else np.diff(case["break_pts"])
    )
    target = np.repeat(np.arange(len(counts)), counts)
    scores = score_retrieval(similarity, target).scores
    assert scores["R@1"] == pytest.approx(case["t2v"]["R1"])
    assert scores["MnR"] == pytest.approx(case["t2v"]["MeanR"])
    assert scores["video-to-text R@1"] == pytest.approx(case["v2t"]["R1"])
