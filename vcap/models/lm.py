"""The language model that continues a prefix: GPT-2 of any size, or another of transformers' kinds.

The only module of `models` that knows transformers.
Shapes: B rows, P prefix, L tokens, W width, V vocabulary.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging

UNBOUNDED = 1 << 20  # positions of a model that counts them without a table
NO_SHAPE = {  # of a transformers config: where it comes from, not what is computed
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "id2label",
    "label2id",
    "quantization_config",
    "torch_dtype",
    "transformers_version",
}
GPT2_USUAL = {  # what LmConfig takes for granted
    "activation_function": "gelu_new",
    "add_cross_attention": False,
    "layer_norm_epsilon": 1e-5,
    "n_inner": None,
    "reorder_and_upcast_attn": False,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "tie_word_embeddings": True,
}
SIZES = ("vocabulary", "num_positions", "width", "num_layers", "num_heads")


@dataclass(frozen=True)
class LmConfig:
    """What a language model is built from; the defaults are GPT-2 small.

    Attributes:
        vocabulary: V, number of token ids.
        num_positions: longest sequence, prefix included.
        width: W of an embedding.
        num_layers: transformer blocks.
        num_heads: attention heads; they divide the width.
        dropout: probability used at all three places of GPT-2.
        initializer_range: standard deviation of the first weights.
        architecture: a config of transformers for any other causal model, `model_type` included;
            it then decides all, and the sizes here are a copy (`config_from_architecture`).
    """

    vocabulary: int = 50257
    num_positions: int = 1024
    width: int = 768
    num_layers: int = 12
    num_heads: int = 12
    dropout: float = 0.1
    initializer_range: float = 0.02
    architecture: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        sizes = self.vocabulary, self.num_positions, self.width, self.num_layers, self.num_heads
        if min(sizes) < 1 or not 0 <= self.dropout < 1:
            raise ValueError("every size of a language model is at least 1, its dropout below 1")


def build_lm(config: LmConfig) -> nn.Module:
    """Make a model with random weights; GPT-2's output layer is tied to its embeddings.

    Raises:
        ValueError: the heads do not divide the width, or transformers cannot build it.
    """
    if config.architecture is not None:
        return _from_architecture(config)
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


def _from_architecture(config: LmConfig) -> nn.Module:
    wanted = config_from_architecture(config.architecture or {})
    unlike = [name for name in SIZES if getattr(config, name) != getattr(wanted, name)]
    if unlike:
        raise ValueError(f"architecture: says another {' and '.join(unlike)}")
    with _told():
        given = _transformers_config(config.architecture or {})
        model = AutoModelForCausalLM.from_config(given, trust_remote_code=False).float()
    assert isinstance(model, nn.Module)
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from writing to the terminal; what matters is raised."""
    level, shows_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shows_bars:
            logging.enable_progress_bar()


@contextmanager
def _told() -> Iterator[None]:
    """Whatever transformers complains of becomes one error about the architecture."""
    try:
        with quiet():
            yield
    except (
        StrictDataclassError,
        ArithmeticError,
        AssertionError,
        AttributeError,
        ImportError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"architecture: {reason}") from error


def _transformers_config(mapping: Mapping[str, Any]) -> Any:
    kind = mapping.get("model_type")
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ValueError(f"model_type: no causal language model of transformers is a {kind}")
    # A folder's config may name code to fetch, for the model or its attention: left out.
    kept = {k: v for k, v in mapping.items() if k not in NO_SHAPE and "implementation" not in k}
    return AutoConfig.for_model(**kept)


def config_from_architecture(mapping: Mapping[str, Any]) -> LmConfig:
    """A model that transformers has a kind for, by the content of its `config.json`.

    Raises:
        ValueError: there is no such kind, or it does not take these values.
    """
    with _told():
        config = _transformers_config(mapping)
        return LmConfig(
            vocabulary=config.vocab_size,
            num_positions=_positions(config),
            width=getattr(config, "word_embed_proj_dim", config.hidden_size),
            num_layers=config.num_hidden_layers,
            num_heads=config.num_attention_heads,
            architecture={k: v for k, v in config.to_dict().items() if k not in NO_SHAPE},
        )


def config_from_transformers(mapping: Mapping[str, Any]) -> LmConfig:
    """The same, in GPT-2's sizes alone where they tell everything.

    Raises:
        ValueError: there is no such kind, or it does not take these values.
    """
    usual = all(mapping.get(name, value) == value for name, value in GPT2_USUAL.items())
    drops = {mapping.get(f"{place}_pdrop", 0.1) for place in ("resid", "embd", "attn")}
    if mapping.get("model_type") != "gpt2" or not usual or len(drops) > 1:
        return config_from_architecture(mapping)
    return LmConfig(
        vocabulary=mapping.get("vocab_size", 50257),
        num_positions=mapping.get("n_positions", 1024),
        width=mapping.get("n_embd", 768),
        num_layers=mapping.get("n_layer", 12),
        num_heads=mapping.get("n_head", 12),
        dropout=drops.pop(),
        initializer_range=mapping.get("initializer_range", 0.02),
    )


def config_for_tokens(config: LmConfig, size: int, end_id: int, pad_id: int) -> LmConfig:
    """The same model for the ids of a tokenizer.

    Raises:
        ValueError: the architecture does not take them.
    """
    if config.architecture is None:
        return replace(config, vocabulary=size)
    ids = {"bos_token_id": end_id, "eos_token_id": end_id, "pad_token_id": pad_id}
    return config_from_architecture({**config.architecture, "vocab_size": size, **ids})


def _positions(config: Any) -> int:
    return int(getattr(config, "max_position_embeddings", None) or UNBOUNDED)


@torch.no_grad()
def check_lm(lm: nn.Module) -> None:
    """Refuse a model that cannot read a prefix and go on from what it remembers of it.

    Raises:
        ValueError: it looks ahead, remembers wrongly, or takes no embeddings at all.
    """
    was_training, kind = lm.training, type(lm).__name__
    lm.eval()
    try:
        with _told():
            words = embed(lm, torch.arange(1, 4, device=next(lm.parameters()).device)[None])
            whole = read(lm, words, words.new_ones(1, 3).bool())[0, 1:]  # [2, V]
            reader = CachedReader(lm)
            first = reader.start(words[:, :2])  # [1, V]
            reader.select(torch.zeros(1, dtype=torch.int64, device=words.device))
            found = torch.cat([first, reader.step(torch.full((1,), 3, device=words.device))])
    except ValueError as error:
        raise ValueError(f"{kind} cannot read word by word ({error})") from error
    finally:
        lm.train(was_training)
    if (found - whole).abs().max() > 1e-4 * whole.abs().max():  # [2, V]
        raise ValueError(f"{kind} does not read from left to right, word by word")


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
        return _positions(self._lm.config)

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
