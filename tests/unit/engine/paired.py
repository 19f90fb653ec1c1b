"""Videos of imaginary features for retrieval: what a text says stands in few frames of many."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.small_models import TEXTS
from tests.unit.engine.captioned import write_manifest
from vcap.engine.encoders import load_encoder
from vcap.features.store import header_bytes, shard_bytes, shard_name

NUM_FRAMES, NUM_TOLD = 12, 2
WIDTH = 128  # of the embedded encoder


def manifest(folder: Path, count: int = 48) -> Path:
    """Records with two captions each; every fourth is for validation, every fifth for a test."""
    rows = [
        {
            "id": f"v{number}",
            "path": f"v{number}.mp4",
            "split": "val" if number % 4 == 3 else "test" if number % 5 == 4 else "train",
            "captions": [{"text": own} for own in texts(number)],
        }
        for number in range(count)
    ]
    return write_manifest(folder / "pairs.jsonl", rows)


def texts(number: int) -> list[str]:
    """Two ways to say what a video shows."""
    plain = TEXTS[number % len(TEXTS)]
    return [plain, f"there is {plain}"]


def store(folder: Path, count: int = 48) -> Path:
    """Features: what the first caption says in two frames, and clutter in the others.

    The clutter of all videos has a direction in common, so that a policy can tell it.
    """
    encoder = load_encoder("tiny")
    draw = np.random.default_rng(0)
    clutter = draw.normal(size=WIDTH)
    items = []
    for number in range(count):
        own_clutter = clutter + draw.normal(0, 1.0, WIDTH)  # which misleads a mean of all frames
        frames = own_clutter + draw.normal(0, 0.1, (NUM_FRAMES, WIDTH))
        told = draw.choice(NUM_FRAMES, NUM_TOLD, replace=False)
        said = encoder.encode_text(texts(number)[:1])[0]
        frames[told] = said / said.std() + draw.normal(0, 0.1, (NUM_TOLD, WIDTH))
        times = np.arange(NUM_FRAMES) / 2
        items.append((f"v{number}", frames.astype(np.float16), times.astype(np.float32)))
    folder.mkdir(parents=True, exist_ok=True)
    made_by = {"encoder": encoder.fingerprint, "sampler": f"uniform {NUM_FRAMES}"}
    (folder / "store.json").write_bytes(header_bytes({**made_by, "decoder": "none"}, WIDTH))
    (folder / shard_name(0)).write_bytes(shard_bytes(items))
    return folder


def parts(folder: Path, **changes: Any) -> dict[str, Any]:
    """A small config of the method; keyword arguments are merged into its parts."""
    if not (folder / "store").exists():
        store(folder / "store")
    policy = {"hidden_width": 64, "head_width": 16}
    found: dict[str, Any] = {
        "method": "retrieval",
        "model": {"num_kept": NUM_TOLD},
        "options": {"policy": policy},
        "data": {"train": str(manifest(folder)), "features": str(folder / "store")},
        "train": {"steps": 2, "batch_size": 12, "learning_rate": 0.003, "device": "cpu"},
    }
    for name, part in changes.items():
        found[name] = {**found[name], **part}
    return found


def told(folder: Path) -> dict[str, Any]:
    """The config of the model that a run made."""
    plain: dict[str, Any] = json.loads((folder / "run" / "model" / "config.json").read_text())
    return plain
