"""Files of captions and paragraphs become the scores of whole videos."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vcap.engine.evaluate import EvaluateSettings, evaluate
from vcap.engine.evaluation.paragraph import over
from vcap.engine.evaluation.report import Report
from vcap.errors import AnnotationError, UsageError
from vcap.metrics.outcome import Outcome

PARAGRAPHS = {"v_a": "A man walks. The man sits down.", "v_b": "A dog runs in the park."}
EVENTS = {
    "v_a": {"duration": 9.0, "timestamps": [[0, 4], [4, 9]],
            "sentences": ["A man walks.", "The man sits down."]},
    "v_b": {"duration": 9.0, "timestamps": [[0, 9]], "sentences": ["A dog runs in the park."]},
}  # fmt: skip
SAID = {"v_a": ["a man walks", "the man sits down"], "v_b": ["a dog runs in the park"]}
TEXT = {"BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"}
REPETITION = {"R@1", "R@2", "R@3", "R@4"}
CUT = {"Div@1", "Div@2", "RE@4"}


def score(folder: Path, said: dict[str, list[str]], *truths: Any, **settings: Any) -> Report:
    """Evaluate without Java."""
    results = {
        name: [{"timestamp": [0, 1], "sentence": text} for text in texts]
        for name, texts in said.items()
    }
    official = {"version": "VERSION 1.0", "external_data": {}, "results": results}
    predictions = folder / "said.json"
    predictions.write_text(json.dumps(official))
    paths = []
    for number, truth in enumerate(truths):
        paths.append(folder / f"truth_{number}.json")
        paths[-1].write_text(json.dumps(truth))
    return evaluate("paragraph", predictions, paths, EvaluateSettings(java=False, **settings))


def test_the_right_words_score_one(tmp_path: Path) -> None:
    report = score(tmp_path, SAID, PARAGRAPHS, EVENTS)
    scores = report.outcome.scores
    assert set(scores) == TEXT | REPETITION | CUT
    assert scores["BLEU-4"] == pytest.approx(1.0)
    assert scores["ROUGE-L"] == pytest.approx(1.0)
    assert report.stamp["tokenizer"].startswith("none")
    assert report.stamp["num_videos"] == 2


def test_events_alone_make_the_paragraphs(tmp_path: Path) -> None:
    both = score(tmp_path, SAID, PARAGRAPHS, EVENTS).outcome.scores
    assert score(tmp_path, SAID, EVENTS).outcome.scores == both


def test_without_events_what_needs_their_number_is_not_available(tmp_path: Path) -> None:
    report = score(tmp_path, SAID, PARAGRAPHS)
    assert set(report.outcome.scores) == TEXT | REPETITION
    assert report.outcome.unavailable.keys() >= CUT | {"METEOR"}
    assert "--references" in report.outcome.unavailable["Div@1"]


def test_repeated_words_raise_repetition(tmp_path: Path) -> None:
    said = {**SAID, "v_b": ["a dog a dog a dog a dog"]}
    plain, repeated = (score(tmp_path, each, EVENTS).outcome.scores for each in (SAID, said))
    assert repeated["R@1"] > plain["R@1"]
    assert repeated["Div@1"] < plain["Div@1"]


def test_ids_without_their_prefix_are_repaired_as_the_official_code_does(tmp_path: Path) -> None:
    bare = {name.removeprefix("v_"): texts for name, texts in SAID.items()}
    report = score(tmp_path, bare, PARAGRAPHS, EVENTS)
    assert report.outcome.units == ("v_a", "v_b")
    assert report.stamp["num_missing"] == 0
    assert report.outcome.scores == score(tmp_path, SAID, PARAGRAPHS, EVENTS).outcome.scores


def test_a_missing_video_is_an_empty_paragraph_or_is_left_out(tmp_path: Path) -> None:
    only_a = {"v_a": SAID["v_a"]}
    zero = score(tmp_path, only_a, PARAGRAPHS)
    skip = score(tmp_path, only_a, PARAGRAPHS, missing="skip")
    assert zero.stamp["num_missing"] == skip.stamp["num_missing"] == 1
    assert zero.outcome.scores["ROUGE-L"] == pytest.approx(0.5)
    assert skip.outcome.scores["ROUGE-L"] == pytest.approx(1.0)
    assert "a missing video is left out" in skip.stamp["protocol"]["paragraph"]
    assert (zero.stamp["num_videos"], skip.stamp["num_videos"]) == (2, 1)


@pytest.mark.parametrize(
    ("asked", "scored"),
    [(("ROUGE-L",), {"ROUGE-L"}), (("repetition",), REPETITION | CUT),
     (("CIDEr", "repetition"), {"CIDEr"} | REPETITION | CUT)],
)  # fmt: skip
def test_only_what_is_asked_for_is_scored(
    asked: tuple[str, ...], scored: set[str], tmp_path: Path
) -> None:
    report = score(tmp_path, SAID, PARAGRAPHS, EVENTS, metrics=asked)
    assert set(report.outcome.scores) == scored
    assert not report.outcome.unavailable


def test_an_outcome_over_other_units_keeps_its_own_scores() -> None:
    values = np.array([1.0, 3.0])

    def rescore(weights: Any) -> dict[str, float]:
        return {"R@1": float(weights @ values / weights.sum())}

    items = [{"id": "a", "scores": {"R@1": 1.0}}, {"id": "b", "scores": {"R@1": 3.0}}]
    narrow = Outcome(("a", "b"), {"R@1": 2.0}, rescore, items)
    wide = over(narrow, ("x", "b", "a"))
    assert wide.units == ("x", "b", "a")
    assert wide.rescore(np.ones(3)) == wide.scores == {"R@1": 2.0}
    assert wide.rescore(np.array([5.0, 3.0, 1.0])) == {"R@1": 2.5}
    assert wide.items == [{"id": "x", "scores": {}}, items[1], items[0]]
    assert over(narrow, narrow.units) is narrow


@pytest.mark.parametrize("wrong", [None, 7, ["a"], {"text": "a"}])
def test_paragraphs_that_are_no_text_are_empty_however_many(tmp_path: Path, wrong: Any) -> None:
    truth = {"v_a": PARAGRAPHS["v_a"], "v_b": wrong, "v_c": wrong, "v_d": wrong}
    report = score(tmp_path, SAID, truth)
    assert report.outcome.units == tuple(truth)
    assert report.problems.counts == {"unusable record": 3, "missing": 2}


def test_events_beside_a_stray_text_are_events(tmp_path: Path) -> None:
    report = score(tmp_path, SAID, {"v_x": "1", **EVENTS})
    assert set(report.outcome.scores) == TEXT | REPETITION | CUT
    assert report.problems.counts == {"unusable record": 1, "missing": 1}


@pytest.mark.parametrize("truth", [{}, [], {"v_a": 7}, 7])
def test_a_file_of_neither_says_that_paragraphs_would_do(tmp_path: Path, truth: Any) -> None:
    with pytest.raises(AnnotationError, match=r"want \{video: paragraph\}, \{video: \{duration"):
        score(tmp_path, SAID, truth)


def test_paragraphs_have_no_split_to_choose(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"truth_0\.json has no split test"):
        score(tmp_path, SAID, PARAGRAPHS, split="test")


def test_letters_that_are_not_ascii_are_counted(tmp_path: Path) -> None:
    report = score(tmp_path, {**SAID, "v_b": ["un café 🐕"]}, PARAGRAPHS)
    assert report.problems.counts == {"characters outside ASCII": 1}
