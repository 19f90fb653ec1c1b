"""Settings from defaults, a file, the environment and the command line, weakest first.

Every key must be known and every value of its type: what is wrong is told all at once, one line a
key, with where it came from and the nearest key that there is.
"""

import dataclasses
import difflib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import pydantic
import yaml

from vcap.errors import ConfigError

PREFIX = "VCAP_SET__"
SECTIONS = ("caption", "encode", "evaluate", "index", "retrieve")  # commands with own variables
SUFFIXES = (".yaml", ".yml")
Kind = TypeVar("Kind")


class _Loader(yaml.SafeLoader):
    """YAML 1.2 where it matters: `1e-4` is a number, `no` is a word, a key stands once."""

    yaml_implicit_resolvers = {  # noqa: RUF012  the attribute that SafeLoader declares
        first: [(tag, pattern) for tag, pattern in resolvers if "bool" not in tag]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice."""
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"true|false|True|False"), list("tTfF")
)


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text.

    Raises:
        ConfigError: it is not YAML; the message says where.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}" if mark else where
        raise ConfigError(f"{place}: {getattr(error, 'problem', None) or error}") from error
    finally:
        loader.dispose()


def load_settings(
    kind: type[Kind],
    *,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
    section: str | None = None,
) -> Kind:
    """Settings of a kind, from all that may set them.

    Args:
        config: a name in `configs/`, or a file.
        overrides: `a.b=value`, the value as YAML; the strongest.
        flags: values of the command line by name of the setting, as strong.
        environment: `VCAP_SET__a__b=value`; with a section `VCAP_SET__SECTION__a__b=value`.
        section: one of `SECTIONS`; without one, what the environment says to those is passed over.

    Raises:
        ConfigError: a key is unknown or a value wrong; one line each.
    """
    given = _Given()
    if config is not None:
        path = find_config(config)
        given.merge(_read(path), str(path))
    for name, keys in _variables(environment, section):
        given.set(keys, parse_yaml(environment[name], name), name)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {override}: want key=value", hint=f"--set {key or 'a.b'}=1")
        given.set(key.split("."), parse_yaml(text, f"--set {key}"), f"--set {key}")
    for name, value in (flags or {}).items():
        given.set([name], value, flag_of(name))
    return _validated(kind, given.values, given.where)


def flag_of(name: str) -> str:
    """The option of the command line that gives a setting."""
    return f"--{name.replace('_', '-')}"


def _variables(
    environment: Mapping[str, str], section: str | None
) -> Iterator[tuple[str, list[str]]]:
    """The variables that are meant for a section or for no section, each with its keys."""
    for name in sorted(environment):
        if not name.startswith(PREFIX):
            continue
        first, *rest = name.removeprefix(PREFIX).split("__")
        if first == section:
            if not rest:
                raise ConfigError(f"{name}: names no setting", hint=f"export {name}__KEY=VALUE")
            yield name, rest
        elif section is None and first not in SECTIONS:
            yield name, [first, *rest]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(values, Mapping | None):
        raise ConfigError(f"{path}: want keys and values, got {type(values).__name__}")
    return values or {}


@dataclass
class _Given:
    """Values with the source of each."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def merge(self, values: Mapping[str, Any], source: str, above: tuple[str, ...] = ()) -> None:
        for key, value in values.items():
            self.set([*above, str(key)], value, source)

    def set(self, keys: Sequence[str], value: Any, source: str) -> None:
        """Set one key; a mapping is merged into what is there."""
        if isinstance(value, Mapping) and value:
            self.merge(value, source, tuple(keys))
            return
        place = self.values
        for key in keys[:-1]:
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        place[keys[-1]] = value
        self.sources[".".join(keys)] = source

    def where(self, key: str) -> str:
        """Who set a key, or a part of it, or the whole that it is in."""
        while key:
            inside = [s for k, s in self.sources.items() if k == key or k.startswith(f"{key}.")]
            if inside:
                return inside[-1]
            key = key.rpartition(".")[0]
        return "settings"


def fill(kind: type[Kind], mapping: Mapping[str, Any], where: str) -> Kind:
    """A frozen dataclass from a mapping, strictly; fields that are absent keep their default.

    Raises:
        ConfigError: a key is unknown or absent, or a value wrong; `where` is named.
    """
    return _validated(kind, mapping, lambda key: where)


def _validated(kind: type[Kind], values: Mapping[str, Any], where: Callable[[str], str]) -> Kind:
    known = dict(_fields(kind))
    complaints = [
        f"{where(key)}: unknown setting {key}{_nearest(key, known)}"
        for key in _unknown(kind, values)
    ]
    if not complaints:
        try:
            return pydantic.TypeAdapter(kind).validate_json(
                json.dumps(values, default=str), strict=True
            )
        except pydantic.ValidationError as error:
            complaints = [_complaint(detail, where) for detail in _told(error.errors())]
    raise ConfigError("\n".join(complaints))


def _told(details: Sequence[Any]) -> list[Any]:
    """The complaints without those of a list that is too short only for lack of its wrong parts."""
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if detail["type"] != "too_short" or not any(place[:-1] == detail["loc"] for place in places)
    ]


