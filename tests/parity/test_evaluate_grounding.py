"""Recall and mean tIoU of grounding against the recorded ones; float32 there, 1e-6."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.evaluate import evaluate
from vcap.metrics.grounding import score_grounding

pytestmark = pytest.mark.parity


def load(folder: Path, name: str) -> tuple[Any, Any, Any]:
    """Predictions, references and expected figures of a recorded set."""
    parts = ("predictions", "references", "expected")
    return tuple(json.loads((folder / name / f"{part}.json").read_text("utf-8")) for part in parts)  # type: ignore[return-value]


def anet(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """The ActivityNet set, as the metric takes it."""
    predictions, references, expected = load(folder, "anet")
    proposals = {
        query: [tuple(proposal["timestamp"]) for proposal in given]
        for query, given in predictions["results"].items()
    }
    true = {
        f"{video}-{number}": tuple(segment)
        for video, entry in references.items()
        for number, segment in enumerate(entry["timestamps"])
    }
    return proposals, true, expected["expected"]


def test_the_activitynet_form_gives_every_recorded_figure(golden_root: Path) -> None:
    proposals, true, expected = anet(golden_root / "evaluate" / "grounding")
    outcome = score_grounding(proposals, true)
    names = {re.sub(r"(R@\d+)IOU", r"\1 tIoU=", n).replace("mIOU", "mIoU"): n for n in expected}
    assert set(outcome.scores) == set(names)
    for ours, theirs in names.items():
        assert outcome.scores[ours] == pytest.approx(expected[theirs], abs=1e-6), ours


def test_the_order_of_the_queries_changes_nothing(golden_root: Path) -> None:
    proposals, true, _ = anet(golden_root / "evaluate" / "grounding")
    turned = dict(reversed(true.items()))
    assert score_grounding(proposals, turned).scores == pytest.approx(
        score_grounding(proposals, true).scores, abs=1e-12
    )


def test_the_charades_form_gives_every_recorded_figure(golden_root: Path) -> None:
    predictions, references, expected = load(golden_root / "evaluate" / "grounding", "charades")
    proposals = {key: given["timestamp"] for key, given in predictions.items()}
    true = {str(entry["id"]): entry["timestamp"] for entry in references["annotations"]}
    outcome = score_grounding(proposals, true, form="charades")
    assert len(outcome.units) == expected["n"]
    for tiou, percent in expected["R@1_percent"].items():
        assert 100 * outcome.scores[f"R@1 tIoU={tiou}"] == pytest.approx(percent, abs=1e-9)


@pytest.mark.parametrize("name", ["anet", "charades"])
def test_the_command_line_way_gives_what_the_metric_gives(golden_root: Path, name: str) -> None:
    folder = golden_root / "evaluate" / "grounding"
    report = evaluate(
        "grounding", folder / name / "predictions.json", [folder / name / "references.json"]
    )
    scores = report.outcome.scores
    if name == "anet":
        predictions, true, expected = anet(folder)
        assert scores == score_grounding(predictions, true).scores
        assert scores["mIoU"] == pytest.approx(expected["mIOU"], abs=1e-9)
        assert report.problems.count("missing") > 0
    else:
        recorded = load(folder, name)[2]["R@1_percent"]
        assert 100 * scores["R@1 tIoU=0.5"] == pytest.approx(recorded["0.5"], abs=1e-9)
    assert len(set(report.groups)) < len(report.groups)
