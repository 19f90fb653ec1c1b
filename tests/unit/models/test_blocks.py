"""The block of CLIP's text tower and its masks."""

import pytest
import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import nn

from vcap.models.blocks import ClipBlock, masked_softmax, start_small


def small_block(seed: int = 0) -> ClipBlock:
    torch.manual_seed(seed)
    return ClipBlock(16, 4)


def test_weights_of_a_clip_text_tower_load_as_they_are_and_give_its_numbers() -> None:
    torch.manual_seed(0)
    theirs = ResidualAttentionBlock(16, 4, act_layer=QuickGELU)
    ours = ClipBlock(16, 4)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 5, 16)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


def test_padding_changes_nothing_about_the_real_positions() -> None:
    block = small_block()
    x = torch.randn(2, 6, 16)
    mask = torch.arange(6) < torch.tensor([[4], [6]])
    together = block(x, mask)
    torch.testing.assert_close(together[0, :4], block(x[:1, :4])[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together[1], block(x[1:])[0], atol=1e-5, rtol=1e-5)


def test_an_item_of_padding_only_gives_finite_numbers_and_gradients() -> None:
    block = small_block()
    x = torch.randn(2, 3, 16, requires_grad=True)
    mask = torch.tensor([[False] * 3, [True] * 3])
    block(x, mask)[1].sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert block(x, mask).isfinite().all()


def test_a_width_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="15 does not divide into 4 heads"):
        ClipBlock(15, 4)


def test_weights_start_small_but_the_joint_input_of_attention_keeps_its_own() -> None:
    block = small_block()
    before = block.attn.in_proj_weight.clone()
    start_small(block)
    assert torch.equal(before, block.attn.in_proj_weight)
    assert block.attn.out_proj.weight.std() < 0.03
    assert not block.mlp.c_fc.bias.any()
    table = nn.Embedding(100, 16)
    start_small(table)
    assert 0.01 < float(table.weight.detach().std()) < 0.03


def test_weights_are_shared_among_the_real_only() -> None:
    logits = torch.tensor([[3.0, 1.0, 9.0], [1.0, 1.0, 1.0]])
    mask = torch.tensor([[True, True, False], [False] * 3])
    weights = masked_softmax(logits, mask)
    torch.testing.assert_close(weights[0, :2], torch.tensor([3.0, 1.0]).softmax(0))
    assert weights[0, 2] == 0
    assert not weights[1].any()


def test_a_low_temperature_prefers_the_best() -> None:
    logits = torch.tensor([1.0, 2.0])
    warm, cold = masked_softmax(logits, None), masked_softmax(logits, None, 0.1)
    assert cold[1] > warm[1] > 0.5
