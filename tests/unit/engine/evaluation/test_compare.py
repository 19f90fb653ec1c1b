"""Intervals and comparisons of reports."""

import json
import math
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fake_java import fake_java, starts
from tests.unit.engine.evaluation.test_paraphrases import write_table
from vcap.engine import evaluate as evaluate_module
from vcap.engine.evaluation import meteor, tools
from vcap.engine.evaluation.compare import (
    Verdict,
    evaluate_and_judge,
    judge,
    thresholds_of,
    without_nan,
)
from vcap.engine.evaluation.problems import Problems
from vcap.engine.evaluation.report import Report, groups_of
from vcap.engine.reporter import Silent
from vcap.errors import InputError, UsageError
from vcap.metrics.outcome import Outcome


def outcome_of(values: list[float], videos: list[str] | None = None) -> Outcome:
    """An outcome whose F1 is the weighted mean of the values."""
    array = np.array(values)

    def rescore(weights: Any) -> dict[str, float]:
        return {"F1": float(weights @ array / weights.sum()) if weights.sum() else math.nan}

    units = tuple(f"u{number}" for number in range(len(values)))
    items: list[dict[str, Any]] = [
        {"id": unit, "scores": {"F1": value}, **({"video": videos[number]} if videos else {})}
        for number, (unit, value) in enumerate(zip(units, values, strict=True))
    ]
    return Outcome(units, rescore(np.ones(len(values))), rescore, items)


def report_of(values: list[float], name: str = "a.json", **more: Any) -> Report:
    """A report of such an outcome."""
    outcome = outcome_of(values, **more)
    stamp = {"predictions": name, "num_videos": len(values)}
    return Report("dense", outcome, stamp=stamp, groups=groups_of(outcome))


VALUES = [0.1, 0.4, 0.35, 0.8, 0.2, 0.9]


def test_nothing_is_resampled_unless_asked_for() -> None:
    told = judge(report_of(VALUES)).as_dict()
    assert "intervals" not in told
    assert "comparison" not in told
    assert "resampling" not in told["stamp"]


def test_an_interval_holds_the_score_and_the_stamp_says_how_it_was_drawn() -> None:
    told = judge(report_of(VALUES), ci=True, resamples=200, seed=7).as_dict()
    low, high = told["intervals"]["F1"]
    assert low < told["scores"]["F1"] < high
    assert told["stamp"]["resampling"] == {
        "resamples": 200,
        "seed": 7,
        "level": 0.95,
        "drawn": "videos",
    }


def test_queries_of_one_video_are_drawn_together() -> None:
    values, videos = [0.1] * 10 + [0.9] * 10, ["a"] * 10 + ["b"] * 10
    grouped = judge(report_of(values, videos=videos), ci=True, resamples=300)
    assert grouped.intervals["F1"] == pytest.approx((0.1, 0.9))  # one video twice, or the other
    low, high = judge(report_of(values), ci=True, resamples=300).intervals["F1"]
    assert 0.2 < low < high < 0.8


def test_a_comparison_tells_both_scores_and_their_difference() -> None:
    better = [value + 0.05 for value in VALUES]
    told = judge(report_of(better), report_of(VALUES, "old/b.json"), resamples=100).as_dict()
    compared = told["comparison"]
    assert compared["predictions"] == "old/b.json"
    assert compared["scores"]["F1"] == pytest.approx(np.mean(VALUES))
    assert compared["differences"]["F1"]["difference"] == pytest.approx(0.05)
    assert compared["differences"]["F1"]["p"] == pytest.approx(1 / 101)
    assert "intervals" not in told


def test_the_same_predictions_differ_by_nothing() -> None:
    verdict = judge(report_of(VALUES), report_of(VALUES), resamples=50)
    assert verdict.comparison["F1"]["difference"] == 0
    assert verdict.comparison["F1"]["p"] == 1


def test_reports_on_other_units_cannot_be_compared() -> None:
    with pytest.raises(InputError) as caught:
        judge(report_of(VALUES), report_of(VALUES[:4], "b.json"))
    assert "2 in a.json only and 0 in b.json only" in str(caught.value)
    assert caught.value.hint == "--missing zero"


