"""The optimiser, its rates and four steps of training give the numbers of the original AdaCLIP.

Recorded data: `golden/adaclip`, with its README. Tolerances are that README's: 1e-5 of the largest
number or of 1, and 1e-4 after several steps of an optimiser.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.parity.test_retrieval_model import tower_config
from vcap.engine.methods.freezing import freeze_towers, rate_groups
from vcap.engine.optimizer import BertAdam
from vcap.engine.schedule import TrainSettings, learning_rate_scale
from vcap.models.clip import build_clip
from vcap.models.policy import Policy, PolicyConfig
from vcap.models.retrieval import (
    Relaxation,
    RetrievalConfig,
    RetrievalModel,
    clamp_scale,
    from_original,
    symmetric_loss,
    to_original,
)

pytestmark = pytest.mark.parity

SCHEDULES = {"warmup_cosine": "whole-cosine", "warmup_constant": "constant",
             "warmup_linear": "linear"}  # fmt: skip


@pytest.fixture(scope="module")
def folder(golden_root: Path) -> Path:
    """The recordings of this system."""
    return golden_root / "adaclip"


@pytest.fixture(scope="module")
def settings(folder: Path) -> dict[str, Any]:
    """What the whole model was built from and trained with."""
    found: dict[str, Any] = json.loads((folder / "full_model.json").read_text())
    return found


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, Tensor]:
    """Inputs and outputs of the whole model."""
    tensors: dict[str, Tensor] = load_file(folder / "full_model.safetensors")
    return tensors


@pytest.fixture
def model(folder: Path, settings: dict[str, Any]) -> RetrievalModel:
    """The recorded model before its training."""
    policy = PolicyConfig(
        encoder=settings["policy_backbone"],
        sequence=settings["rnn"],
        head=settings["mlp_type"],
        num_frames=settings["num_frm"],
        raw_side=settings["rescale_size"],
        hidden_width=settings["hidden_dim"],
        head_width=settings["mlp_hidden_dim"],
    )
    sizes = (settings["clip_config"]["embed"], settings["num_frm"], settings["top_k"])
    clip = build_clip(tower_config(settings["clip_config"]))
    model = RetrievalModel(RetrievalConfig(*sizes), Policy(policy), clip)
    towers = load_file(folder / "clip_weights.safetensors")
    weights = {f"clip.{name}": value for name, value in towers.items()}
    model.load_state_dict(
        from_original({**weights, **load_file(folder / "model_weights.safetensors")})
    )
    freeze_towers(clip, 0)
    return model.train()


def close(ours: Tensor, theirs: Tensor, relative: float) -> None:
    """Assert that numbers differ by no more than a share of the largest, or of 1."""
    bound = relative * max(1.0, float(theirs.abs().max()))
    assert float((ours.detach() - theirs).abs().max()) <= bound


def original_name(name: str) -> str:
    """What the original calls a weight."""
    return next(iter(to_original({name: torch.empty(0)})))


def train_settings(recorded: dict[str, Any]) -> TrainSettings:
    """The recorded rates, in the words of a config."""
    return TrainSettings(
        steps=recorded["t_total"],
        learning_rate=recorded["learning_rate"],
        warmup=recorded["warmup_proportion"],
        schedule="whole-cosine",
        optimizer="bertadam",
    )


def test_rates_follow_every_recorded_schedule(folder: Path) -> None:
    recorded = json.loads((folder / "schedules.json").read_text())["lr_multiplier"]
    assert recorded.keys() == SCHEDULES.keys()
    for name, values in recorded.items():
        settings = TrainSettings.model_validate({"schedule": SCHEDULES[name], "warmup": 5})
        for share, theirs in values:
            if share <= 1:  # a run ends there; the recorded cosine would rise again
                ours = learning_rate_scale(settings, round(share * 50), 50)
                assert ours == pytest.approx(theirs, abs=1e-9), (name, share)


def test_twelve_steps_of_the_optimiser_are_the_recorded_ones(folder: Path) -> None:
    recorded = load_file(folder / "bertadam.safetensors")
    weights = [nn.Parameter(recorded[f"p{number}.0"].clone()) for number in (1, 2)]
    rates = (1e-2, 3e-3)
    groups = [
        {"params": [weight], "weight_decay": decay}
        for weight, decay in zip(weights, (0.2, 0.0), strict=True)
    ]
    optimizer = BertAdam(groups)
    settings = TrainSettings(steps=20, warmup=0.1, schedule="whole-cosine")
    for step in range(12):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * learning_rate_scale(settings, step, 20)
        for number, weight in enumerate(weights, start=1):
            weight.grad = recorded[f"grads.p{number}"][step]
        optimizer.step()
        for number, weight in enumerate(weights, start=1):
            close(weight, recorded[f"p{number}.after"][step], 1e-5)


def test_the_same_weights_train_and_stay_as_they_are(
    model: RetrievalModel, settings: dict[str, Any]
) -> None:
    trained = {original_name(name) for name, p in model.named_parameters() if p.requires_grad}
    frozen = {original_name(name) for name, p in model.named_parameters() if not p.requires_grad}
    assert trained == set(settings["trainable"])
    assert frozen == set(settings["frozen"])


def test_groups_are_as_large_as_the_recorded_ones(
    model: RetrievalModel, settings: dict[str, Any]
) -> None:
    recorded = settings["optimizer"]
    model.requires_grad_(True)  # what is frozen is in its groups, without a gradient
    ours = {
        (
            len(group["params"]),
            sum(weight.numel() for weight in group["params"]),
            round(group["lr_scale"] * recorded["learning_rate"], 9),
            group.get("weight_decay", recorded["weight_decay"]),
        )
        for group in rate_groups(model, recorded["coef_lr"], decay_all=True)
    }
    theirs = {(g["n"], g["numel"], g["lr"], g["weight_decay"]) for g in recorded["groups"]}
    assert ours == theirs


def test_four_steps_of_training_give_the_recorded_losses_and_weights(
    model: RetrievalModel, settings: dict[str, Any], whole: dict[str, Tensor]
) -> None:
    recorded = settings["optimizer"]
    rates = train_settings(recorded)
    groups = rate_groups(model, recorded["coef_lr"], decay_all=True)
    optimizer = BertAdam(groups, weight_decay=recorded["weight_decay"])
    mask = torch.ones(whole["clip_images"].shape[:2], dtype=torch.bool)
    trained = [weight for group in groups for weight in group["params"]]
    for step in range(4):
        relaxation = Relaxation(settings["tau"], noise=whole["train.gumbel"][step])
        similarity = model(
            whole["clip_images"], mask, whole["tokens"][:, 0], whole["policy_images"], relaxation
        )
        loss = symmetric_loss(similarity)
        close(loss, torch.tensor(settings["losses"][step]), 1e-4)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(trained, recorded["global_grad_clip"])
        close(norm, torch.tensor(settings["global_grad_norm_before_clip"][step]), 1e-4)
        scale = learning_rate_scale(rates, step, recorded["t_total"])
        for group in optimizer.param_groups:
            group["lr"] = recorded["learning_rate"] * scale * group["lr_scale"]
        assert scale == pytest.approx(
            settings["get_lr_before_step"][step][-1] / recorded["learning_rate"]
        )
        optimizer.step()
        clamp_scale(model.logit_scale)
    after = {name for name in whole if name.startswith("after4steps.")}
    ours = {f"after4steps.{original_name(n)}": p for n, p in model.named_parameters()}
    assert after
    for name in after:
        close(ours[name], whole[name], 1e-4)
