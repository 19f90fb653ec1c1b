"""The tables of claims: what is said to hold is what the seeds show."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks import claims, claims_prefix, claims_retrieval
from benchmarks.claims import Claim, Variant
from tests.conftest import REPOSITORY

BOTH = [claims_prefix, claims_retrieval]
CLAIM = Claim("One beats two", "one", "two", "score")


def found(better: list[float], worse: list[float]) -> dict[str, list[dict[str, float]]]:
    sides = {"one": better, "two": worse}
    return {name: [{"score": value} for value in values] for name, values in sides.items()}


@dataclass
class Toy:
    """A method of two variants that remembers what it was asked to do."""

    VARIANTS: tuple[Variant, ...] = (Variant("one"), Variant("two", learns=False))
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def prepare(self, work: Path) -> None:
        self.asked.append(("prepare",))

    def trained(self, work: Path, variant: Variant, seed: int) -> tuple[str, Path]:
        self.asked.append(("train", variant.name, str(seed)))
        return claims.run_name(variant, seed), work / "model"

    def score(self, work: Path, variant: Variant, name: str, model: Path) -> dict[str, float]:
        self.asked.append(("score", name))
        return {"score": float(name[-1])}

    def page(self, work: Path, found: claims.Found) -> str:
        return json.dumps(found)


@pytest.mark.parametrize(
    ("better", "worse", "said"),
    [
        ([0.5, 0.6, 0.7], [0.1, 0.2, 0.3], "holds, every seed"),
        ([0.5, 0.6, 0.7], [0.1, 0.2, 0.6], "on the mean only"),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], "does not hold"),
        ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], "does not hold"),
    ],
)
def test_a_claim_holds_only_as_far_as_the_seeds_agree(
    better: list[float], worse: list[float], said: str
) -> None:
    assert said in claims.verdict(CLAIM, found(better, worse))


def test_tables_show_mean_and_spread_of_every_variant_and_of_both_sides_of_a_claim() -> None:
    rows = found([0.25, 0.5, 0.75], [1.0, 1.0, 4.0])
    assert claims.scores_table(("score",), rows) == [
        "| variant | score |",
        "| --- | ---: |",
        "| one | 0.500 ± 0.250 |",
        "| two | 2.000 ± 1.732 |",
    ]
    told = claims.claims_table([CLAIM], rows)[-1]
    assert told.startswith("| One beats two | score | one 0.500 ± 0.250; two 2.000 ± 1.732 |")


@pytest.mark.parametrize("method", BOTH)
def test_claims_name_variants_that_are_trained_and_scores_that_are_measured(method: Any) -> None:
    names = [one.name for one in method.VARIANTS]
    assert len(set(names)) == len(names)
    assert {side for claim in method.CLAIMS for side in (claim.better, claim.worse)} <= {*names}
    assert all(claim.better != claim.worse for claim in method.CLAIMS)


def test_a_variant_changes_its_own_settings_and_no_others() -> None:
    plain = {"model": {"a": 1}, "options": {"b": 2}}
    changed = claims.with_settings(plain, {"model.a": 3})
    assert changed == {"model": {"a": 3}, "options": {"b": 2}}
    assert plain == {"model": {"a": 1}, "options": {"b": 2}}


def test_what_learns_nothing_is_trained_once_and_counts_for_every_seed(tmp_path: Path) -> None:
    toy = Toy()
    page = claims.reproduce(toy, tmp_path)
    assert json.loads(page) == {
        "one": [{"score": 0.0}, {"score": 1.0}, {"score": 2.0}],
        "two": [{"score": 0.0}] * 3,
    }
    assert toy.asked[0] == ("prepare",)
    assert {one for one in toy.asked if one[0] == "train"} == {
        ("train", "one", "0"),
        ("train", "one", "1"),
        ("train", "one", "2"),
        ("train", "two", "0"),
    }


def test_what_is_scored_is_not_scored_again_and_train_only_scores_nothing(tmp_path: Path) -> None:
    first, again, only = Toy(), Toy(), Toy()
    page = claims.reproduce(first, tmp_path)
    assert [one for one in first.asked if one[0] == "score"] == [
        ("score", "one-0"),
        ("score", "one-1"),
        ("score", "one-2"),
        ("score", "two-0"),
    ]
    assert claims.reproduce(again, tmp_path) == page
    assert claims.reproduce(only, tmp_path / "other", train_only=True) == ""
    assert not [one for one in again.asked + only.asked if one[0] == "score"]


def test_the_test_records_say_where_their_videos_are_from_anywhere(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "path": "v/a.mp4", "split": "val", "meta": {}},
        {"id": "b", "path": "v/b.mp4", "split": "test", "meta": {"novel": True, "shape": "star"}},
    ]
    manifest = tmp_path / "data" / "shapes.jsonl"
    manifest.parent.mkdir()
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = claims.references(manifest, tmp_path / "x" / "test.jsonl", drop=("novel",))
    [kept] = claims.read_rows(path)
    assert kept["path"] == str(tmp_path / "data" / "v" / "b.mp4")
    assert kept["meta"] == {"shape": "star"}
    manifest.unlink()
    assert claims.references(manifest, path) == path


def test_a_model_that_is_there_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(claims, "vcap", lambda *words: asked.append(words))
    config = {"method": "lm", "model": {"width": 8}}
    model = claims.train(tmp_path, config, "one-0")
    run = tmp_path / "runs" / "one-0"
    assert asked == [("train", "lm", "-c", run.with_name("one-0.yaml"), "-o", run, "--resume")]
    assert "width: 8" in (tmp_path / "runs" / "one-0.yaml").read_text()
    model.mkdir(parents=True)
    (model / "model.safetensors").touch()
    assert claims.train(tmp_path, config, "one-0") == model
    assert len(asked) == 1


def test_a_command_that_fails_ends_the_script_with_what_it_said() -> None:
    with pytest.raises(SystemExit, match=r"vcap index .*\n.*no-such-store"):
        claims.vcap("index", "no-such-store", "-o", "nowhere")


def test_configs_name_the_videos_and_features_that_prepare_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, wanted = set[str](), set[str]()

    def render(folder: Path, subset: str, splits: object, limit: int) -> Path:
        return folder / f"shapes-{subset}.jsonl"

    def encode(manifest: Path, store: Path, *settings: object) -> None:
        made.update((str(manifest), str(store)))

    def train(work: Path, config: dict[str, Any], name: str) -> Path:
        wanted.update(path for paths in config["data"].values() for path in paths)
        return work / "runs" / name / "model"

    for method in BOTH:
        monkeypatch.setattr(method, "render", render)
        monkeypatch.setattr(method, "encode", encode)
        monkeypatch.setattr(method, "train", train)
    monkeypatch.setattr(claims_retrieval, "references", lambda manifest, path, drop: path)
    for method in BOTH:
        method.prepare(tmp_path)
        for variant in method.VARIANTS:
            method.trained(tmp_path, variant, 0)
    assert wanted - made == {
        str(tmp_path / "references" / f"{s}.jsonl") for s in ("clips", "needles")
    }
    assert str(tmp_path / "features" / "train") in made  # of places, for captions
    assert str(tmp_path / "features" / "clips" / "train") in made  # of whole frames


def test_names_of_runs_are_those_of_the_published_folders() -> None:
    names = [claims.run_name(one, 2) for one in claims_prefix.VARIANTS]
    assert names == [
        "transformer-tuned_LM-2",
        "transformer-frozen_LM-2",
        "MLP-frozen_LM-2",
        "mean_of_the_frames-tuned_LM-2",
    ]


def test_the_page_in_the_documentation_has_every_variant_and_every_claim() -> None:
    text = (REPOSITORY / "docs" / "claims.md").read_text()
    for method in BOTH:
        assert all(f"\n| {one.name} |" in text for one in method.VARIANTS)
        assert all(f"\n| {claim.text} |" in text for claim in method.CLAIMS)
