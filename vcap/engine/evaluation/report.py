"""What an evaluation tells: scores, how they came about, and what was wrong with the input."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from vcap.engine.evaluation.problems import Problems
from vcap.metrics.outcome import Outcome


class Problem(BaseModel):
    """How often something was wrong, and where first."""

    count: int
    examples: list[str]


class Scores(BaseModel):
    """What `vcap evaluate --json` prints; docs/outputs.md says what each field means."""

    model_config = ConfigDict(extra="forbid")

    task: str
    scores: dict[str, float | None] = Field(
        description="headline figures by name; null where there is none"
    )
    intervals: dict[str, tuple[float | None, float | None]] | None = Field(
        default=None, description="confidence interval of each figure, with --ci"
    )
    comparison: dict[str, Any] | None = Field(
        default=None, description="paired test against other predictions, with --compare"
    )
    unavailable: dict[str, str] = Field(description="metric: why it was not computed")
    stamp: dict[str, Any] = Field(description="protocol, versions, tokenizer, counts")
    problems: dict[str, Problem] = Field(description="kind: count and first places")
    warnings: list[str]
    details: dict[str, Any] = Field(description="such as one value a tIoU threshold")


@dataclass(frozen=True)
class Report:
    """The result of one evaluation.

    Attributes:
        task: as asked for.
        outcome: the figures, and how to resample them.
        problems: what was wrong with the input.
        stamp: protocol, versions, tokenizer, numbers of videos, of missing and extra predictions.
        groups: the video that each unit belongs to, in the order of the outcome's units.
    """

    task: str
    outcome: Outcome
    problems: Problems = field(default_factory=Problems)
    stamp: dict[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as docs/schemas/scores.json describes them."""
        return {
            "task": self.task,
            "scores": dict(self.outcome.scores),
            "unavailable": dict(self.outcome.unavailable),
            "stamp": self.stamp,
            "problems": self.problems.as_dict(),
            "warnings": list(self.outcome.warnings),
            "details": self.outcome.details,
        }

    def items(self) -> Iterator[dict[str, Any]]:
        """One object a unit, with the video it belongs to where that is another id."""
        for item, video in zip(self.outcome.items, self.groups, strict=True):
            yield item if item["id"] == video else {**item, "video": video}

    def group_numbers(self) -> npt.NDArray[np.int64]:
        """The number of each unit's video, [U]: what is drawn when scores are resampled."""
        known: dict[str, int] = {}
        numbers = [known.setdefault(name, len(known)) for name in self.groups]
        return np.asarray(numbers, dtype=np.int64)


def groups_of(outcome: Outcome) -> tuple[str, ...]:
    """The video of each unit: what its item says in `video`, else the unit itself."""
    return tuple(str(item.get("video", item["id"])) for item in outcome.items)
