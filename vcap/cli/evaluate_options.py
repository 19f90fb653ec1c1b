"""The options that only `vcap evaluate` has, grouped by the task that they concern."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vcap.cli import options
from vcap.engine.evaluation.tasks import TASKS

SURE = "How sure the scores are"
CAPTION, DENSE, OTHER = "Caption options", "Dense options", "Options of other tasks"

_SUMMARIES = "\n".join(f"{name}: {task.summary}" for name, task in TASKS.items())


def _option(*names: str, panel: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, show_default=False, rich_help_panel=panel, **more)


Task = Annotated[
    Literal["caption", "dense", "paragraph", "retrieval", "grounding", "qa", "classification"],
    typer.Argument(
        metavar="TASK", help=f"\b\nWhat was predicted:\n{_SUMMARIES}", show_default=False
    ),
]
Predictions = Annotated[
    str,
    typer.Argument(
        metavar="PREDICTIONS|-",
        help="What a model made: records, the field's JSON files, a matrix; `-` reads stdin.",
        show_default=False,
    ),
]
References = Annotated[
    list[Path],
    _option("--references", "-r", metavar="FILE", help="The truth; again for a second annotator."),
]
Metrics = Annotated[
    list[str] | None,
    _option("--metrics", metavar="A,B", help="Only these; one that cannot be had is an error."),
]
Split = Annotated[
    str | None, _option("--split", metavar="S", help="Only this split of the references.")
]
Missing = Annotated[
    Literal["zero", "skip"] | None,
    _option("--missing", help="Videos without prediction count zero (default), or are left out."),
]
Java = Annotated[
    bool | None,
    _option("--java/--no-java", help="Official tokenizer and METEOR; default: where Java is."),
]
FullTable = Annotated[
    bool,
    _option("--full-paraphrase-table", help="METEOR reads all of its table: slower, same scores."),
]

Ci = Annotated[bool, _option("--ci", help="Add 95 % intervals, from resampled videos.", panel=SURE)]
Compare = Annotated[
    str | None,
    _option("--compare", metavar="OTHER", help="Test against other predictions.", panel=SURE),
]
Resamples = Annotated[
    int,
    typer.Option(
        "--resamples", metavar="N", min=1, help="How often to draw.", rich_help_panel=SURE
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", min=0, help="Seed of the draws.", rich_help_panel=SURE),
]

Raw = Annotated[
    bool, _option("--raw", help="No tokenizer: words are between blanks.", panel=CAPTION)
]
PerClip = Annotated[
    bool, _option("--per-clip", help="Score each clip alone and take the mean.", panel=CAPTION)
]
Protocol = Annotated[
    Literal["2018", "2021"] | None,
    _option("--protocol", help="Of which year; default: 2018.", panel=DENSE),
]
Tiou = Annotated[
    str | None,
    _option("--tiou", metavar="T,T", help="Thresholds; default: the protocol's.", panel=DENSE),
]
MaxProposals = Annotated[
    int | None,
    _option("--max-proposals", metavar="N", min=1, help="A video; default: 1000.", panel=DENSE),
]
Cider = Annotated[
    Literal["video", "corpus"] | None,
    _option("--cider", help="Document frequencies within a video (default) or all.", panel=DENSE),
]
SodaFiles = Annotated[
    Literal["mean", "merged", "best"] | None,
    _option("--soda-files", help="Several references: mean (default) of each alone.", panel=DENSE),
]
Ties = Annotated[
    Literal["worst", "best"] | None,
    _option("--ties", help="retrieval: equal scores count against (default) or for.", panel=OTHER),
]
TextFeatures = Annotated[
    str | None,
    _option("--text-features", metavar="STORE", help="retrieval: the texts' store.", panel=OTHER),
]
Grounding = Annotated[
    Literal["activitynet", "charades"] | None,
    _option(
        "--grounding", help="grounding: form of the files; default: seen by them.", panel=OTHER
    ),
]

Format = Annotated[
    Literal["table", "json", "html"] | None,
    _option("--format", "-f", help="Of the output; default: table.", panel=options.OUTPUT),
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
PerItem = Annotated[
    Path | None,
    _option(
        "--per-item",
        metavar="FILE",
        help="A JSON line a video, query or question.",
        panel=options.OUTPUT,
    ),
]
Json = Annotated[
    bool, _option("--json", help="Print the scores as one JSON object.", panel=options.OUTPUT)
]
Force = Annotated[
    bool, _option("--force", help="Replace files that vcap did not make.", panel=options.OUTPUT)
]
