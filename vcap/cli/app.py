"""The `vcap` program: commands loaded one at a time, and the only error boundary."""

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vcap.cli.boundary import guarded
from vcap.cli.command import load

COMMANDS = {
    "download": "Get a data set: a manifest and its videos.",
    "extract": "Write the frames of videos as image files.",
    "encode": "Turn videos into features and keep them in a store.",
    "index": "Make an index of feature stores, for search.",
    "train": "Train a model from a manifest of captioned videos.",
    "caption": "Say in words what happens in a video.",
    "retrieve": "Find videos, and moments in them, by words or by example.",
    "evaluate": "Score predictions against references, by the field's protocols.",
    "doctor": "Check what works here, and name the command that mends what does not.",
}


def learn_shells() -> None:
    """Register the shells that completion can answer, for `_VCAP_COMPLETE=source_bash vcap`."""
    from typer import _completion_classes as shells

    shells.completion_init()
    # our help is plain text: cleaning it with rich would double the time to the first answer
    shells._sanitize_help_text = lambda text: text


class Group(TyperGroup):
    """The program: lists commands from their summaries and imports only the one that is run."""

    def __init__(self, **settings: Any) -> None:
        settings["commands"] = {
            name: TyperCommand(name, short_help=summary, rich_markup_mode=None)
            for name, summary in COMMANDS.items()
        }
        super().__init__(**settings)

    def get_help_option(self, ctx: Any) -> Any:
        """The help flag, False when absent: None would be converted, which loads pydantic."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Replace the summary that stands for a command by the command itself."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name and command is not None else None, rest

    def main(self, *args: Any, **settings: Any) -> Any:
        """Parse and run inside the boundary; every failure leaves as an exit code."""
        given = args[0] if args else settings.pop("args", None)
        words = list(sys.argv[1:] if given is None else given)
        if "_VCAP_COMPLETE" in os.environ:
            learn_shells()
            return super().main(words, prog_name="vcap")
        standalone = settings.pop("standalone_mode", True)
        settings.pop("prog_name", None)

        def run() -> Any:
            with self.make_context("vcap", words, **settings) as context:
                return self.invoke(context)

        code = guarded(run, words)
        if standalone:
            sys.exit(code)
        return code


app = typer.Typer(
    name="vcap",
    cls=Group,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="vcap COMMAND --help says more about a command.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from vcap import __version__

        typer.echo(f"vcap {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Captions for videos, and videos for words, from one command line."""


def main() -> None:
    """Run the program as the console script does."""
    app(prog_name="vcap")
