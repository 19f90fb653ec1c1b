"""`vcap evaluate` of every task but caption, from small files with figures worked by hand."""

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.cli.test_evaluate_command import told


@pytest.fixture
def score(vcap: Any, tmp_path: Path) -> Any:
    """Evaluate values that are first written to files, without Java; gives the result."""

    def run(task: str, predictions: Any, references: Any, *options: Any) -> Any:
        paths = [tmp_path / "predictions", tmp_path / "references"]
        for path, value in zip(paths, (predictions, references), strict=True):
            if isinstance(value, np.ndarray):
                with path.open("wb") as file:
                    np.save(file, value)
            else:
                path.write_text(json.dumps(value), encoding="utf-8")
        words = ("evaluate", task, paths[0], "-r", paths[1], "--no-java")
        return vcap(*words, *options)

    return run


def official(**videos: list[tuple[float, float, str]]) -> dict[str, Any]:
    """Predictions in the layout of the dense captioning challenge."""
    results = {
        name: [{"sentence": text, "timestamp": [start, end]} for start, end, text in events]
        for name, events in videos.items()
    }
    return {"version": "VERSION 1.0", "external_data": {}, "results": results}


def annotated(**videos: list[tuple[float, float, str]]) -> dict[str, Any]:
    """References in the layout of ActivityNet Captions; every video lasts 100 s."""
    return {
        name: {
            "duration": 100.0,
            "timestamps": [[start, end] for start, end, _ in events],
            "sentences": [text for _, _, text in events],
        }
        for name, events in videos.items()
    }


EVENTS = {
    "v_one": [(0.0, 10.0, "a man picks up a guitar"), (10.0, 40.0, "he plays a song on it")],
    "v_two": [(5.0, 25.0, "a dog runs after a ball"), (30.0, 60.0, "the dog comes back")],
    "v_three": [(0.0, 50.0, "a child sings"), (50.0, 90.0, "people clap their hands")],
}
DENSE = ("--metrics", "BLEU,ROUGE-L,CIDEr,recall,precision,F1,F1 of means")


