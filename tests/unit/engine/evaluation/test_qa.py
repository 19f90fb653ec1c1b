"""Answers come out the same from every layout; what is odd is counted; WUPS needs WordNet."""

import json
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.evaluate import EvaluateSettings, evaluate
from vcap.engine.evaluation.inputs import Given
from vcap.engine.evaluation.problems import Problems
from vcap.engine.evaluation.qa import evaluate_qa, read_answers, read_questions
from vcap.engine.evaluation.wordnet import VARIABLE
from vcap.errors import AnnotationError, InputError, UnavailableError, UsageError
from vcap.metrics.outcome import Outcome

ANSWERS = [
    {"question_id": "v_a_1", "answer": "yes", "type": 3},
    {"question_id": "v_a_2", "answer": "red", "type": 4},
    {"question_id": "v_b_1", "answer": "dog", "type": 5},
]
QUESTIONS = [
    {"question_id": "v_a_1", "video_name": "film", "question": "is it day"},
    {"question_id": "v_a_2", "video_name": "film", "question": "what colour is it"},
]
RECORDS = [
    {
        "id": "v_a",
        "qa": [
            {"question": "is it day", "id": "v_a_1", "answer": "yes", "type": "yes/no"},
            {"question": "what colour is it", "id": "v_a_2", "answer": "red", "type": "colour"},
        ],
    },
    {"id": "v_b", "qa": [{"question": "who", "id": "v_b_1", "answer": "dog", "type": "object"}]},
]
MADE = {"v_a_1": "yes", "v_a_2": "blue", "v_b_1": "dog"}


@pytest.fixture(autouse=True)
def no_wordnet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Loading WordNet takes a second; one test turns it on again."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))


def given(value: Any) -> Given:
    """A file with this value in it; a list is one JSON text, as the data set has it."""
    return Given("file", data=json.dumps(value).encode())


def scored(
    predictions: Any, *references: Any, problems: Problems | None = None, **settings: Any
) -> Outcome:
    """The outcome of some answers."""
    truth = [given(each) for each in references or (ANSWERS,)]
    chosen, found = EvaluateSettings(**settings), problems or Problems()
    return evaluate_qa(given(predictions), truth, chosen, found, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "predictions",
    [
        MADE,
        [{"question_id": name, "answer": text} for name, text in MADE.items()],
        [{"id": name, "answer": text} for name, text in MADE.items()],
        [
            {
                "id": "v_a",
                "qa": [{"id": "v_a_1", "answer": "yes"}, {"id": "v_a_2", "answer": "blue"}],
            },
            {"id": "v_b", "qa": [{"id": "v_b_1", "answer": "dog"}]},
        ],
        {name: {"answer": text} for name, text in MADE.items()},
    ],
)
def test_answers_are_read_from_every_layout(predictions: Any) -> None:
    assert read_answers(given(predictions), Problems()) == MADE


def test_a_file_of_one_line_is_one_answer() -> None:
    assert read_answers(given({"question_id": "a", "answer": "yes"}), Problems()) == {"a": "yes"}


def test_records_and_the_official_answers_are_the_same_truth() -> None:
    ours, theirs = (read_questions([given(v)], None, Problems()) for v in (RECORDS, ANSWERS))
    assert ours.answers == theirs.answers
    assert ours.texts["v_b_1"] == "who"


def test_questions_of_a_record_without_ids_are_numbered() -> None:
    records = [
        {"id": "v", "qa": [{"question": "a", "answer": "x"}, {"question": "b", "answer": "y"}]}
    ]
    assert list(read_questions([given(records)], None, Problems()).answers) == ["v_0", "v_1"]


def test_the_scores_are_by_type_and_the_videos_come_from_the_ids() -> None:
    outcome = scored(MADE)
    assert outcome.scores["accuracy"] == pytest.approx(2 / 3)
    assert outcome.scores["accuracy colour"] == 0
    assert [item["video"] for item in outcome.items] == ["v_a", "v_a", "v_b"]


def test_a_file_of_questions_says_which_video_they_are_about() -> None:
    outcome = scored(MADE, ANSWERS, QUESTIONS)
    assert [item["video"] for item in outcome.items] == ["film", "film", "v_b"]
    assert outcome.items[0]["query"] == "is it day"
    assert "query" not in outcome.items[2]


def test_without_wordnet_wups_is_told_to_be_absent_and_never_zero() -> None:
    outcome = scored(MADE)
    assert set(outcome.unavailable) == {"WUPS@0.0", "WUPS@0.9"}
    assert VARIABLE in outcome.unavailable["WUPS@0.0"]
    assert not any(name.startswith("WUPS") for name in outcome.scores)


