"""METEOR gives the recorded numbers, with the filtered paraphrase table as with the whole one."""

import gzip
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vcap.engine.evaluation.tools import Tools, open_tools
from vcap.metrics.meteor import meteor_of_groups, meteor_scores
from vcap.metrics.outcome import Pair
from vcap.metrics.ptb import clean_ascii
from vcap.metrics.tiou import tiou_matrix

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(shutil.which("java") is None, reason="Java is not installed"),
]
GARBAGE = ("abc123!@#", "zqxjvkwzqxjvk")
LEAST_TIOU = 0.3  # of the recorded thresholds
MOST_OTHERS = 12  # pairs of one video that no threshold makes, such as SODA's


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of this module, empty at first."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tools(cache_dir: Path) -> Iterator[Tools]:
    """Text tools with the filtered table."""
    with open_tools(cache_dir=cache_dir) as opened:
        yield opened


@pytest.fixture(scope="module")
def whole(cache_dir: Path) -> Iterator[Tools]:
    """Text tools with the whole table, whose start takes many times as long."""
    with open_tools(cache_dir=cache_dir, full_paraphrase_table=True) as opened:
        yield opened


def load(path: Path) -> Any:
    """A JSON file, gzip or not."""
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def numbers(text: str) -> npt.NDArray[np.float64]:
    """The recorded statistics of one segment."""
    return np.array(text.split(), dtype=np.float64)


def dense_pairs(folder: Path, most_others: int) -> Iterator[tuple[str, str]]:
    """Predictions with the events of their video that they meet, some others, and garbage."""
    predictions = load(next(folder.glob("predictions.json*")))["results"]
    for path in sorted(folder.glob("references_*.json*")):
        for video, truth in load(path).items():
            events = predictions.get(video) or []
            if not events or not truth["sentences"]:
                continue
            overlap = tiou_matrix([e["timestamp"] for e in events], truth["timestamps"])
            met, others = np.argwhere(overlap >= LEAST_TIOU), np.argwhere(overlap < LEAST_TIOU)
            for event, sentence in [*met.tolist(), *others.tolist()[:most_others]]:
                yield events[event]["sentence"], truth["sentences"][sentence]
            if most_others:
                yield from ((events[0]["sentence"], word) for word in GARBAGE)


def recorded_pairs(root: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Every recorded sentence in the pairs that the metrics make of it, not yet tokenised."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for path in sorted(root.glob("evaluate/captions/*/captions.json")):
        case = load(path)
        for key, references in case["references"].items():
            given = case["predictions"].get(key, "")
            texts = given if isinstance(given, list) else [given]
            found += [(text, tuple(references)) for text in texts]
    folders = sorted({path.parent for path in root.glob("evaluate/dense*/*/predictions.json*")})
    for folder in [*folders, root / "cm2" / "eval"]:
        most_others = 0 if folder.name == "anet_full_val_1" else MOST_OTHERS
        for candidate, reference in dense_pairs(folder, most_others):
            found.append((clean_ascii(candidate), (clean_ascii(reference),)))
            if most_others:  # SODA asks the other way round
                found.append((clean_ascii(reference), (clean_ascii(candidate),)))
    for path in sorted(root.glob("*/**/para*_1.json")):
        found += [(" ".join(text.lower().split()), (text,)) for text in load(path).values()]
    return [*dict.fromkeys(found)]


def tokenised(tools: Tools, pairs: Sequence[tuple[str, tuple[str, ...]]]) -> list[Pair]:
    """The pairs after the tokenizer, each once."""
    texts = list(dict.fromkeys(text for one, others in pairs for text in (one, *others)))
    known = dict(zip(texts, tools.tokenize(texts), strict=True))
    found = [(known[one], tuple(known[other] for other in others)) for one, others in pairs]
    return [*dict.fromkeys(found)]


def test_the_recorded_segments_have_the_recorded_statistics(
    golden_root: Path, tools: Tools
) -> None:
    recorded = load(golden_root / "evaluate" / "meteor" / "expected.json")
    single = recorded["single"]
    rows = tools.meteor([(case["hypothesis"], tuple(case["references"])) for case in single])
    assert np.array_equal(rows, np.stack([numbers(case["stats"]) for case in single]))
    expected = [case["score"] for case in single]
    assert meteor_scores(rows) == pytest.approx(expected, abs=1e-12)


def test_the_recorded_groups_have_the_recorded_scores(golden_root: Path) -> None:
    recorded = load(golden_root / "evaluate" / "meteor" / "expected.json")
    rows = np.stack([numbers(case["stats"]) for case in recorded["single"]])
    members = [group["members"] for group in recorded["groups"]]
    groups = np.repeat(np.arange(len(members)), [len(member) for member in members])
    scores = meteor_of_groups(rows[np.concatenate(members)], groups, len(members))
    expected = [group["aggregate"] for group in recorded["groups"]]
    assert scores == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_the_filtered_table_gives_what_the_whole_one_gives_for_everything_recorded(
    golden_root: Path, cache_dir: Path, whole: Tools
) -> None:
    whole.expect([])  # reads its table while the sentences are tokenised
    pairs = tokenised(whole, recorded_pairs(golden_root))
    expected = whole.meteor(pairs)
    with open_tools(cache_dir=cache_dir) as filtered:
        assert np.array_equal(filtered.meteor(pairs), expected)
        assert filtered.stamp()["paraphrase_table"] == "filtered"
    paraphrased = expected[:, 16:20].any(axis=1)
    assert len(pairs) > 10_000 and paraphrased.sum() > 1000  # so the table mattered


@pytest.mark.slow
def test_untokenised_sentences_find_their_paraphrases_too(tools: Tools, whole: Tools) -> None:
    raw: list[Pair] = [
        ("The U.S. Army's men, i.e. soldiers -- go!", ("the u.s. army 's troops go", "Men go.")),
        (
            "A car/vehicle isn't \u201cmoving\u201d\u2026",
            ("a vehicle is not moving", "the car's off"),
        ),
        ("he&quot;s in front-of the 2.5 houses", ("he stands before the two houses",)),
        ("CANNOT see the children\u2019s kids", ("can not see the kid 's childs", "")),
    ]
    assert np.array_equal(tools.meteor(raw), whole.meteor(raw))
