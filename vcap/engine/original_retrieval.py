"""`trained_model.pth` of the original AdaCLIP: one file with CLIP, the policy and the matcher.

The file is a dict: `arch`, `epoch`, `state_dict`, `config` (all flags of the run), `optimizer`.
Sizes are read off the weights; what cannot be, stands in `config`. Every weight has to be there and
none besides: the original takes what fits and is silent about the rest.
**Departures**: what the original's flags say without effect has none here either (words beside a
frame aggregation, the policy of a run without one); pictures of zeros, with which it fills up
`num_frm_subset` frames, stay out.
"""

from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vcap.engine.clip_words import SIZE, clip_words
from vcap.engine.encoders import Preprocess
from vcap.engine.weights import is_plain, load_weights, read_archive
from vcap.errors import CheckpointError
from vcap.models.clip import TowerConfig, build_clip
from vcap.models.mobilenet import build_mobilenet
from vcap.models.policy import Policy, PolicyConfig
from vcap.models.retrieval import RetrievalConfig, RetrievalModel, from_original, to_original

__all__ = ["OriginalRetrieval", "is_original_retrieval", "read_original_retrieval"]

HEAD_WIDTH = 64  # of every CLIP
MOST_FRAMES = 10_000
SUFFIX = ".pth"
OURS = {  # weights that tell a size by their shape; all of them are matrices
    "embed": "clip.text_projection",
    "places": "clip.visual.positional_embedding",
    "context": "clip.positional_embedding",
    "words": "clip.token_embedding.weight",
}


CONTAINERS = (Namespace, (OrderedDict, "easydict.EasyDict"))  # flags may be kept in either


Flags = Mapping[str, Any]  # those of a run that decide what the model is; their names are theirs
CHOICES: dict[str, tuple[Any, ...]] = {  # the first is what an absent flag means
    "use_policy": (True, False),
    "policy_backbone": ("mobilenet_v3_large", "mobilenet_v2", "raw"),  # of which runs are possible
    "use_rnn": (True, False),
    "rnn": ("transformer", "lstm", "bilstm"),
    "mlp_type": ("mlp", "fc"),
    "sim_header": ("meanP", "seqTransf", "transformer"),
    "frame_agg": (None, "mlp", "transformer", "qscore"),
    "word_agg": (None, "mlp", "transformer"),
    "reuse_scores": (False, True),
    "segment_sampling": (False, True),
}
COUNTS = {"rescale_size": 56, "top_k": 8, "max_txt_len": 20, "num_frm": 2, "num_frm_subset": 0}
TEMPERATURES = {"frame_agg_temp": 1.0, "word_agg_temp": 1.0}


@dataclass(frozen=True)
class OriginalRetrieval:
    """What the file holds.

    Attributes:
        model: with its towers.
        preprocess: of the pictures for the image tower.
        sampler: text of the sampler.
        max_tokens: so many tokens of a text count.
    """

    model: RetrievalModel
    preprocess: Preprocess
    sampler: str
    max_tokens: int

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Sentences -> rows of ids [Q, L] over the tower's whole context.

        Raises:
            CheckpointError: its vocabulary is not CLIP's.
        """
        tower: Any = self.model.clip
        size, length = len(tower.token_embedding.weight), len(tower.positional_embedding)
        if size != SIZE:
            raise CheckpointError(f"the text tower knows {size} tokens, CLIP's words are {SIZE}")
        rows = torch.zeros(len(texts), length, dtype=torch.int64)  # [Q, L]
        for row, text in zip(rows, texts, strict=True):
            ids = clip_words().encode(text)
            ids = ids if len(ids) <= length else [*ids[: length - 1], ids[-1]]
            row[: len(ids)] = torch.tensor(ids)
        return rows


def is_original_retrieval(name: str) -> bool:
    """Whether a model's name is that of such a file."""
    path = Path(name).expanduser()
    return path.suffix == SUFFIX and path.is_file()


