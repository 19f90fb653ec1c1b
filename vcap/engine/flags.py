"""Settings of a command from its flags, over the defaults that a user keeps in the environment."""

import json
import os
from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic

from vcap.engine.settings import PREFIX, load_settings

Model = TypeVar("Model", bound=pydantic.BaseModel)


def from_flags(
    kind: type[Model],
    given: Mapping[str, Any],
    *,
    unless: Any = None,
    environment: Mapping[str, str] = os.environ,
) -> Model:
    """Settings of a kind; a flag that was not given leaves what the environment says.

    Variables of the environment that are meant for other commands are passed over.

    Args:
        given: values by name of the setting.
        unless: the value, besides None, that a flag has when it was not given.

    Raises:
        ConfigError: a value makes no sense.
    """
    mine = {
        name: value
        for name, value in environment.items()
        if name.removeprefix(PREFIX).split("__")[0] in kind.model_fields
    }
    said = {name: value for name, value in given.items() if value not in (None, unless)}
    flags = [f"{name}={json.dumps(value)}" for name, value in said.items()]
    return load_settings(kind, overrides=flags, environment=mine)
