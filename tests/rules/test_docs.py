"""The documents say what the program does, and nothing is declared that they leave out."""

import re
import tomllib
from typing import Any

import pytest

from docs.make_commands import TARGET, page
from tests.rules.sources import REPOSITORY
from vcap.cli.app import COMMANDS

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def plain(requirement: str) -> str:
    """`faiss-gpu` for `faiss-gpu>=1.14; sys_platform == 'linux'`."""
    return re.split(r"[<>=;\[ ]", requirement)[0]


def test_the_page_of_commands_is_what_the_program_says() -> None:
    assert TARGET.read_text(encoding="utf-8") == page(), "run: python docs/make_commands.py"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_with_an_example(name: str, vcap: Any) -> None:
    long, short = vcap(name, "--help"), vcap(name, "-h")
    assert long.exit_code == short.exit_code == 0
    assert long.stdout == short.stdout
    assert f"vcap {name}" in long.stdout.split("Example", 1)[1]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_readme_names_every_command(name: str) -> None:
    assert f"`vcap {name}`" in README


@pytest.mark.parametrize("requirement", PROJECT["dependencies"], ids=plain)
def test_every_dependency_has_its_reason_in_the_readme(requirement: str) -> None:
    table = README.split("| dependency | for |", 1)[1].split("\n\n", 1)[0]
    assert re.search(rf"(?<![\w-]){re.escape(plain(requirement))}(?![\w-])", table)


@pytest.mark.parametrize(
    "requirement", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"], ids=plain
)
def test_every_dependency_is_pinned_for_a_reproducible_install(requirement: str) -> None:
    text = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    assert re.search(rf"^{plain(requirement).lower().replace('_', '-')}==", text, re.MULTILINE)


def test_the_changelog_has_this_version() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{PROJECT['version']}] - " in text


def test_the_readme_starts_with_two_commands_that_do_the_set_up() -> None:
    first, second = re.findall(r"^    (python3 .+)$", README, re.MULTILINE)[:2]
    assert "-m venv" in first and "vcap caption" in first
    assert "-m venv" in second and "pytest" in second
