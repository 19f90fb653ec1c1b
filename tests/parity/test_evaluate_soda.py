"""SODA gives the figures that the official code recorded."""

import gzip
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GOLDEN, present
from vcap.engine.evaluation.tools import Tools, open_tools
from vcap.metrics.outcome import Outcome
from vcap.metrics.soda import Videos, score_soda
from vcap.types import Event, Segment

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java"),
]
FIGURES = ("precision", "recall", "F1")
# The recorded figures show the fault of a tokenizer that prints a line more for such a caption.
SHIFTED = "carriage_return"


def recorded_cases(pattern: str) -> list[Any]:
    """(folder, key) of every recorded SODA figure below the folders that match."""
    found = [
        pytest.param(path.parent, key, id=f"{path.parent.name}-{key.replace('/', '-')}")
        for path in sorted(GOLDEN.glob(f"evaluate/{pattern}/expected.json"))
        for key in json.loads(path.read_bytes())["expected"]
        if key.startswith("soda_") and not key.startswith("soda_c_per_file")
    ]
    return found or [pytest.param(GOLDEN / "absent", "absent", id="absent")]


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    """One tokenizer and one METEOR for all cases."""
    with open_tools() as opened:
        yield opened


def load(path: Path) -> Any:
    """A JSON file, packed or not; a set that is absent skips the test."""
    present(GOLDEN, "VCAP_GOLDEN")
    packed = path.with_name(path.name + ".gz")
    data = gzip.decompress(packed.read_bytes()) if packed.is_file() else path.read_bytes()
    return json.loads(data)


def events(times: Sequence[Sequence[float]], sentences: Sequence[str]) -> list[Event]:
    """Segments and what is said of them, put together."""
    both = zip(times, sentences, strict=True)
    return [Event(Segment(*map(float, ends)), text) for ends, text in both]


def predicted(folder: Path) -> Videos:
    """The predictions of a case."""
    results = load(folder / "predictions.json")["results"]
    return {
        video: events([e["timestamp"] for e in listed], [e["sentence"] for e in listed])
        for video, listed in results.items()
    }


def references(folder: Path, numbers: Sequence[int]) -> list[Videos]:
    """The reference files of a case that are there."""
    files = [load(folder / f"references_{number}.json") for number in numbers]
    return [
        {video: events(told["timestamps"], told["sentences"]) for video, told in file.items()}
        for file in files
    ]


def all_references(folder: Path) -> list[Videos]:
    """Every reference file of a case."""
    return references(folder, range(1, 1 + len(list(folder.glob("references_*")))))


def figures(outcome: Outcome, *, per_file: bool = False) -> list[Any]:
    """Precision, recall and F1, of each file if asked."""
    [told] = outcome.details.values()
    if per_file:
        return [[file[name] for name in FIGURES] for file in told["per_file"]]
    return [told[name] for name in FIGURES]


def near(expected: Any) -> Any:
    """The recorded figures with the tolerance that their README states."""
    if isinstance(expected, list) and expected and isinstance(expected[0], list):
        return [near(row) for row in expected]
    return pytest.approx(expected, abs=1e-9)


WAYS: dict[str, dict[str, Any]] = {
    "soda_a": {"variant": "a", "files": "merged"},
    "soda_b": {"variant": "b", "files": "merged"},
    "soda_d": {"variant": "d", "files": "merged"},
    "soda_c_cider": {"scorer": "CIDEr", "files": "merged"},
    "soda_c_merged_files": {"files": "merged"},
    "soda_c_multi_reference": {"files": "best"},
    "soda_c_mean_over_files": {},
    "soda_c_skip_missing_variant": {},
}


@pytest.mark.parametrize(("folder", "key"), recorded_cases("dense/*"))
def test_the_figures_of_published_models_are_met(folder: Path, key: str, tools: Tools) -> None:
    recorded = load(folder / "expected.json")["expected"][key]
    name, _, numbers = key.partition("/refs_")
    files = references(folder, [*map(int, numbers.split("+"))]) if numbers else None
    way = WAYS[name]
    outcome = score_soda(predicted(folder), files or all_references(folder), tools, **way)
    if name == "soda_c_mean_over_files":
        expected = recorded["per_file_precision_recall_f1"]
        assert figures(outcome, per_file=True) == near(expected)
        assert outcome.scores == {"SODA_c": near(recorded["eval_soda"])}
    elif name == "soda_c_skip_missing_variant":
        assert outcome.scores == {"SODA_c": near(recorded["soda_c"])}
    else:
        assert figures(outcome) == near(*recorded.values())


@pytest.mark.parametrize(("folder", "key"), recorded_cases("dense_edge/*"))
def test_odd_input_scores_what_the_protocol_gives_it(folder: Path, key: str, tools: Tools) -> None:
    told = load(folder / "expected.json")
    recorded = {**told["expected"], **told.get("expected_with_guards", {}).get("values", {})}
    outcome = score_soda(predicted(folder), all_references(folder), tools, **WAYS[key])
    expected = recorded[key]
    if isinstance(expected, dict):
        [expected] = expected.values()
    if folder.name == SHIFTED:
        assert outcome.scores["SODA_c"] != near(expected)
    elif expected == "NaN":
        assert outcome.scores == {"SODA_c": 0.0}
        assert "SODA_c is 0" in outcome.warnings[0]
    elif isinstance(expected, list):
        assert figures(outcome) == near(expected)
    else:
        per_file = recorded["soda_c_per_file_precision_recall_f1"]
        assert outcome.scores == {"SODA_c": near(expected)}
        assert figures(outcome, per_file=True) == near(per_file)


def test_a_line_break_in_a_caption_is_a_blank_and_shifts_nothing(tools: Tools) -> None:
    folder = present(GOLDEN / "evaluate" / "dense_edge", "VCAP_GOLDEN") / SHIFTED
    blank = {
        video: [Event(e.segment, e.caption.replace("\r", " ")) for e in listed]
        for video, listed in predicted(folder).items()
    }
    files = all_references(folder)
    scores = score_soda(predicted(folder), files, tools).scores
    assert scores == score_soda(blank, files, tools).scores
    assert scores["SODA_c"] > 0.3


def test_soda_of_the_cm2_evaluation_is_met(tools: Tools) -> None:
    folder = present(GOLDEN / "cm2" / "eval", "VCAP_GOLDEN")
    told = load(folder / "expected.json")
    outcome = score_soda(predicted(folder), all_references(folder), tools)
    expected = told["soda_c_per_reference_file [precision, recall, f1]"]
    assert figures(outcome, per_file=True) == near(expected)
    assert outcome.scores == {"SODA_c": near(told["soda_c"])}
