"""Flags over the environment over defaults."""

import os

import pytest

from vcap.engine.caption import CaptionSettings
from vcap.engine.encode import EncodeSettings
from vcap.engine.evaluate import EvaluateSettings
from vcap.engine.flags import from_flags
from vcap.errors import ConfigError, UsageError


def test_a_flag_that_was_not_given_leaves_what_the_environment_says() -> None:
    environment = {"VCAP_SET__encode__model": "mine", "VCAP_SET__encode__device": "cpu"}
    given = {"model": None, "device": "auto", "features": "grid"}
    settings = from_flags("encode", EncodeSettings, given, unless="auto", environment=environment)
    assert (settings.model, settings.device, settings.features) == ("mine", "cpu", "grid")


def test_a_flag_is_stronger_than_the_environment() -> None:
    environment = {"VCAP_SET__encode__model": "mine"}
    settings = from_flags("encode", EncodeSettings, {"model": "x: y"}, environment=environment)
    assert settings.model == "x: y"


def test_the_default_of_one_command_is_none_of_another() -> None:
    environment = {
        "VCAP_SET__train__epochs": "3",
        "VCAP_SET__model": "{num_layers: 2}",
        "VCAP_SET__encode__model": "ViT-B-32:openai",
        "HOME": "/",
    }
    assert from_flags("caption", CaptionSettings, {}, environment=environment) == CaptionSettings()
    encode = from_flags("encode", EncodeSettings, {}, environment=environment)
    assert encode == EncodeSettings(model="ViT-B-32:openai")


def test_a_value_of_the_wrong_kind_names_where_it_stands() -> None:
    with pytest.raises(ConfigError, match="VCAP_SET__encode__shard_size"):
        from_flags(
            "encode", EncodeSettings, {}, environment={"VCAP_SET__encode__shard_size": "many"}
        )


def test_a_variable_that_names_no_setting_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"VCAP_SET__encode__shard_sise.*shard_size\?"):
        from_flags("encode", EncodeSettings, {}, environment={"VCAP_SET__encode__shard_sise": "8"})
    with pytest.raises(ConfigError, match="VCAP_SET__encode: names no setting"):
        from_flags("encode", EncodeSettings, {}, environment={"VCAP_SET__encode": "tiny"})


def test_a_path_that_is_not_utf8_is_told_as_such() -> None:
    odd = os.fsdecode(b"models/caf\xe9")
    with pytest.raises(UsageError, match=r"--model models/caf\\udce9: the name is not valid UTF-8"):
        from_flags("caption", CaptionSettings, {"model": odd}, environment={})


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"max_proposals": 0}, "--max-proposals: must be greater than or equal to 1, got 0"),
        ({"tiou": [0.3, 1.5]}, "--tiou: must be less than 1, got 1.5"),
        ({"tiou": [1.5]}, "--tiou: must be less than 1, got 1.5"),
        ({"tiou": [0.5, 0.5]}, "--tiou: a threshold stands twice, got [0.5, 0.5]"),
        ({"missing": "drop"}, "--missing: must be 'zero' or 'skip', got \"drop\""),
    ],
)
def test_a_wrong_value_is_told_once_with_the_option_that_was_given(
    given: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError) as told:
        from_flags("evaluate", EvaluateSettings, given, environment={})
    assert told.value.message == complaint


def test_a_list_in_the_environment_that_is_too_short_says_so() -> None:
    name = "VCAP_SET__evaluate__metrics"
    with pytest.raises(ConfigError, match=f"{name}: metrics: tuple should have at least 1 item"):
        from_flags("evaluate", EvaluateSettings, {}, environment={name: "[]"})


@pytest.mark.parametrize("setting", ["beam", "batch_size"])
def test_a_size_of_nothing_in_the_environment_is_refused(setting: str) -> None:
    name = f"VCAP_SET__caption__{setting}"
    with pytest.raises(ConfigError, match=f"{name}: .*greater than or equal to 1, got 0"):
        from_flags("caption", CaptionSettings, {}, environment={name: "0"})