def test_asking_for_wups_by_name_without_wordnet_is_an_error(tmp_path: Path) -> None:
    made, truth = tmp_path / "made.json", tmp_path / "truth.json"
    made.write_text(json.dumps(MADE))
    truth.write_text(json.dumps(ANSWERS))
    with pytest.raises(UnavailableError, match="WUPS is not available: no WordNet"):
        evaluate("qa", made, [truth], EvaluateSettings(metrics=("wups",)))
    report = evaluate("qa", made, [truth], EvaluateSettings(metrics=("accuracy",)))
    assert report.outcome.unavailable == {}
    assert report.as_dict()["stamp"]["num_videos"] == 2


def test_wups_alone_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcap.engine.evaluation.wordnet.open_wordnet", lambda: lambda *_: 0.5)
    outcome = scored(MADE, metrics=("WUPS",))
    assert set(outcome.scores) == {"WUPS@0.0", "WUPS@0.9"}
    assert outcome.scores["WUPS@0.0"] == pytest.approx(100 * 2.5 / 3)


def test_unanswered_and_unknown_questions_are_counted() -> None:
    problems = Problems()
    outcome = scored({"v_a_1": "yes", "z": "no"}, problems=problems)
    assert outcome.scores["accuracy"] == pytest.approx(1 / 3)
    assert problems.examples == {"missing": ["v_a_2", "v_b_1"], "extra": ["z"]}
    left = scored({"v_a_1": "yes"}, missing="skip")
    assert (left.units, left.scores["accuracy"]) == (("v_a_1",), 1)


def test_an_answer_that_is_no_text_is_counted_and_equals_nothing() -> None:
    problems = Problems()
    outcome = scored({"v_a_1": 1, "v_a_2": "red"}, problems=problems)
    assert outcome.scores["accuracy"] == pytest.approx(1 / 3)
    assert problems.examples["unusable record"] == ["file: v_a_1: answer 1 is no text"]
    assert problems.counts["missing"] == 2


def test_an_empty_answer_is_counted_and_wrong() -> None:
    problems = Problems()
    assert scored({**MADE, "v_a_1": " "}, problems=problems).scores["accuracy yes/no"] == 0
    assert problems.examples["empty"] == ["file: v_a_1"]


def test_the_first_of_two_answers_holds_and_the_other_is_counted() -> None:
    problems = Problems()
    twice = [*ANSWERS, {"question_id": "v_a_1", "answer": "no", "type": 3}]
    assert read_answers(given(twice), problems)["v_a_1"] == "yes"
    assert read_questions([given(twice)], None, problems).answers["v_a_1"].text == "yes"
    assert problems.counts["duplicate"] == 2


def test_an_unknown_type_is_counted_and_belongs_to_no_group() -> None:
    problems = Problems()
    truth = [{"question_id": "q", "answer": "yes", "type": "why"}]
    assert scored({"q": "yes"}, truth, problems=problems).scores == {"accuracy": 1.0}
    assert problems.examples["unknown type of question"] == ["file: q: why"]


def test_what_has_no_id_or_no_answer_is_counted() -> None:
    problems = Problems()
    found = read_answers(given([{"answer": "yes"}, {"question_id": "a"}, 5, *ANSWERS]), problems)
    assert len(found) == 3
    assert problems.counts["unusable record"] == 3


def test_files_without_answers_and_without_a_common_id_are_refused() -> None:
    with pytest.raises(AnnotationError, match="no answers in it"):
        scored(MADE, QUESTIONS)
    with pytest.raises(AnnotationError, match="no answers in it"):
        scored([{"question_id": "a"}])
    with pytest.raises(InputError, match="no question id in common"):
        scored({"z": "yes"})


def test_a_split_of_the_records_may_be_chosen() -> None:
    records = [{**RECORDS[0], "split": "val"}, {**RECORDS[1], "split": "test"}]
    assert list(read_questions([given(records)], "test", Problems()).answers) == ["v_b_1"]
    with pytest.raises(UsageError, match="no split test; it has none"):
        read_questions([given(ANSWERS)], "test", Problems())


def test_all_splits_together_are_told() -> None:
    records = [{**RECORDS[0], "split": "val"}, {**RECORDS[1], "split": "test"}]
    told = "file holds the splits test, val; all are scored"
    assert told in scored(MADE, records).warnings


def test_numbers_are_ids_too() -> None:
    truth = [{"question_id": 1, "id": 5, "answer": "yes", "type": 3, "video_id": 9}]
    outcome = scored([{"id": 1, "answer": "yes"}], truth)
    assert outcome.scores["accuracy"] == 1
    assert outcome.items[0]["video"] == "9"
