"""Sizes, annotations and docstrings that keep every file readable in one sitting."""

import ast
import re
from pathlib import Path
from statistics import median

import pytest

from tests.rules.sources import (
    FILES,
    PACKAGE,
    TEST_FILES,
    Function,
    functions,
    length,
    lines_of,
    name_of,
    tree_of,
)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_stays_short(path: Path) -> None:
    limit = 150 if path.parent.name == "cli" else 400
    assert lines_of(path) <= limit, f"{name_of(path)} has {lines_of(path)} lines"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_function_stays_short(path: Path) -> None:
    long = [f"{f.name} ({length(f)})" for f in functions(path) if length(f) > 60]
    assert not long, f"{name_of(path)}: {', '.join(long)}"


def test_the_middle_function_has_at_most_twelve_lines() -> None:
    assert median(length(f) for path in FILES for f in functions(path)) <= 12


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_argument_and_result_is_annotated(path: Path) -> None:
    for function in functions(path):
        rest = [a for a in (function.args.vararg, function.args.kwarg) if a]
        named = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        bare = [a.arg for a in named + rest if not a.annotation and a.arg not in {"self", "cls"}]
        assert not bare, f"{name_of(path)}:{function.lineno} {function.name}: {bare}"
        assert function.returns is not None, f"{name_of(path)}:{function.lineno} {function.name}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_public_name_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), f"{name_of(path)} has no docstring"
    for node in public(tree_of(path)):
        text = ast.get_docstring(node)
        assert text, f"{name_of(path)}:{node.lineno} {node.name} has no docstring"
        first = text.split("\n\n")[0]
        assert first.rstrip().endswith((".", ":")), f"{name_of(path)}:{node.lineno} {node.name}"


def public(tree: ast.Module | ast.ClassDef) -> list[Function | ast.ClassDef]:
    """Public functions and classes, and the public methods of public classes."""
    found: list[Function | ast.ClassDef] = []
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            found.append(node)
            if isinstance(node, ast.ClassDef):
                found.extend(public(node))
    return found


def test_there_is_at_least_a_line_of_test_for_a_line_of_code() -> None:
    assert sum(map(lines_of, TEST_FILES)) >= sum(map(lines_of, FILES))


def test_tensor_code_states_its_shapes() -> None:
    files = sorted((PACKAGE / "models").rglob("*.py"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    marks = len(re.findall(r"#.*\[[A-Z0-9][A-Za-z0-9*+ ]*(, ?[A-Za-z0-9*+' ]+)*\]", text))
    assert 1000 * marks / len(text.splitlines()) >= 15


def test_folders_stay_two_deep() -> None:
    assert all(len(path.relative_to(PACKAGE).parts) <= 3 for path in FILES)
