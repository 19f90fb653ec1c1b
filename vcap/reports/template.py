"""Pages are jinja2 templates beside this file: every word is escaped, every gap is an error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def open_template(name: str, filters: dict[str, Callable[..., Any]] | None = None) -> Any:
    """The template of that file name, with filters of its own."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters |= filters or {}
    return environment.get_template(name)
