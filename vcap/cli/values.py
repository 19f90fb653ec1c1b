"""Values of options that are what was typed: text, and words to choose from.

typer converts every value, also an absent one, with pydantic, whose import takes longer than
`vcap retrieve --like` takes to search. What needs no conversion is taken as it is here.
"""

from typing import Any, Literal, get_args, get_origin


class Plain:
    """Stands in for what converts the values of one parameter, until there is something to do."""

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        """The value as typer would give it."""
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        if (
            many
            and isinstance(value, list | tuple)
            and all(_is_plain(each, param) for each in value)
        ):
            return [*value]
        if not many and _is_plain(value, param):
            return value
        param._runtime_param = None  # typer makes its own when it is asked for
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _is_plain(value: Any, param: Any) -> bool:
    """Whether a value, or one of a list, stays as it is."""
    declared = param.type_descriptor
    kind = declared.annotation
    if get_origin(kind) is list:
        [kind] = get_args(kind)
    if not isinstance(value, str) or declared.parameter_info.parser is not None:
        return False
    return kind is str or (get_origin(kind) is Literal and value in get_args(kind))


def take_plainly(params: list[Any]) -> None:
    """Let parameters convert nothing that is plain."""
    for param in params:
        if getattr(param, "_runtime_param", param) is None:
            param._runtime_param = Plain()
