"""Scorers, headers and the two forms of the query-dependent cosine."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vcap.models.aggregation import (
    LstmHeader,
    MlpScorer,
    TransformerHeader,
    build_header,
    build_scorer,
    gram_matrices,
    masked_softmax,
    mean_vector,
    query_cosines,
    query_cosines_naive,
    start_from_text,
    start_small,
    weighted_sum,
)
from vcap.models.layers import ClipLayer


def frames(seed: int = 0, num_videos: int = 3, num_frames: int = 5, width: int = 8) -> Tensor:
    """Frames of several lengths [V, K, D]."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.rand(num_videos, num_frames, 1, generator=generator) * 5 + 0.1
    return lengths * torch.randn(num_videos, num_frames, width, generator=generator)


def test_weights_are_shared_among_the_real_only() -> None:
    logits = torch.tensor([[3.0, 1.0, 9.0], [1.0, 1.0, 1.0]])
    mask = torch.tensor([[True, True, False], [False] * 3])
    weights = masked_softmax(logits, mask)
    torch.testing.assert_close(weights[0, :2], torch.tensor([3.0, 1.0]).softmax(0))
    assert weights[0, 2] == 0
    assert not weights[1].any(), "a video without frames weighs nothing, and is not NaN"


def test_a_low_temperature_prefers_the_best() -> None:
    logits = torch.tensor([1.0, 2.0])
    warm, cold = masked_softmax(logits, None), masked_softmax(logits, None, 0.1)
    assert cold[1] > warm[1] > 0.5


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_weights_start_small_so_that_scorers_start_near_the_mean(kind: Any) -> None:
    torch.manual_seed(0)
    scorer = build_scorer(kind, 64, 1)
    for part in scorer.modules():
        if isinstance(part, nn.Linear):
            assert part.weight.std() < 0.03
            assert not part.bias.any()
    weights = masked_softmax(scorer(normalize(frames(width=64), dim=-1)), None)
    assert (weights - 1 / 5).abs().max() < 0.1


def test_attention_keeps_the_start_of_its_joint_input() -> None:
    layer = ClipLayer(64)
    before = layer.attn.in_proj_weight.clone()
    layer.apply(start_small)
    assert torch.equal(layer.attn.in_proj_weight, before)
    assert layer.attn.out_proj.weight.std() < 0.03


def test_the_mlp_scores_each_frame_for_itself() -> None:
    scorer, x = MlpScorer(8), frames()
    changed = x.clone()
    changed[:, 1:] = 7.0
    torch.testing.assert_close(scorer(x)[:, 0], scorer(changed)[:, 0])
    assert scorer(x).shape == (3, 5)


def test_the_transformer_scores_a_frame_in_the_light_of_the_others_but_not_of_their_order() -> None:
    torch.manual_seed(1)
    scorer, x = build_scorer("transformer", 8, 2), frames()
    for weight in scorer.parameters():
        nn.init.normal_(weight)
    changed = x.clone()
    changed[:, 1:] = torch.randn_like(changed[:, 1:])
    assert (scorer(x)[:, 0] - scorer(changed)[:, 0]).abs().max() > 1e-3
    torch.testing.assert_close(scorer(x.flip(1)), scorer(x).flip(1), atol=1e-4, rtol=1e-4)


def test_the_mean_is_of_directions_so_that_a_long_frame_does_not_drown_the_others() -> None:
    x = torch.tensor([[[100.0, 0.0], [0.0, 1.0]]])
    torch.testing.assert_close(mean_vector(x), torch.full((1, 2), 0.5**0.5))


def test_the_weighted_sum_is_of_frames_as_they_are() -> None:
    x = torch.tensor([[[100.0, 0.0], [0.0, 1.0]]])
    wanted = torch.tensor([[25.0, 0.75]])
    torch.testing.assert_close(weighted_sum(x, torch.tensor([[0.25, 0.75]])), wanted)


@pytest.mark.parametrize("form", [query_cosines, query_cosines_naive])
def test_a_cold_query_finds_the_one_frame_it_is_about(form: Any) -> None:
    x = frames(num_videos=2)
    texts = x[:, 3] * 2.5  # each text is a frame of one of the videos
    found = form(texts, x, None, 0.001)
    torch.testing.assert_close(found.diagonal(), torch.ones(2), atol=1e-4, rtol=0)
    assert (mean_vector(x) @ normalize(texts, dim=-1).T).diagonal().max() < 0.999


