"""Layers import downward only, and nothing heavy is loaded before it is needed."""

from pathlib import Path

import pytest

from tests.rules.sources import FILES, imports, module_of, name_of

PLAIN = {"errors", "types", "__init__"}
DOMAINS = {"video", "features", "data", "models", "metrics", "reports"}
ALLOWED = {
    "cli": {"cli", "engine"} | PLAIN,
    "engine": {"engine"} | DOMAINS | PLAIN,
    "video": {"video"} | PLAIN,
    "features": {"features"} | PLAIN,
    "data": {"data", "video"} | PLAIN,
    "models": {"models"} | PLAIN,
    "metrics": {"metrics"} | PLAIN,
    "reports": {"reports", "video"} | PLAIN,
    "assets": {"assets"} | PLAIN,
    "errors": PLAIN,
    "types": PLAIN,
    "__init__": {"engine"} | PLAIN,
    "__main__": {"cli"} | PLAIN,
}
HEAVY = {
    "accelerate",
    "av",
    "cv2",
    "faiss",
    "matplotlib",
    "open_clip",
    "peft",
    "PIL",
    "scenedetect",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
}
LIGHT_AT_IMPORT = {"__init__", "__main__", "cli", "errors"}
MODULES = {module_of(path) for path in FILES}


def layer(module: str) -> str:
    """The first folder or file below the package."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_downward(path: Path) -> None:
    own = layer(module_of(path))
    for line, name in imports(path):
        if name.split(".")[0] == "vcap" and layer(name) in ALLOWED:
            assert layer(name) in ALLOWED[own], f"{name_of(path)}:{line} imports {name}"


@pytest.mark.parametrize(
    "path", [p for p in FILES if layer(module_of(p)) in LIGHT_AT_IMPORT], ids=name_of
)
def test_what_the_command_line_loads_at_start_is_light(path: Path) -> None:
    for line, name in imports(path, top_level=True):
        assert name.split(".")[0] not in HEAVY, f"{name_of(path)}:{line} imports {name} at start"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_models_and_the_engine_know_torch(path: Path) -> None:
    own = module_of(path)
    if layer(own) in {"models", "engine"} or own == "vcap.data.collate":
        return
    for line, name in imports(path):
        root = name.split(".")[0]
        assert root not in {"torch", "open_clip", "transformers"}, f"{name_of(path)}:{line}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_engine_prints_nothing_and_knows_no_command_line(path: Path) -> None:
    if layer(module_of(path)) in {"cli", "__main__"}:
        return
    for line, name in imports(path):
        assert name.split(".")[0] not in {"typer", "click"}, f"{name_of(path)}:{line}"
    assert "print(" not in path.read_text(encoding="utf-8").replace("fingerprint(", "").replace(
        "console.print(", ""
    ), f"{name_of(path)} prints"


def edges() -> dict[str, set[str]]:
    """Which module imports which when it is loaded."""
    return {
        module_of(path): {name for _, name in imports(path, top_level=True) if name in MODULES}
        - {module_of(path)}
        for path in FILES
    }


def test_no_module_imports_itself_through_others() -> None:
    graph, done = edges(), set[str]()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module in done:
            return
        for target in graph[module]:
            visit(target, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())
