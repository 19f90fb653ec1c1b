"""Intervals and paired tests from resampled videos."""

from typing import Any

import numpy as np
import pytest

from vcap.metrics.bootstrap import draws, intervals, paired
from vcap.metrics.outcome import Outcome


def mean_of(values: list[float], name: str = "F1") -> Outcome:
    """An outcome whose one score is the weighted mean of its units' values."""
    array = np.array(values)

    def rescore(weights: Any) -> dict[str, float]:
        total = weights.sum()
        return {name: float(weights @ array / total) if total else float("nan")}

    units = tuple(f"v{number}" for number in range(len(values)))
    items: list[dict[str, Any]] = [{"id": unit, "scores": {}} for unit in units]
    return Outcome(units, rescore(np.ones(len(values))), rescore, items)


@pytest.fixture
def spread() -> Outcome:
    """400 values around 0.5 with a standard deviation of 0.1."""
    return mean_of(list(np.random.default_rng(1).normal(0.5, 0.1, 400)))


def test_the_interval_is_that_of_the_mean(spread: Outcome) -> None:
    low, high = intervals(spread)["F1"]
    assert low < spread.scores["F1"] < high
    # two standard errors of a mean of 400 values to each side
    assert high - low == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)


def test_a_higher_level_gives_a_wider_interval(spread: Outcome) -> None:
    narrow, wide = intervals(spread, level=0.5)["F1"], intervals(spread, level=0.99)["F1"]
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_the_seed_decides_the_draws(spread: Outcome) -> None:
    assert intervals(spread, seed=3) == intervals(spread, seed=3)
    assert intervals(spread, seed=3) != intervals(spread, seed=4)


def test_equal_items_leave_no_doubt() -> None:
    assert intervals(mean_of([0.25] * 9), resamples=50)["F1"] == (0.25, 0.25)


def test_units_of_one_video_are_drawn_together() -> None:
    groups = np.array([0, 1, 0, 2, 1])
    for weights in draws(groups, 20, seed=0):
        assert weights[0] == weights[2]
        assert weights[1] == weights[4]
        assert weights[[0, 1, 3]].sum() == 3


def test_captions_of_few_videos_are_less_sure_than_as_many_videos(spread: Outcome) -> None:
    values = [0.2] * 10 + [0.8] * 10
    by_video = intervals(mean_of(values), np.repeat([0, 1, 2, 3], 5))["F1"]
    alone = intervals(mean_of(values))["F1"]
    assert by_video[1] - by_video[0] > alone[1] - alone[0]


def test_draws_without_a_value_are_left_out() -> None:
    outcome = mean_of([0.5, 0.5])

    def rescore(weights: Any) -> dict[str, float]:
        return {"F1": float("nan") if weights[0] == 0 else 0.5}

    some = Outcome(outcome.units, outcome.scores, rescore, outcome.items)
    assert intervals(some, resamples=30)["F1"] == (0.5, 0.5)


def test_a_score_without_any_value_has_no_interval() -> None:
    outcome = mean_of([0.5, 0.5])
    never = Outcome(outcome.units, {"F1": float("nan")}, lambda _: {}, outcome.items)
    assert np.isnan(intervals(never, resamples=5)["F1"]).all()
    assert np.isnan(paired(never, never, resamples=5)["F1"]["p"])


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="a group for each of 2 units"):
        intervals(mean_of([0.1, 0.2]), np.array([0, 1, 2]))


def test_nothing_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="0 units"):
        intervals(Outcome((), {}, lambda _: {}, []))


def test_the_same_candidate_differs_by_nothing(spread: Outcome) -> None:
    assert paired(spread, spread, resamples=100)["F1"] == {
        "difference": 0.0,
        "low": 0.0,
        "high": 0.0,
        "p": 1.0,
    }


def test_a_rounding_error_is_no_difference(spread: Outcome) -> None:
    nearly = mean_of([0.1 + 0.2, 0.3])
    assert paired(nearly, mean_of([0.3, 0.1 + 0.2]), resamples=100)["F1"]["p"] == 1.0


def test_a_small_but_steady_gain_is_sure(spread: Outcome) -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    noise = np.random.default_rng(2).normal(0.01, 0.005, 400)
    result = paired(mean_of(list(values + noise)), mean_of(list(values)))["F1"]
    assert result["difference"] == pytest.approx(0.01, abs=0.001)
    assert result["low"] > 0
    assert result["p"] == pytest.approx(1 / 1001)
    # unpaired, the same gain drowns in the spread of the videos
    low, high = intervals(mean_of(list(values)))["F1"]
    assert high - low > result["difference"]


def test_a_gain_by_chance_is_not_sure() -> None:
    generator = np.random.default_rng(5)
    first, second = generator.normal(0.5, 0.1, 50), generator.normal(0.5, 0.1, 50)
    result = paired(mean_of(list(first)), mean_of(list(second)))["F1"]
    assert result["low"] < 0 < result["high"]
    assert result["p"] > 0.05


def test_turning_the_comparison_round_turns_its_signs_round() -> None:
    first, second = mean_of([0.1, 0.4, 0.5, 0.9]), mean_of([0.2, 0.2, 0.7, 0.6])
    there, back = paired(first, second)["F1"], paired(second, first)["F1"]
    assert there["difference"] == -back["difference"]
    assert there["low"] == pytest.approx(-back["high"])
    assert there["p"] == pytest.approx(back["p"], abs=0.01)


def test_only_scores_that_both_have_are_compared() -> None:
    assert paired(mean_of([0.1, 0.2], "CIDEr"), mean_of([0.1, 0.2]), resamples=5) == {}


def test_other_units_are_refused() -> None:
    with pytest.raises(ValueError, match="same units"):
        paired(mean_of([0.1, 0.2]), mean_of([0.1, 0.2, 0.3]))
