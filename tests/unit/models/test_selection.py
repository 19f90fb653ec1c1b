"""The top-k that keeps frames: what it takes, what it learns, and what it does with padding."""

import math
from itertools import pairwise

import pytest
import torch

from vcap.models.selection import (
    gumbel_noise,
    hard_k_hot,
    hard_topk,
    keep_best,
    log_probabilities,
    num_kept_at,
    relax,
    temperature_at,
)

SCORES = torch.tensor([[0.1, 2.0, -1.0, 1.5, 0.3], [3.0, 0.0, 1.0, 2.0, -2.0]])


def test_the_frames_of_the_highest_scores_are_kept_in_the_order_of_their_scores() -> None:
    kept = keep_best(SCORES, 3)
    assert kept.indices.tolist() == [[1, 3, 4], [0, 3, 2]]
    frames = torch.arange(5.0)[None, :, None].expand(2, -1, 1)
    assert (kept.matrix @ frames).squeeze(-1).tolist() == kept.indices.tolist()
    assert kept.kept().tolist() == [[0, 1, 0, 1, 1], [1, 0, 1, 1, 0]]


def test_kept_frames_are_in_the_order_of_time_where_that_is_asked_for() -> None:
    kept = keep_best(SCORES, 3).in_time_order()
    assert kept.indices.tolist() == [[1, 3, 4], [0, 2, 3]]
    assert kept.matrix.argmax(-1).tolist() == kept.indices.tolist()


def test_among_frames_of_one_score_the_earlier_ones_are_kept() -> None:
    scores = torch.tensor([[1.0, 2.0, 2.0, 1.0, 1.0, 2.0]])
    assert keep_best(scores, 4).indices.tolist() == [[1, 2, 5, 0]]
    assert hard_topk(log_probabilities(scores), 4, 1.0).indices.tolist() == [[1, 2, 5, 0]]


def test_values_of_the_kept_frames_are_taken_without_multiplying() -> None:
    kept = keep_best(SCORES, 2)
    pictures = torch.arange(2 * 5 * 3).reshape(2, 5, 3, 1)
    taken = kept.take(pictures)
    assert taken.shape == (2, 2, 3, 1)
    assert torch.equal(taken[1, 0], pictures[1, 0]) and torch.equal(taken[0, 1], pictures[0, 3])
    assert torch.equal(kept.take(SCORES), torch.tensor([[2.0, 1.5], [3.0, 2.0]]))


def test_a_video_shorter_than_what_is_kept_keeps_all_of_itself() -> None:
    for kept in (keep_best(SCORES, 9), hard_topk(log_probabilities(SCORES), 9, 1.0)):
        assert kept.matrix.shape == (2, 5, 5)
        assert kept.mask.all()
        assert [sorted(row) for row in kept.indices.tolist()] == [[0, 1, 2, 3, 4]] * 2


def test_padded_frames_are_never_kept_and_leave_rows_empty() -> None:
    mask = torch.tensor([[True, False, True, False, True], [True] * 5])
    noisy = log_probabilities(SCORES, mask)
    for kept in (keep_best(SCORES, 4, mask), hard_topk(noisy, 4, 0.7, mask)):
        assert kept.indices.tolist() == [[4, 0, 2, 0], [0, 3, 2, 1]]
        assert kept.mask.tolist() == [[True, True, True, False], [True] * 4]
        assert kept.matrix[0, 3].eq(0).all()
        assert kept.matrix.sum(-1)[kept.mask].allclose(torch.ones(7))
        in_time = kept.in_time_order()
        assert in_time.indices.tolist() == [[0, 2, 4, 0], [0, 1, 2, 3]]
        assert in_time.mask.tolist() == kept.mask.tolist()


def test_padding_changes_nothing_for_the_frames_beside_it() -> None:
    alone = hard_topk(log_probabilities(SCORES), 3, 1.3)
    soft = relax(log_probabilities(SCORES), 3, 1.3)[0]
    padded = torch.cat([SCORES, torch.full((2, 2), 99.0)], dim=1)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[:, 5:] = False
    beside = hard_topk(log_probabilities(padded, mask), 3, 1.3, mask)
    assert torch.equal(beside.indices, alone.indices)
    torch.testing.assert_close(
        relax(log_probabilities(padded, mask), 3, 1.3, mask)[0][..., :5], soft
    )
    assert hard_k_hot(log_probabilities(padded, mask), 3, 1.3, mask)[:, 5:].eq(0).all()


def test_a_video_without_a_real_frame_keeps_nothing_and_breaks_no_gradient() -> None:
    scores = SCORES.clone().requires_grad_()
    mask = torch.tensor([[False] * 5, [True] * 5])
    kept = hard_topk(log_probabilities(scores, mask), 2, 1.0, mask)
    assert kept.matrix[0].eq(0).all() and not kept.mask[0].any()
    torch.autograd.backward((kept.matrix * torch.randn(2, 2, 5)).sum())
    assert scores.grad is not None and scores.grad.isfinite().all()
    assert scores.grad[0].eq(0).all() and scores.grad[1].ne(0).any()
    assert not keep_best(SCORES, 2, mask).kept()[0].any()


def test_every_row_teaches_the_scores() -> None:
    for k in range(4):
        scores = SCORES.clone().requires_grad_()
        kept = hard_topk(log_probabilities(scores), 4, 1.0)
        torch.autograd.backward(kept.matrix[:, k, 2].sum())
        assert scores.grad is not None
        assert (scores.grad[:, 2] > 0).all(), "a higher score makes a frame likelier"


