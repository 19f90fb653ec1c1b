"""Dense captioning gives the figures of the official evaluators on every recorded case.

Recorded data: `golden/evaluate/dense`, `dense_edge` and `golden/cm2/eval`, with their READMEs; the
tolerance is 1e-9 throughout. Where the original fails, the recorded value is what it would give
with the guards that the README names.
"""

import gzip
import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import GOLDEN
from vcap.engine.evaluation.tools import Tools, open_tools
from vcap.metrics.dense import DenseProtocol, score_dense
from vcap.metrics.outcome import Outcome
from vcap.metrics.ptb import clean_ascii
from vcap.types import Event, Segment

pytestmark = pytest.mark.parity

Events = dict[str, list[Event]]

TOLERANCE = 1e-9
NAMES = {
    "Bleu_1": "BLEU-1",
    "Bleu_2": "BLEU-2",
    "Bleu_3": "BLEU-3",
    "Bleu_4": "BLEU-4",
    "METEOR": "METEOR",
    "ROUGE_L": "ROUGE-L",
    "Rouge-L": "ROUGE-L",
    "CIDEr": "CIDEr",
    "Recall": "recall",
    "Precision": "precision",
    "F1": "F1",
}
FULL = "anet_full_val_1"
SHIFTED = "carriage_return"  # its figures show a fault of the original's tokenizer


def read(path: Path) -> Any:
    """JSON, packed or not."""
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


@cache
def predictions_of(folder: Path) -> Events:
    """The proposals of a case."""
    (path,) = folder.glob("predictions.json*")
    return {
        video: [Event(Segment(*given["timestamp"]), given["sentence"]) for given in proposals]
        for video, proposals in read(path)["results"].items()
    }


@cache
def references_of(folder: Path, files: str) -> list[Events]:
    """The events of the named files (`1+2`), or of all files of a case."""
    names = [f"references_{file}.json" for file in files.split("+")] if files else [""]
    paths = [path for name in names for path in sorted(folder.glob(f"{name or 'references_'}*"))]
    return [
        {
            video: [
                Event(Segment(*times), sentence)
                for times, sentence in zip(given["timestamps"], given["sentences"], strict=True)
            ]
            for video, given in read(path).items()
        }
        for path in paths
    ]


@cache
def expected_of(folder: Path) -> dict[str, Any]:
    """The recorded figures of a case; what the original cannot give, as it is with guards."""
    recorded = read(folder / "expected.json")
    guarded = recorded.get("expected_with_guards", {}).get("values", {})
    return recorded["expected"] | {
        name: value
        for name, value in guarded.items()
        if "reference_raises" in str(recorded["expected"][name])
    }


def cases(*beginnings: str, holding: str = "") -> list[Any]:
    """Folder and key of every recorded figure whose key begins so; a skip where there is none.

    Of those that have something under the name `holding`, if one is given.
    """
    found = []
    for path in sorted(GOLDEN.glob("evaluate/dense*/*/expected.json")):
        folder = path.parent
        marks = [pytest.mark.slow] if folder.name == FULL else []
        expected = expected_of(folder) if folder.name != SHIFTED else {}
        for key, value in expected.items():
            if not key.startswith(beginnings) or "reference_raises" in value:
                continue
            if not holding or value.get(holding):
                found.append(pytest.param(folder, key, marks=marks, id=f"{folder.name}-{key}"))
    missing = pytest.mark.skip(reason=f"no recorded cases below {GOLDEN}; set VCAP_GOLDEN")
    return found or [pytest.param(GOLDEN, "", marks=missing)]


def protocol_of(folder: Path, key: str, **given: Any) -> tuple[list[Events], DenseProtocol]:
    """References and protocol that a key like `evaluate2018/refs_1+2/tious_0.1_0.95` stands for."""
    recorded = read(folder / "expected.json")
    limit = recorded.get("settings", recorded)["max_proposals_per_video"]
    settings: dict[str, Any] = {"max_proposals": limit, "year": 2021} | given
    files = ""
    for part in key.split("/"):
        name, _, value = part.rpartition("_")
        if part.startswith("evaluate"):
            settings["year"] = int(part.removeprefix("evaluate"))
        elif name == "refs":
            files = value
        elif name == "max_proposals":
            settings["max_proposals"] = int(value)
        elif part.startswith("tious_"):
            settings["tious"] = tuple(map(float, part.split("_")[1:]))
    return references_of(folder, files), DenseProtocol(**settings)


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    """One METEOR for all cases, told beforehand what it will be asked."""
    folders = [path.parent for path in GOLDEN.glob("evaluate/dense*/*/expected.json")]
    folders = [folder for folder in [*folders, GOLDEN / "cm2" / "eval"] if folder.name != FULL]
    captions = {"abc123!@#", "zqxjvkwzqxjvk"}
    for folder in folders:
        for events in [predictions_of(folder), *references_of(folder, "")]:
            captions |= {clean_ascii(e.caption) for part in events.values() for e in part}
    with open_tools() as opened:
        opened.expect(opened.tokenize(sorted(captions)))
        yield opened


def differences(found: dict[str, list[float]], recorded: dict[str, Any]) -> dict[str, float]:
    """How far each figure is off; METEOR is left out where there is no Java."""
    names = {NAMES[name]: value for name, value in recorded.items() if name in NAMES}
    if shutil.which("java") is None:
        names.pop("METEOR", None)
    assert names
    return {name: float(np.abs(np.subtract(found[name], names[name])).max()) for name in names}


def score(folder: Path, key: str, tools: Tools, **given: Any) -> Outcome:
    """The outcome of a recorded case."""
    references, protocol = protocol_of(folder, key, **given)
    return score_dense(predictions_of(folder), references, tools, protocol)


