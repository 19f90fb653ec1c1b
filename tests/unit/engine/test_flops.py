"""What a video costs, against the figures of the published accounting (spec, section 9)."""

import json
from typing import Any

import pytest

from vcap.engine.flops import (
    encoder_width,
    frame_cost,
    head_cost,
    retrieval_costs,
    sequence_cost,
)
from vcap.engine.schedule import TrainConfig
from vcap.errors import ConfigError, UsageError


def costs(num_frames: int, num_kept: int, **parts: Any) -> dict[str, Any]:
    model = {"num_frames": num_frames, "num_kept": num_kept}
    settings = {"method": "retrieval", "model": model, "encoder": "ViT-B-32:openai", **parts}
    found = retrieval_costs(TrainConfig.model_validate(settings))
    return {cost.policy: cost for cost in found}


@pytest.mark.parametrize(
    ("num_frames", "num_kept", "policy", "total", "all_frames"),
    [(16, 12, 3.7027, 56.64, 70.58), (32, 16, 7.4060, 77.98, 141.16),
     (64, 32, 14.8141, 155.97, 282.31)],
)  # fmt: skip
def test_the_three_recipes_cost_what_was_published(
    num_frames: int, num_kept: int, policy: float, total: float, all_frames: float
) -> None:
    found = costs(num_frames, num_kept)
    assert found["mobilenet_v3_large"].scoring == pytest.approx(policy, abs=1e-4)
    assert found["mobilenet_v3_large"].total == pytest.approx(total, abs=0.006)
    assert found["none"].total == pytest.approx(all_frames, abs=0.006)


def test_an_encoder_costs_what_was_published() -> None:
    assert frame_cost("ViT-B-32:openai") == pytest.approx(4.4111, abs=1e-4)
    assert frame_cost("ViT-B-16:openai") == pytest.approx(17.5778, abs=2e-3)


def test_every_sequence_model_costs_what_was_published() -> None:
    assert sequence_cost("transformer", 16, 1280, 512) == pytest.approx(0.0611, abs=6e-5)
    assert sequence_cost("lstm", 16, 1280, 512) == pytest.approx(0.0589, abs=6e-5)
    assert sequence_cost("bilstm", 16, 1280, 512) == pytest.approx(0.1177, abs=6e-5)
    assert sequence_cost("transformer", 16, 56 * 56, 512) == pytest.approx(0.0763, abs=6e-5)
    assert sequence_cost("none", 16, 1280, 512) == 0
    assert head_cost("mlp", 16, 512, 1024) == pytest.approx(0.0084, abs=6e-5)
    assert costs(16, 12)["mobilenet_v2"].scoring == pytest.approx(
        5.1033 + 0.0611 + 0.0084, abs=2e-4
    )


def test_a_policy_on_features_is_charged_for_every_frame() -> None:
    found = costs(16, 12)["features"]
    assert found.num_encoded == 16
    assert found.total > costs(16, 12)["none"].total
    assert costs(16, 12)["raw"].num_encoded == 12


def test_the_embedded_encoder_is_measured() -> None:
    assert 0 < frame_cost("tiny") < 0.1


def test_settings_that_make_no_model_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_kept"):
        costs(8, 12)


def told(vcap: Any, *settings: str) -> Any:
    """The costs that the command tells, with the embedded encoder."""
    words = [word for setting in settings for word in ("--set", setting)]
    ran = vcap("train", "retrieval", "--flops", "--json", *words)
    assert ran.exit_code == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize(
    ("settings", "num_frames", "num_kept"),
    [
        ([], 16, 8),
        (["model.num_frames=8"], 8, 4),
        (["options.num_used=12"], 12, 6),
        (["sampler=uniform 24", "model.num_kept=7"], 24, 7),
        (["sampler=fps 8", "model.num_frames=6"], 6, 3),
    ],
)
def test_what_is_charged_is_the_model_that_would_be_trained(
    vcap: Any, settings: list[str], num_frames: int, num_kept: int
) -> None:
    found = told(vcap, *settings)
    assert found["none"]["num_encoded"] == num_frames
    assert found["raw"]["num_encoded"] == num_kept
    scoring = sequence_cost("transformer", num_frames, 128, 512)  # 128: the encoder's width
    scoring += head_cost("mlp", num_frames, 512, 1024)
    assert found["features"]["scoring"] == pytest.approx(scoring)


def test_what_no_setting_tells_is_asked_for(vcap: Any) -> None:
    ran = vcap("train", "retrieval", "--flops", "--set", "sampler=fps 8")
    assert ran.exit_code == 2
    assert "model.num_frames: say how many" in ran.stderr


def test_the_width_of_an_encoder_is_known_by_its_name() -> None:
    known = {"tiny": 128, "ViT-B-32:openai": 512, "ViT-L-14:openai": 768, "RN50x4:openai": 640}
    assert {name: encoder_width(name) for name in known} == known
    with pytest.raises(UsageError, match="no encoder named tinny"):
        encoder_width("tinny")


def test_the_command_prints_a_table_without_any_data(vcap: Any) -> None:
    ran = vcap("train", "retrieval", "-c", "adaclip-msrvtt", "--flops")
    assert ran.exit_code == 0, ran.stderr
    rows = [line.split("\t") for line in ran.stdout.splitlines()]
    assert rows[0] == ["policy", "frames encoded", "policy GMACs", "all GMACs"]
    assert ["mobilenet_v3_large", "12", "3.70", "56.64"] in rows
    ran = vcap("train", "retrieval", "-c", "adaclip-didemo", "-o", "nowhere", "--flops", "--json")
    assert json.loads(ran.stdout)["mobilenet_v3_large"]["total"] == pytest.approx(77.98, abs=0.006)


def test_a_folder_is_wanted_where_something_is_written(vcap: Any) -> None:
    for flag in ((), ("--dry-run",)):
        ran = vcap("train", "retrieval", "-c", "adaclip-msrvtt", *flag)
        assert (ran.exit_code, ran.stderr) == (
            2,
            "error: missing option '--output' / '-o'\n  try: vcap train --help\n",
        )


def test_other_methods_have_no_such_table(vcap: Any) -> None:
    ran = vcap("train", "lm", "-o", "nowhere", "--flops")
    assert ran.exit_code == 2
    assert "retrieval" in ran.stderr
