"""`vcap doctor`: what works here, and the command that mends what does not."""

from dataclasses import asdict
from typing import Annotated

import typer

from vcap.cli import options
from vcap.cli.output import echo_json

EXAMPLE = "vcap doctor"
MARKS = {"ok": ("ok", "green"), "absent": ("absent", "yellow"), "broken": ("BROKEN", "red")}

Online = Annotated[
    bool, typer.Option("--online", help="Ask the model hub over the network whether it answers.")
]


def command(online: Online = False, as_json: options.Json = False) -> None:
    """Check decoder, disk, torch, GPU, weights, search, Java, metrics and model hub.

    Each line that is not ok names the command that mends it. The exit code is 0 when captioning
    works, and 5 otherwise. Nothing is sent anywhere unless you say --online.
    """
    from vcap.engine.doctor import check_all, works

    checks = []
    for check in check_all(online):
        checks.append(check)
        if as_json:
            echo_json(asdict(check))
            continue
        mark, colour = MARKS[check.state]
        typer.echo(f"{check.name:<11} {typer.style(f'{mark:<7}', fg=colour)} {check.detail}")
        if check.mend:
            typer.echo(f"{'':<11} {'':<7} try: {check.mend}")
    if not works(checks):
        raise typer.Exit(5)
