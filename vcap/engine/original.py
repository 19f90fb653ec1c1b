"""Checkpoint files of the original MSR-VTT prefix captioner, and of ClipCap, its source.

A file holds weights and nothing else. Sizes are read off the weights; what cannot be, stands in a
JSON file beside it (`NAME.pt.json`): `mapper` (`transformer` or `cross`: their weights look the
same), `lm_heads`, `clip_length`, `encoder`, `tokenizer`, `unit_length` (whether features were
brought to length 1; as published: those of ClipCap's 640-wide models), `pooled`.

ClipCap's own files (`coco_prefix-009.pt`) map one picture's vector to a whole prefix, which shows
in their shapes; a video is captioned by its middle frame then.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcap.engine.registry import USUAL_ENCODERS
from vcap.engine.weights import load_weights, read_weights
from vcap.errors import CheckpointError
from vcap.models.lm import LmConfig, build_lm
from vcap.models.prefix import MapperName, PrefixCaptioner, PrefixConfig, from_original, to_original
from vcap.video.sample import NOTEBOOK, Sampler

if TYPE_CHECKING:
    from torch import Tensor

HEAD_WIDTH = 64  # of every GPT-2
PUBLISHED_WITH_UNIT_LENGTH = 640  # by feature width; of ClipCap only
SIZED = (  # weights that tell a size by their shape
    *("lm.transformer.wte.weight", "lm.transformer.wpe.weight", "mapper.constants"),
    *("mapper.hidden.weight", "mapper.output.weight", "mapper.linear.weight"),
)
NOTES = {
    "mapper": str,
    "lm_heads": int,
    "clip_length": int,
    "encoder": str,
    "tokenizer": str,
    "unit_length": bool,
    "pooled": bool,
}


@dataclass(frozen=True)
class Original:
    """A captioner with the original's weights, and the names of what goes with it."""

    model: PrefixCaptioner
    encoder: str
    tokenizer: str

    @property
    def sampler(self) -> Sampler:
        """Which frames of a video it is given."""
        sizes = self.model.config
        if sizes.pooled:
            return Sampler("uniform", 1)
        return Sampler(NOTEBOOK, sizes.clip_length)


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
        _check_matrices(renamed, path)
        sizes, lm_sizes = _sizes(renamed, notes, path), _lm_sizes(renamed, notes)
        model = PrefixCaptioner(sizes, build_lm(lm_sizes))
    except KeyError as error:
        raise CheckpointError(f"{path} is not whole: {error} is missing") from error
    except (RuntimeError, TypeError, ValueError) as error:  # also: too large for the memory
        raise CheckpointError(f"{path}: {error}") from error
    load_weights(model, renamed, path)
    width = sizes.feature_width
    encoder = notes.get("encoder") or USUAL_ENCODERS.get(width)
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
    for key, value in notes.items():
        if type(value) is not NOTES[key]:
            raise CheckpointError(f"{beside}: {key}: want {NOTES[key].__name__}, got {value!r}")
    return notes


def _untold(path: Path, what: str, key: str, value: str) -> CheckpointError:
    note = json.dumps({key: value})
    return CheckpointError(
        f"{path} does not say {what}", hint=f"echo '{note}' > '{path.name}.json'  # beside it"
    )


def _sizes(weights: "Mapping[str, Tensor]", notes: Mapping[str, Any], path: Path) -> PrefixConfig:
    lm_width = weights["lm.transformer.wte.weight"].shape[1]
    is_mlp = "mapper.output.weight" in weights
    last, first = ("output", "hidden") if is_mlp else ("linear", "linear")
    parts = _parts(weights, f"mapper.{last}.weight", lm_width, path)
    feature_width = weights[f"mapper.{first}.weight"].shape[1]
    pooled = bool(notes.get("pooled", parts > 1))
    if parts > 1 and not pooled:
        raise CheckpointError(f"{path} maps one picture's vector to {parts} tokens: it is pooled")
    clip_length = parts if pooled else int(notes.get("clip_length", 28))
    published = pooled and not is_mlp and feature_width == PUBLISHED_WITH_UNIT_LENGTH
    return PrefixConfig(
        mapper=_mapper(notes, pooled, is_mlp, path),
        feature_width=feature_width,
        prefix_length=clip_length if is_mlp else len(weights["mapper.constants"]),
        clip_length=clip_length,
        num_layers=PrefixConfig.num_layers if is_mlp else _count(weights, "mapper.layers."),
        lm_width=lm_width,
        end_token=False,
        pooled=pooled,
        unit_length=bool(notes.get("unit_length", published)),
    )


def _check_matrices(weights: "Mapping[str, Tensor]", path: Path) -> None:
    """See that what sizes are read off has rows and columns."""
    for name in SIZED:
        shape = weights[name].shape if name in weights else (1, 1)
        if len(shape) != 2 or 0 in shape:
            theirs = _theirs(weights, name)
            raise CheckpointError(f"{path}: {theirs}: want a matrix, found shape {[*shape]}")


def _theirs(weights: "Mapping[str, Tensor]", name: str) -> str:
    """What the file calls a weight."""
    return next(iter(to_original({name: weights[name]})))


def _parts(weights: "Mapping[str, Tensor]", name: str, lm_width: int, path: Path) -> int:
    """How many tokens the mapper makes of one vector: 1, but for ClipCap's own files."""
    rows = len(weights[name])
    if rows % lm_width:
        raise CheckpointError(
            f"{path}: {_theirs(weights, name)}: want rows in multiples of {lm_width}, the width of "
            f"the language model, found shape {[*weights[name].shape]}"
        )
    return rows // lm_width


def _mapper(notes: Mapping[str, Any], pooled: bool, is_mlp: bool, path: Path) -> MapperName:
    if is_mlp or pooled:
        ours: MapperName = "mlp" if is_mlp else "transformer"
        if notes.get("mapper", ours) != ours:
            raise CheckpointError(f"{path} holds a mapper of kind {ours}, not {notes['mapper']}")
        return ours
    if "mapper" not in notes:
        raise _untold(path, "if it was trained with --cross", "mapper", "cross")
    told: MapperName = notes["mapper"]
    return told


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
