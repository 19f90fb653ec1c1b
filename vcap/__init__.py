"""One command line for video captioning and text-video search."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcap.engine.captioner import load_model as load_model
    from vcap.engine.encode import encode as encode
    from vcap.engine.index import Index as Index
    from vcap.engine.index import index as index

__version__ = "0.1.0"
__all__ = ["Index", "__version__", "encode", "index", "load_model"]

_PUBLIC = {
    "Index": "vcap.engine.index",
    "encode": "vcap.engine.encode",
    "index": "vcap.engine.index",
    "load_model": "vcap.engine.captioner",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import vcap` costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *_PUBLIC})
