"""LoRA: small matrices beside the layers of a language model, which train in their place.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685, as peft
makes it. A checkpoint holds the small matrices alone; once the training is over they are added to
the weights, so that a model folder needs no peft.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vcap.engine.schedule import Count, Share
from vcap.errors import ConfigError

KEY = "options.lora"


@dataclass(frozen=True)
class LoraOptions:
    """Options of the adapters.

    Attributes:
        rank: width of the small matrices.
        alpha: what they add is multiplied with alpha / rank.
        dropout: probability on what they read.
        targets: names of the layers that get some, as `c_attn`; none: every linear layer but the
            output.
    """

    rank: Count = 8
    alpha: float = 16.0
    dropout: Share = 0.0
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse adapters that would add nothing."""
        if not 0 < self.alpha < float("inf"):
            raise ValueError("alpha: want above 0")


def add_adapters(lm: nn.Module, options: LoraOptions) -> tuple[str, ...]:
    """Put adapters beside layers of a model; nothing else of it trains from then on.

    Returns:
        The names of the layers.

    Raises:
        ConfigError: no layer has one of the names that were asked for.
    """
    from peft import LoraConfig, inject_adapter_in_model

    names = _layer_names(lm)
    targets = options.targets or names
    unknown = [name for name in targets if name not in names]
    if unknown:
        raise ConfigError(
            f"{KEY}.targets: no linear layer is called {', '.join(unknown)}; "
            f"there are {', '.join(names)}"
        )
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=list(targets),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of GPT-2's matrices, kept the other way round: seen to
        inject_adapter_in_model(config, lm)
    for name, weight in lm.named_parameters():
        weight.requires_grad_(".lora_" in name)
    return tuple(targets)


def _layer_names(lm: Any) -> tuple[str, ...]:
    """The names of the linear layers, the output aside, as they are called in their blocks."""
    from transformers.pytorch_utils import Conv1D

    output = lm.get_output_embeddings()
    return tuple(
        sorted(
            {
                name.rpartition(".")[2]
                for name, layer in lm.named_modules()
                if isinstance(layer, nn.Linear | Conv1D) and layer is not output
            }
        )
    )


@torch.no_grad()
def merge_adapters(lm: nn.Module) -> None:
    """Add what adapters learned to the weights beside them, and take the adapters away.

    A model without adapters stays as it is.
    """
    from peft.tuners.lora import LoraLayer

    for name, layer in list(lm.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            lm.set_submodule(name, layer.get_base_layer())


def describe_adapters(options: LoraOptions, targets: Sequence[str]) -> str:
    """One clause for the model card."""
    sizes = f"rank {options.rank}, alpha {options.alpha:g}, dropout {options.dropout:g}"
    return f"the language model learned by LoRA ({sizes}; {', '.join(targets)}), merged at the end"
