"""Several evaluations of the same videos become one."""

import numpy as np
import pytest

from vcap.metrics.outcome import Outcome, Weights, merge


def outcome(name: str, values: list[float], units: tuple[str, ...] = ("a", "b")) -> Outcome:
    """Mean of the values under a name."""

    def rescore(weights: Weights) -> dict[str, float]:
        return {name: float(weights @ np.array(values) / weights.sum())}

    return Outcome(
        units=units,
        scores=rescore(np.ones(len(units))),
        rescore=rescore,
        items=[
            {"id": unit, "scores": {name: value}} for unit, value in zip(units, values, strict=True)
        ],
        protocol={name: "mean"},
        warnings=("odd input",),
    )


def test_merged_scores_items_and_resampling_stand_side_by_side() -> None:
    both = merge([outcome("x", [0.0, 1.0]), outcome("y", [1.0, 3.0])])
    assert both.scores == {"x": 0.5, "y": 2.0}
    assert both.items[1] == {"id": "b", "scores": {"x": 1.0, "y": 3.0}}
    assert both.rescore(np.array([0.0, 2.0])) == {"x": 1.0, "y": 3.0}
    assert both.protocol == {"x": "mean", "y": "mean"}
    assert both.warnings == ("odd input",)


def test_outcomes_over_other_units_are_refused() -> None:
    with pytest.raises(ValueError, match="same units"):
        merge([outcome("x", [0.0, 1.0]), outcome("y", [1.0, 3.0], units=("b", "a"))])
    with pytest.raises(ValueError, match="same units"):
        merge([])
