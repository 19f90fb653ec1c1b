"""What holds for the scores of any predictions and references, from file to score."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vcap.engine.evaluate import EvaluateSettings, evaluate
from vcap.engine.evaluation.report import Report
from vcap.engine.reporter import Silent

WORDS = ("a", "man", "dog", "runs", "walks", "Park.", "the", "in", "two", "birds")
CAPTIONS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
LONG = st.lists(st.sampled_from(WORDS), min_size=4, max_size=9, unique=True).map(" ".join)
SECONDS = st.integers(0, 20).map(lambda half: half / 2)
EVENT = st.tuples(SECONDS, SECONDS, CAPTIONS)
NAMES = st.sampled_from(["v_a", "v_b", "v_c", "v_d"])
SETS = st.dictionaries(NAMES, st.lists(CAPTIONS, min_size=1, max_size=3), min_size=1)
VIDEOS = st.dictionaries(NAMES, st.lists(EVENT, min_size=1, max_size=4), min_size=1)
few = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def score(folder: Path, task: str, said: Any, truth: Any, **chosen: Any) -> Report:
    """Evaluate without Java, by way of files."""
    paths = [folder / "said.json", folder / "truth.json"]
    for path, value in zip(paths, (said, truth), strict=True):
        path.write_text(json.dumps(value), encoding="utf-8")
    wanted = EvaluateSettings(java=False, **chosen)
    return evaluate(task, paths[0], paths[1:], wanted, reporter=Silent())


def shuffled(mapping: dict[str, Any], seed: int) -> dict[str, Any]:
    """The same mapping in another order."""
    names = list(mapping)
    random.Random(seed).shuffle(names)
    return {name: mapping[name] for name in names}


def official(videos: dict[str, Any]) -> dict[str, Any]:
    """Predictions of the dense task."""
    results = {
        name: [{"timestamp": [start, end], "sentence": text} for start, end, text in events]
        for name, events in videos.items()
    }
    return {"version": "VERSION 1.0", "external_data": {}, "results": results}


def references(videos: dict[str, Any]) -> dict[str, Any]:
    """References of the dense task."""
    return {
        name: {
            "duration": 10.0,
            "timestamps": [[start, end] for start, end, _ in events],
            "sentences": [text for *_, text in events],
        }
        for name, events in videos.items()
    }


@few
@given(truth=SETS, said=st.dictionaries(NAMES, CAPTIONS, min_size=1), seed=st.integers(0, 99))
def test_the_order_of_clips_changes_no_score(
    truth: dict[str, Any], said: dict[str, Any], seed: int, tmp_path: Path
) -> None:
    assume(truth.keys() & said.keys())
    first = score(tmp_path, "caption", said, truth).outcome.scores
    again = score(tmp_path, "caption", shuffled(said, seed), shuffled(truth, seed + 1))
    assert again.outcome.scores == pytest.approx(first, abs=1e-12)


@few
@given(truth=VIDEOS, said=VIDEOS, seed=st.integers(0, 99))
def test_the_order_of_videos_changes_no_score(
    truth: dict[str, Any], said: dict[str, Any], seed: int, tmp_path: Path
) -> None:
    assume(truth.keys() & said.keys())
    first = score(tmp_path, "dense", official(said), references(truth)).outcome.scores
    mixed = official(shuffled(said, seed)), references(shuffled(truth, seed + 1))
    assert score(tmp_path, "dense", *mixed).outcome.scores == pytest.approx(first, abs=1e-12)


@few
@given(truth=st.dictionaries(NAMES, LONG, min_size=1))
def test_perfect_captions_score_one_but_for_the_cider_of_one_clip(
    truth: dict[str, str], tmp_path: Path
) -> None:
    scores = score(tmp_path, "caption", truth, truth).outcome.scores
    assert scores["BLEU-4"] == pytest.approx(1.0, abs=1e-6)
    assert scores["ROUGE-L"] == pytest.approx(1.0)
    if len(truth) == 1:
        assert scores["CIDEr"] == 0.0


@few
@given(truth=SETS, said=st.dictionaries(NAMES, CAPTIONS, min_size=1))
def test_a_second_caption_of_a_clip_is_counted_and_not_used(
    truth: dict[str, Any], said: dict[str, str], tmp_path: Path
) -> None:
    assume(truth.keys() & said.keys())
    results = [{"image_id": name, "caption": text} for name, text in said.items()]
    first = score(tmp_path, "caption", results, truth)
    again = score(tmp_path, "caption", [*results, {**results[0], "caption": "no"}], truth)
    assert again.outcome.scores == first.outcome.scores
    assert again.problems.count("duplicate") == first.problems.count("duplicate") + 1


@few
@given(truth=VIDEOS)
def test_a_repeated_event_costs_neither_recall_nor_precision(
    truth: dict[str, Any], tmp_path: Path
) -> None:
    twice = {name: [event for event in events for _ in "12"] for name, events in truth.items()}
    asked = {"metrics": ("recall", "precision")}
    first = score(tmp_path, "dense", official(truth), references(truth), **asked)
    again = score(tmp_path, "dense", official(twice), references(truth), **asked)
    assert again.outcome.scores == pytest.approx(first.outcome.scores)
    assert again.problems.count("duplicate") > 0


@few
@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=4), raw=st.booleans())
def test_any_text_can_be_scored(texts: list[str], raw: bool, tmp_path: Path) -> None:
    truth = {str(number): [text, "a dog runs"] for number, text in enumerate(texts)}
    said = {str(number): text for number, text in enumerate(texts)}
    report = score(tmp_path, "caption", said, truth, raw=raw)
    assert all(math.isfinite(value) for value in report.outcome.scores.values())
    assert json.dumps(report.as_dict())
    assert len(list(report.items())) == len(texts)


@pytest.mark.parametrize("text", ["\ud83d", "a \udc15 dog", "\x00", "a\x1cb\x85c", "\ufeff"])
def test_odd_characters_can_be_scored(text: str, tmp_path: Path) -> None:
    report = score(tmp_path, "caption", {"a": text}, {"a": ["a dog", text]})
    assert all(math.isfinite(value) for value in report.outcome.scores.values())
