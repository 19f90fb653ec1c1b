"""Manifests for training tests: captions of imaginary videos, or a few rendered ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from vcap.features.store import header_bytes, shard_bytes, shard_name

COLOURS, SHAPES = ("red", "green", "blue"), ("star", "ring")
SIZES = {"width": 16, "num_layers": 1, "num_heads": 2, "num_positions": 40}
WIDTH, NUM_FRAMES = 8, 4


def record(number: int, split: str | None = None) -> dict[str, Any]:
    """A record whose captions and slots follow from its number; four of five are for training."""
    colour, shape = COLOURS[number % 3], SHAPES[number % 2]
    texts = [f"a {colour} {shape} spins", f"there is a {colour} {shape} that rotates"]
    return {
        "id": f"v{number}",
        "path": f"v{number}.mp4",
        "split": split or ("train", "train", "val", "train", "test")[number % 5],
        "captions": [{"text": text} for text in texts],
        "meta": {"colour": colour, "shape": shape, "novel": number % 10 == 9},
    }


def write_manifest(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    return path


def captions(folder: Path, count: int = 60) -> Path:
    """A manifest of imaginary videos."""
    return write_manifest(folder / "captions.jsonl", [record(number) for number in range(count)])


def store(folder: Path, count: int = 60, nan: str = "") -> Path:
    """Features of the same videos: the slots, hidden behind some noise."""
    draw = np.random.default_rng(0)
    items = []
    for number in range(count):
        features = draw.normal(0, 0.1, (NUM_FRAMES, WIDTH))
        features[:, number % 3] += 2.0
        features[:, 4 + number % 2] += 2.0
        if nan == f"v{number}":
            features[1, 1] = np.nan
        times = np.arange(NUM_FRAMES) / 2
        items.append((f"v{number}", features.astype(np.float16), times.astype(np.float32)))
    folder.mkdir(parents=True, exist_ok=True)
    encoder = {"name": "made-up", "features": "embedding", "weights": "0"}
    made_by = {"encoder": encoder, "sampler": f"uniform {NUM_FRAMES}", "decoder": "none"}
    (folder / "store.json").write_bytes(header_bytes(made_by, WIDTH))
    (folder / shard_name(0)).write_bytes(shard_bytes(items))
    return folder


def rendered(folder: Path, counts: dict[tuple[str, str], int]) -> Path:
    """A manifest of rendered videos: (subset, split) -> how many."""
    from vcap.data.shapes import FRAMES_PER_SECOND, describe, draw
    from vcap.data.shapes import record as tell
    from vcap.video.write import write_mp4

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for (subset, split), count in counts.items():
        for index in range(count):
            scene = describe(0, subset, split, index)
            path = folder / f"{subset}-{split}-{index}.mp4"
            write_mp4(path, np.stack(list(draw(scene))), frames_per_second=FRAMES_PER_SECOND)
            rows.append(tell(scene, path.name).dump())
    return write_manifest(folder / "m.jsonl", rows)
