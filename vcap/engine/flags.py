"""Settings of a command from its flags, over the defaults that a user keeps in the environment."""

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from vcap.engine.settings import flag_of, load_settings
from vcap.errors import UsageError

Kind = TypeVar("Kind")


def from_flags(
    command: str,
    kind: type[Kind],
    given: Mapping[str, Any],
    *,
    unless: Any = None,
    environment: Mapping[str, str] = os.environ,
) -> Kind:
    """Settings of a kind; a flag that was not given leaves what the environment says.

    Args:
        command: whose variables count, those named `VCAP_SET__COMMAND__...`.
        given: values by name of the setting.
        unless: the value, besides None, that a flag has when it was not given.

    Raises:
        ConfigError: a value makes no sense, or a variable names no setting of the command.
        UsageError: a value holds bytes that are no text.
    """
    said = {name: value for name, value in given.items() if value not in (None, unless)}
    for name, value in said.items():
        _refuse_bytes(name, value)
    return load_settings(kind, flags=said, environment=environment, section=command)


def _refuse_bytes(name: str, value: Any) -> None:
    """A path of the command line may hold any bytes; settings are kept as text."""
    shown = str(value).encode(errors="backslashreplace").decode()
    if shown != str(value):
        raise UsageError(f"{flag_of(name)} {shown}: the name is not valid UTF-8")
