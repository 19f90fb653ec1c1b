"""A captioner with random weights as a model folder: small, quick, and the same every time."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

WORDS = "a red blue green circle square star slides spins grows left right up down and the"


def make_model(folder: Path, sampler: str = "uniform 4", threshold: float | None = None) -> Path:
    """Write a captioner whose encoder is the folder `clip` inside it."""
    import torch
    from safetensors.torch import save_file

    from vcap.engine.domain import Domain, save_domain
    from vcap.engine.encoders import load_encoder
    from vcap.engine.tokenizers import train_tokenizer
    from vcap.models.lm import LmConfig, build_lm
    from vcap.models.prefix import PrefixCaptioner, PrefixConfig

    folder.mkdir(parents=True, exist_ok=True)
    make_encoder(folder / "clip")
    encoder = load_encoder(str(folder / "clip"), features="grid")
    tokenizer = train_tokenizer([WORDS] * 4, 300)
    torch.manual_seed(0)
    lm = LmConfig(tokenizer.size, num_positions=32, width=32, num_layers=1, num_heads=2)
    sizes = PrefixConfig(
        feature_width=encoder.width, prefix_length=2, clip_length=4, num_layers=1, num_heads=2,
        lm_width=32,
    )  # fmt: skip
    model = PrefixCaptioner(sizes, build_lm(lm))
    for parameter in model.parameters():  # far from one another, so that videos differ
        parameter.data += 0.3 * torch.randn_like(parameter)
    save_file(unshared(model.state_dict()), folder / "model.safetensors")
    (folder / "tokenizer.json").write_text(tokenizer.to_json())
    config = {
        "method": "prefix",
        "model": asdict(sizes),
        "lm": asdict(lm),
        "encoder": {"name": "clip", "features": "grid", "fingerprint": encoder.fingerprint},
        "generation": {"num_beams": 2, "max_length": 6},
        "sampler": sampler,
        "end_token": True,
    }
    if threshold is not None:
        width = encoder.width
        domain = Domain(np.zeros(width, np.float32), np.eye(width, dtype=np.float32), threshold)
        save_domain(domain, folder / "domain.safetensors")
        config["domain"] = {"threshold": threshold}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def make_encoder(folder: Path, seed: int = 0) -> Path:
    """Write an encoder of 32 x 32 pixels and 16 dimensions."""
    import torch
    from safetensors.torch import save_file

    from vcap.engine.encoders import Preprocess, encoder_config
    from vcap.engine.tokenizers import train_tokenizer
    from vcap.models.clip import TowerConfig, build_clip

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer([WORDS] * 4, 300)
    torch.manual_seed(seed)
    tower = TowerConfig(
        embed_dim=16,
        vision_cfg={"layers": [1, 1, 1, 1], "width": 8, "image_size": 32, "head_width": 32},
        text_cfg={
            "context_length": 16, "vocab_size": tokenizer.size, "width": 16, "heads": 2, "layers": 1,
        },
    )  # fmt: skip
    save_file(unshared(build_clip(tower).state_dict()), folder / "model.safetensors")
    (folder / "tokenizer.json").write_text(tokenizer.to_json())
    config = encoder_config(tower, Preprocess(size=32))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def unshared(state: dict) -> dict:  # type: ignore[type-arg]
    """Each tensor once, in memory of its own; the name that comes first keeps a tied one."""
    seen: set[int] = set()
    found = {}
    for name, tensor in state.items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            found[name] = tensor.detach().clone().contiguous()
        seen.add(tensor.data_ptr())
    return found


def make_video(path: Path, seed: int, num_frames: int = 12, rate: int = 4) -> Path:
    """Write a small video of coloured squares that move."""
    from vcap.video.write import write_mp4

    draws = np.random.default_rng(seed)
    colour, ground = draws.integers(0, 256, (2, 3), dtype=np.uint8)
    frames = np.empty((num_frames, 48, 64, 3), np.uint8)
    frames[:] = ground
    for number, frame in enumerate(frames):
        left = (3 * number + int(draws.integers(4))) % 48
        frame[16:32, left : left + 16] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mp4(path, frames, frames_per_second=rate)
    return path
