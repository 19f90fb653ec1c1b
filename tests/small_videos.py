"""Small videos, and an encoder and a captioner that need no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.video.picture import Size
from vcap.video.sample import parse_sampler


class ColourEncoder:
    """Stands for an encoder without loading torch: the mean colour of a frame, and its middle."""

    name = "colour"
    width = 6
    batch_size = 16
    size = Size(width=32, height=32)

    def __init__(self, weights: str = "c0") -> None:
        self.fingerprint = {"name": self.name, "weights": weights, "features": "embedding"}
        self.num_calls = 0

    def encode_frames(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """pixels [T, H, W, 3] -> features [T, 6]."""
        self.num_calls += 1
        mean, middle = pixels.mean(axis=(1, 2)), pixels[:, 16, 16]
        return np.concatenate([mean, middle], axis=1).astype(np.float32) / 255

    def encode_text(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """N sentences -> [N, 6]: lengths of their first six words."""
        rows = [[len(word) for word in text.split()[:6]] for text in texts]
        return np.array([row + [0] * (6 - len(row)) for row in rows], np.float32).reshape(-1, 6)


@dataclass(frozen=True)
class Said:
    """What a captioner says of a clip."""

    text: str
    score: float


@dataclass(frozen=True)
class Search:
    """Settings of generation, as a model has them."""

    num_beams: int = 3
    strategy: str = "beam"
    num_return: int = 1
    max_length: int = 67
    min_length: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int = 0


class ColourCaptioner:
    """Stands for a captioner: says the mean colour of a clip, so that each clip is told apart."""

    def __init__(self, sampler: str = "uniform 4", threshold: float | None = None) -> None:
        self.name = "colours"
        self.encoder = ColourEncoder()
        self.sampler = parse_sampler(sampler)
        self.settings = Search()
        self.threshold = threshold
        self.model = self
        self.batch_size = 16
        self.calls: list[int] = []
        self.asked: list[Any] = []

    def state_dict(self) -> dict[str, Any]:
        """Weights, for the digest."""
        return {"colour": np.ones(1, np.float32)}

    def generate(self, clips: Sequence[Any], settings: Any = None) -> list[list[Said]]:
        """For each clip as many captions as asked for; what is drawn comes twice."""
        self.calls.append(len(clips))
        means = [clip.features[:, :3].mean(axis=0) for clip in clips]
        texts = [" ".join(str(round(100 * float(part))) for part in mean) for mean in means]
        settings = settings or self.settings
        self.asked.append(settings)
        ends = [f" {'again ' * number}".rstrip() for number in range(settings.num_return)]
        if settings.strategy == "sample":
            ends = [f" {settings.seed >> 32} {number // 2}" for number in range(len(ends))]
        score = -1.0 / settings.num_beams
        return [
            [Said(f"colour {text}{end}", score - place) for place, end in enumerate(ends)]
            for text in texts
        ]

    def distance(self, features: npt.NDArray[np.floating]) -> float:
        """The mean brightness."""
        return float(features[:, :3].mean())


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
