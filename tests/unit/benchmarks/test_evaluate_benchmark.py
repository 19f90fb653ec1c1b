"""The benchmark of the evaluator: that its baseline is the protocol, and its data what it says."""

import gzip
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import evaluate as benchmark
from benchmarks import official
from tests.plain_tools import PlainTools
from vcap.engine.evaluation.tools import open_tools
from vcap.metrics.dense import score_dense
from vcap.metrics.meteor import meteor_scores
from vcap.metrics.soda import best_totals, score_soda
from vcap.types import Event, Segment

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="needs Java")

MADE = {
    "v_a": [
        {"sentence": "A dog runs", "timestamp": [4.0, 9.0]},
        {"sentence": "a man walks in the park", "timestamp": [0.0, 5.0]},
    ],
    "v_b": [{"sentence": "birds fly", "timestamp": [0.0, 1.0]}],
    "v_extra": [{"sentence": "nobody asked", "timestamp": [0.0, 1.0]}],
}
TRUTH = {
    "v_a": {"timestamps": [[0, 6], [5, 9]], "sentences": ["a man is in a park", "the dog runs"]},
    "v_b": {"timestamps": [[8, 9]], "sentences": ["birds sit"]},
    "v_c": {"timestamps": [[0, 2]], "sentences": ["a cat"]},
}
OTHER = {"v_a": {"timestamps": [[0, 9]], "sentences": ["a man walks a dog"]}}


