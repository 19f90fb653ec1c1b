"""One command: imported when it is run, with help that groups its options."""

import os
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand

from vcap.cli.values import take_plainly
from vcap.errors import InputError


class Command(TyperCommand):
    """One command; its help groups the options and ends in an example as it was written."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; while completing, leave values as they are: converting them loads pydantic."""
        if not ctx.resilient_parsing:
            take_plainly(self.get_params(ctx))
            return super().parse_args(ctx, args)
        found, ctx.args, _ = self.make_parser(ctx).parse_args(args=args)
        for param in self.get_params(ctx):
            ctx.params[param.name], source = param.consume_value(ctx, found)
            ctx.set_parameter_source(param.name, source)
        ctx._opt_prefixes.update({"-", "--"})
        return list(ctx.args)

    def invoke(self, ctx: Any) -> Any:
        """Run, but not from a folder that was deleted, where libraries end without a word."""
        try:
            os.getcwd()
        except FileNotFoundError:
            raise InputError("the working folder was deleted", hint="cd") from None
        return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, the command's own options, then one section a panel."""
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            name, text = param.get_help_record(ctx) or ("", "")
            if param.param_type_name == "argument":
                panels["Arguments"].append((name.split(" <")[0], text))
            elif name:
                panel = getattr(param, "rich_help_panel", None) or "Options"
                panels.setdefault(panel, []).append((name, text))
        for panel, records in panels.items():
            if records:
                with formatter.section(panel):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The example, unwrapped so that it can be pasted."""
        if self.epilog:
            with formatter.section("Example"):
                for line in self.epilog.strip().splitlines():
                    formatter.write(f"  {line.strip()}\n")


def load(name: str) -> Any:
    """Import one command module and build its command."""
    module = import_module(f"vcap.cli.{name}")
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=Command, epilog=getattr(module, "EXAMPLE", None))(module.command)
    return typer.main.get_command(app)
