"""Ranks and recalls of retrieval against the recorded ones; float32 matrices, 1e-6."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import GOLDEN
from vcap.engine.evaluate import evaluate
from vcap.metrics.retrieval import (
    BACK,
    padded_ranks,
    score_retrieval,
    text_ranks,
    video_ranks,
)

pytestmark = pytest.mark.parity

NAMES = {"R1": "R@1", "R5": "R@5", "R10": "R@10", "R50": "R@50", "MedR": "MdR", "MeanR": "MnR"}
SORTING = {"R1": "R@1", "R5": "R@5", "R10": "R@10", "MedianR": "MdR", "MeanR": "MnR"}
FOLDER = GOLDEN / "evaluate" / "retrieval"


def recording(*keys: str) -> list[str]:
    """The matrices for which one of these figures is recorded."""
    path = FOLDER / "expected.json"
    found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    names = [name for name in found if name.endswith(".npy") and set(keys) & set(found[name])]
    return names or ["absent"]


@pytest.fixture(scope="module")
def recorded(golden_root: Path) -> dict[str, Any]:
    """What the reference evaluators gave."""
    text = (golden_root / "evaluate" / "retrieval" / "expected.json").read_text("utf-8")
    return dict(json.loads(text))


def matrix(folder: Path, name: str, expected: dict[str, Any]) -> tuple[Any, Any]:
    """A recorded matrix and the column that answers each row."""
    similarity = np.load(folder / "evaluate" / "retrieval" / name)
    breaks = expected.get("break_points", list(range(len(similarity) + 1)))
    return similarity, np.repeat(np.arange(len(breaks) - 1), np.diff(breaks))


def check(scores: dict[str, float], wanted: dict[str, float], names: dict[str, str]) -> None:
    """Each recorded figure is met."""
    for theirs, ours in names.items():
        assert scores[ours] == pytest.approx(wanted[theirs], abs=1e-6), ours


@pytest.mark.parametrize("name", recording("text_to_video"))
def test_text_to_video_gives_the_recorded_figures(
    golden_root: Path, recorded: dict[str, Any], name: str
) -> None:
    similarity, target = matrix(golden_root, name, recorded[name])
    scores = score_retrieval(similarity, target).scores
    check(scores, recorded[name]["text_to_video"], NAMES)


@pytest.mark.parametrize("name", recording("video_to_text", "video_to_text_best_of_its_texts"))
def test_video_to_text_gives_the_recorded_figures(
    golden_root: Path, recorded: dict[str, Any], name: str
) -> None:
    expected = recorded[name]
    similarity, target = matrix(golden_root, name, expected)
    wanted = expected.get("video_to_text") or expected["video_to_text_best_of_its_texts"]
    check(
        score_retrieval(similarity, target).scores, wanted, {k: BACK + v for k, v in NAMES.items()}
    )


@pytest.mark.parametrize("ties", ["worst", "best"])
def test_without_ties_the_sorting_code_agrees(
    golden_root: Path, recorded: dict[str, Any], ties: str
) -> None:
    similarity, target = matrix(golden_root, "square_120.npy", recorded["square_120.npy"])
    outcome = score_retrieval(similarity, target, ties=ties)
    back = {theirs: BACK + ours for theirs, ours in SORTING.items()}
    check(outcome.scores, recorded["square_120.npy"]["text_to_video_by_sorting"], SORTING)
    check(outcome.scores, recorded["square_120.npy"]["video_to_text_by_sorting"], back)
    assert outcome.warnings == ()


def test_every_rank_is_the_recorded_one(golden_root: Path, recorded: dict[str, Any]) -> None:
    expected = recorded["square_120.npy"]
    similarity, target = matrix(golden_root, "square_120.npy", expected)
    there, back = text_ranks(similarity, target), video_ranks(similarity, target)
    assert (there.worst - 1).tolist() == expected["ranks_text_to_video_0_based"]
    assert (back.worst - 1).tolist() == expected["ranks_video_to_text_0_based"]


def test_the_range_that_ties_leave_is_the_recorded_one(
    golden_root: Path, recorded: dict[str, Any]
) -> None:
    expected = recorded["ties_50.npy"]
    ranks = text_ranks(*matrix(golden_root, "ties_50.npy", expected))
    assert (ranks.best - 1).tolist() == expected["optimistic_ranks_0_based"]
    assert (ranks.worst - ranks.best).tolist() == expected["tied_others"]
    assert ranks.num_tied == sum(tied > 0 for tied in expected["tied_others"])


def test_counting_every_tied_position_gives_what_the_sorting_code_printed(
    golden_root: Path, recorded: dict[str, Any]
) -> None:
    expected = recorded["ties_50.npy"]
    ranks = text_ranks(*matrix(golden_root, "ties_50.npy", expected))
    pairs = zip(ranks.best, ranks.worst, strict=True)
    every = np.concatenate([np.arange(best, worst + 1) for best, worst in pairs])
    wanted = expected["sorting_variant_counts_every_tied_position"]
    assert len(every) == expected["sorting_variant_number_of_ranks"]
    assert 100 * np.mean(every <= 1) == pytest.approx(wanted["R1"], abs=1e-9)
    assert every.mean() == pytest.approx(wanted["MeanR"], abs=1e-9)


def test_an_unstable_sort_lies_between_the_two_rules_for_ties(
    golden_root: Path, recorded: dict[str, Any]
) -> None:
    expected = recorded["ties_50.npy"]
    outcome = score_retrieval(*matrix(golden_root, "ties_50.npy", expected))
    rules, found = outcome.details["ties"]["text-to-video"], expected
    between = found["double_argsort_variant_not_deterministic"]
    assert rules["worst"]["R@1"] <= between["R1"] <= rules["best"]["R@1"]
    assert rules["best"]["MnR"] <= between["MeanR"] <= rules["worst"]["MnR"]
    assert outcome.scores["R@1"] == rules["worst"]["R@1"]
    assert "against the model" in outcome.warnings[0]


def test_ranking_against_one_score_a_video_is_in_the_details(
    golden_root: Path, recorded: dict[str, Any]
) -> None:
    expected = recorded["many_texts_per_video.npy"]
    similarity, target = matrix(golden_root, "many_texts_per_video.npy", expected)
    outcome = score_retrieval(similarity, target)
    printed = {name: float(np.float32(value)) for name, value in outcome.scores.items()}
    check(printed, expected["padded_variant_text_to_video"], SORTING)  # float32 there
    padded = outcome.details["video-to-text among one score a video"]
    check(padded, expected["padded_variant_video_to_text"], SORTING)
    ranks = padded_ranks(similarity, target).worst
    assert ranks.mean() == pytest.approx(expected["padded_variant_video_to_text"]["MeanR"])


def test_one_pair_and_a_wholly_wrong_model_score_as_recorded(recorded: dict[str, Any]) -> None:
    single = score_retrieval(np.ones((1, 1), np.float32), [0])
    check(single.scores, recorded["single"]["text_to_video"], NAMES)
    worst = score_retrieval(-np.eye(6, dtype=np.float32), range(6))
    check(worst.scores, recorded["worst_6x6_negative_identity"]["text_to_video"], NAMES)


def test_the_command_line_way_gives_the_recorded_figures(
    golden_root: Path, recorded: dict[str, Any], tmp_path: Path
) -> None:
    expected = recorded["many_texts_per_video.npy"]
    truth = tmp_path / "rows.json"
    truth.write_text(json.dumps({"break_points": expected["break_points"]}))
    path = golden_root / "evaluate" / "retrieval" / "many_texts_per_video.npy"
    scores = evaluate("retrieval", path, [truth]).outcome.scores
    check(scores, expected["text_to_video"], NAMES)
    back = {theirs: BACK + ours for theirs, ours in NAMES.items()}
    check(scores, expected["video_to_text_best_of_its_texts"], back)


def test_hits_give_the_figures_of_the_matrix_that_they_come_from(
    golden_root: Path, recorded: dict[str, Any], tmp_path: Path
) -> None:
    expected = recorded["many_texts_per_video.npy"]
    similarity, target = matrix(golden_root, "many_texts_per_video.npy", expected)
    texts = {f"text {row}": f"video {column}" for row, column in enumerate(target)}
    records = [
        {"id": video, "captions": [{"text": text} for text, own in texts.items() if own == video]}
        for video in dict.fromkeys(texts.values())
    ]
    hits = [
        {"query": text, "id": f"video {column}", "score": float(similarity[row, column])}
        for row, text in enumerate(texts)
        for column in range(similarity.shape[1])
    ]
    for name, lines in (("truth", records), ("hits", hits)):
        (tmp_path / name).write_text("\n".join(map(json.dumps, lines)))
    scores = evaluate("retrieval", tmp_path / "hits", [tmp_path / "truth"]).outcome.scores
    check(scores, expected["text_to_video"], NAMES)
