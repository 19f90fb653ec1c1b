"""Attention, time embeddings and the shares of frames, on numbers worked out by hand."""

import pytest
import torch

from vcap.models.layers import (
    Attention,
    AttentionLayer,
    ClipLayer,
    TemporalConvolution,
    TimeEmbedding,
    frame_shares,
)


def test_one_part_per_frame_is_each_frame_itself_exactly() -> None:
    for num_frames in (1, 3, 7, 28):
        mask = torch.ones(2, num_frames, dtype=torch.bool)
        shares = frame_shares(mask, num_frames)
        assert torch.equal(shares, torch.eye(num_frames).expand(2, -1, -1))


def test_four_frames_in_two_parts_are_averaged_in_pairs() -> None:
    shares = frame_shares(torch.ones(1, 4, dtype=torch.bool), 2)
    assert shares[0].tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]


def test_two_frames_in_three_parts_share_the_middle_one() -> None:
    shares = frame_shares(torch.ones(1, 2, dtype=torch.bool), 3)
    assert shares[0].tolist() == [[1, 0], [0.5, 0.5], [0, 1]]


def test_padded_frames_have_no_share_and_real_ones_are_spread_over_all_parts() -> None:
    shares = frame_shares(torch.tensor([[True, True, False, False]]), 4)
    assert shares[0].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]


def test_shares_of_a_part_add_up_to_one() -> None:
    mask = torch.tensor([[True] * 5 + [False] * 2, [True] * 7])
    for num_parts in (1, 2, 3, 6, 11):
        torch.testing.assert_close(frame_shares(mask, num_parts).sum(-1), torch.ones(2, num_parts))


def test_attention_never_looks_at_what_the_mask_hides() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2)
    x, source = torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    mask = torch.tensor([[True, True, False, True]])
    before = attention(x, source, mask)
    source[:, 2] = 100.0
    assert torch.equal(attention(x, source, mask), before)
    assert not torch.equal(attention(x, source), before)


def test_attention_weights_of_a_query_add_up_to_one_over_real_keys() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2)
    queries, keys = torch.randn(2, 2, 3, 4), torch.randn(2, 2, 5, 4)
    mask = torch.tensor([[True] * 5, [True, False, True, False, False]])
    weights = attention.weights(queries, keys, mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 3))
    assert (weights[1, ..., ~mask[1]] == 0).all()


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="10 does not divide into 4 heads"):
        Attention(10, 4)


def test_a_layer_with_a_source_normalises_its_input_only() -> None:
    torch.manual_seed(0)
    layer = AttentionLayer(8, 2)
    x, source = torch.randn(1, 2, 8), torch.randn(1, 3, 8)
    seen = layer.attention(layer.norm1(x), source)
    middle = x + seen
    torch.testing.assert_close(layer(x, source), middle + layer.mlp(layer.norm2(middle)))


def test_a_layer_without_a_source_looks_at_its_own_normed_input() -> None:
    torch.manual_seed(0)
    layer = AttentionLayer(8, 2)
    x = torch.randn(1, 4, 8)
    torch.testing.assert_close(layer(x), layer(x, layer.norm1(x)))


def test_times_count_from_the_first_frame_of_the_clip() -> None:
    torch.manual_seed(0)
    embedding = TimeEmbedding(8)
    times = torch.tensor([[0.0, 0.5, 1.0]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(embedding(times, mask), embedding(times + 64.0, mask))
    assert not torch.allclose(embedding(times, mask), embedding(times * 2, mask))


def test_times_of_padded_frames_do_not_stretch_the_clip() -> None:
    embedding = TimeEmbedding(8)
    mask = torch.tensor([[True, True, False]])
    near = embedding(torch.tensor([[0.0, 0.5, 0.0]]), mask)
    far = embedding(torch.tensor([[0.0, 0.5, 900.0]]), mask)
    assert torch.equal(near[mask], far[mask])


def test_a_single_frame_has_a_finite_time_embedding() -> None:
    assert TimeEmbedding(8)(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool)).isfinite().all()


def test_a_convolution_keeps_the_frames_and_sees_neighbours_on_both_sides() -> None:
    torch.manual_seed(0)
    convolution = TemporalConvolution(6, 8, kernel=3)
    features = torch.randn(1, 9, 6)
    mask = torch.ones(1, 9, dtype=torch.bool)
    before = convolution(features, mask)
    assert before.shape == (1, 9, 8)
    features[0, 4] += torch.randn(6)
    moved = (convolution(features, mask) - before).abs().sum(-1)[0] > 1e-6
    assert moved.tolist() == [False, False, True, True, True, True, True, False, False]


def test_a_convolution_is_blind_to_padding() -> None:
    torch.manual_seed(0)
    convolution = TemporalConvolution(6, 8, kernel=3)
    short = torch.randn(1, 4, 6)
    alone = convolution(short, torch.ones(1, 4, dtype=torch.bool))
    padded = torch.cat([short, torch.full((1, 3, 6), 50.0)], dim=1)
    mask = torch.tensor([[True] * 4 + [False] * 3])
    found = convolution(padded, mask)
    torch.testing.assert_close(found[:, :4], alone)
    assert (found[:, 4:] == 0).all()


def test_an_even_kernel_is_refused_as_it_would_shift_the_frames() -> None:
    with pytest.raises(ValueError, match="odd"):
        TemporalConvolution(6, 8, kernel=4)


def test_a_clip_layer_is_open_clips_block_and_takes_its_weights() -> None:
    from open_clip.transformer import QuickGELU, ResidualAttentionBlock

    torch.manual_seed(0)
    theirs = ResidualAttentionBlock(128, 2, act_layer=QuickGELU)
    ours = ClipLayer(128)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 5, 128)
    torch.testing.assert_close(ours(x), theirs(x))
    with torch.no_grad():  # another road inside of torch
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_a_clip_layer_never_looks_at_padding_and_survives_a_row_of_it() -> None:
    torch.manual_seed(0)
    layer, x = ClipLayer(64), torch.randn(2, 4, 64)
    mask = torch.tensor([[True, True, True, False], [False] * 4])
    out = layer(x, mask)
    assert out.isfinite().all()
    torch.testing.assert_close(out[:1, :3], layer(x[:1, :3]))
    out.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_a_clip_layer_refuses_heads_that_do_not_divide_its_width() -> None:
    with pytest.raises(ValueError, match="does not divide"):
        ClipLayer(96, num_heads=5)
