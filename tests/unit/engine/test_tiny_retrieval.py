"""The embedded search model finds what shows for a moment only, in videos nobody trained on."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from vcap.data import shapes
from vcap.engine import registry
from vcap.engine.checkpoint import read_tensors
from vcap.engine.encode import encode
from vcap.engine.index import Index, index
from vcap.engine.queries import parse_queries
from vcap.engine.retrieve import RetrieveSettings, retrieve
from vcap.engine.retriever import Retriever, load_retriever
from vcap.engine.weights import asset_folder
from vcap.errors import CheckpointError
from vcap.features.store import FeatureStore
from vcap.video.write import write_mp4

NUM_NEEDLES = 16  # of the test split, each of 64 frames
NUM_CLIPS = 12


@pytest.fixture(scope="module")
def tiny() -> Retriever:
    """The embedded model."""
    return load_retriever("tiny", device="cpu")


def rendered(folder: Path, subset: str, count: int) -> tuple[Path, dict[str, str]]:
    """A store of rendered test videos, and what the first caption of each says; none blinks."""
    told = {}
    for number in range(count):
        scene = shapes.describe(0, subset, "test", number)
        if scene.acts[0].action == "blinks":
            continue  # a frame in which nothing shows is clutter to the model
        path = folder / subset / f"{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        write_mp4(path, shapes.draw(scene), frames_per_second=shapes.FRAMES_PER_SECOND)
        told[path.name] = (shapes.record(scene, path.name).captions or [])[0].text
    store = folder / f"{subset}-store"
    encode([folder / subset], store, model="tiny", sampler="fps 8", device="cpu")
    return store, told


@pytest.fixture(scope="module")
def needles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Videos that show their event in 2 to 4 of 64 frames."""
    return rendered(tmp_path_factory.mktemp("needles"), "needles", NUM_NEEDLES)


def share_first(store: Path, told: dict[str, str], folder: Path, aggregate: str) -> float:
    """Share of captions whose own video is the first hit."""
    index([store], folder, aggregate=aggregate)
    found, summary = retrieve(parse_queries(list(told.values())), folder, RetrieveSettings(top_k=1))
    assert summary.exit_code == 0
    right = [one.hits[0].id == name for one, name in zip(found, told, strict=True)]
    return float(np.mean(right))


def test_it_finds_needles_that_a_mean_of_frames_loses(
    needles: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    store, told = needles
    by_mean = share_first(store, told, tmp_path / "mean", "mean")
    by_model = share_first(store, told, tmp_path / "tiny", "tiny")
    assert by_model >= 0.9
    assert by_mean <= 0.6  # of 500 it is 0.04
    assert Index.open(tmp_path / "tiny").aggregation == "tiny"


def test_clips_that_show_their_event_all_along_are_found_as_well_as_by_the_mean(
    tmp_path: Path,
) -> None:
    store, told = rendered(tmp_path, "clips", NUM_CLIPS)
    by_mean = share_first(store, told, tmp_path / "mean", "mean")
    assert share_first(store, told, tmp_path / "tiny", "tiny") >= by_mean - 1 / NUM_CLIPS


def test_it_keeps_the_frames_that_show_the_event(
    tiny: Retriever, needles: tuple[Path, dict[str, str]]
) -> None:
    store, kept = FeatureStore(needles[0]), []
    for number in range(NUM_NEEDLES):
        act = shapes.describe(0, "needles", "test", number).acts[0]
        chosen = tiny.kept_frames(store.features(f"{number}.mp4"))
        assert len(chosen) == 12
        rate = shapes.FRAMES_PER_SECOND
        shown = set(range(round(act.start * rate), round(act.end * rate)))
        kept.append(len(shown & set(chosen)) / len(shown))
    assert np.mean(kept) >= 0.9


def test_a_folder_of_its_name_does_not_stand_in_its_way(
    needles: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("tiny")
    assert index([needles[0]], "found", aggregate="tiny").header.aggregation == "tiny"


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(CheckpointError, match=r"no such model folder: tinny; did you mean tiny\?"):
        load_retriever("tinny", device="cpu")
    assert registry.RETRIEVERS["tiny"].summary


def test_the_bundle_refers_to_its_encoder_and_says_how_it_was_made(tiny: Retriever) -> None:
    folder = asset_folder("tiny/retrieval")
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    assert json.loads((folder / "config.json").read_text())["encoder"]["name"] == "tiny"
    assert tiny.encoder.name == "tiny"
    card = (folder / "README.md").read_text(encoding="utf-8")
    for said in ("rendered shapes only", "| seed | ", "test/novel"):
        assert said in card
    weights = read_tensors(folder / "model.safetensors")
    kinds = {str(one.dtype) for one in weights.values() if one.is_floating_point()}
    assert kinds == {"torch.float16"}
