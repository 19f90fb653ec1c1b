"""Laws of aggregation and of the retrieval model: batches, padding, order and scale."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad

from vcap.models.aggregation import query_cosines, query_cosines_naive
from vcap.models.policy import Policy, PolicyConfig
from vcap.models.retrieval import (
    Relaxation,
    RetrievalConfig,
    RetrievalModel,
    best_of_captions,
    symmetric_loss,
)

WIDTH, NUM_FRAMES = 8, 6
VARIANTS: list[dict[str, Any]] = [
    {"frame_aggregation": "mean"},
    {"frame_aggregation": "mlp", "frame_temperature": 0.3},
    {"frame_aggregation": "transformer"},
    {"frame_aggregation": "qscore", "frame_temperature": 0.1},
    {"frame_aggregation": "mean", "reuse_scores": True},
    {"frame_aggregation": "mean", "reuse_scores": True, "header": "seqTransf"},
    {"frame_aggregation": "mlp", "header": "seqTransf", "in_time_order": True},
    {"frame_aggregation": "mean", "header": "transformer"},
    {"frame_aggregation": "mlp", "header": "seqLSTM"},
]


def build(seed: int, **changes: Any) -> RetrievalModel:
    """A model of weights large enough that every part matters."""
    torch.manual_seed(seed)
    policy = Policy(PolicyConfig(num_frames=9, feature_width=WIDTH, hidden_width=64, head_width=8))
    config = RetrievalConfig(WIDTH, NUM_FRAMES, 3, num_heads=2, **changes)
    model = RetrievalModel(config, policy, logit_scale=0.0)
    for weight in model.matcher.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    for weight in policy.head.parameters():
        torch.nn.init.normal_(weight)
    return model.eval()


def batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Videos of one to six frames, some fewer than are kept, their mask, and texts."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(4, NUM_FRAMES, WIDTH, generator=generator)
    lengths = torch.tensor([1, 2, 4, 6])[torch.randperm(4, generator=generator)][:, None]
    return features, torch.arange(NUM_FRAMES) < lengths, torch.randn(5, WIDTH, generator=generator)


def same(ours: Tensor, theirs: Tensor) -> None:
    """Assert equality but for rounding."""
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_a_batch_is_its_videos_one_by_one(variant: dict[str, Any], seed: int) -> None:
    model = build(seed, **variant)
    features, mask, texts = batch(seed)
    together = model(features, mask, texts)
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        real = slice(row, row + 1), slice(0, length)  # without its padding, too
        same(model(features[real], mask[real], texts)[:, 0], together[:, row])


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_what_stands_in_padding_changes_nothing(variant: dict[str, Any], seed: int) -> None:
    model = build(seed, **variant)
    features, mask, texts = batch(seed)
    loud = torch.where(mask[..., None], features, 1e4)
    same(model(loud, mask, texts), model(features, mask, texts))
    longer = pad(features, (0, 0, 0, 3), value=9.0), pad(mask, (0, 3))
    same(model(*longer, texts), model(features, mask, texts))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_texts_are_compared_one_by_one(variant: dict[str, Any]) -> None:
    model = build(0, **variant)
    features, mask, texts = batch(0)
    together = model(features, mask, texts)
    for row in range(len(texts)):
        same(model(features, mask, texts[row : row + 1])[0], together[row])


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_cosine_stays_one_and_no_text_counts_more_for_its_length(variant: dict[str, Any]) -> None:
    model = build(0, **variant)
    features, mask, texts = batch(3)
    found = model(features, mask, texts)
    assert found.abs().max() <= 1 + 1e-5
    same(model(features, mask, texts * 50), found)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_training_sees_the_frames_that_are_kept(variant: dict[str, Any]) -> None:
    model = build(1, **variant)
    features, mask, _ = batch(1)
    relaxed = Relaxation(0.7, noise=torch.randn(mask.shape))
    _, chosen, _ = model.keep(features, mask, relaxation=relaxed)
    rounded = chosen.kept().round()
    same(chosen.kept(), rounded)
    assert rounded.sum(dim=1).tolist() == mask.sum(dim=1).clamp(max=3).tolist()
    assert not rounded[~mask].any(), "padding is never kept"


lengths = st.lists(st.integers(1, 7), min_size=1, max_size=4)


@given(lengths, st.integers(1, 4), st.floats(0.05, 5.0), st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_the_algebraic_form_is_exact(
    num_frames: list[int], num_texts: int, temperature: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = len(num_frames), max(num_frames), 16
    frames = torch.randn(shape, generator=generator, dtype=torch.float64) * 3
    mask = torch.arange(shape[1]) < torch.tensor(num_frames)[:, None]
    texts = torch.randn(num_texts, 16, generator=generator, dtype=torch.float64)
    ours = query_cosines(texts, frames, mask, temperature)
    theirs = query_cosines_naive(texts, frames, mask, temperature)
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


@given(st.integers(1, 6), st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_the_loss_does_not_ask_which_side_comes_first(num_videos: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.randn(num_videos, num_videos, generator=generator) * 5
    loss = symmetric_loss(similarity)
    torch.testing.assert_close(loss, symmetric_loss(similarity.T))
    order = torch.randperm(num_videos, generator=generator)
    torch.testing.assert_close(loss, symmetric_loss(similarity[order][:, order]))
    alone = torch.eye(num_videos, dtype=torch.bool)
    torch.testing.assert_close(loss, symmetric_loss(similarity, alone))
    assert loss >= -1e-6


@given(lengths, st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_the_best_caption_is_one_of_the_videos_own(num_captions: list[int], seed: int) -> None:
    owners = torch.arange(len(num_captions)).repeat_interleave(torch.tensor(num_captions))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(owners), generator=generator)
    similarity = torch.randn(len(owners), len(num_captions), generator=generator)
    best = best_of_captions(similarity[order], owners[order])
    for video in range(len(num_captions)):
        assert torch.equal(best[video], similarity[owners == video].amax(dim=0))
