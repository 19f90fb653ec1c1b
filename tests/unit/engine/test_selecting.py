"""Encoding with a retrieval model that chooses frames by their pictures."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.small_retrieval import (
    NUM_FRAMES,
    NUM_KEPT,
    small_policy,
    write_original,
    write_retrieval,
)
from tests.small_videos import make_video
from vcap.engine import encode as encode_module
from vcap.engine.encode import EncodeSettings, encode
from vcap.engine.encoders import ClipEncoder
from vcap.engine.index import index
from vcap.engine.reporter import Silent
from vcap.engine.retriever import Retriever, load_retriever
from vcap.engine.selecting import EncodeKept, plan, shown
from vcap.errors import FeatureError, UsageError
from vcap.features.store import FeatureStore
from vcap.models.clip import normalise
from vcap.video.pictures import raw, read_pictures
from vcap.video.sample import parse_sampler


@pytest.fixture(scope="module")
def chooser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a policy on small grey pictures."""
    return write_retrieval(tmp_path_factory.mktemp("model") / "raw", small_policy())


@pytest.fixture(scope="module")
def store(chooser: Path, small_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The frames of seven videos that it keeps."""
    folder = tmp_path_factory.mktemp("kept") / "store"
    encode([small_videos], folder, model=str(chooser), device="cpu")
    return folder


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


def contents(store: Path) -> dict[str, bytes]:
    """What readers of a store see."""
    return {path.name: path.read_bytes() for path in store.iterdir() if path.is_file()}


def whole_vector(found: Retriever, path: Path, sampler: str) -> np.ndarray:
    """The vector of a video where all candidate frames are encoded, and the model keeps some."""
    encoder, policy = found.encoder, found.model.policy
    assert policy is not None
    (pictures, small), _ = read_pictures(
        path, parse_sampler(sampler), [encoder.size, raw(8)], most=NUM_FRAMES
    )
    features = torch.from_numpy(encoder.encode_frames(pictures))[None]
    mask = torch.ones(features.shape[:2], dtype=torch.bool)
    grey = policy.pictures(torch.from_numpy(small)[None])
    with torch.no_grad():
        return np.asarray(found.model.video_vector(features, mask, grey)[0])


def test_only_kept_frames_are_encoded_and_come_in_the_order_of_time(
    chooser: Path, small_videos: Path, tmp_path: Path, encoded: list[int]
) -> None:
    summary = encode([small_videos], tmp_path, model=str(chooser), device="cpu")
    assert summary.done == 7
    assert sum(encoded) == 7 * NUM_KEPT
    assert len(encoded) == 1, "the frames of many videos share a batch"
    kept = FeatureStore(tmp_path)
    assert kept.fingerprint["sampler"] == f"uniform {NUM_FRAMES}"
    assert kept.fingerprint["selection"] == load_retriever(str(chooser)).selection
    for name in kept:
        assert kept.num_frames(name) == NUM_KEPT
        assert (np.diff(kept.times(name)) > 0).all()


@pytest.mark.parametrize("sampler", ["uniform 6", "fps 4", "fps 1"])
def test_vectors_are_those_of_all_frames_encoded_and_some_kept(
    chooser: Path, small_videos: Path, tmp_path: Path, sampler: str
) -> None:
    encode([small_videos], tmp_path, model=str(chooser), sampler=sampler, device="cpu")
    found, kept = load_retriever(str(chooser), device="cpu"), FeatureStore(tmp_path)
    counts = {kept.num_frames(name) for name in kept}
    assert counts == {NUM_KEPT}, "of more candidates, and of fewer than the model has places for"
    for name in kept:
        wanted = whole_vector(found, small_videos / name, sampler)
        made = found.video_vectors([kept.features(name)])[0]
        np.testing.assert_allclose(made, wanted, atol=2e-3)  # stores hold halves
        assert found.kept_frames(kept.features(name)) == [*range(NUM_KEPT)]


def test_a_video_of_fewer_frames_than_are_kept_keeps_them_all(
    chooser: Path, tmp_path: Path
) -> None:
    make_video(tmp_path / "short.mp4", 0, num_frames=1)
    rule: dict[str, Any] = {"model": str(chooser), "sampler": "fps 4", "device": "cpu"}
    encode([tmp_path / "short.mp4"], tmp_path / "store", **rule)
    found = FeatureStore(tmp_path / "store")
    assert found.num_frames("short.mp4") == 1
    vector = load_retriever(str(chooser), device="cpu").video_vectors([found.features("short.mp4")])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_the_videos_beside_one_change_no_byte_and_a_second_run_does_nothing(
    chooser: Path,
    store: Path,
    small_videos: Path,
    tmp_path: Path,
    encoded: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encode_module, "GROUP", 1)
    for number in range(7):  # cut short after each video, and begun again
        some = [small_videos / f"{one}.mp4" for one in range(number + 1)]
        encode(some, tmp_path / "slow", model=str(chooser), device="cpu", shard_size=64)
    features, slow = FeatureStore(store), FeatureStore(tmp_path / "slow")
    assert slow.ids == features.ids
    for name in slow:
        assert np.array_equal(slow.features(name), features.features(name))
        assert np.array_equal(slow.times(name), features.times(name))
    before = contents(store)
    encoded.clear()
    summary = encode([small_videos], store, model=str(chooser), device="cpu")
    assert (summary.done, summary.skipped, sum(encoded)) == (0, 7, 0)
    assert contents(store) == before


def test_a_store_that_another_model_chose_for_is_not_gone_on_with(
    chooser: Path, store: Path, small_videos: Path, tmp_path: Path
) -> None:
    other = write_retrieval(tmp_path / "other", small_policy(), seed=1)
    with pytest.raises(FeatureError, match="selection"):
        encode([small_videos], store, model=str(other), device="cpu")
    with pytest.raises(FeatureError, match="selection"):
        encode([small_videos], store, model=str(chooser / "encoder"), sampler="uniform 6")


def test_stores_that_were_not_chosen_as_the_model_chooses_are_refused_both_ways(
    chooser: Path, store: Path, small_videos: Path, tmp_path: Path
) -> None:
    every = tmp_path / "all"
    encode([small_videos], every, model=str(chooser / "encoder"), sampler="uniform 6")
    by_features = write_retrieval(tmp_path / "features", small_policy(encoder="features"))
    other = write_retrieval(tmp_path / "other", small_policy(), seed=1)
    wanted = [
        (every, chooser, "holds all frames, .* chooses by their pictures"),
        (store, by_features, "holds frames that a model has chosen, .* wants all"),
        (store, other, "another model has chosen than"),
    ]
    for folder, model, told in wanted:
        with pytest.raises(FeatureError, match=told) as caught:
            index([folder], tmp_path / "index", aggregate=str(model))
        assert f"vcap encode VIDEOS -o STORE --model {model}" in (caught.value.hint or "")
    index([store], tmp_path / "index", aggregate=str(chooser))
    index([every], tmp_path / "index2", aggregate=str(by_features))


def test_frames_that_the_model_did_not_choose_are_refused(chooser: Path) -> None:
    found = load_retriever(str(chooser), device="cpu")
    with pytest.raises(FeatureError, match=f"chooses {NUM_KEPT} frames by their pictures"):
        found.video_vectors([np.ones((NUM_FRAMES, found.width), np.float16)])


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"header": "seqTransf"}, "the header seqTransf .* in the order of their scores"),
        ({"reuse_scores": True}, "reuse_scores"),
    ],
)
def test_models_that_need_the_order_of_scores_are_refused_before_any_work(
    small_videos: Path, tmp_path: Path, sizes: dict[str, Any], told: str
) -> None:
    model = write_retrieval(tmp_path / "model", small_policy(), **sizes)
    with pytest.raises(UsageError, match=told) as caught:
        encode([small_videos], tmp_path / "store", model=str(model), device="cpu")
    assert "vcap train retrieval --set model." in (caught.value.hint or "")
    assert not (tmp_path / "store").exists()


def test_a_header_that_reads_the_order_of_time_is_used_on_kept_frames(
    small_videos: Path, tmp_path: Path
) -> None:
    sizes: dict[str, Any] = {"header": "seqTransf", "in_time_order": True}
    model = write_retrieval(tmp_path / "model", small_policy(), **sizes)
    encode([small_videos / "0.mp4"], tmp_path / "store", model=str(model), device="cpu")
    found = load_retriever(str(model), device="cpu")
    made = found.video_vectors([FeatureStore(tmp_path / "store").features("0.mp4")])[0]
    wanted = whole_vector(found, small_videos / "0.mp4", found.sampler)
    np.testing.assert_allclose(made, wanted, atol=2e-3)


def test_a_policy_on_a_cnn_sees_pictures_as_it_was_trained_on(
    small_videos: Path, tmp_path: Path, encoded: list[int]
) -> None:
    model = write_retrieval(tmp_path / "model", small_policy(encoder="mobilenet_v2"))
    encode([small_videos / "1.mp4"], tmp_path / "store", model=str(model), device="cpu")
    found = load_retriever(str(model), device="cpu")
    job = plan(EncodeSettings(model=str(model)), Silent()).job(Silent(), alone=True)
    assert isinstance(job, EncodeKept)
    from vcap.engine.inputs import gather

    _, own = job.prepare(gather([str(small_videos / "1.mp4")])[0])
    assert own.small.shape == (NUM_FRAMES, 224, 224, 3)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    pictures = normalise(torch.from_numpy(own.small), mean, std)[None]
    assert found.model.policy is not None
    with torch.no_grad():
        scores = found.model.policy(pictures)[0]
    times = own.times[scores.topk(NUM_KEPT).indices.sort().values]
    kept = FeatureStore(tmp_path / "store").times("1.mp4")
    np.testing.assert_allclose(kept, times, atol=1e-6)
    assert sum(encoded) == NUM_KEPT


def test_a_model_that_reads_features_has_all_frames_encoded(
    small_videos: Path, tmp_path: Path, encoded: list[int]
) -> None:
    model = write_retrieval(tmp_path / "model", small_policy(encoder="features"))
    encode([small_videos / "0.mp4"], tmp_path / "store", model=str(model), device="cpu")
    found = FeatureStore(tmp_path / "store")
    assert sum(encoded) == found.num_frames("0.mp4") == NUM_FRAMES
    assert "selection" not in found.fingerprint
    load_retriever(str(model)).check(found)


def test_the_model_decides_what_nobody_else_does(chooser: Path, tmp_path: Path) -> None:
    assert shown(EncodeSettings(model=str(chooser))).sampler == f"uniform {NUM_FRAMES}"
    assert shown(EncodeSettings(model=str(chooser), sampler="fps 2")).sampler == "fps 2"
    original = write_original(tmp_path / "trained_model.pth")
    told = shown(EncodeSettings(model=str(original)))
    assert (told.sampler, told.exact_pixels) == (f"adaclip-linspace {NUM_FRAMES}", True)
    assert shown(EncodeSettings(model="tiny")).sampler == "fps 1"
    with pytest.raises(UsageError, match="reads embedding"):
        encode([], tmp_path / "store", model=str(chooser), features="grid")


def test_a_video_that_does_not_decode_costs_itself_alone(
    chooser: Path, small_videos: Path, tmp_path: Path
) -> None:
    for number in range(3):
        shutil.copy(small_videos / f"{number}.mp4", tmp_path)
    (tmp_path / "1.mp4").write_text("no video at all")
    summary = encode([tmp_path], tmp_path / "store", model=str(chooser), device="cpu")
    assert (summary.done, [one.key for one in summary.failed]) == (2, ["1.mp4"])
    told = json.loads((tmp_path / "store" / "store.json").read_text())
    assert told["fingerprint"]["selection"]