def test_stored_products_of_frames_give_the_same_cosines() -> None:
    x, texts = frames(), torch.randn(4, 8)
    made = query_cosines(texts, x, None, 0.1, gram_matrices(x))
    torch.testing.assert_close(made, query_cosines(texts, x, None, 0.1))


def test_a_text_alone_has_the_cosines_and_gradients_that_it_has_among_others() -> None:
    texts, x = torch.randn(3, 16), torch.randn(5, 4, 16)
    mask = torch.rand(5, 4) > 0.3
    one, many = x.clone().requires_grad_(), x.clone().requires_grad_()
    alone = torch.cat([query_cosines(text[None], one, mask, 0.2) for text in texts])
    together = query_cosines(texts, many, mask, 0.2)
    torch.testing.assert_close(alone, together)
    (alone**2).sum().backward()
    (together**2).sum().backward()
    torch.testing.assert_close(one.grad, many.grad)


@pytest.mark.parametrize("form", [query_cosines, query_cosines_naive])
def test_a_video_without_frames_is_like_nothing_and_spoils_no_gradient(form: Any) -> None:
    x = frames().requires_grad_()
    mask = torch.tensor([[True] * 5, [False] * 5, [True] * 5])
    found = form(torch.randn(4, 8), x * mask[..., None], mask, 0.1)
    assert not found[:, 1].any()
    found.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_mean_pooling_has_no_header() -> None:
    assert build_header("meanP", 8, 2, 4) is None


def test_a_header_tells_frames_apart_by_their_place() -> None:
    torch.manual_seed(0)
    for name in ("seqTransf", "transformer", "seqLSTM"):
        header = build_header(name, 8, 2, 5)  # type: ignore[arg-type]
        assert header is not None
        x = frames()
        assert (header(x).flip(1) - header(x.flip(1))).abs().max() > 1e-3, name


def test_a_header_refuses_more_frames_than_it_can_tell_apart() -> None:
    header = build_header("transformer", 8, 2, 4)
    assert header is not None
    with pytest.raises(ValueError, match="knows 4 positions, got 5 frames"):
        header(frames())


def test_only_seq_transf_adds_the_frames_again() -> None:
    torch.manual_seed(0)
    for name, added in (("seqTransf", 1.0), ("transformer", 0.0)):
        header = build_header(name, 8, 2, 5)  # type: ignore[arg-type]
        assert isinstance(header, TransformerHeader)
        for block in header.blocks:  # blocks that change nothing leave the sum alone
            nn.init.zeros_(block.get_parameter("attn.out_proj.weight"))
            nn.init.zeros_(block.get_parameter("mlp.c_proj.weight"))
        x = frames()
        torch.testing.assert_close(header(x), x * (1 + added) + header.positions.weight)


def test_the_lstm_reads_forward_only() -> None:
    header, x = LstmHeader(8), frames()
    changed = x.clone()
    changed[:, 3:] = 9.0
    torch.testing.assert_close(header(x)[:, :3], header(changed)[:, :3])


def text_tower(num_blocks: int, num_positions: int = 6) -> dict[str, Tensor]:
    """Weights of a text tower under CLIP's names."""
    tower = {"positional_embedding": torch.randn(num_positions, 8)}
    for number in range(num_blocks):
        for name, value in ClipLayer(8, 2).state_dict().items():
            tower[f"transformer.resblocks.{number}.{name}"] = value
    return tower


def test_a_header_starts_as_the_text_tower_it_is_given() -> None:
    tower = text_tower(5)
    for name, first in (("seqTransf", 0), ("transformer", 4)):
        header = build_header(name, 8, 2, 4)  # type: ignore[arg-type]
        assert isinstance(header, TransformerHeader)
        start_from_text(header, tower)
        theirs = tower[f"transformer.resblocks.{first}.mlp.c_fc.weight"]
        assert torch.equal(header.blocks[0].get_parameter("mlp.c_fc.weight"), theirs)
        same = torch.equal(header.positions.weight, tower["positional_embedding"][:4])
        assert same == (name == "seqTransf")


def test_a_text_tower_of_too_few_or_other_blocks_gives_what_fits() -> None:
    for name, width, fits in (("transformer", 8, 0), ("seqTransf", 8, 3), ("seqTransf", 16, 0)):
        header = build_header(name, width, 2, 4)  # type: ignore[arg-type]
        assert isinstance(header, TransformerHeader)
        assert start_from_text(header, text_tower(3)) == fits