class TestDense:
    """Captions with times, by the protocol of ActivityNet Captions."""

    def test_what_is_right_has_all_recall_and_precision(self, score: Any) -> None:
        value = told(score("dense", official(**EVENTS), annotated(**EVENTS), *DENSE, "--json"))
        assert value["scores"]["recall"] == value["scores"]["precision"] == 1
        assert value["scores"]["BLEU-1"] == pytest.approx(1)
        assert value["stamp"]["protocol"]["dense"] == "ActivityNet Captions 2018"

    def test_a_video_without_prediction_counts_zero(self, score: Any) -> None:
        some = {name: events for name, events in EVENTS.items() if name != "v_two"}
        value = told(score("dense", official(**some), annotated(**EVENTS), *DENSE, "--json"))
        assert value["scores"]["recall"] == pytest.approx(2 / 3)
        assert value["stamp"]["num_missing"] == 1
        left_out = score(
            *("dense", official(**some), annotated(**EVENTS), *DENSE, "--missing", "skip", "--json")
        )
        assert told(left_out)["scores"]["recall"] == 1

    def test_the_table_has_a_column_a_threshold(self, score: Any) -> None:
        result = score("dense", official(**EVENTS), annotated(**EVENTS), *DENSE)
        assert "metric     tIoU 0.3  tIoU 0.5  tIoU 0.7  tIoU 0.9\n" in result.stdout
        two = score("dense", official(**EVENTS), annotated(**EVENTS), *DENSE, "--tiou", "0.2,0.4")
        assert "metric     tIoU 0.2  tIoU 0.4\n" in two.stdout

    def test_the_year_is_named(self, score: Any) -> None:
        words = ("dense", official(**EVENTS), annotated(**EVENTS), *DENSE, "--json")
        value = told(score(*words, "--protocol", 2021))
        assert value["stamp"]["protocol"]["dense"] == "ActivityNet Captions 2021"

    @pytest.mark.parametrize(
        ("event", "kind"),
        [
            ((math.nan, 10.0, "a man"), "not a number"),
            ((20.0, 10.0, "a man"), "reversed times"),
            ((10.0, 10.0, "a man"), "no length"),
            ((10.0, 400.0, "a man"), "past the end"),
            ((10.0, 20.0, ""), "empty"),
            ((10.0, 20.0, "a man 🎸"), "characters outside ASCII"),
        ],
    )
    def test_odd_events_are_counted_and_told(self, score: Any, event: Any, kind: str) -> None:
        given = EVENTS | {"v_one": [*EVENTS["v_one"], event]}
        result = score("dense", official(**given), annotated(**EVENTS), *DENSE, "--json")
        problem = told(result)["problems"][kind]
        assert problem["count"] == 1
        assert "v_one" in problem["examples"][0]
        assert f"warning: {kind}: 1" in result.stderr

    def test_a_video_with_an_empty_list_is_no_failure(self, score: Any) -> None:
        given = official(**EVENTS | {"v_one": []})
        value = told(score("dense", given, annotated(**EVENTS), *DENSE, "--json"))
        assert value["scores"]["precision"] == pytest.approx(2 / 3)

    def test_a_file_without_the_three_keys_is_refused_with_what_is_wanted(self, score: Any) -> None:
        result = score("dense", {"v_one": "a man"}, annotated(**EVENTS))
        assert (result.exit_code, result.stdout) == (4, "")
        assert "results" in result.stderr

    def test_no_video_in_common_ends_with_4(self, score: Any) -> None:
        result = score("dense", official(v_x=EVENTS["v_one"]), annotated(**EVENTS))
        assert (result.exit_code, result.stdout) == (4, "")
        assert "no video id in common" in result.stderr

    def test_a_page_shows_every_video(self, score: Any, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        words = ("dense", official(**EVENTS), annotated(**EVENTS), *DENSE)
        assert score(*words, "-o", page).exit_code == 0
        text = page.read_text()
        assert all(name in text for name in EVENTS)
        assert "tIoU 0.9" in text


class TestParagraph:
    """All captions of a video as one text."""

    TEXTS: ClassVar = {
        name: " ".join(f"{text}." for _, _, text in events) for name, events in EVENTS.items()
    }

    def test_the_right_words_score_one(self, score: Any) -> None:
        value = told(score("paragraph", official(**EVENTS), self.TEXTS, "--json"))
        assert value["scores"]["BLEU-4"] == pytest.approx(1)
        assert value["scores"]["R@4"] == 0

    def test_what_is_said_twice_is_repetition(self, score: Any) -> None:
        given = EVENTS | {"v_one": [EVENTS["v_one"][0]] * 2}
        value = told(score("paragraph", official(**given), self.TEXTS, "--json"))
        assert value["scores"]["R@4"] == pytest.approx(1 / 2 / 3)

    def test_a_missing_video_is_an_empty_text(self, score: Any) -> None:
        some = {name: events for name, events in EVENTS.items() if name != "v_two"}
        result = score("paragraph", official(**some), self.TEXTS, "--json")
        assert told(result)["problems"]["missing"] == {"count": 1, "examples": ["v_two"]}


class TestRetrieval:
    """Ranks of the right video, and of the right text."""

    MATRIX = np.array([[0.9, 0.1, 0.2], [0.8, 0.3, 0.1], [0.2, 0.3, 0.5]])

    def test_recall_is_in_percent_and_ranks_are_ranks(self, score: Any) -> None:
        result = score("retrieval", self.MATRIX, ["a", "b", "c"])
        rows = dict(line.rsplit(maxsplit=1) for line in result.stdout.splitlines()[1:13])
        assert rows["R@1"] == "66.67"
        assert rows["R@5"] == "100.00"
        assert rows["MdR"] == "1.00"
        assert rows["MnR"] == "1.33"
        assert "video-to-text R@1" in rows

    def test_ties_count_against_the_model_unless_asked(self, score: Any) -> None:
        ties = np.ones((3, 3))
        worst = score("retrieval", ties, ["a", "b", "c"], "--json")
        assert told(worst)["scores"]["MnR"] == 3
        assert "warning: " in worst.stderr
        assert (
            told(score("retrieval", ties, ["a", "b", "c"], "--ties", "best", "--json"))["scores"][
                "MnR"
            ]
            == 1
        )

    def test_a_similarity_that_is_no_number_is_refused(self, score: Any) -> None:
        result = score("retrieval", np.full((3, 3), np.nan), ["a", "b", "c"])
        assert (result.exit_code, result.stdout) == (4, "")
        assert "NaN" in result.stderr or "not a number" in result.stderr

    def test_no_video_can_be_left_out_of_a_matrix(self, score: Any) -> None:
        result = score("retrieval", self.MATRIX, ["a", "b", "c"], "--missing", "skip")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "a matrix has every video" in result.stderr

    def test_intervals_are_by_video(self, score: Any) -> None:
        value = told(
            score(*("retrieval", self.MATRIX, ["a", "b", "c"], "--ci", "--resamples", 40, "--json"))
        )
        low, high = value["intervals"]["R@1"]
        assert 0 <= low <= value["scores"]["R@1"] <= high <= 100


class TestGrounding:
    """When in a video a text happens."""

    TRUTH = annotated(one=[(0.0, 10.0, "a"), (20.0, 40.0, "b")])

    def test_recall_at_a_threshold(self, score: Any) -> None:
        hits = {
            "one-0": [{"timestamp": [0.0, 10.0], "score": 1.0}],
            "one-1": [{"timestamp": [30.0, 50.0], "score": 1.0}],
        }
        scores = told(score("grounding", {"results": hits}, self.TRUTH, "--json"))["scores"]
        assert scores["R@1 tIoU=0.3"] == 1
        assert scores["R@1 tIoU=0.5"] == 0.5
        assert scores["mIoU"] == pytest.approx((1 + 1 / 3) / 2)

    def test_a_query_without_prediction_is_a_miss(self, score: Any) -> None:
        hits = {"one-0": [{"timestamp": [0.0, 10.0], "score": 1.0}]}
        value = told(score("grounding", {"results": hits}, self.TRUTH, "--json"))
        assert value["scores"]["R@1 tIoU=0.5"] == 0.5
        assert value["stamp"]["num_missing"] == 1


class TestQuestions:
    """Answers to questions about videos."""

    TRUTH: ClassVar = [
        {"question_id": "v1_1", "answer": "yes", "type": 3},
        {"question_id": "v1_2", "answer": "dog", "type": 5},
        {"question_id": "v2_1", "answer": "red", "type": 4},
    ]

    def test_answers_must_be_the_same_text(self, score: Any) -> None:
        answers = [
            {"question_id": "v1_1", "answer": "yes"},
            {"question_id": "v1_2", "answer": "Dog"},
            {"question_id": "v2_1", "answer": "red"},
        ]
        value = told(score("qa", answers, self.TRUTH, "--metrics", "accuracy", "--json"))
        assert value["scores"]["accuracy"] == pytest.approx(2 / 3)

    def test_an_unanswered_question_is_wrong(self, score: Any) -> None:
        answers = [{"question_id": "v1_1", "answer": "yes"}, {"question_id": "x", "answer": "no"}]
        value = told(score("qa", answers, self.TRUTH, "--metrics", "accuracy", "--json"))
        assert value["scores"]["accuracy"] == pytest.approx(1 / 3)
        assert (value["stamp"]["num_missing"], value["stamp"]["num_extra"]) == (2, 1)

    def test_without_wordnet_wups_is_absent_and_never_zero(
        self, score: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VCAP_WORDNET", str(tmp_path / "none"))
        answers = [{"question_id": "v1_1", "answer": "yes"}]
        value = told(score("qa", answers, self.TRUTH, "--json"))
        assert not any(name.startswith("WUPS") for name in value["scores"])
        assert any(name.startswith("WUPS") for name in value["unavailable"])
        asked = score("qa", answers, self.TRUTH, "--metrics", "WUPS")
        assert (asked.exit_code, asked.stdout) == (5, "")


class TestClassification:
    """Which class a video has."""

    TRUTH: ClassVar = {"a": "running", "b": "singing", "c": "cooking"}

    def test_the_first_label_and_the_first_five_count(self, score: Any) -> None:
        ranked = {"a": ["running", "x"], "b": ["x", "singing"], "c": ["x", "y"]}
        scores = told(score("classification", ranked, self.TRUTH, "--json"))["scores"]
        assert scores == {"top-1": pytest.approx(1 / 3), "top-5": pytest.approx(2 / 3)}

    def test_one_label_a_video_has_no_top_5(self, score: Any) -> None:
        value = told(score("classification", self.TRUTH, self.TRUTH, "--json"))
        assert value["scores"] == {"top-1": 1}
        assert "top-5" in value["unavailable"]


@pytest.mark.parametrize("task", ["dense", "paragraph", "retrieval", "grounding", "qa"])
def test_an_empty_file_ends_with_4_for_every_task(vcap: Any, tmp_path: Path, task: str) -> None:
    for name, text in (("empty.json", ""), ("truth.json", json.dumps(annotated(**EVENTS)))):
        (tmp_path / name).write_text(text)
    result = vcap("evaluate", task, tmp_path / "empty.json", "-r", tmp_path / "truth.json")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "Traceback" not in result.stderr


def test_a_metric_of_another_task_is_wrong_usage(score: Any) -> None:
    result = score("classification", {"a": "x"}, {"a": "x"}, "--metrics", "CIDEr")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "classification" in result.stderr
