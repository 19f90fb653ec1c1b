"""Caption metrics against recorded figures, published figures and the official scorers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import GOLDEN, SHARED
from vcap.engine.evaluation.tools import Tools, open_tools
from vcap.metrics.caption import score_captions
from vcap.metrics.outcome import Outcome

pytestmark = pytest.mark.parity

NAMES = {f"Bleu_{n}": f"BLEU-{n}" for n in (1, 2, 3, 4)} | {
    "METEOR": "METEOR",
    "ROUGE_L": "ROUGE-L",
    "Rouge": "ROUGE-L",
    "CIDEr": "CIDEr",
}
RECORDED = GOLDEN / "evaluate" / "captions"
PUBLISHED = SHARED / "data" / "captions" / "memclipcap"
COLUMNS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr")
FIGURE = re.compile(r"\d+\.\d{4}")


def recorded_sets() -> list[str]:
    """The sets of captions whose figures are recorded."""
    return sorted(path.parent.name for path in RECORDED.glob("*/expected.json")) or ["absent"]


def published_rows() -> tuple[list[tuple[str, list[str]]], list[tuple[str, list[str]]]]:
    """Rows of the read-me's tables: means of clips, and figures of the whole set."""
    path = PUBLISHED / "README.md"
    text = path.read_text("utf-8") if path.is_file() else ""
    rows = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        name = next((cell for cell in cells if has_file(cell)), None)
        figures = [cell for cell in cells if FIGURE.fullmatch(cell)]
        if name and len(figures) >= 6:
            rows.append((name, figures))
    means = [row for row in rows if len(row[1]) == 6]
    return means or [("absent", [])], [row for row in rows if len(row[1]) == 7] or [("absent", [])]


def has_file(name: str) -> bool:
    """Whether a cell of a table names a file of captions."""
    return bool(re.fullmatch(r"[\w/]+", name)) and captions_path(name).is_file()


def captions_path(name: str) -> Path:
    """The file that a row names."""
    return PUBLISHED / (f"{name}.json" if "/" in name else f"organized_data/{name}.json")


MEANS, WHOLE = published_rows()


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    """One tokenizer and one METEOR for all of these tests."""
    with open_tools() as opened:
        yield opened


@pytest.fixture(scope="module")
def published(shared_root: Path) -> Path:
    """Captions of a published model with published figures."""
    return shared_root / "data" / "captions" / "memclipcap"


def load(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text("utf-8"))


def score_file(name: str, tools: Tools, **options: Any) -> Outcome:
    """Score a published file of captions against its references."""
    path = captions_path(name)
    references = load(path.with_name(path.name.replace("_captions", "_references")))
    return score_captions(
        load(path), {key: [text] for key, text in references.items()}, tools, **options
    )


def check_printed(outcome: Outcome, figures: list[str]) -> None:
    """Every figure that can be computed here is met in all decimals that are printed."""
    for name, figure in zip(COLUMNS, figures, strict=False):
        if name not in outcome.unavailable:
            assert f"{100 * outcome.scores[name]:.4f}" == figure, name


@pytest.mark.parametrize("name", recorded_sets())
def test_recorded_sets_have_their_figures(golden_root: Path, tools: Tools, name: str) -> None:
    folder = golden_root / "evaluate" / "captions" / name
    given, wanted = load(folder / "captions.json"), load(folder / "expected.json")
    outcome = score_captions(given["predictions"], given["references"], tools)
    assert len(outcome.units) == wanted["n"]
    for theirs, value in wanted["expected"].items():
        if NAMES[theirs] not in outcome.unavailable:
            assert outcome.scores[NAMES[theirs]] == pytest.approx(value, abs=1e-9), theirs


@pytest.mark.parametrize("name", recorded_sets())
def test_each_item_of_a_recorded_set_has_its_value(
    golden_root: Path, tools: Tools, name: str
) -> None:
    folder = golden_root / "evaluate" / "captions" / name
    given, wanted = load(folder / "captions.json"), load(folder / "expected.json")["per_item"]
    items = score_captions(given["predictions"], given["references"], tools).items
    found = {item["id"]: item["scores"] for item in items}
    for theirs in wanted.keys() - {"ids"}:
        for unit, value in zip(wanted["ids"], wanted[theirs], strict=True):
            ours = found[unit].get(NAMES[theirs], value)  # absent where there is no Java
            assert ours == pytest.approx(value, abs=1e-9), (unit, theirs)


@pytest.mark.parametrize(("name", "figures"), MEANS)
def test_published_means_of_clips_are_met_to_the_last_digit(
    published: Path, tools: Tools, name: str, figures: list[str]
) -> None:
    check_printed(score_file(name, tools, mean_per_item=True), figures)


@pytest.mark.parametrize(("name", "figures"), WHOLE)
def test_figures_of_the_whole_set_are_met_to_the_last_digit(
    published: Path, tools: Tools, name: str, figures: list[str]
) -> None:
    check_printed(score_file(name, tools), figures)


def test_every_table_of_the_published_figures_is_read(published: Path) -> None:
    assert (len(MEANS), len(WHOLE)) == (13, 11)


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in PUBLISHED.glob("plots_data/*.json")) or ["absent"]
)
def test_published_values_of_each_clip_are_met(published: Path, tools: Tools, name: str) -> None:
    wanted = load(published / "plots_data" / f"{name}.json")
    file = name.replace("memory_", "memory_captions_", 1)
    items = score_file(file, tools, metrics=["BLEU", "METEOR", "ROUGE-L"]).items
    for theirs in wanted:
        values = [item["scores"].get(NAMES[theirs]) for item in items]
        if None not in values:
            found = 100 * np.array(values)
            assert found == pytest.approx([score for _, score in wanted[theirs]], abs=1e-9)


@pytest.mark.parametrize("name", [row[0] for row in MEANS])
def test_untokenised_captions_score_as_the_official_scorers_take_them(
    published: Path, tools: Tools, name: str
) -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    metrics = ["BLEU", "ROUGE-L", "CIDEr"]
    outcome = score_file(name, tools, metrics=metrics, raw=True)
    candidates = {item["id"]: [item["prediction"]] for item in outcome.items}
    references = {item["id"]: item["references"] for item in outcome.items}
    bleu, _ = Bleu(4).compute_score(references, candidates, verbose=0)
    others = [scorer.compute_score(references, candidates)[0] for scorer in (Rouge(), Cider())]
    assert [*outcome.scores.values()] == pytest.approx([*bleu, *others], abs=1e-9)


def test_meteor_takes_part_where_there_is_java(tools: Tools) -> None:
    if "METEOR" in tools.unavailable:
        pytest.skip("METEOR needs Java")
    outcome = score_captions({"a": "a man walks a dog"}, {"a": ["a man walks a dog"]}, tools)
    assert outcome.scores["METEOR"] == 1
    assert outcome.scores["CIDEr"] == 0
    assert "SPICE" not in outcome.scores or outcome.scores["SPICE"] > 0
