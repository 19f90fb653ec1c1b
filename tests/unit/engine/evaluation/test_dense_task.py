"""Files of timed captions become the scores of the dense protocol."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.evaluate import EvaluateSettings, evaluate
from vcap.engine.evaluation.compare import judge
from vcap.engine.evaluation.report import Report
from vcap.errors import InputError

TIMES = [[0, 10], [10, 20], [15, 30]]
TEXTS = ["a man walks", "a dog runs in the park", "two birds sing"]
TRUTH = {
    "v_a": {"duration": 30.0, "timestamps": TIMES, "sentences": TEXTS},
    "v_b": {"duration": 30.0, "timestamps": TIMES[:2], "sentences": TEXTS[:2]},
}
LANGUAGE = {"BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"}
LOCALISATION = {"recall", "precision", "F1", "F1 of means"}


def events(times: list[Any], texts: list[str]) -> list[dict[str, Any]]:
    """The predictions of one video."""
    pairs = zip(times, texts, strict=True)
    return [{"timestamp": segment, "sentence": text} for segment, text in pairs]


PERFECT = {"v_a": events(TIMES, TEXTS), "v_b": events(TIMES[:2], TEXTS[:2])}


def score(folder: Path, results: Any, *truths: Any, **settings: Any) -> Report:
    """Evaluate without Java; results in the official layout, unless they are records."""
    official = {"version": "VERSION 1.0", "external_data": {}, "results": results}
    said = folder / "said.json"
    said.write_text(json.dumps(results if isinstance(results, list) else official))
    paths = []
    for number, truth in enumerate(truths or [TRUTH]):
        paths.append(folder / f"truth_{number}.json")
        paths[-1].write_text(json.dumps(truth))
    return evaluate("dense", said, paths, EvaluateSettings(java=False, **settings))


def test_without_java_all_but_meteor_and_soda_is_scored(tmp_path: Path) -> None:
    report = score(tmp_path, PERFECT)
    assert set(report.outcome.scores) == LANGUAGE | LOCALISATION
    assert {"METEOR", "SODA_c"} <= report.outcome.unavailable.keys()
    assert report.stamp["protocol"]["dense"] == "ActivityNet Captions 2018"
    assert report.stamp["num_videos"] == 2


def test_perfect_segments_are_all_found(tmp_path: Path) -> None:
    scores = score(tmp_path, PERFECT, metrics=("recall", "precision", "F1")).outcome.scores
    assert scores == {"recall": 1.0, "precision": 1.0, "F1": 1.0}


def test_records_score_as_the_official_layout_does(tmp_path: Path) -> None:
    records = [
        {
            "id": name,
            "captions": [
                {"text": e["sentence"], "start": e["timestamp"][0], "end": e["timestamp"][1]}
                for e in listed
            ],
        }
        for name, listed in PERFECT.items()
    ]
    assert score(tmp_path, records).outcome.scores == score(tmp_path, PERFECT).outcome.scores


def test_a_missing_video_counts_nothing_or_is_left_out(tmp_path: Path) -> None:
    only_a = {"v_a": PERFECT["v_a"], "v_x": PERFECT["v_b"]}
    zero = score(tmp_path, only_a)
    skip = score(tmp_path, only_a, missing="skip")
    assert zero.outcome.scores["recall"] == 0.5
    assert skip.outcome.scores["recall"] == 1.0
    assert (zero.stamp["num_missing"], zero.stamp["num_extra"]) == (1, 1)
    assert (zero.outcome.units, skip.outcome.units) == (("v_a", "v_b"), ("v_a",))
    assert (zero.stamp["num_videos"], skip.stamp["num_videos"]) == (2, 1)
    assert skip.stamp["num_units"] == 1


def test_means_over_other_videos_cannot_be_compared(tmp_path: Path) -> None:
    whole, first, second = (
        score(tmp_path, said, missing="skip")
        for said in (PERFECT, *({video: PERFECT[video], "v_x": []} for video in PERFECT))
    )
    for other in (whole, second):
        with pytest.raises(InputError, match="not scored on the same things"):
            judge(first, other)
    same = score(tmp_path, {"v_a": PERFECT["v_b"]}, missing="skip")
    compared = judge(first, same, resamples=20).comparison["recall"]
    assert compared["low"] == compared["difference"] == pytest.approx(1 / 3)  # of one video


def test_left_out_videos_do_not_widen_the_interval(tmp_path: Path) -> None:
    report = score(tmp_path, {"v_a": PERFECT["v_a"]}, missing="skip")
    assert judge(report, ci=True, resamples=50).intervals["recall"] == (1.0, 1.0)


def test_proposals_beyond_the_limit_are_counted_and_shown(tmp_path: Path) -> None:
    cut = score(tmp_path, PERFECT, max_proposals=1)
    told = cut.problems.as_dict()["beyond max proposals"]
    assert told == {"count": 3, "examples": ["said.json: v_a", "said.json: v_b"]}
    assert "beyond max proposals" not in score(tmp_path, PERFECT, max_proposals=3).problems.counts


def test_bad_times_cost_precision_and_break_nothing(tmp_path: Path) -> None:
    bad = [[math.nan, 5], [20, 10], [5, 5], [25, 99], None]
    results = {"v_a": [*PERFECT["v_a"], *events(bad, list("pqrst"))], "v_b": PERFECT["v_b"]}
    report = score(tmp_path, results)
    assert report.problems.counts == {
        "not a number": 2, "reversed times": 1, "no length": 1, "past the end": 1
    }  # fmt: skip
    scores = report.outcome.scores
    assert scores["recall"] == 1.0
    assert scores["precision"] == pytest.approx((3 / 8 + 1) / 2)
    assert all(map(math.isfinite, scores.values()))


def test_the_proposals_and_thresholds_that_count_can_be_chosen(tmp_path: Path) -> None:
    report = score(tmp_path, PERFECT, max_proposals=1, tiou=(0.5,), protocol="2021")
    assert report.outcome.scores["recall"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    told = report.stamp["protocol"]
    assert (told["tious"], told["max_proposals_per_video"]) == ([0.5], 1)
    assert told["dense"] == "ActivityNet Captions 2021"


def test_the_best_annotator_counts_for_localisation(tmp_path: Path) -> None:
    other = {"v_a": {"duration": 30.0, "timestamps": [[29, 30]], "sentences": ["x"]}}
    alone = score(tmp_path, PERFECT, other, metrics=("recall",)).outcome.scores["recall"]
    both = score(tmp_path, PERFECT, TRUTH, other, metrics=("recall",)).outcome.scores["recall"]
    assert (alone, both) == (0.0, 1.0)


def test_annotators_in_one_manifest_are_as_good_as_files(tmp_path: Path) -> None:
    other = {"v_a": {"duration": 30.0, "timestamps": [[0, 9]], "sentences": ["a man goes"]}}
    manifest = [
        {
            "id": name,
            "duration": 30.0,
            "captions": [
                {"text": text, "start": start, "end": end, "source": source}
                for source, file in (("val_1", TRUTH), ("val_2", other))
                if name in file
                for (start, end), text in zip(
                    file[name]["timestamps"], file[name]["sentences"], strict=True
                )
            ],
        }
        for name in TRUTH
    ]
    files = score(tmp_path, PERFECT, TRUTH, other)
    assert score(tmp_path, PERFECT, manifest).outcome.scores == files.outcome.scores


def test_an_item_shows_what_was_said_and_what_is_true(tmp_path: Path) -> None:
    items = list(score(tmp_path, PERFECT).items())
    assert [item["id"] for item in items] == ["v_a", "v_b"]
    assert "a dog runs in the park" in items[1]["prediction"]
    assert items[0]["scores"]["recall"] == 1.0


def test_letters_that_the_protocol_makes_blanks_are_counted(tmp_path: Path) -> None:
    truth = {"v_a": {**TRUTH["v_a"], "sentences": ["un café 🐕", *TEXTS[1:]]}}
    said = {"v_a": events(TIMES, ["un cafe", "naïve", "狗"])}
    report = score(tmp_path, said, truth)
    assert report.problems.counts == {"characters outside ASCII": 3}
    places = ["truth_0.json: v_a: event 1", "said.json: v_a: event 2", "said.json: v_a: event 3"]
    assert report.problems.examples["characters outside ASCII"] == places


def test_times_too_large_for_a_number_are_counted(tmp_path: Path) -> None:
    said = {**PERFECT, "v_b": events([[0, 10**400], *TIMES[1:2]], TEXTS[:2])}
    report = score(tmp_path, said)
    assert report.problems.counts == {"not a number": 1}
    assert report.outcome.scores["recall"] == pytest.approx(0.75)


def test_records_with_numbers_for_ids_meet_a_file_of_texts(tmp_path: Path) -> None:
    truth = {"7": TRUTH["v_a"]}
    captions = [
        {"text": each["sentence"], "start": each["timestamp"][0], "end": each["timestamp"][1]}
        for each in PERFECT["v_a"]
    ]
    report = score(tmp_path, [{"id": 7, "captions": captions}], truth, metrics=("recall",))
    assert report.outcome.scores == {"recall": 1.0}


def test_predictions_of_other_videos_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"said\.json: predictions and references have no video"):
        score(tmp_path, {"v_x": []})
