"""Predictions and references in, a report with its stamp out; what cannot be had is said."""

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fake_java import fake_java
from vcap.engine.evaluate import EvaluateSettings, evaluate
from vcap.engine.evaluation import tools
from vcap.engine.evaluation.report import Report
from vcap.engine.flags import from_flags
from vcap.engine.reporter import Silent
from vcap.errors import ConfigError, DeviceError, InputError, UnavailableError, UsageError

TRUTH = {"a": ["a dog runs", "the dog is running fast"], "b": ["a cat sleeps"], "c": ["two birds"]}
SAID = {"a": "a dog is running", "b": "a cat sleeps", "x": "nothing"}
NO_JAVA = {"java": False}


def write(path: Path, value: Any) -> Path:
    """A JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """References of three clips."""
    return write(tmp_path / "truth.json", TRUTH)


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """Predictions: one right, one near, one missing, one that nobody asked for."""
    return write(tmp_path / "said.json", SAID)


def score(said: Path | str, truth: Path, task: str = "caption", **settings: Any) -> Report:
    """Evaluate without Java."""
    return evaluate(task, said, [truth], EvaluateSettings(**(NO_JAVA | settings)))


def test_the_stamp_says_how_the_scores_came_about(said: Path, truth: Path) -> None:
    report = score(said, truth)
    stamp = report.stamp
    assert stamp["task"] == "caption"
    assert (stamp["num_videos"], stamp["num_missing"], stamp["num_extra"]) == (3, 1, 1)
    assert stamp["tokenizer"] == "PTB 3.4.1 (Python)"
    assert stamp["java"] is None
    assert stamp["METEOR"] is None
    assert stamp["pycocoevalcap"] is None  # nothing of it had a part
    assert stamp["protocol"]["average"] == "corpus"
    assert (stamp["predictions"], stamp["references"]) == (str(said), [str(truth)])
    assert json.loads(json.dumps(report.as_dict()))["stamp"] == stamp


def test_without_java_the_other_metrics_are_scored_and_meteor_is_never_zero(
    said: Path, truth: Path
) -> None:
    reporter = Silent()
    report = evaluate("caption", said, [truth], EvaluateSettings(java=False), reporter=reporter)
    assert {"BLEU-4", "ROUGE-L", "CIDEr"} <= report.outcome.scores.keys()
    assert not {"METEOR", "SPICE"} & report.outcome.scores.keys()
    assert {"METEOR", "SPICE"} <= report.outcome.unavailable.keys()
    told = "\n".join(reporter.lines)
    assert "METEOR is not available: " in told
    assert "missing: 1 (c)" in told
    assert "extra: 1 (x)" in told


@pytest.mark.parametrize("name", ["METEOR", "meteor", "SPICE"])
def test_a_metric_that_is_asked_for_by_name_and_absent_is_an_error(
    name: str, said: Path, truth: Path
) -> None:
    with pytest.raises(UnavailableError, match=f"{name.upper()} is not available") as told:
        score(said, truth, metrics=(name, "BLEU"))
    assert told.value.exit_code == 5


@pytest.mark.parametrize("names", [("cider", "bleu-4"), ("CIDEr", "BLEU")])
def test_only_what_is_asked_for_is_scored(names: tuple[str, ...], said: Path, truth: Path) -> None:
    report = score(said, truth, metrics=names)
    scores, wanted = set(report.outcome.scores), {"BLEU-4", "CIDEr"}
    assert wanted <= scores <= wanted | {"BLEU-1", "BLEU-2", "BLEU-3"}
    assert not report.outcome.unavailable


@pytest.mark.parametrize(
    ("task", "settings", "complaint"),
    [
        ("captions", {}, "no task captions; did you mean caption"),
        ("caption", {"metrics": ("CIDErD",)}, "no metric CIDErD; did you mean CIDEr"),
        ("dense", {"metrics": ("SPICE",)}, "dense has no metric SPICE"),
        ("retrieval", {"metrics": ("R@1",)}, "no metrics to choose from"),
        ("caption", {"metrics": ("CIDEr",), "per_clip": True}, "clip by clip"),
        ("caption", {"split": "test"}, r"truth\.json has no split test"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(
    task: str, settings: Any, complaint: str, said: Path, truth: Path
) -> None:
    with pytest.raises(UsageError, match=complaint):
        score(said, truth, task, **settings)


def test_without_references_there_is_nothing_to_compare_with(said: Path) -> None:
    with pytest.raises(UsageError, match="nothing to compare with"):
        evaluate("caption", said, [])


def test_references_cannot_come_by_stdin(said: Path) -> None:
    with pytest.raises(UsageError, match="references are files"):
        evaluate("caption", said, [Path("-")])


def test_no_id_in_common_is_an_input_error(tmp_path: Path, truth: Path) -> None:
    with pytest.raises(InputError, match="no clip id in common") as told:
        score(write(tmp_path / "other.json", {"z": "a dog"}), truth)
    assert told.value.exit_code == 4


def test_predictions_may_come_by_stdin(
    truth: Path, said: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(
        json.dumps({"id": name, "captions": [{"text": text}]}) + "\n" for name, text in SAID.items()
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    report = score("-", truth)
    assert report.stamp["predictions"] == "stdin"
    assert report.outcome.scores == score(said, truth).outcome.scores


def test_a_missing_clip_counts_as_empty_or_is_left_out(said: Path, truth: Path) -> None:
    zero, skip = score(said, truth), score(said, truth, missing="skip")
    assert zero.outcome.units == ("a", "b", "c")
    assert skip.outcome.units == ("a", "b")
    assert skip.stamp["num_missing"] == 1
    assert skip.outcome.scores["ROUGE-L"] == pytest.approx(1.5 * zero.outcome.scores["ROUGE-L"])


def test_of_several_captions_the_first_counts_and_the_others_are_told(
    tmp_path: Path, said: Path, truth: Path
) -> None:
    several = {name: [text, "worse", "worst"] for name, text in SAID.items()}
    report = score(write(tmp_path / "several.json", several), truth)
    assert report.outcome.scores == score(said, truth).outcome.scores
    assert report.problems.count("further captions") == 6


def test_an_id_without_any_reference_is_told_and_left_out(tmp_path: Path, said: Path) -> None:
    report = score(said, write(tmp_path / "some.json", {**TRUTH, "b": []}))
    assert report.outcome.units == ("a", "c")
    assert report.problems.examples["no reference"] == ["b"]


def test_captions_of_several_reference_files_are_put_together(tmp_path: Path, said: Path) -> None:
    first = write(tmp_path / "first.json", {"a": TRUTH["a"][:1], "b": TRUTH["b"]})
    second = write(tmp_path / "second.json", {"a": TRUTH["a"][1:], "c": TRUTH["c"]})
    both = evaluate("caption", said, [first, second], EvaluateSettings(java=False))
    whole = write(tmp_path / "whole.json", TRUTH)
    assert both.outcome.scores == score(said, whole).outcome.scores
    assert both.stamp["references"] == [str(first), str(second)]


def test_untokenised_scoring_keeps_capitals_and_full_stops(tmp_path: Path, truth: Path) -> None:
    said = write(tmp_path / "said.json", {"b": "A cat sleeps."})
    plain, raw = score(said, truth), score(said, truth, raw=True)
    assert plain.outcome.items[1]["scores"]["ROUGE-L"] == 1.0
    assert raw.outcome.items[1]["scores"]["ROUGE-L"] < 0.5
    assert raw.stamp["tokenizer"].startswith("none")


@pytest.mark.parametrize(
    ("task", "metrics", "idle"),
    [
        ("caption", ("BLEU",), {"METEOR", "SPICE", "paraphrase_table", "java", "pycocoevalcap"}),
        ("dense", ("recall",), {"METEOR", "SPICE", "tokenizer", "java", "pycocoevalcap"}),
    ],
)
def test_tools_without_a_part_in_the_scores_are_not_stamped(
    task: str, metrics: tuple[str, ...], idle: set[str], tmp_path: Path
) -> None:
    if shutil.which("java") is None:
        pytest.skip("no java")
    events = {"v": {"duration": 9.0, "timestamps": [[0.0, 5.0]], "sentences": ["a dog runs"]}}
    truth = {"caption": TRUTH, "dense": events}[task]
    made = [{"sentence": "a dog", "timestamp": [0.0, 5.0]}]
    official = {"version": "1", "external_data": {}, "results": {"v": made}}
    said = {"caption": SAID, "dense": official}[task]
    files = write(tmp_path / "said.json", said), [write(tmp_path / "truth.json", truth)]
    stamp = evaluate(task, *files, EvaluateSettings(metrics=metrics, raw=True)).stamp
    assert {name: stamp[name] for name in idle} == dict.fromkeys(idle)


class TestBrokenPrograms:
    """Java is there and fails: what nobody asked for by name is left out, with its reason."""

    @pytest.fixture(params=["dying", "full"])
    def broken(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A Java in which no program works."""
        java = fake_java(tmp_path, request.param)
        monkeypatch.setattr(tools, "find_java", lambda: java)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def test_the_other_metrics_are_scored(self, broken: None, said: Path, truth: Path) -> None:
        reporter = Silent()
        settings = EvaluateSettings()
        report = evaluate("caption", said, [truth], settings, reporter=reporter)
        without = score(said, truth)
        assert report.outcome.scores == without.outcome.scores
        assert "METEOR" in report.outcome.unavailable["METEOR"]  # which program it was
        assert report.problems.as_dict() == without.problems.as_dict()
        assert report.stamp["tokenizer"] == "PTB 3.4.1 (Python)"
        told = "\n".join(reporter.lines)
        assert "captions are tokenized without Java" in told
        assert "METEOR is not available: " in told

    def test_what_is_asked_for_by_name_is_an_error(
        self, broken: None, said: Path, truth: Path
    ) -> None:
        with pytest.raises((DeviceError, UnavailableError), match="METEOR"):
            evaluate("caption", said, [truth], EvaluateSettings(metrics=("METEOR",)))

    def test_java_that_is_asked_for_must_work(self, broken: None, said: Path, truth: Path) -> None:
        with pytest.raises((DeviceError, UnavailableError), match="tokenizer") as told:
            evaluate("caption", said, [truth], EvaluateSettings(java=True))
        assert told.value.hint == "--no-java"