def test_learning_by_the_selection_finds_the_frames_that_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    worth = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0])
    scores = torch.zeros(1, 8, requires_grad=True)
    optimiser = torch.optim.Adam([scores], lr=0.1)
    for _ in range(60):
        noisy = log_probabilities(scores.expand(16, -1))
        kept = hard_topk(noisy + gumbel_noise(noisy, generator), 3, 1.0)
        optimiser.zero_grad()
        torch.autograd.backward(-(kept.matrix @ worth).mean())
        optimiser.step()
    assert keep_best(scores, 3).in_time_order().indices.tolist() == [[1, 4, 6]]


def test_everything_is_computed_in_single_precision_under_autocast() -> None:
    wanted = hard_topk(log_probabilities(SCORES), 5, 0.5)
    half = SCORES.bfloat16().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logs = log_probabilities(SCORES.bfloat16())
        rows, _ = relax(logs, 5, 0.5)
        got = hard_topk(log_probabilities(SCORES), 5, 0.5)
    assert logs.dtype == rows.dtype == got.matrix.dtype == torch.float32
    assert torch.equal(got.matrix, wanted.matrix)
    torch.testing.assert_close(rows, relax(log_probabilities(half), 5, 0.5)[0])


def test_numbers_stay_finite_where_scores_are_extreme_and_all_frames_are_kept() -> None:
    scores = torch.tensor([[60.0, 0.0, -60.0, 1.0], [1e30, -1e30, 0.0, 0.0]], requires_grad=True)
    kept = hard_topk(log_probabilities(scores), 4, 0.5)
    torch.autograd.backward((kept.matrix * torch.randn(2, 4, 4)).sum())
    assert kept.matrix.isfinite().all()
    assert scores.grad is not None and scores.grad.isfinite().all()
    assert sorted(kept.indices[0].tolist()) == [0, 1, 2, 3]


def test_flushed_denormals_change_nothing() -> None:
    logs = log_probabilities(torch.tensor([[60.0, 0.0, -60.0, 1.0]]))
    usual = relax(logs, 4, 0.5)[0]
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormal numbers")
    try:
        flushed = relax(logs, 4, 0.5)[0]
    finally:
        torch.set_flush_denormal(False)
    assert flushed.isfinite().all()
    torch.testing.assert_close(flushed, usual)


def test_a_frame_that_was_picked_gets_nothing_in_later_rows_if_so_wished() -> None:
    rows, picks = relax(log_probabilities(SCORES), 3, 0.5, exclude_taken=True)
    assert rows[0, 1:, picks[0, 0]].max() < 1e-20
    softly = relax(log_probabilities(SCORES), 3, 0.5)[0]
    assert softly[0, 1, picks[0, 0]] > 1e-3


def test_the_k_hot_variant_is_one_at_exactly_the_kept_frames() -> None:
    scores = SCORES.clone().requires_grad_()
    hot = hard_k_hot(log_probabilities(scores), 2, 1.0)
    torch.testing.assert_close(hot, keep_best(SCORES, 2).kept())
    torch.autograd.backward(hot[:, 0].sum())
    assert scores.grad is not None and (scores.grad[:, 0] > 0).all()


@pytest.mark.parametrize(("k", "temperature"), [(0, 1.0), (-1, 1.0), (2, 0.0), (2, -1.0)])
def test_nonsense_is_refused(k: int, temperature: float) -> None:
    with pytest.raises(ValueError, match="want k"):
        hard_topk(SCORES, k, temperature)


def test_keeping_no_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="want k"):
        keep_best(SCORES, 0)


def test_noise_is_the_same_for_one_seed_and_has_gumbels_mean() -> None:
    scores = torch.zeros(200, 100, dtype=torch.float16)
    first = gumbel_noise(scores, torch.Generator().manual_seed(7))
    assert torch.equal(first, gumbel_noise(scores, torch.Generator().manual_seed(7)))
    assert first.dtype == torch.float32 and first.isfinite().all()
    assert first.mean().item() == pytest.approx(0.5772, abs=0.05)
    assert first.var().item() == pytest.approx(math.pi**2 / 6, abs=0.1)


def test_the_first_pick_is_drawn_with_the_probability_of_the_frame() -> None:
    noisy = log_probabilities(SCORES[:1].expand(20000, -1))
    noisy = noisy + gumbel_noise(noisy, torch.Generator().manual_seed(3))
    drawn = hard_topk(noisy, 1, 1.0).kept().mean(dim=0)
    torch.testing.assert_close(drawn, SCORES[0].softmax(-1), rtol=0, atol=0.02)


def test_the_temperature_falls_to_its_floor_and_stays() -> None:
    values = [temperature_at(epoch) for epoch in range(60)]
    assert values[0] == 5.0 and values[52:] == [0.5] * 8
    assert all(later <= earlier for earlier, later in pairwise(values))


def test_the_number_of_kept_frames_shrinks_in_even_steps() -> None:
    assert [num_kept_at(epoch, 12, 16, 4) for epoch in range(6)] == [15, 14, 13, 12, 12, 12]
    assert [num_kept_at(epoch, 4, 16, 0) for epoch in range(2)] == [4, 4]
    assert [num_kept_at(epoch, 8, 32, 5) for epoch in range(6)] == [31, 26, 21, 17, 12, 8]
