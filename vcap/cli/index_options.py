"""Options that `vcap index` alone has."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vcap.cli.options import OUTPUT, path_named

CHANGE = "Change options"

Stores = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="STORE|-",
        help="Feature stores, or `-` for what `vcap encode --json` prints; not needed with "
        "--remove and --sync.",
        show_default=False,
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="INDEX",
        help="Folder of the index; made when absent.",
        parser=path_named,
    ),
]
Kind = Annotated[
    Literal["auto", "flat", "hnsw", "ivfpq"] | None,
    typer.Option(
        "--kind",
        help="How vectors are searched; auto (default): exactly (flat) below 100,000, "
        "compressed (ivfpq) and compared exactly at the end above.",
        show_default=False,
    ),
]
Level = Annotated[
    Literal["video", "frame", "text"] | None,
    typer.Option(
        "--level",
        help="What a hit is; default: text of a store of texts, else video.",
        show_default=False,
    ),
]
Aggregate = Annotated[
    str | None,
    typer.Option(
        "--aggregate",
        metavar="mean|MODEL",
        help="What makes one vector of the frames of a video: their mean (default), or a model: "
        "tiny (rendered shapes only), a folder of `vcap train retrieval`, or AdaCLIP's own .pth.",
        show_default=False,
    ),
]
Recall = Annotated[
    float | None,
    typer.Option(
        "--recall",
        metavar="R",
        help="Part of the 10 nearest that a search must find, 0 to 1; default 0.95.",
        show_default=False,
    ),
]
Add = Annotated[
    bool,
    typer.Option("--add", help="Put in the videos that the index lacks.", rich_help_panel=CHANGE),
]
Remove = Annotated[
    list[str] | None,
    typer.Option(
        "--remove",
        metavar="ID",
        help="Take a video out; may be repeated.",
        show_default=False,
        rich_help_panel=CHANGE,
    ),
]
Sync = Annotated[
    bool,
    typer.Option(
        "--sync",
        help="Follow the stores: what came, went (file gone, too), changed or moved.",
        rich_help_panel=CHANGE,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Build anew, whatever is there.", rich_help_panel=OUTPUT)
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object about the index.", rich_help_panel=OUTPUT),
]