def read_original_retrieval(path: Path) -> OriginalRetrieval:
    """Rebuild the model that a checkpoint file was saved from.

    Raises:
        CheckpointError: the file is damaged, of another system, or not whole; what is wrong is
            named as the file names it.
    """
    state, flags = _parts(path)
    try:
        weights = from_original(_without_effectless(state, flags))
    except KeyError as error:
        raise CheckpointError(f"{path} is no checkpoint of AdaCLIP: it holds {error}") from error
    try:
        tower = _tower(weights)
        model = _build(tower, weights, flags)
    except KeyError as error:
        raise CheckpointError(f"{path} is not whole: {_theirs(flags)(error.args[0])}") from error
    except (RuntimeError, TypeError, ValueError, ArithmeticError, AssertionError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    load_weights(model, weights, path, _theirs(flags))
    preprocess = Preprocess(size=int(tower.vision_cfg["image_size"]))
    return OriginalRetrieval(model.eval(), preprocess, _sampler(flags), flags["max_txt_len"])


def _parts(path: Path) -> tuple[dict[str, Tensor], Flags]:
    """The weights and the flags."""
    held = read_archive(path, CONTAINERS)
    found = held if isinstance(held, dict) else {}
    state, config = found.get("state_dict"), found.get("config")
    config = vars(config) if isinstance(config, Namespace) else config
    if not isinstance(state, dict) or not isinstance(config, dict):
        raise CheckpointError(f"{path} is no checkpoint of AdaCLIP: want `state_dict` and `config`")
    if not all(isinstance(value, Tensor) and is_plain(value) for value in state.values()):
        raise CheckpointError(f"{path}: `state_dict` holds more than named plain tensors")
    for name, value in state.items():
        if value.untyped_storage().nbytes() < value.numel() * value.element_size():
            raise CheckpointError(f"{path}: {name}: its shape {[*value.shape]} is not in the file")
    try:
        flags = _flags(config)
    except ValueError as error:
        raise CheckpointError(f"{path}: config: {error}") from error
    return {str(name): value for name, value in state.items()}, flags


def _flags(config: Mapping[str, Any]) -> Flags:
    """The flags that count, those that are absent too.

    Raises:
        ValueError: one has a value that the original could not run with.
    """
    found: dict[str, Any] = {}
    for name, choices in CHOICES.items():
        found[name] = config.get(name, choices[0])
        unused = name == "policy_backbone" and not found["use_policy"]
        is_plain = isinstance(found[name], str | bool | None)
        if not unused and not (is_plain and found[name] in choices):
            told = ", ".join(map(str, choices))
            raise ValueError(f"{name}: want {told}, got {found[name]!r}")
    for name, count in COUNTS.items():
        found[name] = config.get(name, count)
        if type(found[name]) is not int or not min(count, 1) <= found[name] <= MOST_FRAMES:
            raise ValueError(f"{name}: want 1 to {MOST_FRAMES}, got {found[name]!r}")
    for name, usual in TEMPERATURES.items():
        found[name] = config.get(name, usual)
        if type(found[name]) not in (int, float) or not 0 < found[name] < inf:
            raise ValueError(f"{name}: want a number above 0, got {found[name]!r}")
    if found["num_frm_subset"] > found["num_frm"]:
        raise ValueError(f"num_frm_subset: want at most {found['num_frm']} (num_frm)")
    return found


def _sampler(flags: Flags) -> str:
    """Which frames of a video it is shown; random ones were for training only."""
    name = "adaclip-segments" if flags["segment_sampling"] else "adaclip-linspace"
    return f"{name} {flags['num_frm_subset'] or flags['num_frm']}"


def _without_effectless(state: Mapping[str, Tensor], flags: Flags) -> dict[str, Tensor]:
    """The weights without those that the original builds and never uses."""
    unused = "word_agg_" if flags["frame_agg"] else "\0"
    return {name: value for name, value in state.items() if not name.startswith(unused)}


def _theirs(flags: Flags) -> Any:
    """What gives the original's name of a weight of ours."""

    def called(name: str) -> str:
        try:
            return next(iter(to_original({name: torch.empty(0)}, flags["sim_header"])))
        except KeyError:
            return name

    return called


def _tower(weights: Mapping[str, Tensor]) -> TowerConfig:
    """The sizes of CLIP.

    Raises:
        KeyError: a weight that tells one is missing.
        ValueError: a weight cannot be CLIP's.
    """
    shapes = {name: weights[key].shape for name, key in OURS.items()}
    patch = weights["clip.visual.conv1.weight"].shape
    wrong = [OURS[name] for name, shape in shapes.items() if len(shape) != 2 or 0 in shape]
    if wrong or len(patch) != 4 or 0 in patch:
        raise ValueError(f"{(wrong or ['clip.visual.conv1.weight'])[0]}: of a shape no CLIP has")
    width, side = shapes["words"][1], isqrt(shapes["places"][0] - 1)
    vision: dict[str, Any] = {
        "layers": _count(weights, "clip.visual.transformer.resblocks."),
        "width": patch[0],
        "head_width": HEAD_WIDTH,
        "image_size": side * patch[3],
        "patch_size": patch[3],
    }
    text: dict[str, Any] = {
        "context_length": shapes["context"][0],
        "vocab_size": shapes["words"][0],
        "layers": _count(weights, "clip.transformer.resblocks."),
        "width": width,
        "heads": max(1, width // HEAD_WIDTH),
    }
    return TowerConfig(shapes["embed"][1], vision, text, quick_gelu=True)


def _build(tower: TowerConfig, weights: Mapping[str, Tensor], flags: Flags) -> RetrievalModel:
    """The model of these sizes, with random weights."""
    aggregation: Any = flags["frame_agg"] or "mean"
    words: Any = (not flags["frame_agg"] and flags["word_agg"]) or "none"  # the first rule wins
    sizes = RetrievalConfig(
        feature_width=tower.embed_dim,
        num_frames=flags["num_frm"],
        num_kept=min(flags["top_k"], flags["num_frm"]),
        header=flags["sim_header"],
        frame_aggregation=aggregation,
        frame_temperature=flags["frame_agg_temp"],
        word_aggregation=words,
        word_temperature=flags["word_agg_temp"],
        reuse_scores=flags["use_policy"] and flags["reuse_scores"] and words == "none",
        num_positions=_rows(weights, "matcher.header.positions.weight", 77),
    )
    policy = _policy(weights, flags) if flags["use_policy"] else None
    return RetrievalModel(sizes, policy, build_clip(tower))


def _policy(weights: Mapping[str, Tensor], flags: Flags) -> Policy:
    """The policy of these sizes; its widths stand in the weights."""
    encoder: Any = flags["policy_backbone"]
    sequence: Any = flags["rnn"] if flags["use_rnn"] else "none"
    by_layer, by_rnn = "policy.project.weight", "policy.rnn.weight_hh_l0"
    hidden = _rows(weights, by_layer, 512) if sequence == "transformer" else 512
    if sequence in ("lstm", "bilstm"):
        hidden = _rows(weights, by_rnn, 4 * 512) // 4
    config = PolicyConfig(
        encoder=encoder,
        sequence=sequence,
        head=flags["mlp_type"],
        num_frames=flags["num_frm"],
        raw_side=flags["rescale_size"],
        hidden_width=hidden,
        head_width=_rows(weights, "policy.head.0.weight", 1024),
    )
    return Policy(config, build_mobilenet(encoder) if config.uses_cnn else None)


def _rows(weights: Mapping[str, Tensor], name: str, usual: int) -> int:
    """Rows of a weight; the usual number where it is missing, which is told later."""
    shape = weights[name].shape if name in weights else (usual,)
    return int(shape[0]) if shape and shape[0] else usual


def _count(weights: Mapping[str, Tensor], start: str) -> int:
    """How many numbered layers there are."""
    numbers = {name[len(start) :].split(".")[0] for name in weights if name.startswith(start)}
    return len(numbers)
