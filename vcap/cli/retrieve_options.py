"""The options that only `vcap retrieve` has."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vcap.cli import options

CHOICE = "Choice options"
MOMENT = "Moment options"


def _option(*names: str, panel: str | None = None, **more: Any) -> Any:
    """An option whose default is said in words or is plain."""
    return typer.Option(*names, show_default=False, rich_help_panel=panel, **more)


Queries = Annotated[
    list[str] | None,
    typer.Argument(
        metavar='["A QUERY"|VIDEO|IMAGE|-]...',
        help="Sentences, videos or images to look for, or `-` for many on stdin, one a line.",
        show_default=False,
    ),
]
IndexDir = Annotated[
    str,
    _option("--index", metavar="INDEX", help="What `vcap index` made; `-`: its name is on stdin."),
]
TopK = Annotated[
    int | None, _option("--top-k", "-k", metavar="N", min=1, help="Hits a query; default: 10.")
]
Like = Annotated[
    list[str] | None, _option("--like", metavar="ID", help="Look for what is like a stored video.")
]
Unwanted = Annotated[
    list[str] | None,
    _option("--not", metavar="TEXT", help="Words that hits should be far from.", panel=CHOICE),
]
Threshold = Annotated[
    float | None,
    _option("--threshold", metavar="S", help="No hits with a lower score.", panel=CHOICE),
]
Where = Annotated[
    list[str] | None,
    _option(
        "--where",
        metavar="FIELD=VALUE",
        help="Only records with this: 'split=test', 'folder=trips/rome', 'label=surfing', "
        "'date>=2026-05-01', 'meta.camera!=left'; values may be globs.",
        panel=CHOICE,
    ),
]
Model = Annotated[
    str | None,
    _option(
        "--model",
        metavar="NAME",
        help="The encoder, or where the model of the index lies now; default: as the index says.",
    ),
]
Moments = Annotated[
    bool,
    typer.Option(
        "--moments",
        help="Find the stretch of each video that matches, with its start and end.",
        rich_help_panel=MOMENT,
    ),
]
PerVideo = Annotated[
    int | None,
    _option(
        "--per-video", metavar="N", min=1, help="Moments of one video; default: 1.", panel=MOMENT
    ),
]
Cut = Annotated[
    Path | None,
    _option(
        "--cut",
        metavar="DIR",
        help="Write the moments as clips into DIR.",
        parser=options.path_named,
        panel=MOMENT,
    ),
]
Format = Annotated[
    Literal["text", "jsonl", "html", "m3u", "edl"] | None,
    _option("--format", "-f", help="Of the output; default: text.", panel=options.OUTPUT),
]
OutputFile = Annotated[
    Path | None,
    _option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write here; `-` is stdout.",
        parser=options.path_named,
        panel=options.OUTPUT,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print JSON Lines, one object a hit.", rich_help_panel=options.OUTPUT
    ),
]
