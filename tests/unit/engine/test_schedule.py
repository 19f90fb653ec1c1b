"""Learning rates and lengths of a training."""

import math

import pytest
from pydantic import ValidationError

from vcap.engine.schedule import (
    DataSettings,
    TrainConfig,
    TrainSettings,
    is_due,
    learning_rate_scale,
    rate_steps,
    total_steps,
    warmup_steps,
)


def scales(total: int, **settings: object) -> list[float]:
    chosen = TrainSettings.model_validate(settings)
    return [round(learning_rate_scale(chosen, step, total), 6) for step in range(total)]


def test_linear_rises_to_one_and_falls_evenly_towards_zero() -> None:
    assert scales(6, warmup=2, schedule="linear") == [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]


def test_cosine_is_one_after_the_warm_up_and_a_half_midway() -> None:
    found = scales(10, warmup=2, schedule="cosine")
    assert found[:3] == [0.0, 0.5, 1.0]
    assert found[6] == 0.5


def test_whole_cosine_is_the_published_formula_whatever_the_length_of_the_run() -> None:
    settings = TrainSettings(warmup=0.1, schedule="whole-cosine")
    for total in (7, 15, 30, 47):
        for step in range(total):
            x = step / total
            wanted = x / 0.1 if x < 0.1 else 0.5 * (1 + math.cos(math.pi * x))
            assert learning_rate_scale(settings, step, total) == pytest.approx(wanted, abs=1e-12)
    counted = TrainSettings(warmup=3, schedule="whole-cosine")
    assert learning_rate_scale(counted, 1, 30) == pytest.approx(1 / 3)


def test_whole_cosine_counts_examples_that_fill_no_batch() -> None:
    settings = TrainSettings(epochs=30, batch_size=64, schedule="whole-cosine")
    total = total_steps(settings, 100 // 64)
    assert rate_steps(settings, total, 100, 1) == 47
    assert rate_steps(settings, total, None, 1) == total == 30
    for other in ({"schedule": "cosine"}, {"epochs": None, "steps": 30}):
        assert rate_steps(settings.model_copy(update=other), 30, 100, 1) == 30
    more = settings.model_copy(update={"accumulation": 2})
    assert rate_steps(more, total_steps(more, 4), 600, 2) == 71


def test_constant_stays_at_one() -> None:
    assert scales(4, warmup=1, schedule="constant") == [0.0, 1.0, 1.0, 1.0]


def test_without_a_warm_up_the_first_step_has_the_full_rate() -> None:
    assert scales(2, warmup=0, schedule="linear") == [1.0, 0.5]


def test_a_warm_up_longer_than_the_run_only_rises_as_in_the_original_captioner() -> None:
    settings = TrainSettings(warmup=5000, schedule="linear")
    last = learning_rate_scale(settings, 1619, 1620)
    assert last * 2e-5 == pytest.approx(6.476e-6)


def test_a_warm_up_below_one_is_a_share_of_the_run() -> None:
    assert warmup_steps(TrainSettings(warmup=0.1), 200) == 20
    assert warmup_steps(TrainSettings(warmup=20), 200) == 20


def test_steps_count_what_accumulation_leaves_of_the_batches() -> None:
    assert total_steps(TrainSettings(epochs=3, accumulation=4), 10) == 7
    assert total_steps(TrainSettings(steps=5, accumulation=4), 10) == 5
    assert total_steps(TrainSettings(), 10) == 100


def test_epochs_and_steps_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="not both"):
        TrainSettings(epochs=1, steps=1)


@pytest.mark.parametrize(
    "wrong", [{"learning_rate": 0}, {"steps": 0}, {"precision": "fp8"}, {"batchsize": 3}]
)
def test_a_setting_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainSettings.model_validate(wrong)


def test_what_happens_every_so_often_happens_at_the_end_too() -> None:
    assert [step for step in range(1, 11) if is_due(step, 4, 10)] == [4, 8, 10]


def test_one_manifest_stands_for_a_list_of_one() -> None:
    assert DataSettings.model_validate({"train": "a.jsonl"}).train == ("a.jsonl",)
    assert DataSettings.model_validate({"train": ["a.jsonl"]}).train == ("a.jsonl",)


def test_a_config_needs_nothing_but_its_method() -> None:
    config = TrainConfig(method="lm")
    assert (config.encoder, config.sampler, config.train.precision) == (
        "tiny",
        "uniform 16",
        "fp32",
    )
