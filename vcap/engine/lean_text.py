"""Sentences to embeddings with nothing loaded but a text tower: a start without torch.

`load_text_encoder` takes the names that `load_encoder` takes. Where the weights lie on this machine
as safetensors and the tower is CLIP's own, it maps them and computes in numpy; everything else goes
the way of `load_encoder`, which also tells what is wrong with a name or a folder.
Shapes: N sentences, D embedding width.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from vcap.engine.mapped_weights import digest_of, map_weights
from vcap.engine.weights import own_encoder_folder, read_config
from vcap.errors import CheckpointError, VcapError
from vcap.models.text_tower import TextSizes, TextTower

if TYPE_CHECKING:
    from vcap.engine.encoders import ClipEncoder

Features = npt.NDArray[np.float32]
Warn = Callable[[str], None]
GROUP = 16  # texts that are computed at once
SHOWN = 60  # letters of a text in a warning
HUB_WEIGHTS = "open_clip_model.safetensors"
REPOSITORIES = {  # where open_clip has the weights from: repository, and what was different
    "ViT-B-32:openai": ("timm/vit_base_patch32_clip_224.openai", True),
    "ViT-B-16:openai": ("timm/vit_base_patch16_clip_224.openai", True),
    "ViT-L-14:openai": ("timm/vit_large_patch14_clip_224.openai", True),
    "RN50x4:openai": ("timm/resnet50x4_clip.openai", True),
    "ViT-B-32:laion2b_s34b_b79k": ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", False),
}
PREPROCESS = {
    "size": 96,
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


class TextEncoder(Protocol):
    """What searching by words needs of an encoder."""

    @property
    def width(self) -> int:
        """D, the width of an embedding."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the embeddings; equal to that of the encoder of the same name."""

    def encode_text(self, texts: Sequence[str]) -> Features:
        """N sentences -> [N, D], not normalised; what is too long is cut, with a warning."""


@dataclass(frozen=True)
class _Source:
    """A tower's files, and all that a fingerprint tells."""

    weights_path: Path
    model: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    tokens: Callable[[str], list[int]]


class LeanTextEncoder:
    """Satisfies `TextEncoder`; weights are mapped, so that only what is used is read."""

    def __init__(self, name: str, source: _Source, sizes: TextSizes, warn: Warn) -> None:
        """Map the weights.

        Raises:
            CheckpointError: they are missing or damaged.
            ValueError: they are not this tower's.
        """
        self.name = name
        self._source = source
        self._arrays = map_weights(source.weights_path)
        self._tower = TextTower(sizes, self._arrays)
        self._warn = warn

    def is_as_stored(self, vision: Mapping[str, Any]) -> bool:
        """Whether the model has its weights as the file has them: open_clip reshapes some."""
        places = self._arrays.get("visual.positional_embedding")
        if places is not None:
            side = self._source.preprocess["size"] // vision.get("patch_size", 16)
            if len(places) != side * side + 1:
                return False
        return self._arrays["logit_scale"].ndim == 0

    @property
    def width(self) -> int:
        """D, the width of an embedding."""
        return self._tower.sizes.embed_dim

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """As `ClipEncoder.fingerprint`; the first time it takes as long as reading all weights."""
        return {
            "name": self.name,
            "weights": digest_of(self._source.weights_path, self._arrays),
            "quick_gelu": self._tower.sizes.quick_gelu,
            "preprocess": dict(self._source.preprocess),
            "features": "embedding",
            "dtype": "float32",
        }

    def encode_text(self, texts: Sequence[str]) -> Features:
        """N sentences -> [N, D], not normalised; what is too long is cut, with a warning.

        Raises:
            CheckpointError: the weights give no finite numbers.
        """
        rows = [self._row(text) for text in texts]
        found = np.zeros((len(rows), self.width), np.float32)  # [N, D]
        by_length = sorted(range(len(rows)), key=lambda number: len(rows[number]))
        for start in range(0, len(rows), GROUP):
            some = by_length[start : start + GROUP]
            found[some] = self._tower.encode([rows[number] for number in some])
        if not np.isfinite(found).all():
            raise CheckpointError(f"{self._source.weights_path} gives numbers that are not finite")
        return found

    def _row(self, text: str) -> list[int]:
        """Ids of a text, its end included, no more than the tower takes."""
        ids, length = self._source.tokens(text), self._tower.sizes.context_length
        if len(ids) > length:
            self._warn(f"{_shown(text)} has {len(ids)} tokens; only the first {length} count")
            ids = [*ids[: length - 1], ids[-1]]
        return ids


