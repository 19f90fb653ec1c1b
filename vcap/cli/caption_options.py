"""The options that only `vcap caption` has: what is captioned, and how it is put into words."""

from math import inf
from typing import Annotated, Any, Literal

import typer

from vcap.cli import options

WORDS = "How captions are worded"


def _option(*names: str, panel: str | None = None, **more: Any) -> Any:
    return typer.Option(*names, show_default=False, rich_help_panel=panel, **more)


def _list_models(wanted: bool) -> None:
    if wanted:
        from vcap.engine.caption import model_lines

        typer.echo("\n".join(model_lines()))
        raise typer.Exit


def _above_zero(value: float | None) -> float | None:
    if value is not None and not 0 < value < inf:
        raise typer.BadParameter(f"{value:g} is not a number above 0.")
    return value


Model = Annotated[
    str | None,
    _option(
        "--model",
        metavar="NAME",
        help="tiny (the default), a model folder, a checkpoint file, or hf:ORG/NAME.",
    ),
]
ListModels = Annotated[
    bool,
    _option(
        "--list-models",
        help="Print the models that have a name, and which are here.",
        callback=_list_models,
        is_eager=True,
    ),
]
Every = Annotated[
    str | None, _option("--every", metavar="10s", help="A caption for every 10s, 1m, ...")
]
Scenes = Annotated[bool, _option("--scenes", help="A caption for every shot.")]

NumCaptions = Annotated[
    int | None,
    _option(
        "--num-captions",
        metavar="N",
        min=1,
        help="Different captions of each, best first; default: 1.",
        panel=WORDS,
    ),
]
Strategy = Annotated[
    Literal["beam", "greedy", "sample"] | None,
    _option("--strategy", help="Search, or draw; default: the model's own.", panel=WORDS),
]
Beam = Annotated[
    int | None,
    _option(
        "--beam",
        metavar="N",
        min=1,
        help="Width of the search; default: the model's own.",
        panel=WORDS,
    ),
]
TopP = Annotated[
    float | None,
    _option(
        "--top-p",
        metavar="P",
        max=1,
        callback=_above_zero,
        help="sample: draw from the likeliest words that make up P.",
        panel=WORDS,
    ),
]
TopK = Annotated[
    int | None,
    _option(
        "--top-k", metavar="K", min=1, help="sample: draw from the K likeliest words.", panel=WORDS
    ),
]
Temperature = Annotated[
    float | None,
    _option(
        "--temperature",
        metavar="T",
        callback=_above_zero,
        help="Below 1: surer words; above: more variety.",
        panel=WORDS,
    ),
]
RepetitionPenalty = Annotated[
    float | None,
    _option(
        "--repetition-penalty",
        metavar="X",
        callback=_above_zero,
        help="Above 1: words are less likely to come again.",
        panel=WORDS,
    ),
]
MinLength = Annotated[
    int | None,
    _option("--min-length", metavar="N", min=0, help="Fewest tokens, end included.", panel=WORDS),
]
MaxLength = Annotated[
    int | None,
    _option("--max-length", metavar="N", min=1, help="Most tokens, end included.", panel=WORDS),
]
Seed = Annotated[
    int | None,
    _option("--seed", metavar="N", min=0, help="sample: seed of the draws.", panel=WORDS),
]

Formats = Annotated[
    list[str] | None,
    _option(
        "--format",
        "-f",
        metavar="txt|srt|vtt|tsv|json|jsonl|html|all",
        help="Write files of this format; may be given more than once.",
        panel=options.OUTPUT,
    ),
]
Beside = Annotated[
    bool,
    _option("--beside", help="Write files beside each video.", panel=options.OUTPUT),
]
