"""The optimisers of the training loop."""

import pytest
import torch
from torch import nn

from vcap.engine.optimizer import BertAdam, make_optimizer
from vcap.engine.schedule import TrainSettings, learning_rate_scale


def stepped(gradient: float, dtype: torch.dtype = torch.float32, **settings: float) -> float:
    """How far one step takes a weight of 1."""
    weight = nn.Parameter(torch.ones(4, dtype=dtype))
    optimizer = BertAdam([weight], **{"lr": 0.125, "weight_decay": 0.0, **settings})
    weight.grad = torch.full((4,), gradient, dtype=dtype)
    optimizer.step()
    return 1 - weight[0].item()


def test_the_first_step_is_as_long_without_corrections_as_the_means_say() -> None:
    assert stepped(0.1) == pytest.approx(0.125 * 0.01 / (0.02**0.5 * 0.1), rel=1e-4)


def test_decay_is_added_to_the_step() -> None:
    assert stepped(0.1, weight_decay=0.2) - stepped(0.1) == pytest.approx(0.125 * 0.2, rel=1e-4)


def test_the_gradient_of_each_tensor_is_clipped_by_itself() -> None:
    small, large = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = BertAdam([small, large], lr=1.0, weight_decay=0.0)
    small.grad, large.grad = torch.tensor([0.5]), torch.tensor([50.0])
    optimizer.step()
    assert optimizer.state[small]["mean"].item() == pytest.approx(0.05)
    assert optimizer.state[large]["mean"].item() == pytest.approx(0.1)


def test_small_gradients_of_half_precision_do_not_make_large_steps() -> None:
    assert stepped(1e-4, torch.bfloat16) == pytest.approx(stepped(1e-4), rel=0.05)


def test_a_weight_without_a_gradient_stays() -> None:
    weight = nn.Parameter(torch.ones(2))
    BertAdam([weight]).step()
    assert weight.tolist() == [1.0, 1.0]


def test_a_closure_is_refused_as_it_would_be_ignored() -> None:
    with pytest.raises(ValueError, match="closure"):
        BertAdam([nn.Parameter(torch.ones(1))]).step(lambda: 0.0)


def test_the_settings_name_the_optimiser_and_groups_keep_what_is_theirs() -> None:
    weight, other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    groups = [{"params": [weight], "weight_decay": 0.0}, {"params": [other], "lr_scale": 0.5}]
    settings = TrainSettings(optimizer="bertadam", weight_decay=0.3, clip_norm=2.0, eps=1e-6)
    made = make_optimizer(groups, settings)
    assert isinstance(made, BertAdam)
    assert [group["weight_decay"] for group in made.param_groups] == [0.0, 0.3]
    assert [group["lr_scale"] for group in made.param_groups] == [1.0, 0.5]
    assert {group["clip_norm"] for group in made.param_groups} == {2.0}
    assert isinstance(make_optimizer(groups, TrainSettings()), torch.optim.AdamW)


def test_the_cosine_of_a_whole_run_jumps_where_the_warm_up_ends() -> None:
    settings = TrainSettings(warmup=10, schedule="whole-cosine")
    scales = [learning_rate_scale(settings, step, 100) for step in range(101)]
    assert (scales[0], scales[9]) == pytest.approx((0.0, 0.9))
    assert scales[10] == pytest.approx(0.9755282581475768)
    assert scales[100] == pytest.approx(0.0)
    assert scales[10:] == sorted(scales[10:], reverse=True)