class WholeTextEncoder:
    """Satisfies `TextEncoder` with an encoder of pictures and words."""

    def __init__(self, encoder: "ClipEncoder", warn: Warn) -> None:
        """Take the encoder."""
        self._encoder = encoder
        self._warn = warn

    @property
    def width(self) -> int:
        """D, the width of an embedding."""
        return self._encoder.width

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The encoder's."""
        return self._encoder.fingerprint

    def encode_text(self, texts: Sequence[str]) -> Features:
        """N sentences -> [N, D], not normalised; what is too long is cut, with a warning."""
        for text in texts:
            if self._encoder.fills_context(text):
                self._warn(f"{_shown(text)} fills the whole context; what follows does not count")
        return self._encoder.encode_text(texts)


def load_text_encoder(name: str, warn: Warn = lambda text: None) -> TextEncoder:
    """The text side of the encoder of this name, the fast way where there is one.

    Args:
        name: see `vcap.engine.encoders`.
        warn: told of every text that is longer than the context.

    Raises:
        UsageError: no encoder is named so.
        UnavailableError: the weights are not on this machine and cannot be fetched.
        CheckpointError: the weights do not fit.
    """
    return _lean(name, warn) or _whole(name, warn)


def _whole(name: str, warn: Warn) -> TextEncoder:
    from vcap.engine.encoders import load_encoder

    return WholeTextEncoder(load_encoder(name), warn)


def _lean(name: str, warn: Warn) -> LeanTextEncoder | None:
    """None for what is not here, not whole, or of another kind; the other way tells which."""
    try:
        source = _own_source(name) or _open_clip_source(name)
        sizes = None if source is None else _sizes(source.model)
        if source is None or sizes is None:
            return None
        encoder = LeanTextEncoder(name, source, sizes, warn)
        return encoder if encoder.is_as_stored(source.model["vision_cfg"]) else None
    except (VcapError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _own_source(name: str) -> _Source | None:
    """An encoder that vcap trained."""
    folder = own_encoder_folder(name)
    if folder is None:
        return None
    from vcap.engine.tokenizers import load_tokenizer

    config = read_config(folder, "encoder")
    if set(config["preprocess"]) - set(PREPROCESS):
        return None
    tokenizer = load_tokenizer(folder)
    return _Source(
        folder / "model.safetensors",
        config["model"],
        PREPROCESS | config["preprocess"],
        lambda text: [*tokenizer.encode(text), tokenizer.end_id],
    )


def _open_clip_source(name: str) -> _Source | None:
    """A model of open_clip whose weights are here."""
    path = Path(name).expanduser()
    if path.is_dir():
        return _open_clip_folder(path)
    if name.startswith("hf:"):
        found = hub_file(name.removeprefix("hf:"), "open_clip_config.json")
        return None if found is None else _open_clip_folder(found.parent)
    from vcap.engine.clip_words import open_clip_folder

    tower, _, weights = name.partition(":")
    repository, quick = REPOSITORIES.get(name, ("", False))
    file = hub_file(repository, HUB_WEIGHTS) if repository else Path(weights)
    if file is None or file.suffix != ".safetensors" or Path(tower).name != tower:
        return None
    config = open_clip_folder() / "model_configs" / f"{tower}.json"
    model = json.loads(config.read_text(encoding="utf-8"))
    return _published(file, model | ({"quick_gelu": True} if quick else {}), {})


def _open_clip_folder(folder: Path) -> _Source | None:
    """The folder of a model as open_clip publishes it."""
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    path = folder / HUB_WEIGHTS
    if not path.is_file():
        return None
    return _published(path, config["model_cfg"], config.get("preprocess_cfg", {}))


def _published(path: Path, model: Mapping[str, Any], preprocess: Mapping[str, Any]) -> _Source:
    from vcap.engine.clip_words import clip_words

    size = model["vision_cfg"].get("image_size", 224)
    told = {key: preprocess[key] for key in PREPROCESS if preprocess.get(key) is not None}
    told["size"] = size[0] if isinstance(size, list) else size
    return _Source(path, model, PREPROCESS | told, clip_words().encode)


def _sizes(model: Mapping[str, Any]) -> TextSizes | None:
    """The sizes of a plain tower; None for one with more to it than sizes."""
    text = dict(model["text_cfg"])
    allowed = {field.name for field in fields(TextSizes)} - {"embed_dim", "quick_gelu"}
    more = set(model) - {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
    if more or set(text) - allowed:
        return None
    return TextSizes(model["embed_dim"], **text, quick_gelu=bool(model.get("quick_gelu")))


def hub_file(repository: str, name: str) -> Path | None:
    """A file that was fetched from the model hub before; None where it was not."""
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    cache = os.environ.get("HF_HUB_CACHE") or f"{home}/hub"
    folder = Path(cache).expanduser() / f"models--{repository.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    path = folder / "snapshots" / revision / name
    return path if path.is_file() else None


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")
