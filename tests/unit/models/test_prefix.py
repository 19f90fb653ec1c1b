"""The prefix captioner beyond what was recorded: masks, times, losses and freezing."""

import pytest
import torch
from torch import Tensor, nn

from tests.small_models import clips, small_captioner
from vcap.models.prefix import (
    MapperName,
    PrefixCaptioner,
    PrefixConfig,
    caption_loss,
    from_original,
    to_original,
)

MAPPERS: list[MapperName] = ["mlp", "transformer", "cross"]
each_mapper = pytest.mark.parametrize("mapper", MAPPERS)


def weights_of(mapper: MapperName) -> dict[str, Tensor]:
    return small_captioner(mapper=mapper, prefix_length=5).state_dict()


@each_mapper
@pytest.mark.parametrize("num_frames", [1, 3, 5, 8])
def test_any_number_of_frames_gives_a_prefix_of_the_length_asked(
    mapper: MapperName, num_frames: int
) -> None:
    prefix = small_captioner(mapper=mapper).prefix(*clips(num_frames=num_frames))
    assert prefix.shape == (2, 3, 16)
    assert prefix.isfinite().all()


@each_mapper
@pytest.mark.parametrize("kernel", [0, 3])
def test_padded_frames_change_nothing(mapper: MapperName, kernel: int) -> None:
    model = small_captioner(mapper=mapper, temporal_kernel=kernel, frame_times=mapper != "mlp")
    features, times, mask = clips(num_frames=4)
    alone = model.prefix(features, times, mask)
    more = torch.full((2, 3, 6), 9.0)
    padded = model.prefix(
        torch.cat([features, more], dim=1),
        nn.functional.pad(times, (0, 3), value=77.0),
        nn.functional.pad(mask, (0, 3)),
    )
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mapper", ["transformer", "cross"])
def test_the_order_of_frames_matters_only_with_frame_times(mapper: MapperName) -> None:
    features, times, mask = clips()
    backwards = features.flip(1)
    plain = small_captioner(mapper=mapper)
    torch.testing.assert_close(
        plain.prefix(features, times, mask), plain.prefix(backwards, times, mask)
    )
    timed = small_captioner(mapper=mapper, frame_times=True)
    before, after = timed.prefix(features, times, mask), timed.prefix(backwards, times, mask)
    assert (before - after).abs().max() > 1e-3


def test_the_mlp_keeps_the_order_of_frames() -> None:
    features, times, mask = clips(num_frames=3)
    model = small_captioner(mapper="mlp")
    forwards = model.prefix(features, times, mask)
    torch.testing.assert_close(model.prefix(features.flip(1), times, mask), forwards.flip(1))


def test_the_two_attention_mappers_have_the_same_weights_but_other_outputs() -> None:
    one, other = small_captioner(mapper="transformer"), small_captioner(mapper="cross")
    other.load_state_dict(one.state_dict())
    assert (one.prefix(*clips()) - other.prefix(*clips())).abs().max() > 1e-3


@each_mapper
def test_a_pooled_clip_is_its_mean_whatever_the_order_of_its_frames(mapper: MapperName) -> None:
    features, times, mask = clips(num_frames=4)
    model = small_captioner(mapper=mapper, pooled=True, clip_length=7)
    prefix = model.prefix(features, times, mask)
    assert prefix.shape == (2, 3, 16)
    torch.testing.assert_close(model.prefix(features.flip(1), times, mask), prefix)
    mean = features.mean(dim=1, keepdim=True)
    torch.testing.assert_close(model.prefix(mean, times[:, :1], mask[:, :1]), prefix)
    padded = torch.cat([features, torch.full((2, 3, 6), 9.0)], dim=1)
    more = nn.functional.pad(times, (0, 3)), nn.functional.pad(mask, (0, 3))
    torch.testing.assert_close(model.prefix(padded, *more), prefix)


def test_a_pooled_mlp_has_the_sizes_of_clipcap() -> None:
    weights = small_captioner(mapper="mlp", pooled=True).state_dict()
    assert weights["mapper.hidden.weight"].shape == (24, 6)  # [P*W/2, D]
    assert weights["mapper.output.weight"].shape == (48, 24)  # [P*W, P*W/2]


def test_a_pooled_transformer_makes_all_its_tokens_of_one_vector() -> None:
    weights = small_captioner(mapper="transformer", pooled=True, clip_length=7).state_dict()
    assert weights["mapper.linear.weight"].shape == (112, 6)  # [T*W, D]


@pytest.mark.parametrize("more", [{"frame_times": True}, {"temporal_kernel": 3}])
def test_a_pooled_clip_has_no_frames_to_tell_apart(more: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="pooled"):
        PrefixConfig(pooled=True, **more)


