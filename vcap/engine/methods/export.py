"""Model folders: what every method leaves behind when its training is over."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vcap import __version__
from vcap.engine.checkpoint import save_tensors
from vcap.engine.schedule import TrainConfig
from vcap.reports.card import model_card

BUNDLED = "encoder"  # folder of the encoder inside a model folder


def all_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every weight and buffer, frozen ones too, tied ones once."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict().items():
        if tensor.numel() and tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        tensors[name] = tensor.detach().cpu().contiguous()
    return tensors


def write_weights(folder: Path, tensors: Mapping[str, Tensor], config: TrainConfig) -> None:
    """Write model.safetensors in the number type that the config asks for."""
    half = config.train.weights == "fp16"
    stored = {
        name: tensor.half() if half and tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    save_tensors(stored, folder / "model.safetensors")


def write_config(folder: Path, content: Mapping[str, Any]) -> None:
    """Write config.json, which says what the folder is and which version made it."""
    config = {"vcap_version": __version__, **content}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_card(
    folder: Path, config: TrainConfig, scores: Mapping[str, float], content: Mapping[str, Any]
) -> None:
    """Write README.md: the scores as measured, and how to make the model again."""
    settings = config.model_dump(mode="json")
    sources = ", ".join(Path(name).name for name in config.data.train)
    card = {
        "facts": {
            "method": config.method,
            "trained on": sources,
            "seed": config.train.seed,
            "vcap": __version__,
        },
        "command": f"vcap train {config.method} -c config.yaml -o RUN",
        "scores": scores,
        "settings": {"config": settings},
        **content,
        **({"knows": config.knows} if config.knows else {}),
    }
    (folder / "README.md").write_text(model_card(card), encoding="utf-8")


def decay_groups(model: nn.Module, lr_scale: float = 1.0) -> list[dict[str, Any]]:
    """Two optimiser groups: matrices decay, biases and norms do not."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    matrices = [weight for weight in weights if weight.ndim >= 2]
    vectors = [weight for weight in weights if weight.ndim < 2]
    groups = [
        {"params": matrices, "lr_scale": lr_scale},
        {"params": vectors, "lr_scale": lr_scale, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def bundled_encoder(folder: Path, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """How config.json names the encoder; one that is a vcap folder is copied into the model's."""
    name = str(fingerprint["name"])
    source = Path(name).expanduser()
    if (source / "config.json").is_file():
        shutil.copytree(source, folder / BUNDLED, dirs_exist_ok=True)
        name = BUNDLED
    return {"name": name, "features": fingerprint["features"], "fingerprint": dict(fingerprint)}