def test_nothing_to_resample_gives_no_interval() -> None:
    empty = Report("dense", Outcome((), {"F1": math.nan}, lambda _: {}, []))
    assert judge(empty, ci=True).as_dict()["scores"] == {"F1": None}


def test_what_is_no_number_is_null_in_json() -> None:
    value = {"a": math.nan, "b": [1, math.inf, "x", None, True], 3: np.int64(2), "c": np.float64(1)}
    plain = without_nan(value)
    assert plain == {"a": None, "b": [1, None, "x", None, True], "3": 2, "c": 1.0}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_the_sheet_has_what_the_page_shows() -> None:
    outcome = replace(
        outcome_of(VALUES),
        details={"per_tiou": {"METEOR": [0.1, 0.05]}},
        protocol={"tious": [0.3, 0.5]},
        unavailable={"SPICE": "no models"},
        warnings=("two",),
    )
    problems = Problems()
    problems.add("missing", "v1")
    report = Report("dense", outcome, problems, {"predictions": "a"}, groups_of(outcome))
    other = report_of(VALUES, "far/away/b.json")
    sheet = judge(report, other, ci=True, resamples=20).sheet()
    assert sheet.other == "b.json"
    assert sheet.thresholds == {"METEOR": {"tIoU 0.3": 0.1, "tIoU 0.5": 0.05}}
    assert sheet.problems == {"missing": {"count": 1, "examples": ["v1"]}}
    assert (sheet.unavailable, sheet.warnings) == ({"SPICE": "no models"}, ("two",))
    assert [item["id"] for item in sheet.items] == [f"u{n}" for n in range(6)]
    assert set(sheet.intervals) == set(sheet.comparison) == {"F1"}


def test_a_task_without_thresholds_has_none() -> None:
    assert thresholds_of({"queries": 3}, {"tious": [0.5]}) == {}


