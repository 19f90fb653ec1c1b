"""The language model a captioner is trained with: read from a folder or the hub, or made anew."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from vcap.engine.settings import fill
from vcap.engine.tokenizers import Tokenizer, hub_tokenizer, load_tokenizer, train_tokenizer
from vcap.engine.weights import load_weights, read_config, read_weights
from vcap.errors import CheckpointError, ConfigError, UnavailableError
from vcap.models.lm import (
    LmConfig,
    build_lm,
    check_lm,
    config_for_tokens,
    config_from_transformers,
    quiet,
)

HUB = "hf:"


@dataclass(frozen=True)
class Language:
    """A language model with its tokenizer.

    Attributes:
        source: what it was read from; empty where it is new.
    """

    model: nn.Module
    tokenizer: Tokenizer
    sizes: LmConfig
    source: str = ""

    def encode(self, text: str, end_token: bool) -> list[int]:
        """Ids of a caption, with its end where that is learned."""
        ids = self.tokenizer.encode(text)
        return [*ids, self.tokenizer.end_id] if end_token else ids

    def stop_id(self, end_token: bool) -> int:
        """The token after which a caption is over."""
        return self.tokenizer.end_id if end_token else self.tokenizer.first_id(".")


def new_language(texts: Sequence[str], vocabulary: int, sizes: dict[str, Any]) -> Language:
    """A model of random weights whose tokenizer is learned from the captions.

    Args:
        sizes: of a GPT-2, or `architecture` alone: a config of transformers.

    Raises:
        ConfigError: a size makes no sense.
    """
    key = "options.lm_sizes"
    if sizes.get("architecture") and len(sizes) > 1:
        others = ", ".join(sorted(sizes.keys() - {"architecture"}))
        raise ConfigError(f"{key}: architecture says all sizes itself, beside it are {others}")
    tokenizer = train_tokenizer(texts, vocabulary)
    given = fill(LmConfig, sizes, key)
    try:
        filled = config_for_tokens(given, tokenizer.size, tokenizer.end_id, tokenizer.pad_id)
        model = build_lm(filled)
        if filled.architecture is not None:
            check_lm(model)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error
    return Language(model, tokenizer, filled)


def load_language(name: str) -> Language:
    """A model by the folder of the run that trained it, its model folder, or of transformers.

    Args:
        name: a folder of vcap or of transformers, or `hf:ORG/NAME`.

    Raises:
        CheckpointError: the folder holds no language model, or one that cannot read a prefix.
        UnavailableError: it is not on this machine and cannot be fetched.
    """
    if name.startswith(HUB):
        return _from_transformers(name.removeprefix(HUB), name)
    folder = Path(name).expanduser()
    folder = folder / "model" if (folder / "model").is_dir() else folder
    if not folder.is_dir():
        raise UnavailableError(
            f"options.lm: no folder {folder}", hint=f"vcap train lm -c tiny-lm -o {folder}"
        )
    if _is_of_transformers(folder):
        return _from_transformers(str(folder), name)
    config = read_config(folder, "lm")
    try:
        sizes = fill(LmConfig, config["model"], "model")
        model = build_lm(sizes)
    except (KeyError, ValueError, ConfigError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error
    load_weights(model, read_weights(folder / "model.safetensors"), folder)
    return Language(model, load_tokenizer(folder), sizes, name)


def _is_of_transformers(folder: Path) -> bool:
    """Whether config.json is one of transformers; of what cannot be read, `read_config` tells."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "model_type" in config and "method" not in config


def _from_transformers(repository: str, name: str) -> Language:
    model = _weights_of(repository)
    try:
        sizes = config_from_transformers(model.config.to_dict())  # type: ignore[union-attr, operator]
        check_lm(model)
    except ValueError as error:
        raise CheckpointError(f"options.lm: {name}: {error}") from error
    tokenizer = hub_tokenizer(repository)
    if tokenizer.size > sizes.vocabulary:
        raise CheckpointError(
            f"options.lm: {name}: its tokenizer has {tokenizer.size} ids, its model knows "
            f"{sizes.vocabulary}"
        )
    return Language(model, tokenizer, sizes, name)


def _weights_of(repository: str) -> nn.Module:
    """A causal language model in float32 with all its weights; no code beside it is run."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    here = Path(repository).is_dir()
    hint = None if here else f"hf download {repository}"
    try:
        config = AutoConfig.from_pretrained(repository, trust_remote_code=False)
        if getattr(config, "quantization_config", None):
            raise CheckpointError(f"the language model {repository} is quantised; want plain ones")
        with quiet():
            model, told = AutoModelForCausalLM.from_pretrained(
                repository, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:300]
        if here:
            raise CheckpointError(f"{repository} cannot be read: {reason}") from error
        raise UnavailableError(
            f"the language model {repository} is not on this machine: {reason}", hint=hint
        ) from error
    if told["missing_keys"]:
        missing = ", ".join(sorted(told["missing_keys"])[:3])
        raise CheckpointError(f"{repository} lacks weights of its model: {missing}")
    assert isinstance(model, nn.Module)
    return model