def test_features_of_another_width_are_refused_with_both_widths() -> None:
    _, times, mask = clips()
    with pytest.raises(ValueError, match=r"want \[B, T, 6\] and \[B, T\], got \[2, 5, 7\]"):
        small_captioner().prefix(torch.zeros(2, 5, 7), times, mask)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"mapper": "lstm"}, "mapper: want mlp, transformer or cross, got lstm"),
        ({"mapper": "mlp", "frame_times": True}, "frame_times"),
        ({"prefix_length": 0}, "prefix_length"),
        ({"num_heads": 0}, "num_heads: want at least 1"),
        ({"temporal_kernel": -1}, "temporal_kernel: at least 0"),
        ({"num_heads": 5}, "num_heads: 768 does not divide by 5"),
    ],
)
def test_a_config_that_cannot_be_built_names_its_field(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PrefixConfig(**wrong)  # type: ignore[arg-type]


def test_published_sizes_have_the_published_number_of_parameters() -> None:
    counts = {}
    for mapper, length in (("mlp", 28), ("transformer", 20), ("cross", 20)):
        with torch.device("meta"):
            config = PrefixConfig(mapper=mapper, prefix_length=length)  # type: ignore[arg-type]
            model = PrefixCaptioner(config, nn.Module())
        counts[mapper] = sum(weight.numel() for weight in model.parameters())
    assert counts == {"mlp": 492_672, "transformer": 38_207_232, "cross": 38_207_232}


def test_the_loss_is_the_mean_over_counted_tokens_worked_by_hand() -> None:
    logits = torch.zeros(1, 4, 3)  # a prefix of 2, tokens of 2
    logits[0, 1] = torch.tensor([2.0, 0.0, 0.0]).log_softmax(0)
    tokens = torch.tensor([[0, 2]])
    first = -float(torch.tensor([2.0, 0.0, 0.0]).log_softmax(0)[0])
    second = float(torch.tensor(3.0).log())
    both = caption_loss(logits, tokens, torch.tensor([[True, True]]))
    assert float(both) == pytest.approx((first + second) / 2)
    one = caption_loss(logits, tokens, torch.tensor([[True, False]]))
    assert float(one) == pytest.approx(first)


def test_a_batch_without_a_counted_token_has_no_loss_rather_than_nan() -> None:
    none = torch.zeros(1, 2, dtype=torch.bool)
    assert float(caption_loss(torch.randn(1, 5, 3), torch.zeros(1, 2).long(), none)) == 0.0


def test_with_an_end_token_the_mask_says_what_counts_and_id_0_is_a_word() -> None:
    tokens = torch.tensor([[4, 0, 30, 0]])
    mask = torch.tensor([[True, True, True, False]])
    logits = torch.randn(1, 7, 31, generator=torch.Generator().manual_seed(0))
    ours = small_captioner(end_token=True).loss(logits, tokens, mask)
    original = small_captioner(end_token=False).loss(logits, tokens, mask)
    assert float(ours) == pytest.approx(float(caption_loss(logits, tokens, mask)))
    assert float(original) == pytest.approx(float(caption_loss(logits, tokens, tokens != 0)))


def test_what_counts_is_told_by_the_mask_or_as_the_original_by_id_0() -> None:
    tokens, mask = torch.tensor([[4, 0, 7, 0]]), torch.tensor([[True, True, True, False]])
    for end_token, counted in (
        (True, [True, True, True, False]),
        (False, [True, False, True, False]),
    ):
        one = small_captioner(end_token=end_token)
        assert one.counted(tokens, mask).tolist() == [counted]


def test_a_frozen_language_model_gets_no_gradient_and_no_dropout() -> None:
    model = small_captioner().freeze_lm().train()
    assert model.training
    assert not model.lm.training
    tokens, mask = torch.randint(1, 31, (2, 4)), torch.ones(2, 4, dtype=torch.bool)
    model.loss(model(*clips(), tokens, mask), tokens, mask).backward()
    assert all(weight.grad is None for weight in model.lm.parameters())
    assert all(weight.grad is not None for weight in model.mapper.parameters())


def test_a_language_model_that_trains_along_gets_gradients_everywhere() -> None:
    model = small_captioner(temporal_kernel=3, frame_times=True).train()
    tokens, mask = torch.randint(1, 31, (2, 4)), torch.ones(2, 4, dtype=torch.bool)
    model.loss(model(*clips(), tokens, mask), tokens, mask).backward()
    assert not [name for name, weight in model.named_parameters() if weight.grad is None]


def test_a_few_steps_teach_a_captioner_which_clip_is_which() -> None:
    model = small_captioner().train()
    features, times, mask = clips()
    tokens = torch.tensor([[1, 2, 30], [7, 8, 30]])
    real = torch.ones_like(tokens, dtype=torch.bool)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = model.loss(model(features, times, mask, tokens, real), tokens, real)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 20


@each_mapper
def test_names_go_to_the_original_and_back(mapper: MapperName) -> None:
    weights = weights_of(mapper)
    there = to_original(weights)
    assert all(name.startswith(("clip_project.", "gpt.")) for name in there)
    back = from_original(there)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], value) for name, value in weights.items())


def test_old_causal_masks_are_ignored_and_a_tied_output_layer_is_filled_in() -> None:
    there = to_original(weights_of("cross"))
    del there["gpt.lm_head.weight"]
    there["gpt.transformer.h.0.attn.bias"] = torch.ones(1, 1, 4, 4)
    there["gpt.transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    assert from_original(there).keys() == weights_of("cross").keys()


def test_a_part_the_original_does_not_have_is_named() -> None:
    with pytest.raises(KeyError, match=r"visual\.conv1"):
        from_original({"visual.conv1.weight": torch.zeros(1)})
    with pytest.raises(KeyError, match="convolution"):
        to_original(small_captioner(temporal_kernel=3).state_dict())
