"""True slots of a data set: which can be scored, their values as numbers, and a loss on them.

Shapes: B clips, T frames, W width, S slots.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vcap.data.shapes.captions import parse_slots
from vcap.metrics.slots import Slots, majority_accuracy, slot_accuracy

ABSENT = -1


class SlotTable:
    """The slots that captions of a data set speak of.

    Attributes:
        names: slots that both the truth and some caption name.
        required: those that every caption names: silence about them is a mistake.
        num_values: slot -> how many values occur.
        values: [N, S] int64, numbers of the values, -1 where a clip has no such slot.
    """

    def __init__(self, truths: Sequence[Slots], texts: Sequence[Sequence[str]]) -> None:
        known = {
            name for truth in truths for name, value in truth.items() if isinstance(value, str)
        }
        # Most data sets have no slots, but captions by the hundred thousand.
        said = [set(parse_slots(text)) for own in texts for text in own] if known else []
        spoken: set[str] = set().union(*said)
        self.names = sorted(known & spoken)
        self.required = [name for name in self.names if all(name in slots for slots in said)]
        kinds = {
            name: sorted({truth[name] for truth in truths if isinstance(truth.get(name), str)})
            for name in self.names
        }
        self.num_values = {name: len(found) for name, found in kinds.items()}
        self.values: npt.NDArray[np.int64] = np.array(
            [[_number(kinds[name], truth.get(name)) for name in self.names] for truth in truths],
            dtype=np.int64,
        )  # [N, S]

    def accuracy(self, candidates: Sequence[str], truths: Sequence[Slots]) -> dict[str, float]:
        """Accuracy by slot of one caption a clip."""
        return slot_accuracy(candidates, truths, parse_slots, self.names, required=self.required)

    def majority(self, truths: Sequence[Slots]) -> dict[str, float]:
        """The majority baseline on the same clips."""
        return majority_accuracy(truths, self.names, required=self.required)


def _number(values: list[Any], value: Any) -> int:
    return values.index(value) if value in values else ABSENT


def slot_loss(heads: nn.ModuleDict, pooled: Tensor, slots: Tensor) -> Tensor:
    """pooled [B, W], slots [B, S] with -1 where absent -> mean cross-entropy over slots []."""
    losses = []
    for column, head in enumerate(heads.values()):
        wanted = slots[:, column]
        each = nn.functional.cross_entropy(
            head(pooled), wanted, ignore_index=ABSENT, reduction="sum"
        )
        losses.append(each / (wanted != ABSENT).sum().clamp(min=1))
    return torch.stack(losses).mean()


def mean_and_most(frames: Tensor, mask: Tensor) -> Tensor:
    """frames [B, T, W], mask [B, T] -> mean and maximum over the real frames [B, 2*W]."""
    real = mask[..., None]
    mean = (frames * real).sum(dim=1) / real.sum(dim=1)
    return torch.cat([mean, frames.masked_fill(~real, -torch.inf).amax(dim=1)], dim=1)
