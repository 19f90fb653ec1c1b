"""The language model that continues a prefix: GPT-2's architecture, any size.

The only module of `models` that knows transformers.
Shapes: B rows, P prefix, L tokens, W width, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel


@dataclass(frozen=True)
class LmConfig:
    """Sizes of a GPT-2 model; the defaults are GPT-2 small.

    Attributes:
        vocabulary: V, number of token ids.
        num_positions: longest sequence, prefix included.
        width: W of an embedding.
        num_layers: transformer blocks.
        num_heads: attention heads; they divide the width.
        dropout: probability used at all three places of GPT-2.
        initializer_range: standard deviation of the first weights.
    """

    vocabulary: int = 50257
    num_positions: int = 1024
    width: int = 768
    num_layers: int = 12
    num_heads: int = 12
    dropout: float = 0.1
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        sizes = self.vocabulary, self.num_positions, self.width, self.num_layers, self.num_heads
        if min(sizes) < 1 or not 0 <= self.dropout < 1:
            raise ValueError("every size of a language model is at least 1, its dropout below 1")


def build_lm(config: LmConfig) -> nn.Module:
    """Make a GPT-2 with random weights whose output layer is tied to its embeddings.

    Raises:
        ValueError: the heads do not divide the width.
    """
    if config.width % config.num_heads:
        raise ValueError(f"a width of {config.width} does not divide into {config.num_heads} heads")
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocabulary,
            n_positions=config.num_positions,
            n_embd=config.width,
            n_layer=config.num_layers,
            n_head=config.num_heads,
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=config.dropout,
            initializer_range=config.initializer_range,
            bos_token_id=config.vocabulary - 1,
            eos_token_id=config.vocabulary - 1,
        )
    )
    assert isinstance(model, nn.Module)
    return model


def config_from_gpt2(mapping: Mapping[str, Any]) -> LmConfig:
    """Read the sizes out of the `config.json` that GPT-2 folders carry.

    Raises:
        ValueError: it describes another architecture.
    """
    kind = mapping.get("model_type", "gpt2")
    if kind != "gpt2":
        raise ValueError(f"want a gpt2 language model, got {kind}")
    return LmConfig(
        vocabulary=mapping.get("vocab_size", 50257),
        num_positions=mapping.get("n_positions", 1024),
        width=mapping.get("n_embd", 768),
        num_layers=mapping.get("n_layer", 12),
        num_heads=mapping.get("n_head", 12),
        dropout=mapping.get("resid_pdrop", 0.1),
        initializer_range=mapping.get("initializer_range", 0.02),
    )


def embed(lm: nn.Module, tokens: Tensor) -> Tensor:
    """tokens [B, L] -> their embeddings [B, L, W]."""
    table = lm.get_input_embeddings()  # type: ignore[operator]
    out: Tensor = table(tokens)  # [B, L, W]
    return out


def read(lm: nn.Module, embeddings: Tensor, mask: Tensor) -> Tensor:
    """embeddings [B, P+L, W], mask [B, P+L] True where real -> logits [B, P+L, V]."""
    out = lm(inputs_embeds=embeddings, attention_mask=mask.long(), use_cache=False)
    logits: Tensor = out.logits  # [B, P+L, V]
    return logits


class CachedReader:
    """Reads a prefix once, then one token at a time, keeping keys and values.

    Satisfies `generation.Reader`.
    """

    def __init__(self, lm: nn.Module) -> None:
        self._lm = lm
        self._cache: Any = None

    @property
    def num_positions(self) -> int:
        """The longest sequence the model has positions for."""
        return int(self._lm.config.n_positions)  # type: ignore[union-attr, arg-type]

    def start(self, prefix: Tensor) -> Tensor:
        """prefix [B, P, W] -> logits of the first token [B, V]."""
        return self._forward(None, prefix)

    def step(self, tokens: Tensor) -> Tensor:
        """tokens [B], appended to each row -> logits of the next token [B, V]."""
        return self._forward(self._cache, embed(self._lm, tokens[:, None]))

    def select(self, rows: Tensor) -> None:
        """Keep the rows [N] of what was read, in this order; a row may come twice or not."""
        self._cache.batch_select_indices(rows)

    def _forward(self, cache: Any, embeddings: Tensor) -> Tensor:
        out = self._lm(
            inputs_embeds=embeddings, past_key_values=cache, use_cache=True, logits_to_keep=1
        )
        self._cache = out.past_key_values
        logits: Tensor = out.logits[:, -1].float()  # [B, V]
        if not torch.isfinite(logits).all():
            raise ValueError("the language model gave numbers that are not finite")
        return logits
