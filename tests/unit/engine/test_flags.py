"""Flags over the environment over defaults."""

import pytest

from vcap.engine.caption import CaptionSettings
from vcap.engine.encode import EncodeSettings
from vcap.engine.flags import from_flags
from vcap.errors import ConfigError


def test_a_flag_that_was_not_given_leaves_what_the_environment_says() -> None:
    environment = {"VCAP_SET__model": "mine", "VCAP_SET__device": "cpu"}
    given = {"model": None, "device": "auto", "features": "grid"}
    settings = from_flags(EncodeSettings, given, unless="auto", environment=environment)
    assert (settings.model, settings.device, settings.features) == ("mine", "cpu", "grid")


def test_a_flag_is_stronger_than_the_environment() -> None:
    environment = {"VCAP_SET__model": "mine"}
    assert from_flags(EncodeSettings, {"model": "x: y"}, environment=environment).model == "x: y"


def test_settings_of_other_commands_in_the_environment_are_passed_over() -> None:
    environment = {"VCAP_SET__train__epochs": "3", "VCAP_SET__shard_size": "8", "HOME": "/"}
    assert from_flags(CaptionSettings, {}, environment=environment) == CaptionSettings()
    assert from_flags(EncodeSettings, {}, environment=environment).shard_size == 8


def test_a_value_of_the_wrong_kind_names_where_it_stands() -> None:
    with pytest.raises(ConfigError, match="VCAP_SET__shard_size"):
        from_flags(EncodeSettings, {}, environment={"VCAP_SET__shard_size": "many"})
