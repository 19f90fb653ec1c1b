"""Several evaluations of the same videos become one."""

import numpy as np
import pytest

from vcap.metrics.outcome import Outcome, Weights, merge, only, within


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


def test_scores_may_be_kept_by_name_also_when_resampled() -> None:
    both = merge([outcome("x", [0.0, 1.0]), outcome("y", [1.0, 3.0])])
    kept = only(both, ["y", "unknown"])
    assert kept.scores == {"y": 2.0}
    assert kept.rescore(np.array([0.0, 2.0])) == {"y": 3.0}


def test_units_that_count_nothing_can_be_left_out() -> None:
    values = np.array([0.0, 1.0, 0.5])

    def rescore(weights: Weights) -> dict[str, float]:
        counted = weights * [0.0, 1.0, 1.0]
        return {"x": float(counted @ values / counted.sum())}

    items = [{"id": unit, "scores": {}} for unit in "abc"]
    whole = Outcome(tuple("abc"), {"x": 0.75}, rescore, items)
    left = within(whole, {"b", "c", "elsewhere"})
    assert left.units == ("b", "c")
    assert [item["id"] for item in left.items] == ["b", "c"]
    assert left.rescore(np.ones(2)) == left.scores == {"x": 0.75}
    assert left.rescore(np.array([3.0, 1.0])) == {"x": 0.875}
    assert within(whole, "abc") is whole
