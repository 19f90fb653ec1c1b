"""A small encoder with blocks in both towers, and rendered videos for it to look at."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from tests.small_models import TEXTS
from tests.small_videos import make_video
from tests.unit.engine.captioned import write_manifest
from vcap.engine.encode import encode
from vcap.engine.encoders import Preprocess, encoder_config
from vcap.engine.schedule import TrainConfig
from vcap.engine.tokenizers import train_tokenizer
from vcap.models.clip import TowerConfig, build_clip

SIDE, WIDTH, NUM_BLOCKS = 32, 16, 2
NUM_FRAMES, NUM_KEPT, BATCH = 4, 2, 4


def sizes(vocabulary: int = 300) -> TowerConfig:
    """Two transformers of two blocks each."""
    vision = {"layers": NUM_BLOCKS, "width": 16, "image_size": SIDE, "patch_size": 16}
    text = {"context_length": 24, "vocab_size": vocabulary, "width": 16, "heads": 2}
    return TowerConfig(WIDTH, {**vision, "head_width": 8}, {**text, "layers": NUM_BLOCKS})


def write_encoder(folder: Path) -> Path:
    """A vcap encoder folder."""
    folder.mkdir(parents=True)
    tokenizer = train_tokenizer(TEXTS, 300)
    torch.manual_seed(0)
    towers = sizes(tokenizer.size)
    told = encoder_config(towers, Preprocess(size=SIDE))
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "tokenizer.json").write_text(tokenizer.to_json())
    (folder / "model.safetensors").write_bytes(save(build_clip(towers).state_dict()))
    return folder


def write_videos(folder: Path) -> Path:
    """A manifest of ten videos with two captions each: eight for training, one each for others."""
    rows = []
    for number in range(10):
        path = make_video(folder / f"v{number}.mp4", number, num_frames=6)
        texts = [TEXTS[number], f"there is {TEXTS[number]}"]
        split = {8: "val", 9: "test"}.get(number, "train")
        captions = [{"text": text} for text in texts]
        rows.append({"id": f"v{number}", "path": path.name, "split": split, "captions": captions})
    return write_manifest(folder / "videos.jsonl", rows)


def write_sources(folder: Path) -> Path:
    """An encoder, videos and a store of their features, below one folder."""
    write_encoder(folder / "clip")
    manifest = write_videos(folder / "videos")
    made_by = {"model": str(folder / "clip"), "sampler": f"uniform {NUM_FRAMES}", "device": "cpu"}
    encode([manifest], folder / "store", **made_by)
    return folder


def parts(folder: Path, **changes: Any) -> dict[str, Any]:
    """A small config of the method on such sources; keyword arguments are merged into its parts.

    With towers that do not both train, the features are those of the store.
    """
    encoder, manifest = folder / "clip", folder / "videos" / "videos.jsonl"
    policy = {"hidden_width": 64, "head_width": 8}
    found: dict[str, Any] = {
        "method": "retrieval",
        "encoder": str(encoder),
        "sampler": f"uniform {NUM_FRAMES}",
        "model": {"num_kept": NUM_KEPT},
        "options": {"policy": policy, "towers": "both", "tower_rate": 1.0},
        "data": {"train": [str(manifest)]},
        "train": {"steps": 2, "batch_size": BATCH, "learning_rate": 0.01, "device": "cpu"},
    }
    for name, part in changes.items():
        found[name] = {**found[name], **part} if isinstance(part, dict) else part
    if found["options"]["towers"] != "both":
        found["data"].setdefault("features", [str(folder / "store")])
    return found


def look(name: str, **changes: Any) -> dict[str, Any]:
    """Options of a policy that looks at pictures."""
    raw = {"raw_side": 8} if name == "raw" else {}
    return {"encoder": name, "hidden_width": 64, "head_width": 8, **raw, **changes}


def config(folder: Path, **changes: Any) -> TrainConfig:
    """The same, read as the command reads it."""
    return TrainConfig.model_validate(parts(folder, **changes))


def weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a model folder or an encoder folder."""
    found: dict[str, Tensor] = load_file(path / "model.safetensors")
    return found


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """The names of tensors that are not what they were, to the bit."""
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}
