"""How many frames go through the networks where a model keeps some of a video's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.small_retrieval import small_policy, write_retrieval
from vcap.engine.encode import EncodeSettings
from vcap.engine.reporter import Silent
from vcap.engine.retriever import load_retriever
from vcap.engine.selecting import Chooser, plan


@pytest.mark.parametrize("num_kept", [4, 12])
def test_the_kept_frames_of_one_video_are_not_filled_up_to_a_large_batch(
    tmp_path: Path, num_kept: int
) -> None:
    counts = {"num_frames": 24, "num_kept": num_kept}
    policy = small_policy(num_frames=24)
    folder = write_retrieval(tmp_path / "model", policy, sampler="uniform 24", **counts)
    assert load_retriever(str(folder), device="cpu").encoder.batch_size == max(8, num_kept)


def test_a_batch_size_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    model = str(write_retrieval(tmp_path / "model", small_policy()))
    asked = EncodeSettings(model=model, device="cpu", batch_size=5)
    assert plan(asked, Silent()).encoder.batch_size == 5


def test_a_model_that_looks_at_features_keeps_the_batches_of_its_encoder(tmp_path: Path) -> None:
    folder = write_retrieval(tmp_path / "model", small_policy(encoder="features"))
    assert load_retriever(str(folder), device="cpu").encoder.batch_size == 16


def test_what_a_light_network_chooses_is_what_the_policy_scores_best(tmp_path: Path) -> None:
    policy = small_policy(encoder="mobilenet_v3_large")
    found = load_retriever(str(write_retrieval(tmp_path / "model", policy)), device="cpu")
    before = found.selection
    draws = np.random.default_rng(0)
    videos = [draws.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8) for count in (6, 3)]
    chosen = Chooser(found).choose(videos)
    assert found.model.policy is not None
    for video, kept in zip(videos, chosen, strict=True):
        frames = found.model.policy.pictures(torch.from_numpy(video)[None])
        with torch.inference_mode():
            scores = found.model.policy(frames)[0]
        assert kept.tolist() == sorted(scores.topk(2).indices.tolist())
    again = load_retriever(str(tmp_path / "model"), device="cpu")
    assert found.selection == before == again.selection, "its weights were changed for speed"


def test_in_halves_a_light_network_sees_the_same_and_leaves_the_models_selection_alone(
    tmp_path: Path,
) -> None:
    policy = small_policy(encoder="mobilenet_v3_large")
    folder = str(write_retrieval(tmp_path / "model", policy))
    whole, half = (load_retriever(folder, device="cpu", dtype=one) for one in ("fp32", "bf16"))
    draws = np.random.default_rng(0)
    video = draws.integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    one, other = (torch.cat([*Chooser(model)._encoded(video)]).float() for model in (whole, half))
    assert other.dtype == torch.float32
    assert not torch.equal(one, other), "both were computed in the same type"
    assert torch.cosine_similarity(one, other).min() > 0.99
    chosen = Chooser(half).choose([video])[0].tolist()
    assert chosen == sorted({*chosen}) and len(chosen) == 2
    assert whole.selection == half.selection
