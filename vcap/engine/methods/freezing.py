"""What of a retrieval model trains, and at which rate: towers in part, everything else whole.

Source: CLIP4Clip, arXiv:2104.08860, and AdaCLIP, doi 10.1145/3581783.3612161. Departures: norms,
positions and the scale do not decay, unless asked for.
"""

from typing import Any

from torch import nn

from vcap.errors import ConfigError

TOWERS = "clip."
BLOCK = "resblocks."
IMAGES = "visual."
LAST_PARTS = ("ln_final.", "text_projection", "logit_scale", "visual.ln_post.", "visual.proj")


def freeze_towers(clip: nn.Module, first_trained: int) -> None:
    """Leave the towers as they are, but for their last parts and the blocks from a number on.

    Args:
        clip: of open_clip's kinds, with transformer blocks in both towers; or its text tower alone.
        first_trained: number of the first block that trains, from 0; -1 trains everything, also
            what comes before the blocks.

    Raises:
        ConfigError: blocks are to be frozen of towers that have none.
    """
    names = [name for name, _ in clip.named_parameters()]
    has_images = any(name.startswith(IMAGES) for name in names)
    has_blocks = any(name.startswith(f"{IMAGES}transformer.{BLOCK}") for name in names)
    if first_trained >= 0 and has_images and not has_blocks:
        raise ConfigError(
            "options.freeze_layers: the image tower has no transformer blocks, want -1"
        )
    for name, weight in clip.named_parameters():
        weight.requires_grad_(first_trained < 0 or _is_trained(name, first_trained))


def _is_trained(name: str, first_trained: int) -> bool:
    if name.startswith(LAST_PARTS):
        return True
    _, found, rest = name.partition(BLOCK)
    return bool(found) and int(rest.partition(".")[0]) >= first_trained


def rate_groups(
    model: nn.Module, tower_rate: float = 1.0, decay_all: bool = False
) -> list[dict[str, Any]]:
    """Optimiser groups of a retrieval model: towers and the rest, with decay and without.

    Args:
        model: its towers are called `clip`.
        tower_rate: what the learning rate of the towers is multiplied by.
        decay_all: all but biases decay, as in the original; otherwise matrices alone do.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            decays = "bias" not in name and (decay_all or _is_matrix(name, weight))
            groups.setdefault((name.startswith(TOWERS), decays), []).append(weight)
    return [
        {"params": weights, "lr_scale": tower_rate if is_tower else 1.0}
        | ({} if decays else {"weight_decay": 0.0})
        for (is_tower, decays), weights in groups.items()
    ]


def _is_matrix(name: str, weight: nn.Parameter) -> bool:
    return weight.ndim >= 2 and "position" not in name
