"""Checkpoint files of the original MSR-VTT prefix captioner, a fork of ClipCap.

A file holds weights and nothing else. Sizes are read off the weights; what cannot be, stands in a
JSON file beside it (`NAME.pt.json`): `mapper` (`transformer` or `cross`: their weights look the
same), `lm_heads`, `clip_length`, `encoder`, `tokenizer`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcap.engine.weights import load_weights, read_weights
from vcap.errors import CheckpointError
from vcap.models.lm import LmConfig, build_lm
from vcap.models.prefix import PrefixCaptioner, PrefixConfig, from_original

if TYPE_CHECKING:
    from torch import Tensor

ENCODERS = {512: "ViT-B-32:openai", 640: "RN50x4:openai"}  # by feature width
HEAD_WIDTH = 64  # of every GPT-2
NOTES = ("mapper", "lm_heads", "clip_length", "encoder", "tokenizer")


@dataclass(frozen=True)
class Original:
    """A captioner with the original's weights, and the names of what goes with it."""

    model: PrefixCaptioner
    encoder: str
    tokenizer: str


def read_original(path: Path) -> Original:
    """Rebuild the captioner that a checkpoint file was saved from.

    Raises:
        CheckpointError: the file is damaged, of another system, or says too little about itself.
    """
    notes = _notes(path)
    weights = read_weights(path)
    try:
        renamed = from_original(weights)
    except KeyError as error:
        raise CheckpointError(
            f"{path} is no checkpoint of a prefix captioner: it holds {error}"
        ) from error
    try:
        sizes, lm_sizes = _sizes(renamed, notes, path), _lm_sizes(renamed, notes)
        model = PrefixCaptioner(sizes, build_lm(lm_sizes))
    except KeyError as error:
        raise CheckpointError(f"{path} is not whole: {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    load_weights(model, renamed, path)
    width = sizes.feature_width
    encoder = notes.get("encoder") or ENCODERS.get(width)
    if encoder is None:
        raise _untold(path, f"which encoder gives features {width} wide", "encoder", "NAME")
    return Original(model, str(encoder), str(notes.get("tokenizer", "gpt2")))


def _notes(path: Path) -> dict[str, Any]:
    beside = path.with_name(f"{path.name}.json")
    if not beside.is_file():
        return {}
    try:
        notes = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{beside} cannot be read: {error}") from error
    if not isinstance(notes, dict) or set(notes) - set(NOTES):
        raise CheckpointError(f"{beside}: want an object with any of {', '.join(NOTES)}")
    return notes


def _untold(path: Path, what: str, key: str, value: str) -> CheckpointError:
    note = json.dumps({key: value})
    return CheckpointError(
        f"{path} does not say {what}", hint=f"echo '{note}' > '{path.name}.json'  # beside it"
    )


def _sizes(weights: "Mapping[str, Tensor]", notes: Mapping[str, Any], path: Path) -> PrefixConfig:
    lm_width = weights["lm.transformer.wte.weight"].shape[1]
    clip_length = int(notes.get("clip_length", 28))
    if "mapper.hidden.weight" in weights:
        rows, feature_width = weights["mapper.hidden.weight"].shape
        _refuse_upstream(rows, lm_width // 2, path)
        return PrefixConfig(
            mapper="mlp",
            feature_width=feature_width,
            prefix_length=clip_length,
            clip_length=clip_length,
            lm_width=lm_width,
            end_token=False,
        )
    rows, feature_width = weights["mapper.linear.weight"].shape
    _refuse_upstream(rows, lm_width, path)
    if "mapper" not in notes:
        raise _untold(path, "if it was trained with --cross", "mapper", "cross")
    return PrefixConfig(
        mapper=notes["mapper"],
        feature_width=feature_width,
        prefix_length=len(weights["mapper.constants"]),
        clip_length=clip_length,
        num_layers=_count(weights, "mapper.layers."),
        lm_width=lm_width,
        end_token=False,
    )


def _refuse_upstream(rows: int, wanted: int, path: Path) -> None:
    if rows != wanted:
        raise CheckpointError(
            f"{path} maps one picture's vector to a whole prefix, as ClipCap's own checkpoints do; "
            "want the variant for videos, which maps frame by frame"
        )


def _lm_sizes(weights: "Mapping[str, Tensor]", notes: Mapping[str, Any]) -> LmConfig:
    vocabulary, width = weights["lm.transformer.wte.weight"].shape
    return LmConfig(
        vocabulary=vocabulary,
        num_positions=len(weights["lm.transformer.wpe.weight"]),
        width=width,
        num_layers=_count(weights, "lm.transformer.h."),
        num_heads=int(notes.get("lm_heads", max(1, width // HEAD_WIDTH))),
    )


def _count(weights: "Mapping[str, Tensor]", start: str) -> int:
    """How many numbered layers there are."""
    return len(
        {name.removeprefix(start).split(".")[0] for name in weights if name.startswith(start)}
    )
