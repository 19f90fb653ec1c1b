"""From the recorded files to the recorded scores, by way of the readers that users meet.

The families have their own parity tests, METEOR included; what is shown here is that nothing is
lost between a file and a score. Without Java where the case allows it, since it is quick.
"""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GOLDEN
from vcap.engine.evaluate import EvaluateSettings, evaluate
from vcap.errors import InputError

DENSE = {
    "Bleu_1": "BLEU-1", "Bleu_2": "BLEU-2", "Bleu_3": "BLEU-3", "Bleu_4": "BLEU-4",
    "METEOR": "METEOR", "ROUGE_L": "ROUGE-L", "CIDEr": "CIDEr", "Recall": "recall",
    "Precision": "precision",
}  # fmt: skip
SHIFTED = "carriage_return"  # the recorded language scores there show a fault that is not copied
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java")
pytestmark = pytest.mark.parity


def cases(folder: str) -> list[Any]:
    """The recorded cases of a folder, or one that is skipped."""
    found = sorted(GOLDEN.glob(f"{folder}/*/expected.json"))
    absent = pytest.param(None, marks=pytest.mark.skip(f"no {folder} in {GOLDEN}"))
    return [pytest.param(p.parent, id=p.parent.name) for p in found] or [absent]


def load(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def mean(value: Any) -> float:
    """The mean over thresholds."""
    return float(sum(value) / len(value))


def recorded(case: Path, year: str) -> dict[str, Any] | None:
    """The lists of one year; where the reference fails, what the README asks for instead."""
    told = load(case / "expected.json")
    found = told["expected"].get(year, {})
    if "reference_raises" in found:
        found = told.get("expected_with_guards", {}).get("values", {}).get(year)
    return found if isinstance(found, dict) else None


@pytest.mark.parametrize("year", ["2018", "2021"])
@pytest.mark.parametrize("case", cases("evaluate/dense_edge"))
def test_dense_files_give_the_recorded_scores(case: Path, year: str) -> None:
    references = sorted(case.glob("references_*.json"))
    limit = load(case / "expected.json")["max_proposals_per_video"]
    settings = EvaluateSettings(java=False, protocol=year, max_proposals=limit)
    predictions = case / "predictions.json"
    if not load(predictions)["results"]:
        with pytest.raises(InputError, match="no predictions"):
            evaluate("dense", predictions, references, settings)
        return
    expected = recorded(case, f"evaluate{year}")
    assert expected is not None
    scores = evaluate("dense", predictions, references, settings).outcome.scores
    names = {"Recall", "Precision"} if case.name == SHIFTED else DENSE.keys() & expected.keys()
    assert names
    for name in names - {"METEOR"}:
        assert scores[DENSE[name]] == pytest.approx(mean(expected[name]), abs=1e-9), name


@pytest.mark.parametrize("case", cases("evaluate/captions"))
def test_caption_files_give_the_recorded_scores(case: Path) -> None:
    file = case / "captions.json"
    scores = evaluate("caption", file, [file], EvaluateSettings(java=False)).outcome.scores
    expected = load(case / "expected.json")["expected"]
    for name in DENSE.keys() & expected.keys() - {"METEOR"}:
        assert scores[DENSE[name]] == pytest.approx(expected[name], abs=1e-9), name


@pytest.mark.parametrize("case", cases("evaluate/dense_edge"))
def test_paragraph_files_give_the_recorded_scores(case: Path) -> None:
    told = load(case / "expected.json")["expected"]
    predictions = case / "predictions.json"
    references = [*sorted(case.glob("para_*.json")), case / "references_1.json"]
    if not load(predictions)["results"]:
        with pytest.raises(InputError, match="no predictions"):
            evaluate("paragraph", predictions, references, EvaluateSettings(java=False))
        return
    report = evaluate("paragraph", predictions, references, EvaluateSettings(java=False))
    for name in DENSE.keys() - {"METEOR", "Recall", "Precision"}:
        expected = told["paragraph"][f"para_{name}"]
        assert report.outcome.scores[DENSE[name]] == pytest.approx(expected, abs=1e-9), name
    for order in range(1, 5):
        expected = told["repetition_refs_1"].get(f"re{order}", math.nan)
        if isinstance(expected, float) and math.isfinite(expected):
            assert report.outcome.scores[f"R@{order}"] == pytest.approx(expected, abs=1e-9)


@needs_java
@pytest.mark.slow
def test_one_recorded_system_is_met_in_every_figure(golden_root: Path) -> None:
    case = golden_root / "cm2" / "eval"
    references = sorted(case.glob("references_*.json"))
    paragraphs = sorted(case.glob("paragraphs_*.json"))
    expected = load(case / "expected.json")
    dense = evaluate("dense", case / "predictions.json", references)
    scores, details = dense.outcome.scores, dense.outcome.details
    for name, known in DENSE.items():
        assert details["per_tiou"][known] == pytest.approx(expected["per_tiou"][name], abs=1e-9)
        assert scores[known] == pytest.approx(expected["mean_over_tious"][name], abs=1e-9), name
    assert scores["F1 of means"] == pytest.approx(expected["F1"], abs=1e-9)
    assert scores["SODA_c"] == pytest.approx(expected["soda_c"], abs=1e-9)
    assert dense.stamp["tokenizer"] == "PTB 3.4.1 (Java)"
    assert dense.stamp["METEOR"] == "1.5"
    text = evaluate("paragraph", case / "predictions.json", paragraphs).outcome.scores
    for name in DENSE.keys() - {"Recall", "Precision"}:
        wanted = expected["paragraph"][f"para_{name}"]
        assert text[DENSE[name]] == pytest.approx(wanted, abs=1e-9), name
