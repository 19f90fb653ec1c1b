"""From videos to hits with a retrieval model of one's own, at the level of commands."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.cli.test_schemas import check
from tests.small_retrieval import small_policy, write_retrieval
from tests.unit.engine.towers import NUM_FRAMES, NUM_KEPT, look, parts, write_sources
from vcap.engine.encoders import ClipEncoder
from vcap.engine.retriever import load_retriever
from vcap.features.store import FeatureStore
from vcap.video.pictures import raw, read_pictures
from vcap.video.sample import parse_sampler


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, videos and features of them."""
    return write_sources(tmp_path_factory.mktemp("sources"))


def test_a_trained_policy_keeps_frames_and_they_alone_are_encoded(
    sources: Path, tmp_path: Path, vcap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, model, store = tmp_path / "recipe.yaml", tmp_path / "run", tmp_path / "store"
    options = {"towers": "none", "policy": look("raw")}
    recipe.write_text(json.dumps(parts(sources, options=options)))
    done = vcap("train", "retrieval", "-c", recipe, "-o", model)
    assert done.exit_code == 0, done.stderr
    counts: list[int] = []
    frames = ClipEncoder.encode_frames

    def count(self: ClipEncoder, pixels: Any) -> Any:
        counts.append(len(pixels))
        return frames(self, pixels)

    videos = sorted((sources / "videos").glob("*.mp4"))
    with monkeypatch.context() as patch:
        patch.setattr(ClipEncoder, "encode_frames", count)
        done = vcap("encode", *videos, "-o", store, "--model", model, "--json", "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert [line["frames"] for line in check("encode", done.stdout)] == [NUM_KEPT] * len(videos)
    assert sum(counts) == NUM_KEPT * len(videos)
    again = vcap("encode", *videos, "-o", store, "--model", model, "--device", "cpu")
    assert "were done before" in again.stderr

    found, kept = load_retriever(str(model), device="cpu"), FeatureStore(store)
    policy: Any = found.model.policy
    for path in videos:
        sizes = [found.encoder.size, raw(policy.config.raw_side)]
        (pictures, small), _ = read_pictures(path, parse_sampler(found.sampler), sizes)
        every = torch.from_numpy(found.encoder.encode_frames(pictures))[None]
        mask, grey = torch.ones(1, NUM_FRAMES, dtype=torch.bool), torch.from_numpy(small)[None]
        with torch.no_grad():
            wanted = found.model.video_vector(every, mask, policy.pictures(grey))[0]
        made = found.video_vectors([kept.features(path.name)])[0]
        np.testing.assert_allclose(made, wanted, atol=2e-3)  # stores hold halves

    folder = tmp_path / "index"
    assert vcap("index", store, "-o", folder, "--aggregate", model).exit_code == 0
    done = vcap("retrieve", videos[4], "a small star", "--index", folder, "--json")
    assert done.exit_code == 0, done.stderr
    hits = check("retrieve", done.stdout)
    assert hits[0]["id"] == videos[4].name
    assert hits[0]["score"] == pytest.approx(1, abs=1e-3)
    model.rename(tmp_path / "moved")
    lost = vcap("retrieve", "a small star", "--index", folder)
    assert lost.exit_code != 0
    assert "no such model folder" in lost.stderr and "--model FOLDER" in lost.stderr
    done = vcap("retrieve", "a star", "--index", folder, "--model", tmp_path / "moved", "--json")
    assert done.exit_code == 0, done.stderr


def test_a_store_of_all_frames_is_refused_with_the_command_that_makes_the_right_one(
    sources: Path, tmp_path: Path, vcap: Any
) -> None:
    model = write_retrieval(tmp_path / "model", small_policy())
    videos, store = sources / "videos" / "videos.jsonl", tmp_path / "all"
    made = vcap("encode", videos, "-o", store, "--model", model / "encoder", "--device", "cpu")
    assert made.exit_code == 0, made.stderr
    done = vcap("index", store, "-o", tmp_path / "index", "--aggregate", model)
    assert done.exit_code != 0
    assert "holds all frames" in done.stderr
    assert f"vcap encode VIDEOS -o STORE --model {model}" in done.stderr
    done = vcap("encode", videos, "-o", store, "--model", model, "--device", "cpu")
    assert done.exit_code != 0
    assert "selection null" in done.stderr and "-o" in done.stderr


def test_a_dry_run_tells_the_sampler_of_the_model(sources: Path, tmp_path: Path, vcap: Any) -> None:
    model = write_retrieval(tmp_path / "model", small_policy(), sampler="uniform 6")
    videos = sources / "videos" / "videos.jsonl"
    done = vcap("encode", videos, "-o", tmp_path / "s", "--model", model, "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["sampler"] == "uniform 6"
    done = vcap("encode", videos, "-o", tmp_path / "s", "--model", model, "--dry-run", "--fps", 2)
    assert "fps 2" in done.stdout


def test_an_index_tells_that_nothing_came_where_only_its_model_has_another_place(
    sources: Path, tmp_path: Path, vcap: Any
) -> None:
    model = write_retrieval(tmp_path / "model", small_policy())
    videos, store, folder = sources / "videos" / "videos.jsonl", tmp_path / "s", tmp_path / "index"
    made = vcap("encode", videos, "-o", store, "--model", model, "--device", "cpu", "--limit", 3)
    assert made.exit_code == 0, made.stderr
    assert vcap("index", store, "-o", folder, "--aggregate", model).exit_code == 0
    model.rename(tmp_path / "moved")
    done = vcap("index", store, "-o", folder, "--add", "--aggregate", tmp_path / "moved")
    assert done.exit_code == 0, done.stderr
    assert "videos: none added or removed; 5 in the index" in done.stderr


def test_sentences_for_a_retrieval_model_are_refused_with_the_encoder_that_reads_them(
    tmp_path: Path, vcap: Any
) -> None:
    model = write_retrieval(tmp_path / "model", small_policy())
    text = ("encode", "-", "--text", "-o", tmp_path / "store", "--model")
    done = vcap(*text, model, stdin="a star\n")
    assert done.exit_code == 2
    assert f"{model} is a retrieval model" in done.stderr
    assert f"--model {model / 'encoder'}" in done.stderr
    assert not (tmp_path / "store").exists()
    done = vcap(*text, model / "encoder", stdin="a star\n")
    assert done.exit_code == 0, done.stderr
