"""Which weights of a retrieval model train, and in which group."""

import pytest
from torch import nn

from tests.small_models import small_tower
from vcap.engine.methods.freezing import freeze_towers, rate_groups
from vcap.engine.tokenizers import train_tokenizer
from vcap.errors import ConfigError
from vcap.models.clip import TowerConfig, build_clip
from vcap.models.policy import Policy, PolicyConfig
from vcap.models.retrieval import RetrievalConfig, RetrievalModel


def towers() -> nn.Module:
    """Towers with three blocks each."""
    vision = {"layers": 3, "width": 16, "image_size": 16, "patch_size": 8, "head_width": 8}
    text = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 3}
    return build_clip(TowerConfig(8, vision, text))


def trained(clip: nn.Module) -> set[str]:
    return {name for name, weight in clip.named_parameters() if weight.requires_grad}


def test_the_ladder_trains_fewer_blocks_with_every_step() -> None:
    clip = towers()
    counts = []
    for first in range(-1, 4):
        freeze_towers(clip, first)
        counts.append(len(trained(clip)))
    assert counts[0] == len(list(clip.parameters()))
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 5


def test_what_comes_after_the_blocks_always_trains_and_what_comes_before_does_not() -> None:
    clip = towers()
    freeze_towers(clip, 3)
    found = trained(clip)
    assert {"logit_scale", "text_projection", "visual.proj", "ln_final.weight"} <= found
    assert not [name for name in found if "resblocks" in name or "embedding" in name]
    freeze_towers(clip, 1)
    assert "transformer.resblocks.1.ln_1.weight" in trained(clip)
    assert "visual.transformer.resblocks.0.ln_1.weight" not in trained(clip)


def test_towers_without_blocks_are_refused_unless_all_of_them_trains() -> None:
    _, clip = small_tower(train_tokenizer(["a b"], 270))
    with pytest.raises(ConfigError, match="no transformer blocks"):
        freeze_towers(clip, 0)
    freeze_towers(clip, -1)
    assert len(trained(clip)) == len(list(clip.parameters()))


@pytest.mark.parametrize("decay_all", [False, True])
def test_every_weight_that_trains_is_in_one_group(decay_all: bool) -> None:
    policy = Policy(PolicyConfig(feature_width=8, num_frames=4, hidden_width=64, head_width=8))
    config = RetrievalConfig(feature_width=8, num_frames=4, num_kept=2)
    model = RetrievalModel(config, policy, towers())
    groups = rate_groups(model, 0.001, decay_all)
    grouped = [id(weight) for group in groups for weight in group["params"]]
    assert sorted(grouped) == sorted(id(weight) for weight in model.parameters())
    assert {group["lr_scale"] for group in groups} == {0.001, 1.0}
    undecayed = [group["params"] for group in groups if group.get("weight_decay") == 0.0]
    places = policy.positions
    assert places is not None
    kept = {id(weight) for own in undecayed for weight in own}
    assert (id(places.weight) in kept) is not decay_all
    assert id(policy.head[0].bias) in kept
    assert id(policy.head[0].weight) not in kept