class TestTwoFiles:
    """Both are evaluated with the same settings; what is wrong with the second is told as such."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The files that were evaluated, by an evaluation that finds fault with each."""
        seen: list[str] = []

        def evaluate(_: str, name: str, *rest: Any, reporter: Any, tools: Any = None) -> Report:
            seen.append(name)
            problems = Problems()
            problems.add("missing", f"{name}: v1")
            reporter.warn("missing: 1")
            unavailable = {"SPICE": "no models"}
            outcome = replace(outcome_of(VALUES), unavailable=unavailable, warnings=("odd",))
            return Report("caption", outcome, problems, {"predictions": name}, groups_of(outcome))

        monkeypatch.setattr(evaluate_module, "evaluate", evaluate)
        return seen

    def run(self, predictions: str, other: str | None, reporter: Silent) -> Verdict:
        """Evaluate with ten draws."""
        settings = evaluate_module.EvaluateSettings()
        truth = [Path("r.json")]
        return evaluate_and_judge(
            "caption", predictions, truth, settings, other=other, reporter=reporter, resamples=10
        )

    def test_one_file_is_evaluated_alone(self, asked: list[str]) -> None:
        assert self.run("a.json", None, Silent()).other is None
        assert asked == ["a.json"]

    def test_the_second_is_named_where_it_is_at_fault(self, asked: list[str]) -> None:
        reporter = Silent()
        verdict = self.run("a.json", "b.json", reporter)
        assert asked == ["a.json", "b.json"]
        assert verdict.comparison["F1"]["p"] == 1
        # what was said of the first is not said again
        assert reporter.lines == [
            "warning: missing: 1",
            "warning: b.json: missing: 1 (b.json: v1)",
        ]

    def test_references_from_a_pipe_serve_both(self, tmp_path: Path) -> None:
        records = [{"id": n, "label": n} for n in "ab"]
        said, pipe = tmp_path / "said.jsonl", tmp_path / "pipe"
        said.write_text("\n".join(map(json.dumps, records)))
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=[said.read_bytes()])
        writer.start()
        verdict = evaluate_and_judge(
            "classification", str(said), [pipe], evaluate_module.EvaluateSettings(),
            other=str(said), reporter=Silent(), resamples=10,
        )  # fmt: skip
        writer.join()
        assert verdict.comparison["top-1"]["difference"] == 0

    def test_scores_over_other_videos_are_told(
        self, asked: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = evaluate_module.evaluate

        def evaluate(task: str, name: str, *rest: Any, **more: Any) -> Report:
            report = whole(task, name, *rest, **more)
            if name == "b.json":
                report.outcome.items[2]["scores"].clear()
            return report

        monkeypatch.setattr(evaluate_module, "evaluate", evaluate)
        reporter = Silent()
        self.run("a.json", "b.json", reporter)
        assert reporter.lines[-1] == "warning: F1: not a mean over the same videos in both files"

    def test_both_cannot_come_from_stdin(self, asked: list[str]) -> None:
        with pytest.raises(UsageError, match="both be stdin"):
            self.run("-", "-", Silent())
        assert asked == []


class TestOneStartForBoth:
    """The programs that both evaluations need are started once, with what both files say."""

    @pytest.fixture
    def java(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A stand-in for Java; gives the folder where it notes its starts."""
        program, table = fake_java(tmp_path, "both"), write_table(tmp_path / "table.gz")
        monkeypatch.setattr(tools, "find_java", lambda: program)
        monkeypatch.setattr(meteor, "require_program", lambda name: table)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        return tmp_path

    def compared(self, task: str, folder: Path, said: Any, other: Any, truth: Any) -> Verdict:
        """The verdict on two files of JSON."""
        paths = []
        for name, value in (("said", said), ("other", other), ("truth", truth)):
            paths.append(folder / f"{name}.json")
            paths[-1].write_text(json.dumps(value), encoding="utf-8")
        settings = evaluate_module.EvaluateSettings(metrics=("METEOR",))
        first, second = str(paths[0]), str(paths[1])
        return evaluate_and_judge(
            task, first, paths[2:], settings, other=second, reporter=Silent(), resamples=5
        )

    @pytest.mark.parametrize(
        ("task", "num_tokenizers"), [("caption", 1), ("dense", 1), ("paragraph", 0)]
    )
    def test_meteor_and_the_tokenizer_start_once(
        self, java: Path, task: str, num_tokenizers: int
    ) -> None:
        def told(text: str) -> Any:
            event = {"sentence": text, "timestamp": [0, 10]}
            more = {"sentence": "caf\u00e9 horse", "timestamp": [0, 10]}
            results = {"v": [event, more], "w": [event]}
            return {"version": "1", "external_data": {}, "results": results}

        true: dict[str, Any] = {"duration": 10, "timestamps": [[0, 10]], "sentences": ["one child"]}
        truth: dict[str, Any] = {"v": true, "w": true}
        said, other = told("a boy"), told("a zebra")
        if task == "caption":
            said, other = ({"v": text, "w": text} for text in ("a boy", "zebra"))
            truth = {"v": ["one child", "a horse"], "w": ["a kid"]}
        if task == "paragraph":
            truth = {"v": "one child", "w": "a kid"}
        verdict = self.compared(task, java, said, other, truth)
        assert verdict.other is not None and "METEOR" in verdict.comparison
        assert sum(" -a " in start for start in starts(java)) == 1
        assert sum("PTBTokenizer" in start for start in starts(java)) == num_tokenizers

    def test_a_second_file_that_cannot_be_read_is_told(self, java: Path) -> None:
        (java / "odd.json").write_text("no JSON", encoding="utf-8")
        (java / "said.json").write_text('{"v": "a boy"}', encoding="utf-8")
        (java / "truth.json").write_text('{"v": ["one child"]}', encoding="utf-8")
        names = [str(java / f"{name}.json") for name in ("said", "odd")]
        settings = evaluate_module.EvaluateSettings()
        with pytest.raises(InputError, match=r"odd\.json"):
            evaluate_and_judge(
                "caption", names[0], [java / "truth.json"], settings, other=names[1],
                reporter=Silent(),
            )  # fmt: skip
