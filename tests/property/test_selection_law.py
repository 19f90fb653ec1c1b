"""Laws of frame selection, for any scores."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vcap.models.policy import Policy, PolicyConfig
from vcap.models.selection import (
    Selection,
    gumbel_noise,
    hard_k_hot,
    hard_topk,
    keep_best,
    log_probabilities,
    num_kept_at,
    relax,
)

NUM_VIDEOS = 3
SEEDS = st.integers(0, 2**31)
TEMPERATURES = st.floats(0.1, 10.0)


def noisy(seed: int, num_frames: int, spread: float = 3.0) -> tuple[Tensor, Tensor]:
    """Scores that ask for gradients, and their log-probabilities with noise."""
    generator = torch.Generator().manual_seed(seed)
    scores = spread * torch.randn(NUM_VIDEOS, num_frames, generator=generator)
    scores.requires_grad_()
    return scores, log_probabilities(scores) + gumbel_noise(scores, generator)


def random_mask(seed: int, num_frames: int) -> Tensor:
    """Any pattern of real frames, none at all among them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(NUM_VIDEOS, num_frames, generator=generator) < 0.6


def both(scores: Tensor, logs: Tensor, k: int, tau: float, mask: Tensor) -> list[Selection]:
    """The selections of training and of use."""
    return [hard_topk(logs, k, tau, mask), keep_best(scores, k, mask)]


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 12), st.integers(1, 14), TEMPERATURES, st.booleans())
def test_the_kept_frames_are_distinct_real_and_as_many_as_there_can_be(
    seed: int, num_frames: int, k: int, tau: float, exclude: bool
) -> None:
    scores, logs = noisy(seed, num_frames)
    mask = random_mask(seed, num_frames)
    selections = both(scores, logs, k, tau, mask)
    selections.append(hard_topk(logs, k, tau, mask, exclude_taken=exclude))
    for kept in selections:
        for indices, real, own in zip(kept.indices, kept.mask, mask, strict=True):
            chosen = indices[real].tolist()
            assert len(chosen) == len(set(chosen)) == min(k, int(own.sum()))
            assert own[chosen].all()
        rows = kept.matrix.detach().round()
        assert torch.equal(rows.sum(-1), kept.mask.float())
        assert torch.equal(rows.argmax(-1), kept.indices)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(2, 12), st.integers(1, 6), TEMPERATURES)
def test_moving_frames_moves_the_selection_with_them(
    seed: int, num_frames: int, k: int, tau: float
) -> None:
    _, logs = noisy(seed, num_frames)
    mask = random_mask(seed + 1, num_frames)
    order = torch.randperm(num_frames, generator=torch.Generator().manual_seed(seed))
    for first, second in zip(
        both(logs, logs, k, tau, mask),
        both(logs[:, order], logs[:, order], k, tau, mask[:, order]),
        strict=True,
    ):
        assert torch.equal(order[second.indices][second.mask], first.indices[first.mask])
        assert torch.equal(first.mask, second.mask)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 10), st.integers(1, 10), TEMPERATURES, st.booleans())
def test_gradients_are_finite_and_add_up_to_nothing(
    seed: int, num_frames: int, k: int, tau: float, exclude: bool
) -> None:
    """All scores moved alike change no probability."""
    scores, logs = noisy(seed, num_frames)
    matrix = hard_topk(logs, k, tau, exclude_taken=exclude).matrix
    worth = torch.randn(matrix.shape, generator=torch.Generator().manual_seed(seed))
    torch.autograd.backward((matrix * worth).sum())
    assert scores.grad is not None and scores.grad.isfinite().all()
    # Where all frames are kept softly, steps of 1/(1-p) make the sums long.
    size = scores.grad.abs().sum(dim=1).clamp(min=1.0)
    assert (scores.grad.sum(dim=1).abs() <= 1e-3 * size).all()


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 10), TEMPERATURES)
def test_relaxed_rows_are_probabilities_and_their_largest_new_frame_is_picked(
    seed: int, num_frames: int, tau: float
) -> None:
    _, logs = noisy(seed, num_frames)
    rows, picks = relax(logs, num_frames, tau)
    torch.testing.assert_close(rows.sum(-1), torch.ones(NUM_VIDEOS, num_frames))
    for k in range(num_frames):
        left = rows[:, k].scatter(1, picks[:, :k], -1.0)
        assert torch.equal(left.amax(-1), rows[:, k].gather(1, picks[:, k : k + 1])[:, 0])


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 10), st.integers(1, 10))
def test_the_k_hot_variant_has_as_many_ones_as_frames_are_kept(
    seed: int, num_frames: int, k: int
) -> None:
    _, logs = noisy(seed, num_frames)
    mask = random_mask(seed, num_frames)
    hot = hard_k_hot(logs, k, 1.0, mask).detach().round()
    assert torch.equal(hot.sum(1), mask.sum(1).clamp(max=k).float())
    assert hot[~mask].eq(0).all()


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(2, 8), st.integers(1, 4))
def test_a_policy_without_sequence_keeps_the_same_frames_in_any_order(
    seed: int, num_frames: int, k: int
) -> None:
    torch.manual_seed(seed)
    policy = Policy(PolicyConfig(sequence="none", feature_width=8, head_width=8))
    frames = torch.randn(NUM_VIDEOS, num_frames, 8)
    order = torch.randperm(num_frames)
    first, second = keep_best(policy(frames), k), keep_best(policy(frames[:, order]), k)
    assert torch.equal(order[second.indices], first.indices)


@given(st.integers(1, 60), st.integers(2, 64), st.integers(1, 12))
def test_fewer_frames_are_kept_with_every_epoch_and_never_too_few(
    num_kept: int, num_frames: int, warmup: int
) -> None:
    num_kept = min(num_kept, num_frames - 1)
    kept = [num_kept_at(epoch, num_kept, num_frames, warmup) for epoch in range(warmup + 2)]
    assert kept[0] == num_frames - 1
    assert kept[-2:] == [num_kept, num_kept]
    assert kept == sorted(kept, reverse=True)
