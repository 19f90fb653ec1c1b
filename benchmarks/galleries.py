"""Stand-ins for large galleries: vectors in clusters, the index of them, an encoder's weights.

Everything is drawn with a fixed seed; what is drawn is the same in every run.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1]))
from vcap.engine.index_generation import Searchable
from vcap.engine.index_write import Block, commit, next_generation, write_rows
from vcap.engine.reporter import Silent
from vcap.features import index_files as files
from vcap.features.index import Index
from vcap.features.index_files import Header
from vcap.features.index_search import unit

Vectors = npt.NDArray[np.float32]

WIDTH = 512
CLUSTERS = 20_000
NOISE = 1.0  # of a vector beside its cluster's centre, as long as the centre
BLOCK = 50_000
VIT_B_32: dict[str, Any] = {
    "embed_dim": WIDTH,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": WIDTH,
        "heads": 8,
        "layers": 12,
    },
}


class Clusters:
    """Vectors around random centres; `count` of a gallery, and queries of the same kind."""

    def __init__(self, count: int, num_clusters: int = CLUSTERS, noise: float = NOISE) -> None:
        """Say how many; nothing is drawn yet but the centres."""
        self.count = count
        self._noise = noise
        draw = np.random.default_rng(0)
        self._centres = draw.standard_normal((num_clusters, WIDTH), dtype=np.float32)

    def blocks(self) -> Iterator[Vectors]:
        """The gallery at length 1, some vectors at a time."""
        for start in range(0, self.count, BLOCK):
            yield self._some(min(BLOCK, self.count - start), seed=start + 1)

    def queries(self, count: int) -> Vectors:
        """Vectors [Q, D] at length 1 that are not in the gallery."""
        return self._some(count, seed=self.count + 10)

    def _some(self, count: int, seed: int) -> Vectors:
        draw = np.random.default_rng(seed)
        found = self._centres[draw.integers(len(self._centres), size=count)]
        found += np.float32(self._noise) * draw.standard_normal(found.shape, dtype=np.float32)
        return unit(found)


def write_index(
    folder: Path,
    vectors: Iterator[Vectors],
    kind: str = "flat",
    fingerprint: Mapping[str, Any] | None = None,
) -> Index:
    """An index of one vector a video as `vcap index` would write it, with no store behind it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    header = Header(
        generation=next_generation(folder),
        kind="flat",
        factory="",
        level="frame",
        aggregation="mean",
        width=WIDTH,
        part_width=WIDTH,
        num_videos=0,
        num_vectors=0,
        num_parts=0,
        num_labels=0,
        search={},
        recall={},
        fingerprint=dict(fingerprint or {}),
        stores=[],
        wanted={"kind": kind, "recall": 0.95},
    )
    place = folder / header.generation
    header = write_rows(place, header, _blocks(vectors))
    shape = (header.num_vectors, WIDTH)
    mapped = files.load_array(place / files.VECTORS, np.dtype("<f4"), shape)
    commit(folder, Searchable(place, header, mapped, Silent()).build())
    return Index.open(folder)


def _blocks(vectors: Iterator[Vectors]) -> Iterator[Block]:
    first = 0
    for some in vectors:
        count = len(some)
        lines = [_line(first + number) for number in range(count)]
        ones = np.ones(count, np.int64)
        yield Block(lines, ones, some, np.zeros(count, np.float32), None)
        first += count


def video_id(number: int) -> str:
    """The id of a video of a gallery."""
    return f"video{number:07d}"


def _line(number: int) -> bytes:
    record = {"path": f"{video_id(number)}.mp4"}
    line = {"id": video_id(number), "digest": "", "store": "", "record": record}
    return f"{json.dumps(line)}\n".encode()


def small(model: Mapping[str, Any] = VIT_B_32) -> dict[str, Any]:
    """The same kind of encoder with one layer, for a check that a script runs."""
    vision = {**model["vision_cfg"], "layers": 1, "image_size": 64}
    return {**model, "vision_cfg": vision, "text_cfg": {**model["text_cfg"], "layers": 1}}


def write_encoder(folder: Path, model: Mapping[str, Any] = VIT_B_32) -> Path:
    """A folder of open_clip with random weights, made once."""
    if (folder / "open_clip_config.json").is_file():
        return folder
    import torch
    from safetensors.torch import save_file

    from vcap.models.clip import TowerConfig, build_clip

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    save_file(build_clip(TowerConfig(**model)).state_dict(), folder / "open_clip_model.safetensors")
    config = {"model_cfg": model, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
