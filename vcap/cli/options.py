"""Options that several commands share: one name, one meaning, declared once.

Defaults stand at the command. Panels group the options in `--help`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def _unset(*names: str, panel: str | None = None, **more: Any) -> Any:
    """An option without a default that is worth showing."""
    return typer.Option(*names, show_default=False, rich_help_panel=panel, **more)


def _set(*names: str, panel: str | None = None, **more: Any) -> Any:
    """An option whose default is shown."""
    return typer.Option(*names, rich_help_panel=panel, **more)


def path_named(word: str | Path) -> Path:
    """The path that a word names; none is not the current folder.

    Raises:
        BadParameter: the word is empty.
    """
    if not str(word):
        raise typer.BadParameter("the name is empty")
    return Path(word)


OUTPUT = "Output options"
WORK = "Work options"
FAILURE = "Failure options"
TALK = "Messages"

_FOLDER = _set(
    "--output",
    "-o",
    metavar="DIR",
    help="Folder that receives the results; made when absent.",
    parser=path_named,
    panel=OUTPUT,
)
_INPUTS = typer.Argument(
    metavar="VIDEO|DIR|MANIFEST|-",
    help="Videos, folders of videos, manifests (.jsonl, MSR-VTT's .json), or `-` for a list on "
    "stdin.",
    show_default=False,
)
_WORKERS = "Items prepared at the same time; default: the number of processors."
_FORCE = "Do finished work again, and replace files that vcap did not make."

Inputs = Annotated[list[str], _INPUTS]
Include = Annotated[
    list[str] | None,
    _unset("--include", metavar="GLOB", help="Only inputs whose id or file name fits."),
]
Exclude = Annotated[
    list[str] | None,
    _unset("--exclude", metavar="GLOB", help="No inputs whose id or file name fits."),
]
Stream = Annotated[
    int | None,
    _unset(
        "--stream",
        metavar="N",
        min=0,
        help="Number of the video stream in the file; default: the one ffmpeg calls best.",
    ),
]
Sampler = Annotated[
    str | None,
    _unset(
        "--sampler",
        metavar="NAME",
        help="Which frames, by name: 'fps 2', 'uniform 16', 'times 1.5,3', all, keyframes, "
        "msrvtt-notebook, adaclip-linspace, adaclip-segments.",
    ),
]
ExactPixels = Annotated[
    bool, _set("--exact-pixels", help="Resize as published numbers were made; slower.")
]
FastFrames = Annotated[
    bool, _set("--fast-frames", help="Take the keyframe before each time: fast, approximate.")
]

Output = Annotated[Path | None, _FOLDER]

RequiredOutput = Annotated[Path, _FOLDER]
Force = Annotated[bool, _set("--force", help=_FORCE, panel=OUTPUT)]
Json = Annotated[
    bool,
    _set("--json", help="Print JSON Lines on stdout, one object a finished item.", panel=OUTPUT),
]
DryRun = Annotated[
    bool,
    _set("--dry-run", "-n", help="Print what would be done, and do nothing.", panel=OUTPUT),
]

Device = Annotated[
    str, _set("--device", metavar="auto|cpu|cuda[:N]", help="Where models run.", panel=WORK)
]
Dtype = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    _set("--dtype", help="Number type that models compute in.", panel=WORK),
]
Workers = Annotated[int | None, _unset("--workers", metavar="N", min=1, help=_WORKERS, panel=WORK)]
BatchSize = Annotated[
    int | None,
    _unset("--batch-size", metavar="N", min=1, help="Items a model sees at once.", panel=WORK),
]
Limit = Annotated[
    int | None, _unset("--limit", metavar="N", min=1, help="At most N items a split.", panel=WORK)
]
Checksum = Annotated[
    bool,
    typer.Option(
        "--checksum", help="Tell inputs by their content, not by time.", rich_help_panel=WORK
    ),
]
Seed = Annotated[
    int, _set("--seed", metavar="N", min=0, help="Seed of everything drawn.", panel=WORK)
]

OnError = Annotated[
    Literal["skip", "stop"],
    _set("--on-error", help="Go on after an item that fails, or stop.", panel=FAILURE),
]
MaxErrors = Annotated[
    int | None,
    _unset("--max-errors", metavar="N", min=1, help="Stop after N failed items.", panel=FAILURE),
]
RetryFailed = Annotated[
    bool,
    _set("--retry-failed", help="Do only what failed in an earlier run.", panel=FAILURE),
]

Quiet = Annotated[bool, _set("--quiet", "-q", help="Warnings and errors only.", panel=TALK)]
Verbose = Annotated[bool, _set("--verbose", "-v", help="Say more, with reasons.", panel=TALK)]
