"""Options that several commands share: one name, one meaning, declared once.

The help text names what differs between commands only by its kind; defaults stand at the command.
Panels group the options in `--help`.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

OUTPUT = "Output options"
WORK = "Work options"
FAILURE = "Failure options"
TALK = "Messages"

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="VIDEO|DIR|MANIFEST|-",
        help="Videos, folders of videos, manifests (.jsonl), or `-` for a list on stdin.",
        show_default=False,
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        "--include", metavar="GLOB", help="In folders: only files that match.", show_default=False
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", metavar="GLOB", help="In folders: no files that match.", show_default=False
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder that receives the results; made when absent.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
RequiredOutput = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder that receives the results; made when absent.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Do finished work again and replace files that vcap did not make.",
        rich_help_panel=OUTPUT,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print JSON Lines on stdout, one object a finished item.",
        rich_help_panel=OUTPUT,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        "-n",
        help="Print the settings and what would be done, and do nothing.",
        rich_help_panel=OUTPUT,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="auto|cpu|cuda[:N]", help="Where models run.", rich_help_panel=WORK
    ),
]
Dtype = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option("--dtype", help="Number type that models compute in.", rich_help_panel=WORK),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Videos prepared at the same time; default: the number of processors.",
        show_default=False,
        rich_help_panel=WORK,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        min=1,
        help="What a model computes in one step.",
        show_default=False,
        rich_help_panel=WORK,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="At most N items a split.",
        show_default=False,
        rich_help_panel=WORK,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", min=0, help="Seed of everything drawn.", rich_help_panel=WORK
    ),
]
OnError = Annotated[
    Literal["skip", "stop"],
    typer.Option(
        "--on-error", help="Go on after an item that fails, or stop.", rich_help_panel=FAILURE
    ),
]
MaxErrors = Annotated[
    int | None,
    typer.Option(
        "--max-errors",
        metavar="N",
        min=1,
        help="Stop when N items have failed.",
        show_default=False,
        rich_help_panel=FAILURE,
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed",
        help="Do again what failed in an earlier run, and only that.",
        rich_help_panel=FAILURE,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Warnings and errors only.", rich_help_panel=TALK),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Say more, reasons included.", rich_help_panel=TALK),
]
