"""Paragraph metrics, repetition and diversity give the figures that the official code recorded."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GOLDEN, present
from vcap.engine.evaluation.tools import Tools, open_tools
from vcap.metrics.paragraph import score_paragraphs
from vcap.metrics.repetition import score_repetition
from vcap.types import Event, Segment

pytestmark = pytest.mark.parity
NAMES = {
    **{f"para_Bleu_{order}": f"BLEU-{order}" for order in (1, 2, 3, 4)},
    "para_METEOR": "METEOR",
    "para_ROUGE_L": "ROUGE-L",
    "para_CIDEr": "CIDEr",
}
REPETITION = {"re1": "R@1", "re2": "R@2", "re3": "R@3", "re4": "R@4"}
DIVERSITY = ("Div@1", "Div@2", "RE@4")
REPEATED = {"empty_caption": (1 / 10, 0, 0, 0)}  # 4 words of 5 in one video, none in the other
VARIED = {  # worked by hand where the original fails: different words and pairs over words
    "empty_caption": ((4 / 5 + 0) / 2, (4 / 5 + 0) / 2),
    "empty_list_first": ((0 + 6 / 7) / 2, (0 + 6 / 7) / 2),
    "empty_reference_caption": (6 / 6, 4 / 6),
    "no_overlap": (2 / 2, 1 / 2),  # the first caption alone, as there is one event
    "one_event": (1, (5 / 6 + 5 / 6 + 2 / 3) / 3),
    "punctuation_only": ((5 / 5 + 1 / 2) / 2, (2 / 5 + 1 / 2) / 2),
    "tiou_boundary": (2 / 2, 1 / 2),
    "two_references": (1, (7 / 9 + 2 / 3) / 2),
    "unicode": (1, (14 / 17 + 0 / 1) / 2),
}


def recorded_cases(kind: str) -> list[Any]:
    """(folder, key) of every recorded figure of a kind."""
    found = [
        pytest.param(path.parent, key, id=f"{path.parent.name}-{key.replace('/', '-')}")
        for path in sorted(GOLDEN.glob("evaluate/dense*/*/expected.json"))
        for key in json.loads(path.read_bytes())["expected"]
        if key.startswith(kind)
    ]
    return found or [pytest.param(GOLDEN / "absent", "absent", id="absent")]


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    """One METEOR for all cases."""
    if shutil.which("java") is None:
        pytest.skip("METEOR needs Java")
    with open_tools() as opened:
        yield opened


def load(path: Path) -> Any:
    """A JSON file; a set that is absent skips the test."""
    present(GOLDEN, "VCAP_GOLDEN")
    return json.loads(path.read_bytes())


def expected(folder: Path, key: str) -> dict[str, Any]:
    """The recorded figures under a key."""
    figures: dict[str, Any] = load(folder / "expected.json")["expected"][key]
    return figures


def predicted(folder: Path) -> dict[str, list[str]]:
    """The captions of each predicted video, in file order."""
    results = load(folder / "predictions.json")["results"]
    return {video: [event["sentence"] for event in told] for video, told in results.items()}


def paragraphs(folder: Path, numbers: Sequence[int], name: str = "para") -> list[dict[str, str]]:
    """The reference files of a case."""
    return [load(folder / f"{name}_{number}.json") for number in numbers]


def first_references(folder: Path) -> list[dict[str, list[Event]]]:
    """The events of the first annotator."""
    return [
        {
            video: [
                Event(Segment(*map(float, ends)), text)
                for ends, text in zip(told["timestamps"], told["sentences"], strict=True)
            ]
            for video, told in load(folder / "references_1.json").items()
        }
    ]


def near(figures: dict[str, Any]) -> Any:
    """Recorded figures with the tolerance that their README states."""
    return pytest.approx(figures, abs=1e-9)


@pytest.mark.parametrize(("folder", "key"), recorded_cases("paragraph"))
def test_the_paragraph_metrics_are_met(folder: Path, key: str, tools: Tools) -> None:
    _, _, numbers = key.partition("/")
    every = range(1, 1 + len(list(folder.glob("para_*.json"))))
    chosen = [*map(int, numbers.split("+"))] if numbers else every
    scores = score_paragraphs(predicted(folder), paragraphs(folder, chosen), tools).scores
    wanted = {NAMES[name]: value for name, value in expected(folder, key).items()}
    assert scores == near(wanted)


def test_the_paragraph_metrics_of_the_cm2_evaluation_are_met(tools: Tools) -> None:
    folder = present(GOLDEN / "cm2" / "eval", "VCAP_GOLDEN")
    recorded = load(folder / "expected.json")["paragraph"]
    files = paragraphs(folder, (1, 2), "paragraphs")
    scores = score_paragraphs(predicted(folder), files, tools).scores
    assert scores == near({NAMES[name]: value for name, value in recorded.items()})


@pytest.mark.parametrize(("folder", "key"), recorded_cases("repetition"))
def test_repetition_is_met(folder: Path, key: str) -> None:
    recorded = expected(folder, key)
    outcome = score_repetition(predicted(folder), first_references(folder))
    scores = {name: outcome.scores[ours] for name, ours in REPETITION.items()}
    if "reference_raises" in recorded:  # an empty caption, which is left out here
        assert [*scores.values()] == pytest.approx(REPEATED[folder.name], abs=1e-9)
        return
    counts = outcome.details["repetition"]
    assert counts["num_predicted"] == recorded["num_pred"]
    assert counts["num_videos"] == recorded["num_evaluated"]
    assert len(outcome.units) == recorded["num_gt"]
    if recorded["re1"] == "NaN":
        assert set(scores.values()) == {0.0}
        assert outcome.warnings
    else:
        assert scores == near({name: recorded[name] for name in REPETITION})


@pytest.mark.parametrize(("folder", "key"), recorded_cases("diversity"))
def test_diversity_is_met(folder: Path, key: str) -> None:
    recorded = expected(folder, key)
    outcome = score_repetition(predicted(folder), first_references(folder))
    scores = {name: outcome.scores[name] for name in DIVERSITY}
    if "reference_raises" in recorded:  # an empty caption, or no 4-gram, which counts 0 here
        assert [*scores.values()] == pytest.approx([*VARIED[folder.name], 0], abs=1e-9)
    elif recorded["Div@1"] == "NaN":
        assert set(scores.values()) == {0.0}
    else:
        assert outcome.details["repetition"]["num_videos"] == recorded["n_videos"]
        assert scores == near({name: recorded[name] for name in DIVERSITY})
