"""Accuracy and WUPS of answers against the recorded ones, 1e-9; WUPS needs WordNet 3.0."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GOLDEN
from vcap.engine.evaluate import EvaluateSettings, evaluate
from vcap.errors import UnavailableError
from vcap.metrics.qa import LIST_ACCURACY, OFFICIAL_FREE, TYPES, Answer, score_qa, wups

pytestmark = pytest.mark.parity

FOLDER = GOLDEN / "evaluate" / "qa"
SETS = sorted(path.parent.name for path in FOLDER.glob("*/expected.json")) or ["absent"]


@pytest.fixture(scope="module")
def wup() -> Callable[[str, str], float]:
    """Wu-Palmer similarity of nouns, where WordNet is at hand."""
    from vcap.engine.evaluation.wordnet import open_wordnet

    try:
        return open_wordnet()
    except UnavailableError as error:
        pytest.skip(error.message)


def case(folder: Path, name: str) -> tuple[dict[str, str], dict[str, Answer], dict[str, Any]]:
    """Predictions, answers and expected figures of a recorded set."""
    parts = ("predictions", "answers", "expected")
    predictions, answers, expected = (
        json.loads((folder / "evaluate" / "qa" / name / f"{part}.json").read_text("utf-8"))
        for part in parts
    )
    return (
        {entry["question_id"]: entry["answer"] for entry in predictions},
        {entry["question_id"]: Answer(entry["answer"], entry["type"]) for entry in answers},
        expected,
    )


@pytest.mark.parametrize("name", SETS)
def test_accuracy_is_the_recorded_one_for_every_type(golden_root: Path, name: str) -> None:
    predictions, references, expected = case(golden_root, name)
    outcome, official = score_qa(predictions, references), expected["official"]
    assert outcome.scores["accuracy"] == pytest.approx(official["accuracy_all"], abs=1e-9)
    assert outcome.scores["accuracy free"] == pytest.approx(official["free_types_3_to_8"], abs=1e-9)
    for number, value in official["accuracy_per_type"].items():
        name_of_type = TYPES[int(number)]
        assert outcome.scores[f"accuracy {name_of_type}"] == pytest.approx(value, abs=1e-9)
        assert outcome.details["by_type"][name_of_type] == {
            "questions": official["count_per_type"][number],
            "right": official["correct_per_type"][number],
        }


@pytest.mark.parametrize("name", SETS)
def test_the_faulty_figure_of_the_script_stands_under_its_own_name(
    golden_root: Path, name: str
) -> None:
    predictions, references, expected = case(golden_root, name)
    outcome = score_qa(predictions, references)
    printed = expected["official"]["free_as_printed_by_the_script"]
    assert outcome.details[OFFICIAL_FREE] == pytest.approx(printed, abs=1e-9)
    assert OFFICIAL_FREE not in outcome.scores


@pytest.mark.parametrize("name", SETS)
def test_wups_over_the_answered_questions_is_the_recorded_one(
    golden_root: Path, name: str, wup: Callable[[str, str], float]
) -> None:
    predictions, references, expected = case(golden_root, name)
    wanted = expected["wups_over_answered"]
    outcome = score_qa(predictions, references, wup=wup, missing="skip")
    assert outcome.details["answered"] == wanted["n"]
    for figure in ("WUPS@0.0", "WUPS@0.9"):
        assert outcome.scores[figure] == pytest.approx(wanted[f"{figure}_percent"], abs=1e-9)
    share = outcome.details[LIST_ACCURACY]
    assert 100 * share == pytest.approx(wanted["accuracy_percent"], abs=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_unanswered_questions_lower_wups_unless_they_are_skipped(
    golden_root: Path, name: str, wup: Callable[[str, str], float]
) -> None:
    predictions, references, _ = case(golden_root, name)
    outcome = score_qa(predictions, references, wup=wup)
    over = outcome.details["over answered questions"]["WUPS@0.0"]
    share = outcome.details["answered"] / len(references)
    assert outcome.scores["WUPS@0.0"] == pytest.approx(over * share, abs=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_every_recorded_pair_has_its_wups(
    golden_root: Path, name: str, wup: Callable[[str, str], float]
) -> None:
    for answer, made, plain, strict in case(golden_root, name)[2]["pairs"]:
        assert wups(answer, made, 0.0, wup) == pytest.approx(plain, abs=1e-9), (answer, made)
        assert wups(answer, made, 0.9, wup) == pytest.approx(strict, abs=1e-9), (answer, made)


@pytest.mark.parametrize("name", SETS)
def test_the_command_line_way_gives_the_recorded_figures(golden_root: Path, name: str) -> None:
    folder, expected = golden_root / "evaluate" / "qa" / name, case(golden_root, name)[2]
    settings = EvaluateSettings(metrics=("accuracy",))
    report = evaluate("qa", folder / "predictions.json", [folder / "answers.json"], settings)
    scores = report.outcome.scores
    assert scores["accuracy"] == pytest.approx(expected["official"]["accuracy_all"], abs=1e-9)
    assert not any(figure.startswith("WUPS") for figure in scores)
    answered = expected["wups_over_answered"]["n"]
    assert report.problems.count("missing") == len(report.outcome.units) - answered
