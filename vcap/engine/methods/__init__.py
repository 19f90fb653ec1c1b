"""What a method brings to the one training loop; each method is a file of this folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from vcap.engine.schedule import TrainConfig


def always(config: TrainConfig) -> bool:
    """That a method trains on stored features whatever its config says."""
    return True


def never(config: TrainConfig) -> bool:
    """That a method trains on videos or captions whatever its config says."""
    return False


class Method(Protocol):
    """What a method brings to the loop.

    Attributes:
        name: its name in configs and model folders.
        model: what trains; weights without gradient stay as they are and are not in checkpoints.
        best: the validation metric that chooses the best checkpoint, and "max" or "min".
        reads_features: whether it trains on stored features, by its config, which it may refuse:
            nothing has been done by then.
    """

    name: str
    reads_features: Callable[[TrainConfig], bool]
    model: nn.Module
    best: tuple[str, str]

    @property
    def num_batches(self) -> int:
        """Batches of an epoch."""
        ...

    def batch(self, epoch: int, index: int) -> Any:
        """One batch, depending on nothing but the seed and these two."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of `params`, with optional `lr_scale` and `weight_decay`."""
        ...

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Named loss terms, scalars."""
        ...

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        """Weights of terms that do not weigh 1."""
        ...

    def validation_metrics(self) -> dict[str, float]:
        """Scores on the validation data; empty where there is none."""
        ...

    def test_metrics(self) -> dict[str, float]:
        """Scores of the best model on the test data; empty where there is none."""
        ...

    def extra_state(self) -> dict[str, Any]:
        """What else must be resumed, as plain JSON values."""
        ...

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Put back what `extra_state` gave."""
        ...

    def export(self, folder: Path, scores: dict[str, float]) -> None:
        """Write the model folder."""
        ...


class Objective(nn.Module):
    """A method's losses as a forward, which is where precision and devices hook in."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.model = method.model
        self._losses = method.losses

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """A batch -> named scalar losses."""
        return self._losses(batch)