def _complaint(detail: Any, where: Callable[[str], str]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    text = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if detail["type"] == "missing":
        return f"{where(key)}: {key} is absent and has no default"
    given = detail["input"]
    shown = "" if isinstance(given, dict) else f", got {json.dumps(given, default=str)}"
    source = where(key)
    name = "" if not key or source == flag_of(str(detail["loc"][0])) else f"{key}: "
    return f"{source}: {name}{text[:1].lower()}{text[1:]}{shown}"


def _members(kind: Any) -> dict[str, Any]:
    """Names and types of the settings of a model or dataclass; empty for plain values."""
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        return {n: f.annotation for n, f in kind.model_fields.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return {f.name: hints[f.name] for f in dataclasses.fields(kind) if f.init}
    parts = get_args(kind)
    inner = [part for part in parts if part is not type(None)]
    return _members(inner[0]) if len(inner) == 1 and len(parts) == 2 else {}  # X | None


def _fields(kind: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """All keys, dotted."""
    for name, inner in _members(kind).items():
        yield f"{above}{name}", inner
        yield from _fields(inner, f"{above}{name}.")


def _unknown(kind: Any, values: Any, above: str = "") -> Iterator[str]:
    members = _members(kind)
    if not members or not isinstance(values, Mapping):
        return
    for name, value in values.items():
        if name in members:
            yield from _unknown(members[name], value, f"{above}{name}.")
        else:
            yield from _leaves(f"{above}{name}", value)


def _leaves(key: str, value: Any) -> Iterator[str]:
    """The keys of all plain values in a value."""
    if not isinstance(value, Mapping) or not value:
        yield key
        return
    for name, inner in value.items():
        yield from _leaves(f"{key}.{name}", inner)


def _nearest(key: str, known: dict[str, Any]) -> str:
    """The known key that was probably meant: the same last word elsewhere, or a near one."""
    last = key.rpartition(".")[2]
    elsewhere = [name for name in known if name.rpartition(".")[2] == last]
    near = elsewhere or difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if not near:
        lasts = {name.rpartition(".")[2]: name for name in reversed(known)}
        near = [lasts[word] for word in difflib.get_close_matches(last, lasts, n=1)]
    return f"; did you mean {near[0]}?" if near else ""


def dump_yaml(settings: Any) -> str:
    """Settings as YAML, in their own order."""
    if isinstance(settings, pydantic.BaseModel):
        settings = settings.model_dump(mode="json")
    elif dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        settings = dataclasses.asdict(settings)
    plain = json.loads(json.dumps(settings, default=str))  # tuples and paths have no YAML
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def config_folders() -> list[Path]:
    """Where shipped settings are: the checkout's, or those in the installed package."""
    import vcap

    package = Path(vcap.__file__).parent
    return [
        folder for folder in (package.parent / "configs", package / "configs") if folder.is_dir()
    ]


def config_names() -> list[str]:
    """The shipped settings by name."""
    found = {path.stem for folder in config_folders() for path in folder.glob("*.yaml")}
    return sorted(found)


def find_config(name: str | Path) -> Path:
    """The file of a shipped configuration or of a path.

    Raises:
        ConfigError: there is neither; the nearest name is offered.
    """
    path = Path(name)
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        if path.is_file():
            return path
        raise ConfigError(f"no such configuration file: {path}")
    for folder in config_folders():
        for suffix in SUFFIXES:
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    near = difflib.get_close_matches(str(name), config_names(), n=1)
    offer = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(config_names())}"
    raise ConfigError(f"no configuration {name}{offer}")