def test_clips_are_grouped_by_the_video_that_the_references_name(tmp_path: Path) -> None:
    records = [
        {"id": f"{video}/{n}", "video_id": video, "captions": [{"text": "a dog runs"}]}
        for video in ("v", "w")
        for n in range(2)
    ]
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    report = score(path, path)
    assert report.groups == ("v", "v", "w", "w")
    assert (report.stamp["num_videos"], report.stamp["num_units"]) == (2, 4)
    assert [item["video"] for item in report.items()] == ["v", "v", "w", "w"]


def test_settings_come_from_flags_and_the_environment() -> None:
    environment = {
        "VCAP_SET__evaluate__protocol": "2021",
        "VCAP_SET__evaluate__tiou": "[0.5]",
        "VCAP_SET__caption__beam": "3",
    }
    flags = {"metrics": ["METEOR"], "java": False, "raw": None, "protocol": None}
    settings = from_flags("evaluate", EvaluateSettings, flags, environment=environment)
    assert settings.protocol == "2021"
    assert settings.tiou == (0.5,)
    assert settings.metrics == ("METEOR",)
    assert settings.java is False
    assert settings.raw is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("protocol", "2019"), ("tiou", [1.5]), ("tiou", []), ("tiou", [0.5, 0.5]), ("metrics", []),
        ("max_proposals", 0), ("missing", "drop"), ("soda_files", "worst"), ("odd", 1),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name.replace("_", ".")):
        from_flags("evaluate", EvaluateSettings, {name: value}, environment={})
