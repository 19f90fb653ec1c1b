"""The folder of a trained retrieval model, as `vcap.engine.retriever` reads it.

config.json
    method: retrieval
    model, policy     `RetrievalConfig`, and `PolicyConfig` or null
    encoder           {name, features, fingerprint} of what makes frames' features: name is the
                      folder `encoder` inside where it is bundled, as it always is with `towers:
                      both`; fingerprint is then that of the trained one
    towers            none, text or both: which of the encoder's towers were trained
    text_encoder      {name, fingerprint} of what reads texts as tokens, where it is not `encoder`:
                      the folder `text` inside with `towers: text`; the encoder by its own name, or
                      bundled, with `towers: none` and word aggregation; else null
    max_tokens        texts are cut to so many tokens (`models.words.cut_tokens`); null: they are
                      read over the whole context
    sampler           which frames of a video; of these model.num_frames are candidates
    pixels            exact: frames were resized as published numbers were made; absent: fast
model.safetensors     matcher.*, policy.* (its CNN too), and own_scale [] or clip.logit_scale []

The model holds towers (`clip.logit_scale`) where they were trained or words are aggregated: texts
are then tokens for `RetrievalModel.text_vector`, read in float32 by the towers of `text_encoder`
or, with `both`, of `encoder`. Bundled encoders are whole encoder folders, vcap's or open_clip's.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vcap.engine.checkpoint import save_tensors
from vcap.engine.encoders import load_encoder
from vcap.engine.methods.export import all_tensors, bundled_encoder, write_config, write_weights
from vcap.engine.schedule import TrainConfig
from vcap.engine.weights import own_encoder_folder
from vcap.errors import ConfigError
from vcap.models.retrieval import RetrievalModel

if TYPE_CHECKING:
    from vcap.engine.encoders import Preprocess

CLIP = "clip."
TEXT = "text"  # folder of a trained text tower's encoder inside a model folder
TEXT_KEY = "text_encoder"
IMAGES = "encoder"  # the same where both towers were trained
OWN_FILES = shutil.ignore_patterns("README.md", "*.safetensors", "*.bin", "*.pt", "*.md", ".*")


@dataclass(frozen=True)
class Made:
    """What a training has to tell about its model.

    Attributes:
        model: as trained.
        towers: which of the encoder's towers were trained.
        encoder: fingerprint of what made the features, or of what both towers started from.
        sampler: which frames of a video.
        max_tokens: texts were cut to; None for the tower's context.
        exact: frames were resized as published numbers were made.
    """

    model: RetrievalModel
    towers: str
    encoder: Mapping[str, Any]
    sampler: str
    max_tokens: int | None = None
    exact: bool = False


def write_model(folder: Path, made: Made, config: TrainConfig) -> None:
    """Write weights, sizes and the encoders that were trained."""
    model = made.model
    tensors = all_tensors(model)
    own = {name: value for name, value in tensors.items() if not name.startswith(CLIP)}
    if model.clip is not None:
        own["clip.logit_scale"] = tensors["clip.logit_scale"]
    write_weights(folder, own, config)
    towers = {n.removeprefix(CLIP): v for n, v in tensors.items() if n.startswith(CLIP)}
    write_config(
        folder,
        {
            "method": "retrieval",
            "model": asdict(model.config),
            "policy": None if model.policy is None else asdict(model.policy.config),
            "towers": made.towers,
            **_encoders(folder, made, towers, config.train.weights == "fp16"),
            "max_tokens": made.max_tokens,
            "sampler": made.sampler,
            **({"pixels": "exact"} if made.exact else {}),
        },
    )


def _encoders(folder: Path, made: Made, towers: Mapping[str, Tensor], half: bool) -> dict[str, Any]:
    """What config.json says of encoders; those that were trained are written."""
    name = str(made.encoder["name"])
    if made.towers == "both":
        trained = write_trained_encoder(folder / IMAGES, name, towers, half)
        features = {"features": made.encoder["features"]}
        return {"encoder": {"name": IMAGES, **features, "fingerprint": trained}, TEXT_KEY: None}
    encoder = bundled_encoder(folder, made.encoder)
    if made.towers == "text":
        trained = write_trained_encoder(folder / TEXT, name, towers, half)
        return {"encoder": encoder, TEXT_KEY: {"name": TEXT, "fingerprint": trained}}
    reads_words = made.model.clip is not None
    same = {"name": encoder["name"], "fingerprint": encoder["fingerprint"]}
    return {"encoder": encoder, TEXT_KEY: same if reads_words else None}


def write_trained_encoder(
    folder: Path, name: str, trained: Mapping[str, Tensor], half: bool = False
) -> dict[str, Any]:
    """Write an encoder with some of its weights replaced, as a folder that loads by its path.

    Args:
        name: of the encoder that the training began with.
        trained: weights by their names in it; the others stay as they were.
        half: store all in float16.

    Returns:
        The fingerprint of what was written, under the name of the folder.
    """
    source = load_encoder(name, dtype="fp32")
    model = source.towers
    model.load_state_dict(dict(trained), strict=False)
    tensors = {
        key: value.half() if half and value.is_floating_point() else value
        for key, value in model.state_dict().items()
    }
    folder.mkdir(parents=True)
    own = own_encoder_folder(name)
    if own is not None:
        shutil.copytree(own, folder, ignore=OWN_FILES, dirs_exist_ok=True)
        save_tensors(tensors, folder / "model.safetensors")
    else:
        _write_open_clip(folder, name, source.preprocess, source.fingerprint["quick_gelu"])
        save_tensors(tensors, folder / "open_clip_model.safetensors")
    written = load_encoder(str(folder), dtype="fp32")
    return {**written.fingerprint, "name": folder.name}


def refuse_other_kinds(name: str) -> None:
    """Refuse an encoder that could not be written again once it is trained.

    Raises:
        ConfigError: it is neither a folder nor one of open_clip's.
    """
    if own_encoder_folder(name) is None and not _open_clip_config(name):
        raise ConfigError(
            f"encoder: {name} cannot be trained along; want the name or the folder of an encoder"
        )


def _open_clip_config(name: str) -> dict[str, Any]:
    """open_clip's sizes of an encoder of this name; empty where it has none."""
    import open_clip

    where = Path(name).expanduser()
    if where.is_dir():
        known = f"local-dir:{where.absolute()}"
    elif name.startswith("hf:"):
        known = f"hf-hub:{name.removeprefix('hf:')}"
    else:
        known = name.partition(":")[0]
    return dict(open_clip.get_model_config(known) or {})


def _write_open_clip(folder: Path, name: str, preprocess: "Preprocess", quick_gelu: bool) -> None:
    """The config of an open_clip folder, and the tokenizer of one that brings its own."""
    where = Path(name).expanduser()
    if where.is_dir():
        shutil.copytree(where, folder, ignore=OWN_FILES, dirs_exist_ok=True)
    sizes = {**_open_clip_config(name), "quick_gelu": quick_gelu}
    told = {**asdict(preprocess), "size": [preprocess.size, preprocess.size]}
    content = {"model_cfg": sizes, "preprocess_cfg": told}
    (folder / "open_clip_config.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
