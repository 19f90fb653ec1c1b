"""An index that a retrieval model made: trained text towers, words, and models that move."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.small_retrieval import NUM_KEPT, small_policy, write_original, write_retrieval
from vcap.engine import lean_text
from vcap.engine.encode import encode
from vcap.engine.encoders import ClipEncoder, load_encoder
from vcap.engine.index import Index, index
from vcap.engine.queries import parse_queries
from vcap.engine.reporter import Silent
from vcap.engine.retrieve import RetrieveSettings, retrieve
from vcap.engine.retriever import load_retriever
from vcap.errors import CheckpointError, FeatureError, UnavailableError
from vcap.models.words import cut_tokens

TEXTS = ["a small red circle", "a large blue star grows."]


class Notes(Silent):
    """Remembers warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many frames each call of an encoder got."""
    counts: list[int] = []
    frames = ClipEncoder.encode_frames

    def count(self: ClipEncoder, pixels: Any) -> Any:
        counts.append(len(pixels))
        return frames(self, pixels)

    monkeypatch.setattr(ClipEncoder, "encode_frames", count)
    yield counts


@pytest.fixture(scope="module")
def place(small_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that chooses by pictures and has a trained text tower, its store and its index."""
    folder = tmp_path_factory.mktemp("by-model")
    model = write_retrieval(folder / "model", small_policy(), towers="text")
    encode([small_videos], folder / "store", model=str(model), device="cpu")
    index([folder / "store"], folder / "index", aggregate=str(model))
    return folder


@pytest.fixture
def copy(place: Path, tmp_path: Path) -> Path:
    """The index alone, to be changed, which names a model that is gone."""
    made = shutil.copytree(place / "index", tmp_path / "index")
    text = (made / "index.json").read_text()
    (made / "index.json").write_text(text.replace(str(place / "model"), str(tmp_path / "gone")))
    return made


def ask(words: list[str], folder: Path, **settings: Any) -> list[list[tuple[str, float]]]:
    """The ids and scores of what is found."""
    found, summary = retrieve(parse_queries(words), folder, RetrieveSettings(**settings))
    assert summary.exit_code == 0
    return [[(hit.id, hit.score) for hit in one.hits] for one in found]


