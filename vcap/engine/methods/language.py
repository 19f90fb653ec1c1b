"""The language model a captioner is trained with: read from a folder or the hub, or made anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from vcap.engine.settings import fill
from vcap.engine.tokenizers import Tokenizer, hub_tokenizer, load_tokenizer, train_tokenizer
from vcap.engine.weights import load_weights, read_config, read_weights
from vcap.errors import ConfigError, UnavailableError
from vcap.models.lm import LmConfig, build_lm, config_from_gpt2

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
    """A model of random weights whose tokenizer is learned from the captions."""
    tokenizer = train_tokenizer(texts, vocabulary)
    filled = replace(fill(LmConfig, sizes, "options.lm_sizes"), vocabulary=tokenizer.size)
    try:
        return Language(build_lm(filled), tokenizer, filled)
    except ValueError as error:
        raise ConfigError(f"options.lm_sizes: {error}") from error


def load_language(name: str) -> Language:
    """A model by the folder of the run that trained it, its model folder, or `hf:ORG/NAME`.

    Raises:
        CheckpointError: the folder holds no language model.
        UnavailableError: it is not on this machine and cannot be fetched.
    """
    if name.startswith(HUB):
        return _from_hub(name)
    folder = Path(name).expanduser()
    folder = folder / "model" if (folder / "model").is_dir() else folder
    if not folder.is_dir():
        raise UnavailableError(
            f"options.lm: no folder {folder}", hint=f"vcap train lm -c tiny-lm -o {folder}"
        )
    config = read_config(folder, "lm")
    sizes = fill(LmConfig, config["model"], f"{folder}/config.json")
    model = build_lm(sizes)
    load_weights(model, read_weights(folder / "model.safetensors"), folder)
    return Language(model, load_tokenizer(folder), sizes, name)


def _from_hub(name: str) -> Language:
    from transformers import GPT2LMHeadModel

    repository = name.removeprefix(HUB)
    try:
        model = GPT2LMHeadModel.from_pretrained(repository).float()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UnavailableError(
            f"the language model {repository} is not on this machine: {reason}",
            hint=f"hf download {repository}",
        ) from error
    sizes = config_from_gpt2(model.config.to_dict())
    return Language(model, hub_tokenizer(repository), sizes, name)