class PlainMeteor:
    """METEOR of equal words, where pycocoevalcap's would be."""

    def compute_score(self, references: Any, candidates: Any) -> tuple[float, list[float]]:
        """The mean, and the score of each pair."""
        pairs = [(candidates[name][0], tuple(texts)) for name, texts in references.items()]
        values = meteor_scores(PlainTools().meteor(pairs)).tolist()
        return float(np.mean(values)), values


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the baseline do without Java."""

    def tokenized(captions: Mapping[Any, Sequence[str]]) -> dict[Any, list[str]]:
        return {name: PlainTools().tokenize(texts) for name, texts in captions.items()}

    real = official.scorer
    monkeypatch.setattr(official, "tokenized", tokenized)
    monkeypatch.setattr(
        official, "scorer", lambda name: PlainMeteor() if name == "METEOR" else real(name)
    )


@pytest.fixture
def files(tmp_path: Path) -> benchmark.Files:
    """Predictions of three videos, and two reference files."""
    made = {"version": "VERSION 1.0", "external_data": {}, "results": MADE}
    return benchmark.write(tmp_path, "small", made, [TRUTH, OTHER])


def events(videos: Mapping[str, Any]) -> dict[str, list[Event]]:
    """The events of a reference file."""
    return {
        video: [
            Event(Segment(*times), text)
            for times, text in zip(given["timestamps"], given["sentences"], strict=True)
        ]
        for video, given in videos.items()
    }


def proposals() -> dict[str, list[Event]]:
    """The predictions."""
    return {
        video: [Event(Segment(*one["timestamp"]), one["sentence"]) for one in made]  # type: ignore[arg-type]
        for video, made in MADE.items()
    }


def test_the_dense_baseline_gives_the_figures_of_the_protocol(
    plain: None, files: benchmark.Files
) -> None:
    dense = official.Dense(*files)
    num_pairs = dense.meteor()
    dense.others()
    outcome = score_dense(proposals(), [events(TRUTH), events(OTHER)], PlainTools())
    ours = outcome.details["per_tiou"]
    assert num_pairs >= 3 * len(official.TIOUS)
    for name in (*official.BLEU, "ROUGE-L", "CIDEr", "recall", "precision"):
        found = [dense.figures[f"{name} at {limit}"] for limit in official.TIOUS]
        assert found == pytest.approx(ours[name], abs=1e-9), name
    assert 0 < dense.figures["METEOR at 0.3"] < 1


def test_the_soda_baseline_gives_the_figure_of_the_protocol(
    plain: None, files: benchmark.Files
) -> None:
    outcome = score_soda(proposals(), [events(TRUTH), events(OTHER)], PlainTools())
    assert official.soda_c(*files) == pytest.approx(outcome.scores["SODA_c"], abs=1e-9)
    assert outcome.scores["SODA_c"] > 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 5), (6, 6)])
def test_the_best_total_of_the_baseline_is_ours(shape: tuple[int, int]) -> None:
    worth = np.random.default_rng(sum(shape)).random(shape)
    assert official.best_total(worth.tolist()) == pytest.approx(float(best_totals(worth)))


def test_times_overlap_as_the_protocol_says() -> None:
    assert official.tiou([0, 2], [1, 3]) == pytest.approx(1 / 3)
    assert official.tiou([0, 1], [0, 2]) < 0.5
    assert official.tiou([0, 0], [0, 0]) == official.tiou([0, 1], [2, 3]) == 0


def test_the_protocol_puts_a_blank_for_every_letter_that_is_not_ascii() -> None:
    assert official.to_ascii("a café…") == "a caf  "


@pytest.mark.parametrize("count", [3, 40])
def test_captions_have_seven_to_fourteen_real_words_and_five_references(
    count: int, tmp_path: Path
) -> None:
    words = [f"word{number}" for number in range(60)]
    truth = {f"v_{n}": {"sentences": [" ".join(words[n:])]} for n in range(20)}
    candidates, [references] = benchmark.write_captions(tmp_path, truth, count)
    said, known = json.loads(candidates.read_text()), json.loads(references.read_text())
    assert said.keys() == known.keys()
    assert len(said) == count
    assert {len(texts) for texts in known.values()} == {5}
    every = [*said.values(), *(text for texts in known.values() for text in texts)]
    assert all(7 <= len(text.split()) <= 14 for text in every)
    assert {word for text in every for word in text.split()} <= {*words}
    assert len({*every}) > 0.9 * len(every)
    again, _ = benchmark.write_captions(tmp_path / "again", truth, count)
    assert again.read_text() == candidates.read_text()


def test_a_cut_set_holds_the_first_videos_and_what_is_predicted_for_them(tmp_path: Path) -> None:
    for name, value in (("predictions", {"results": MADE}), ("references_1", TRUTH)):
        data = gzip.compress(json.dumps(value).encode())
        (tmp_path / f"{name}.json.gz").write_bytes(data)
    whole = benchmark.write_videos(tmp_path / "cut", tmp_path, None)
    assert whole == (tmp_path / "predictions.json.gz", [tmp_path / "references_1.json.gz"])
    made, [truth] = benchmark.write_videos(tmp_path / "cut", tmp_path, 2)
    assert [*json.loads(truth.read_text())] == ["v_a", "v_b"]
    assert json.loads(made.read_text())["results"] == {v: MADE[v] for v in ("v_a", "v_b")}


def test_figures_are_the_same_up_to_rounding() -> None:
    theirs, ours = {"a": 0.5, "b": 0.25}, {"a": 0.5 + 1e-12, "b": 0.2, "more": 1.0}
    share, largest = benchmark.differences(theirs, ours, 2)
    assert share == 0.5
    assert largest == pytest.approx(0.05)
    assert benchmark.same("set", (share, largest)).verdict == "**not met**"
    assert benchmark.same("set", (1.0, 0.0)).verdict == "met"


@pytest.mark.parametrize(("ours", "expected"), [({"a": 0.5}, 2), ({"b": 0.5}, 1)])
def test_figures_that_are_missing_stop_the_benchmark(ours: dict[str, float], expected: int) -> None:
    with pytest.raises(RuntimeError, match="not the same figures"):
        benchmark.differences({"a": 0.5}, ours, expected)


def test_without_recorded_data_the_benchmark_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VCAP_GOLDEN", str(tmp_path))
    with pytest.raises(SystemExit, match="VCAP_GOLDEN"):
        benchmark.golden_folder()


def test_without_java_there_is_nothing_to_compare(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="no Java"), benchmark.prepared(tmp_path):
        pass


def test_the_index_of_the_benchmark_is_kept_apart_from_the_users(
    files: benchmark.Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/users/own")
    seen: list[str] = []

    def note(self: benchmark.Ours) -> int:
        seen.append(os.environ["XDG_CACHE_HOME"])
        return 3

    monkeypatch.setattr(benchmark.Ours, "_evaluate", note)
    ours = benchmark.Ours("dense", files, tmp_path, None)
    assert ours.warm() == ours.cold() == 3
    assert seen[0] == str(tmp_path)
    assert Path(seen[1]).parent == tmp_path
    assert not Path(seen[1]).exists()
    assert os.environ["XDG_CACHE_HOME"] == "/users/own"


def test_our_figures_stand_at_every_threshold(files: benchmark.Files, tmp_path: Path) -> None:
    ours = benchmark.Ours("dense", files, tmp_path, ("recall", "CIDEr"))
    assert ours.warm() == 3
    names = {f"{name} at {limit}" for name in ("recall", "CIDEr") for limit in official.TIOUS}
    assert ours.figures.keys() == names


@needs_java
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # pycocoevalcap leaves its pipes open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_caption_baseline_and_vcap_agree(tmp_path: Path) -> None:
    sentences = ["A man walks, slowly, through the park.", " He can't see his two dogs; they ran"]
    truth = {"v_a": {"sentences": sentences * 4}, "v_b": {"sentences": sentences[1:] * 5}}
    made, [known] = benchmark.write_captions(tmp_path, truth, 12)
    with open_tools() as tools:
        if tools.unavailable.get("METEOR"):
            pytest.skip(tools.unavailable["METEOR"])
    theirs = official.score_captions(made, known)
    ours = benchmark.Ours("caption", (made, [known]), tmp_path, benchmark.CAPTION_METRICS)
    assert ours.warm() == 12
    share, largest = benchmark.differences(theirs, ours.figures, 7)
    assert share == 1, largest
