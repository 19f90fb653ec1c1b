"""A trained retrieval model by its folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_retrieval import small_policy, write_retrieval
from tests.unit.engine.paired import NUM_FRAMES, NUM_TOLD, WIDTH, parts
from vcap.engine.reporter import Silent
from vcap.engine.retriever import Retriever, load_retriever
from vcap.engine.schedule import TrainConfig
from vcap.engine.train import train_method
from vcap.errors import CheckpointError, FeatureError
from vcap.features.store import FeatureStore


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training."""
    folder = tmp_path_factory.mktemp("retrieval")
    train_method(
        TrainConfig.model_validate(parts(folder, train={"steps": 1})),
        folder / "run",
        reporter=Silent(),
    )
    return folder


@pytest.fixture
def retriever(run: Path) -> Retriever:
    """What it made."""
    return load_retriever(str(run / "run"), device="cpu")


def test_a_video_has_one_vector_whatever_videos_are_beside_it(
    run: Path, retriever: Retriever
) -> None:
    store = FeatureStore(run / "store")
    videos = [store.features("v0"), store.features("v1")[:3], store.features("v2")[:1]]
    together = retriever.video_vectors(videos)
    assert together.shape == (3, WIDTH)
    for row, video in enumerate(videos):
        np.testing.assert_allclose(together[row], retriever.video_vectors([video])[0], atol=1e-5)
    assert retriever.video_vectors([]).shape == (0, WIDTH)


def test_a_longer_video_is_thinned_to_the_frames_the_model_has_places_for(
    run: Path, retriever: Retriever
) -> None:
    features = FeatureStore(run / "store").features("v0")
    twice = np.repeat(features, 2, axis=0)
    np.testing.assert_allclose(
        retriever.video_vectors([twice]), retriever.video_vectors([features]), atol=1e-5
    )
    assert len(twice) == 2 * NUM_FRAMES
    kept = retriever.kept_frames(features)
    assert len(kept) == NUM_TOLD
    assert kept == sorted(kept)
    assert retriever.kept_frames(twice) == [2 * number for number in kept]


def test_texts_and_their_embeddings_give_the_same_unit_vectors(retriever: Retriever) -> None:
    texts = ["a red star", "a ring"]
    vectors = retriever.text_vectors(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    embeddings = retriever.encoder.encode_text(texts)
    np.testing.assert_allclose(retriever.embedded_texts(embeddings), vectors, atol=1e-6)


def test_features_it_cannot_read_are_refused(run: Path, retriever: Retriever) -> None:
    good = np.zeros((2, WIDTH), np.float16)
    with pytest.raises(FeatureError, match=rf"video 1: .*\[T, {WIDTH}\], got \[2, 3\]"):
        retriever.video_vectors([good, good[:, :3]])
    with pytest.raises(FeatureError, match="no frame"):
        retriever.video_vectors([good[:0]])
    with pytest.raises(FeatureError, match="not finite"):
        retriever.video_vectors([good + np.float16("nan")])


def test_a_store_of_another_encoder_is_refused_naming_both(
    run: Path, retriever: Retriever, tmp_path: Path
) -> None:
    retriever.check(FeatureStore(run / "store"))
    shutil.copytree(run / "store", tmp_path / "store")
    header = json.loads((tmp_path / "store" / "store.json").read_text())
    header["fingerprint"]["encoder"] |= {"name": "other", "weights": "0"}
    (tmp_path / "store" / "store.json").write_text(json.dumps(header))
    with pytest.raises(FeatureError, match=r"features of other, .* those of tiny"):
        retriever.check(FeatureStore(tmp_path / "store"))


def test_an_encoder_inside_of_a_model_is_named_with_its_folder(run: Path, tmp_path: Path) -> None:
    model = write_retrieval(tmp_path / "model", small_policy(encoder="features"))
    other = load_retriever(str(model), device="cpu")
    with pytest.raises(FeatureError) as caught:
        other.check(FeatureStore(run / "store"))
    assert f"{model} wants those of {model / 'encoder'}: " in str(caught.value)


def test_damaged_folders_are_told_by_what_is_wrong(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such model folder"):
        load_retriever(str(tmp_path / "absent"), device="cpu")
    model = shutil.copytree(run / "run" / "model", tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    for wrong in ({"model": {"num_kept": 99}}, {"policy": {"encoder": "eyes"}}, {"encoder": {}}):
        (model / "config.json").write_text(json.dumps({**config, **wrong}))
        with pytest.raises(CheckpointError, match=r"config\.json"):
            load_retriever(str(model), device="cpu")
    (model / "config.json").write_text(json.dumps({**config, "policy": None}))
    with pytest.raises(CheckpointError, match="unknown: policy"):
        load_retriever(str(model), device="cpu")
    (model / "config.json").write_text(json.dumps({**config, "method": "prefix"}))
    with pytest.raises(CheckpointError, match="of kind prefix, want retrieval"):
        load_retriever(str(model), device="cpu")


WRONG: list[tuple[str, Any, str]] = [
    ("model", {"num_frames": 40}, r"num_frames: want at most the policy's \(12\), got 40"),
    ("model", {"feature_width": 64}, r"feature_width: want the policy's \(128\), got 64"),
    ("policy", False, "policy: .*got false"),
    ("sampler", "foo 3", "sampler: no sampler 'foo'"),
    ("sampler", None, "does not tell 'sampler'"),
    ("encoder", "null", "encoder: want a name and a fingerprint, got None"),
    ("encoder", {"fingerprint": "x"}, "encoder: want a name and a fingerprint, got .*'x'"),
    ("text_encoder", {"name": "tiny"}, "text_encoder: want a name and a fingerprint, got "),
    ("text_encoder", {"name": "text", "fingerprint": {}}, r"text is missing, the text_encoder"),
    ("encoder", {"name": "encoder"}, r"encoder is missing, the encoder that config\.json names"),
]


@pytest.mark.parametrize(("key", "value", "message"), WRONG, ids=[message for *_, message in WRONG])
def test_a_folder_that_disagrees_with_itself_is_told_by_its_key(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    value: Any,
    message: str,
) -> None:
    model = shutil.copytree(run / "run" / "model", tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    merged = {**(config[key] or {}), **value} if isinstance(value, dict) else value
    config |= {key: merged}
    if value is None:
        del config[key]
    (model / "config.json").write_text(json.dumps(config).replace('"null"', "null"))
    (tmp_path / "encoder").mkdir()  # of somebody else, where the command runs
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=message) as raised:
        load_retriever(str(model), device="cpu")
    assert str(model) in str(raised.value)