def test_words_are_read_by_the_tower_that_was_trained(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_retriever(str(place / "model"), device="cpu")
    trained = load_encoder(str(place / "model" / "text")).encode_text(TEXTS)
    before = load_encoder(str(place / "model" / "encoder")).encode_text(TEXTS)
    unit = trained / np.linalg.norm(trained, axis=1, keepdims=True)
    np.testing.assert_allclose(model.text_vectors(TEXTS), unit, atol=1e-5)
    assert np.abs(model.embedded_texts(before) - unit).max() > 0.01
    names: list[str] = []
    load = lean_text.load_text_encoder

    def note(name: str, *rest: Any) -> Any:
        names.append(name)
        return load(name, *rest)

    monkeypatch.setattr(lean_text, "load_text_encoder", note)
    opened = Index.open(place / "index")
    hits = ask(TEXTS, place / "index", top_k=3)
    assert names == [str(place / "model" / "text")], "the part that loads fast"
    for own, vector in zip(hits, unit, strict=True):
        for name, score in own:
            assert score == pytest.approx(float(opened.vector(name) @ vector), abs=1e-3)


def test_a_video_that_asks_goes_the_way_of_those_in_the_index(
    place: Path, small_videos: Path, encoded: list[int]
) -> None:
    (hits,) = ask([str(small_videos / "3.mp4")], place / "index", top_k=2)
    assert hits[0][0] == "3.mp4"
    assert hits[0][1] == pytest.approx(1, abs=1e-3)
    assert sum(encoded) == NUM_KEPT


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_words_are_weighed_by_the_model(small_videos: Path, tmp_path: Path, kind: str) -> None:
    sizes = {"word_aggregation": kind, "frame_aggregation": "mean"}
    folder = write_retrieval(tmp_path / "model", None, max_tokens=5, **sizes)
    found = load_retriever(str(folder), device="cpu")
    tower: Any = found.model.clip
    tokens = cut_tokens(tower, found.text_encoder.tokens(TEXTS), 5)
    assert tokens.shape[1] == 5
    with torch.no_grad():
        wanted = found.model.text_vector(tokens)
    warnings: list[str] = []
    np.testing.assert_allclose(found.text_vectors(TEXTS, warnings.append), wanted, atol=1e-5)
    assert warnings == [f"{TEXTS[1]!r} has 10 tokens; only the first 5 count"]
    encode([small_videos], tmp_path / "store", model=str(folder), device="cpu")
    index([tmp_path / "store"], tmp_path / "index", aggregate=str(folder))
    notes = Notes()
    queries = parse_queries(TEXTS)
    answers, _ = retrieve(queries, tmp_path / "index", RetrieveSettings(top_k=1), reporter=notes)
    vector = Index.open(tmp_path / "index").vector(answers[0].hits[0].id)
    assert answers[0].hits[0].score == pytest.approx(float(vector @ wanted[0].numpy()), abs=1e-3)
    assert notes.warnings == warnings


def test_a_model_that_went_is_told_and_found_where_it_is_named(place: Path, copy: Path) -> None:
    with pytest.raises(UnavailableError, match="gone") as caught:
        ask(TEXTS, copy)
    assert "--model FOLDER" in (caught.value.hint or "")
    there = str(place / "model")
    assert ask(TEXTS, copy, model=there) == ask(TEXTS, place / "index")
    with pytest.raises(UnavailableError, match="gone") as caught:
        index([place / "store"], copy, sync=True)
    assert "--aggregate FOLDER" in (caught.value.hint or "")
    index([], copy, sync=True, aggregate=there)
    assert Index.open(copy).aggregation == there
    assert ask(TEXTS, copy) == ask(TEXTS, place / "index")


def test_a_model_that_was_trained_anew_is_told(place: Path, copy: Path, tmp_path: Path) -> None:
    other = str(write_retrieval(tmp_path / "gone", small_policy(), towers="text", seed=5))
    with pytest.raises(FeatureError, match=r"of another model than .*gone is now") as caught:
        ask(TEXTS, copy)
    store = place / "store"
    assert f"vcap index {store} -o {copy} --force --aggregate {other}" == caught.value.hint
    with pytest.raises(FeatureError, match="chosen than"):
        index([place / "store"], copy, sync=True)


def test_an_index_finds_its_model_from_another_folder(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    index(["store"], tmp_path / "index", aggregate="model")
    monkeypatch.chdir(tmp_path)
    assert ask(TEXTS, tmp_path / "index") == ask(TEXTS, place / "index")


def test_a_text_tower_that_was_exchanged_is_refused(place: Path, tmp_path: Path) -> None:
    model = shutil.copytree(place / "model", tmp_path / "model")
    shutil.copy(model / "encoder" / "model.safetensors", model / "text" / "model.safetensors")
    found = load_retriever(str(model), device="cpu")
    with pytest.raises(CheckpointError, match="weights"):
        found.text_vectors(TEXTS)


def test_the_originals_file_goes_the_whole_way(small_videos: Path, tmp_path: Path) -> None:
    file = write_original(tmp_path / "trained_model.pth")
    encode([small_videos], tmp_path / "store", model=str(file), device="cpu")
    index([tmp_path / "store"], tmp_path / "index", aggregate=str(file))
    found = load_retriever(str(file), device="cpu")
    (hits,), (film,) = (
        ask([query], tmp_path / "index", top_k=7)
        for query in (TEXTS[0], str(small_videos / "5.mp4"))
    )
    opened, vector = Index.open(tmp_path / "index"), found.text_vectors(TEXTS[:1])[0]
    for name, score in hits:
        assert score == pytest.approx(float(opened.vector(name) @ vector), abs=1e-3)
    assert film[0][0] == "5.mp4"
