"""Small retrieval models: folders as `vcap train retrieval` leaves them, and AdaCLIP's files."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.small_models import write_encoder
from vcap.engine.clip_words import SIZE
from vcap.engine.encoders import load_encoder
from vcap.engine.retriever import build_policy
from vcap.models.clip import TowerConfig, build_clip
from vcap.models.policy import PolicyConfig
from vcap.models.retrieval import RetrievalConfig, RetrievalModel, to_original

WIDTH = 8  # of the small encoder
NUM_FRAMES, NUM_KEPT = 6, 2
FLAGS: dict[str, Any] = {
    "use_policy": True, "policy_backbone": "raw", "rescale_size": 8, "frame_agg": "mlp",
    "top_k": NUM_KEPT, "num_frm": NUM_FRAMES, "max_txt_len": 6, "dataset": "msrvtt",
}  # fmt: skip


def small_policy(**changes: Any) -> PolicyConfig:
    """A policy on 8 x 8 grey pixels; keyword arguments go into its config."""
    sizes = {"num_frames": NUM_FRAMES, "feature_width": WIDTH, "raw_side": 8}
    narrow = {"hidden_width": 64, "head_width": 16}
    return PolicyConfig(**{"encoder": "raw", **sizes, **narrow, **changes})


def random_model(
    seed: int, sizes: RetrievalConfig, policy: PolicyConfig | None, clip: Any = None
) -> RetrievalModel:
    """A model whose choices of frames are clear."""
    torch.manual_seed(seed)
    model = RetrievalModel(sizes, policy and build_policy(policy), clip)
    if model.policy is not None:
        for part in model.policy.head.parameters():
            torch.nn.init.normal_(part, std=0.5)
    return model.eval()


def write_retrieval(
    folder: Path,
    policy: PolicyConfig | None = None,
    *,
    seed: int = 0,
    towers: str = "none",
    max_tokens: int | None = None,
    sampler: str = f"uniform {NUM_FRAMES}",
    **sizes: Any,
) -> Path:
    """A model folder; `encoder` inside makes the features, `text` reads texts where it is trained.

    Other keyword arguments go into its `RetrievalConfig`.
    """
    counts = {"num_frames": NUM_FRAMES, "num_kept": NUM_KEPT}
    config = RetrievalConfig(**{"feature_width": WIDTH, **counts, **sizes})
    encoder = _named(write_encoder(folder / "encoder", seed=0))
    words = config.word_aggregation != "none"
    text = _named(write_encoder(folder / "text", seed=1)) if towers == "text" or words else None
    clip = load_encoder(str(folder / "text")).towers if words else None
    model = random_model(seed, config, policy, clip)
    state = model.state_dict()
    kept = {k: v for k, v in state.items() if not k.startswith("clip.") or k == "clip.logit_scale"}
    save_file({k: v.contiguous() for k, v in kept.items()}, folder / "model.safetensors")
    told = {
        "method": "retrieval",
        "model": asdict(config),
        "policy": policy and asdict(policy),
        "towers": towers,
        "encoder": {**encoder, "features": "embedding"},
        "text_encoder": text,
        "max_tokens": max_tokens,
        "sampler": sampler,
    }
    (folder / "config.json").write_text(json.dumps(told))
    return folder


def _named(folder: Path) -> dict[str, Any]:
    """An encoder inside of a model folder, as `config.json` names it."""
    return {"name": folder.name, "fingerprint": load_encoder(str(folder)).fingerprint}


def original_weights(seed: int = 0, policy: PolicyConfig | None = None, **sizes: Any) -> Any:
    """Random weights of a small model under the original's names."""
    vision = {"layers": 1, "width": 64, "head_width": 64, "image_size": 32, "patch_size": 16}
    text = {"context_length": 10, "vocab_size": SIZE, "width": 64, "heads": 1, "layers": 5}
    torch.manual_seed(seed)
    clip = build_clip(TowerConfig(16, vision, text, quick_gelu=True))
    counts = {"num_frames": NUM_FRAMES, "num_kept": NUM_KEPT}
    config = RetrievalConfig(**{"feature_width": 16, **counts, **sizes})
    state = random_model(seed, config, policy or small_policy(), clip).state_dict()
    return dict(to_original(state, config.header))


def write_original(path: Path, weights: dict[str, Tensor] | None = None, **flags: Any) -> Path:
    """A checkpoint file of AdaCLIP; keyword arguments are flags of its run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = original_weights() if weights is None else weights
    held = {"arch": "AdaCLIP", "epoch": 1, "state_dict": state, "config": FLAGS | flags}
    torch.save({**held, "optimizer": {"state": {}, "param_groups": []}}, path)
    return path