@pytest.mark.parametrize(("folder", "key"), cases("evaluate2018", "evaluate2021"))
def test_both_years_give_the_recorded_figures(folder: Path, key: str, tools: Tools) -> None:
    outcome = score(folder, key, tools)
    recorded = expected_of(folder)[key]
    assert max(differences(outcome.details["per_tiou"], recorded).values()) < TOLERANCE
    means = {n: [np.mean(v)] for n, v in recorded.items() if n in NAMES}
    headline = {name: [value] for name, value in outcome.scores.items()}
    assert max(differences(headline, means).values()) < TOLERANCE


@pytest.mark.parametrize(("folder", "key"), cases("evaluate2018", holding="per_video"))
def test_each_video_has_its_recorded_figures(folder: Path, key: str, tools: Tools) -> None:
    recorded = expected_of(folder)[key]["per_video"]
    outcome = score(folder, key, tools)
    limits = [str(limit) for limit in outcome.protocol["tious"]]
    items = {item["id"]: item["per_tiou"] for item in outcome.items}
    num_compared = 0
    for video, by_limit in recorded.items():
        for limit, given in by_limit.items():
            row = limits.index(limit)
            orders = {f"Bleu_{n}": value for n, value in enumerate(given.get("Bleu", ()), 1)}
            found = {name: [values[row]] for name, values in items[video].items()}
            assert max(differences(found, given | orders).values()) < TOLERANCE, (video, limit)
            num_compared += 1
    assert num_compared >= len(recorded) > 0


@pytest.mark.parametrize(("folder", "key"), cases("corpus_level_cider_variant"))
def test_cider_over_all_pairs_of_a_threshold_is_the_recorded_one(
    folder: Path, key: str, tools: Tools
) -> None:
    outcome = score(folder, key, tools, cider="corpus")
    off = differences(outcome.details["per_tiou"], expected_of(folder)[key])
    assert max(off.values()) < TOLERANCE


@pytest.mark.parametrize(("folder", "key"), cases("skip_missing_variant"))
def test_means_without_missing_videos_are_the_recorded_ones(
    folder: Path, key: str, tools: Tools
) -> None:
    outcome = score(folder, key, tools, skip_missing=True, max_proposals=1000)  # its only limit
    recorded = expected_of(folder)[key]
    headline = {name: [value] for name, value in outcome.scores.items()}
    assert max(differences(headline, {n: [v] for n, v in recorded.items()}).values()) < TOLERANCE
    per_tiou, starts = outcome.details["per_tiou"], outcome.details["starts"]
    for short, name in (("Recall", "recall"), ("Precision", "precision"), ("F1", "F1")):
        given = [recorded[f"{short}@{limit}"] for limit in outcome.protocol["tious"]]
        np.testing.assert_allclose(per_tiou[name], given, atol=TOLERANCE)
        given = [recorded[f"{short}@{seconds}s"] for seconds in starts["seconds"]]
        np.testing.assert_allclose(starts[name], given, atol=TOLERANCE)


@pytest.mark.parametrize(("folder", "key"), cases("per_video_f1_variant"))
def test_the_third_evaluator_agrees_down_to_the_f1_of_each_video(
    folder: Path, key: str, tools: Tools
) -> None:
    outcome = score(folder, key, tools, skip_missing=True)
    recorded = expected_of(folder)[key]["mean"]
    assert outcome.details["num_videos_counted"] == expected_of(folder)[key]["n_videos"]
    found = {
        "CIDER": outcome.scores["CIDEr"],
        "METEOR": outcome.scores.get("METEOR", recorded["METEOR"]),
        "Precision_Mean": outcome.scores["precision"],
        "Recall_Mean": outcome.scores["recall"],
        "F1_Score": outcome.details["F1 per video"],
    }
    for name, value in found.items():
        assert value == pytest.approx(recorded[name], abs=TOLERANCE), name


def test_the_figures_of_cm2_are_met_with_the_f1_of_means(golden_root: Path, tools: Tools) -> None:
    folder = golden_root / "cm2" / "eval"
    recorded = read(folder / "expected.json")
    references = references_of(folder, "")
    assert len(references) == 2
    outcome = score_dense(predictions_of(folder), references, tools)
    off = differences(outcome.details["per_tiou"], recorded["per_tiou"])
    assert max(off.values()) < TOLERANCE
    assert outcome.scores["F1 of means"] == pytest.approx(recorded["F1"], abs=TOLERANCE)
    assert abs(outcome.scores["F1"] - recorded["F1"]) > 1e-5  # the other convention


def test_a_carriage_return_is_a_blank_and_shifts_no_caption(
    golden_root: Path, tools: Tools
) -> None:
    folder = golden_root / "evaluate" / "dense_edge" / SHIFTED

    def mended(events: Events) -> Events:
        return {
            video: [Event(e.segment, e.caption.replace("\r", " ")) for e in part]
            for video, part in events.items()
        }

    given, references = predictions_of(folder), references_of(folder, "")
    outcome = score_dense(given, references, tools)
    clean = score_dense(mended(given), [*map(mended, references)], tools)
    assert mended(given) != given
    assert outcome.scores == clean.scores
    recorded = expected_of(folder)["evaluate2018"]
    assert outcome.scores["BLEU-4"] > recorded["Bleu_4"][0]
    assert outcome.details["per_tiou"]["recall"] == recorded["Recall"]


def test_predictions_without_one_of_the_videos_score_0_and_say_so(
    golden_root: Path, tools: Tools
) -> None:
    folder = golden_root / "evaluate" / "dense_edge" / "all_missing"
    outcome = score(folder, "", tools, skip_missing=True)
    assert set(outcome.scores.values()) == {0.0}
    assert "No video of the references is predicted" in outcome.warnings[0]
