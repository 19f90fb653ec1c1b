"""A training small enough for tests, with everything that a resume has to bring back.

As a program, `python -m tests.fault.toy FOLDER SECONDS` trains in a folder, from its newest
checkpoint where it has one.
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vcap.engine.methods import never
from vcap.engine.reporter import Silent
from vcap.engine.run import open_run
from vcap.engine.schedule import TrainSettings
from vcap.engine.trainer import Outcome, train
from vcap.engine.training_data import permutation

SETTINGS = TrainSettings(
    steps=60,
    batch_size=4,
    learning_rate=0.02,
    log_every=4,
    validate_every=15,
    checkpoint_every=10,
    accumulation=2,
    keep=2,
    device="cpu",
)


class Toy:
    """Fits a line through noise that comes from all three random sources, with dropout."""

    name = "toy"
    reads_features = staticmethod(never)
    best = ("error", "min")
    num_batches = 8

    def __init__(self, seconds: float = 0.0) -> None:
        self.model: nn.Module = nn.Sequential(
            nn.Linear(3, 8), nn.Dropout(0.3), nn.BatchNorm1d(8), nn.Linear(8, 1)
        )
        self.seconds = seconds
        self.seen: list[tuple[int, int]] = []
        points = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(40, 3, generator=points)
        self.wanted = self.inputs.sum(dim=1, keepdim=True)

    def batch(self, epoch: int, index: int) -> dict[str, Tensor]:
        self.seen.append((epoch, index))
        rows = torch.from_numpy(permutation(0, epoch, 32)[index * 4 : index * 4 + 4].copy())
        return {"inputs": self.inputs[rows], "wanted": self.wanted[rows]}

    def parameter_groups(self) -> list[dict[str, Any]]:
        first, *rest = self.model.parameters()
        return [{"params": [first], "lr_scale": 0.5}, {"params": rest, "weight_decay": 0.0}]

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        time.sleep(self.seconds)
        noise = random.random() + float(np.random.random()) + torch.rand(())
        guess = self.model(batch["inputs"])
        return {
            "square": (guess - batch["wanted"]).square().mean(),
            "size": guess.abs().mean() * noise,
        }

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {"size": 0.1 * (1 - step / total)}

    def validation_metrics(self) -> dict[str, float]:
        error = (self.model(self.inputs[32:]) - self.wanted[32:]).abs().mean()
        return {"error": float(error)}

    def test_metrics(self) -> dict[str, float]:
        return {f"test/{name}": value for name, value in self.validation_metrics().items()}

    def extra_state(self) -> dict[str, Any]:
        return {"note": "kept"}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        assert state == {"note": "kept"}

    def export(self, folder: Path, scores: dict[str, float]) -> None:
        save_file(dict(self.model.state_dict()), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(scores))


def train_toy(
    folder: Path, kind: type["Toy"] = Toy, *, seconds: float = 0.0, stop: Any = None, **changes: Any
) -> tuple[Outcome, Any]:
    """Train a toy in a folder; gives how it ended and the toy."""
    settings = SETTINGS.model_copy(update=changes)
    with open_run(folder, settings, reporter=Silent(), device="cpu", seed=3, stop=stop) as run:
        toy = kind(seconds)
        return train(toy, settings, run), toy


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a run that has to be equal, by its name: all but clock readings and locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".vcap" not in path.parts and path.name != "timing.jsonl"
    }


if __name__ == "__main__":
    train_toy(Path(sys.argv[1]), seconds=float(sys.argv[2]))
