"""Training a retrieval model on stored features."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.engine.paired import NUM_FRAMES, NUM_TOLD, WIDTH, parts, texts, told
from vcap.engine.methods.retrieval import RetrievalMethod
from vcap.engine.reporter import Silent
from vcap.engine.retriever import Retriever, load_retriever
from vcap.engine.run import Run
from vcap.engine.schedule import TrainConfig
from vcap.engine.train import TrainResult, train_method
from vcap.engine.training_data import load_splits
from vcap.errors import ConfigError, FeatureError, UsageError
from vcap.features.store import FeatureStore


def config(folder: Path, **changes: Any) -> TrainConfig:
    return TrainConfig.model_validate(parts(folder, **changes))


def method(folder: Path, **changes: Any) -> RetrievalMethod:
    settings = config(folder, **changes)
    torch.manual_seed(0)
    return RetrievalMethod(settings, load_splits(settings.data), Run(folder / "run"))


def trained(folder: Path, **changes: Any) -> TrainResult:
    return train_method(config(folder, **changes), folder / "run", reporter=Silent())


def kept_are_told(retriever: Retriever, store: FeatureStore) -> float:
    """The share of kept frames that are none of the clutter, which most frames of a video are."""
    shares = []
    for name in store:
        features = store.features(name).astype(np.float32)
        clutter = np.median(features, axis=0)
        kept = features[retriever.kept_frames(features)]
        shares.append(np.mean(np.linalg.norm(kept - clutter, axis=1) > 5))
    return float(np.mean(shares))


def test_a_policy_learns_to_keep_the_frames_that_captions_speak_of(tmp_path: Path) -> None:
    result = trained(tmp_path, train={"steps": 50})
    assert result.scores["test/R@1"] > result.scores["test mean of all frames/R@1"] + 20
    retriever = load_retriever(str(tmp_path / "run"), device="cpu")
    assert kept_are_told(retriever, FeatureStore(tmp_path / "store")) > 0.9


def test_the_model_folder_tells_all_that_is_needed_to_use_it(tmp_path: Path) -> None:
    trained(tmp_path)
    found = told(tmp_path)
    assert found["method"] == "retrieval"
    assert found["model"]["feature_width"] == found["policy"]["feature_width"] == WIDTH
    assert found["model"]["num_frames"] == found["policy"]["num_frames"] == NUM_FRAMES
    assert found["model"]["num_kept"] == NUM_TOLD
    assert found["encoder"]["name"] == "tiny"
    assert found["sampler"] == f"uniform {NUM_FRAMES}"
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "the policy reads the encoder's features" in card
    assert "test mean of all frames" in card


def test_vectors_of_the_exported_model_give_the_scores_of_the_training(tmp_path: Path) -> None:
    ours = method(tmp_path)
    ours.model.eval()
    with torch.no_grad():
        cosines = ours.similarity(ours.train_pairs)
    (tmp_path / "out").mkdir()
    ours.export(tmp_path / "out", {})
    retriever = load_retriever(str(tmp_path / "out"), device="cpu")
    store = FeatureStore(tmp_path / "store")
    names = ours.train_pairs.names
    videos = retriever.video_vectors([store.features(name) for name in names])
    np.testing.assert_allclose(np.linalg.norm(videos, axis=1), 1.0, rtol=1e-5)
    first = ours.train_pairs.texts.starts
    said = retriever.text_vectors([texts(int(name[1:]))[0] for name in names])
    np.testing.assert_allclose(said @ videos.T, cosines[first], atol=1e-5)


def test_every_batch_is_the_same_when_it_is_asked_for_again(tmp_path: Path) -> None:
    ours = method(tmp_path)
    first, again, other = ours.batch(1, 0), ours.batch(1, 0), ours.batch(2, 0)
    for name in ("frames", "texts", "noise"):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
    assert other["temperature"] < first["temperature"] < 5.0


def test_captions_are_joined_drawn_or_each_a_pair(tmp_path: Path) -> None:
    drawn = method(tmp_path)
    each = method(tmp_path, options={"captions": "indep-all"})
    joined = method(tmp_path, options={"captions": "concat"})
    videos = len(drawn.train_pairs)
    assert drawn.num_batches == videos // 12
    assert each.num_batches == 2 * videos // 12
    assert len(joined.train_pairs.texts) == videos
    assert len(drawn.train_pairs.texts) == 2 * videos


def test_a_text_that_is_true_of_two_videos_of_a_batch_counts_for_both(tmp_path: Path) -> None:
    ours = method(tmp_path)
    found = ours._positives([torch.tensor([0, 1, 0]), torch.tensor([7, 8, 9])])
    assert found.int().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    found = ours._positives([torch.tensor([0, 1, 2]), torch.tensor([7, 8, 7])])
    assert found.int().tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_the_number_of_kept_frames_falls_while_the_policy_warms_up(tmp_path: Path) -> None:
    ours = method(tmp_path, options={"warmup_epochs": 3})
    counts = [ours.batch(epoch, 0)["num_kept"] for epoch in range(5)]
    assert counts[0] == NUM_FRAMES - 1
    assert counts == sorted(counts, reverse=True)
    assert counts[3:] == [NUM_TOLD, NUM_TOLD]
    assert torch.isfinite(ours.losses(ours.batch(0, 0))["contrastive"])


@pytest.mark.parametrize("header", ["meanP", "seqTransf", "transformer", "seqLSTM"])
@pytest.mark.parametrize("policy", [True, False])
def test_every_header_trains_with_and_without_a_policy(
    tmp_path: Path, header: str, policy: bool
) -> None:
    model = {"header": header, "in_time_order": True}
    ours = method(tmp_path, model=model, options={} if policy else {"policy": None})
    loss = ours.losses(ours.batch(0, 0))["contrastive"]
    torch.autograd.backward(loss)
    assert loss.item() > 0
    without = [n for n, p in ours.model.named_parameters() if p.grad is None]
    assert not without


def test_a_query_dependent_model_is_scored_but_refuses_to_make_vectors(tmp_path: Path) -> None:
    result = trained(tmp_path, model={"frame_aggregation": "qscore", "frame_temperature": 0.05})
    assert "test/R@1" in result.scores
    with pytest.raises(UsageError, match="no vector of its own"):
        load_retriever(str(tmp_path / "run"), device="cpu")


def test_the_scale_never_exceeds_a_hundred(tmp_path: Path) -> None:
    ours = method(tmp_path, options={"logit_scale": 9.0})
    ours.losses(ours.batch(0, 0))
    assert ours.retrieval.logit_scale.exp().item() == pytest.approx(100)


def test_an_interrupted_training_with_bertadam_ends_with_the_same_bytes(tmp_path: Path) -> None:
    train = {"steps": 4, "checkpoint_every": 2, "keep": 9, "optimizer": "bertadam", "eps": 1e-6}
    trained(tmp_path, train=train)
    weights = tmp_path / "run" / "model" / "model.safetensors"
    unbroken = weights.read_bytes()
    last = max((tmp_path / "run" / "checkpoints").iterdir())
    shutil.rmtree(last)
    shutil.rmtree(tmp_path / "run" / "model")
    (tmp_path / "run" / "scores.json").unlink()
    settings = config(tmp_path, train=train)
    train_method(settings, tmp_path / "run", reporter=Silent(), resume=True)
    assert weights.read_bytes() == unbroken


def test_settings_that_make_no_model_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_kept"):
        method(tmp_path, model={"num_kept": NUM_FRAMES + 1})
    with pytest.raises(ConfigError, match=r"policy.encoder"):
        method(tmp_path, options={"policy": {"encoder": "vgg"}})
    with pytest.raises(ConfigError, match="reuse_scores"):
        method(tmp_path, model={"reuse_scores": True}, options={"policy": None})
    with pytest.raises(ConfigError, match="warmup_epochs"):
        method(tmp_path, model={"header": "transformer"}, options={"warmup_epochs": 2})
    with pytest.raises(ConfigError, match="end_temperature"):
        method(tmp_path, options={"end_temperature": 9.0})


def test_features_of_places_are_refused_as_texts_are_narrower(tmp_path: Path) -> None:
    parts(tmp_path)
    header = tmp_path / "store" / "store.json"
    header.write_text(header.read_text().replace('"embedding"', '"grid"'))
    with pytest.raises(FeatureError, match="embedding"):
        method(tmp_path)
