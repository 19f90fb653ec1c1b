"""Values of options: what is typed is taken as it is where typer would change nothing."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from vcap.cli.command import Command


def program(cls: Any) -> typer.Typer:
    """A program of one command with every kind of value that vcap's commands take."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command(cls=cls)
    def command(
        words: Annotated[list[str] | None, typer.Argument()] = None,
        *,
        name: Annotated[str | None, typer.Option("--name")] = None,
        device: Annotated[str, typer.Option("--device", envvar="DEVICE")] = "auto",
        many: Annotated[list[str] | None, typer.Option("--many")] = None,
        kind: Annotated[Literal["text", "jsonl"] | None, typer.Option("--kind")] = None,
        dtype: Annotated[Literal["auto", "fp32"], typer.Option("--dtype")] = "auto",
        count: Annotated[int | None, typer.Option("--count", min=1)] = None,
        share: Annotated[float | None, typer.Option("--share")] = None,
        folder: Annotated[Path | None, typer.Option("--folder")] = None,
        files: Annotated[list[Path] | None, typer.Option("--files")] = None,
        quiet: Annotated[bool, typer.Option("--quiet")] = False,
        either: Annotated[bool | None, typer.Option("--either/--or")] = None,
        pair: Annotated[tuple[int, int] | None, typer.Option("--pair")] = None,
        upper: Annotated[str | None, typer.Option("--upper", parser=str.upper)] = None,
    ) -> None:
        print(sorted(locals().items(), key=lambda pair: pair[0]))

    return app


@pytest.mark.parametrize(
    "line",
    [
        "",
        "a b -- --c",
        "--name x --name y",
        "--name=",
        "--device cpu --many a --many b",
        "--kind jsonl --dtype fp32",
        "--kind JSONL",
        "--dtype none",
        "--count 3 --share 1e-3",
        "--count 0",
        "--count three",
        "--folder . --files a --files b",
        "--quiet --or",
        "--pair 1 2",
        "--pair 1 x",
        "--upper loud",
        "--nothing",
        "--name",
    ],
)
@pytest.mark.parametrize("environment", [{}, {"DEVICE": "cuda"}])
def test_every_value_is_what_typer_makes_of_it(line: str, environment: dict[str, str]) -> None:
    ours, theirs = (
        CliRunner().invoke(program(cls), line.split(), env=environment) for cls in (Command, None)
    )
    assert (ours.exit_code, ours.stdout) == (theirs.exit_code, theirs.stdout)
    assert ours.stderr.splitlines()[-1:] == theirs.stderr.splitlines()[-1:]


@pytest.mark.parametrize(
    ("line", "loaded"),
    [("a --name x --many b --kind text", "False"), ("--count 3", "True")],
)
def test_only_what_has_to_be_converted_loads_pydantic(line: str, loaded: str) -> None:
    code = (
        "import sys; from vcap.cli.command import Command; from tests.cli.test_values import *; "
        f"program(Command)({line.split()!r}, standalone_mode=False); "
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, loaded), done.stderr
