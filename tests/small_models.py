"""Models small enough to build in a test, and the folders that hold them."""

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from vcap.engine.domain import fit_domain, save_domain
from vcap.engine.encoders import Preprocess, encoder_config, load_encoder
from vcap.engine.tokenizers import Tokenizer, train_tokenizer
from vcap.models.clip import TowerConfig, build_clip
from vcap.models.lm import LmConfig, build_lm
from vcap.models.prefix import PrefixCaptioner, PrefixConfig

TEXTS = [
    f"a {size} {colour} {shape} {action}."
    for size in ("small", "large")
    for colour in ("red", "green", "blue")
    for shape in ("circle", "star")
    for action in ("spins", "slides to the left", "grows")
]
SIDE = 32


def small_lm(**changes: Any) -> nn.Module:
    """A language model of 2 layers x 16, far enough from uniform that choices are clear."""
    sizes = {"vocabulary": 31, "num_positions": 48, "width": 16, "num_layers": 2, "num_heads": 2}
    return build_lm(LmConfig(**{**sizes, "initializer_range": 0.3, "dropout": 0.0, **changes}))


def small_captioner(seed: int = 0, **changes: Any) -> PrefixCaptioner:
    """A captioner of features 6 wide; keyword arguments go into its `PrefixConfig`."""
    torch.manual_seed(seed)
    sizes = {"feature_width": 6, "prefix_length": 3, "clip_length": 5, "num_layers": 2}
    config = PrefixConfig(**{**sizes, "num_heads": 4, "lm_width": 16, **changes})
    return PrefixCaptioner(config, small_lm()).eval()


def clips(seed: int = 0, num_clips: int = 2, num_frames: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Features [B, T, 6], times [B, T] and a mask [B, T] without padding."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num_clips, num_frames, 6, generator=generator)
    times = torch.arange(num_frames).float().expand(num_clips, -1) / 4
    return features, times, torch.ones(num_clips, num_frames, dtype=torch.bool)


def small_tower(tokenizer: Tokenizer, seed: int = 0) -> tuple[TowerConfig, nn.Module]:
    """Sizes and random weights of an encoder of 32-pixel pictures and 8 numbers."""
    torch.manual_seed(seed)
    vision = {"layers": [1, 1, 1, 1], "width": 4, "image_size": SIDE, "head_width": 32}
    text = {"context_length": 16, "vocab_size": tokenizer.size}
    sizes = TowerConfig(8, vision, {**text, "width": 16, "heads": 2, "layers": 1})
    return sizes, build_clip(sizes)


def write_encoder(folder: Path, seed: int = 0) -> Path:
    """A vcap encoder folder."""
    return _write(_encoder_files(seed), folder)


def write_captioner(folder: Path, **changes: Any) -> Path:
    """A vcap captioner folder with its encoder in the folder `clip` inside.

    Keyword arguments replace parts of its `config.json`.
    """
    _write(_captioner_files(), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


def _write(files: dict[str, bytes], folder: Path) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@cache
def _encoder_files(seed: int) -> dict[str, bytes]:
    tokenizer = train_tokenizer(TEXTS, 300)
    sizes, model = small_tower(tokenizer, seed)
    return {
        "config.json": json.dumps(encoder_config(sizes, Preprocess(size=SIDE))).encode(),
        "tokenizer.json": tokenizer.to_json().encode(),
        "model.safetensors": save(model.state_dict()),
    }


@cache
def _captioner_files() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        encoder = load_encoder(str(write_encoder(Path(folder))), features="grid")
        frames = np.random.default_rng(0).integers(0, 256, (640, SIDE, SIDE, 3), dtype=np.uint8)
        domain = fit_domain(encoder.encode_frames(frames).reshape(160, 4, -1).mean(axis=1))
        save_domain(domain, Path(folder) / "domain.safetensors")
        statistics = (Path(folder) / "domain.safetensors").read_bytes()
    tokenizer = train_tokenizer(TEXTS, 300)
    torch.manual_seed(0)
    lm_sizes = LmConfig(tokenizer.size, 48, 16, 1, 2, 0.0, 0.3)
    sizes = PrefixConfig("transformer", encoder.width, 3, 4, 1, 4, 16)
    model = PrefixCaptioner(sizes, build_lm(lm_sizes))
    weights = {name: value for name, value in model.state_dict().items() if "lm_head" not in name}
    config = {
        "vcap_version": "0.1.0",
        "method": "prefix",
        "model": asdict(sizes),
        "lm": asdict(lm_sizes),
        "encoder": {"name": "clip", "features": "grid", "fingerprint": encoder.fingerprint},
        "sampler": "uniform 4",
        "end_token": True,
        "generation": {"max_length": 12, "num_beams": 3},
        "domain": {"threshold": domain.threshold},
    }
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": save(weights),
        "tokenizer.json": tokenizer.to_json().encode(),
        "domain.safetensors": statistics,
        "README.md": b"# A captioner of rendered shapes\n",
        **{f"clip/{name}": content for name, content in _encoder_files(0).items()},
    }
