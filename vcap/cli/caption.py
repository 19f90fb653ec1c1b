"""`vcap caption`: videos in, words out."""

from typing import Annotated, Any

import typer

from vcap.cli import options
from vcap.cli.boundary import words_in
from vcap.cli.output import conclude, echo_json, echo_plan

EXAMPLE = "vcap caption sample"


def _list_models(wanted: bool) -> None:
    if wanted:
        from vcap.engine.caption import model_lines

        typer.echo("\n".join(model_lines()))
        raise typer.Exit


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="tiny (the default), a model folder, a checkpoint file, or hf:ORG/NAME.",
        show_default=False,
    ),
]
ListModels = Annotated[
    bool,
    typer.Option(
        "--list-models",
        help="Print the models that have a name, and which are here.",
        callback=_list_models,
        is_eager=True,
    ),
]
Every = Annotated[
    str | None,
    typer.Option(
        "--every", metavar="10s", help="A caption for every 10s, 1m, ...", show_default=False
    ),
]
Scenes = Annotated[bool, typer.Option("--scenes", help="A caption for every shot.")]
Beam = Annotated[
    int | None,
    typer.Option(
        "--beam",
        metavar="N",
        min=1,
        help="Width of the search; default: the model's own.",
        show_default=False,
    ),
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        metavar="txt|srt|vtt|tsv|json|jsonl|all",
        help="Write files of this format; may be given more than once.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
Beside = Annotated[
    bool,
    typer.Option("--beside", help="Write files beside each video.", rich_help_panel=options.OUTPUT),
]


def command(
    inputs: options.Inputs,
    *,
    model: Model = None,
    list_models: ListModels = False,
    every: Every = None,
    scenes: Scenes = False,
    beam: Beam = None,
    stream: options.Stream = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    limit: options.Limit = None,
    checksum: options.Checksum = False,
    formats: Formats = None,
    output: options.Output = None,
    beside: Beside = False,
    force: options.Force = False,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    workers: options.Workers = None,
    batch_size: options.BatchSize = None,
    on_error: options.OnError = "skip",
    max_errors: options.MaxErrors = None,
    retry_failed: options.RetryFailed = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Say in words what happens in videos.

    Prints the captions; with --json one object a video. With -f it writes files instead, to the
    folder -o or beside each video; with files, run again it does only what is missing.
    """
    from vcap.engine.caption import CaptionSettings
    from vcap.engine.caption_files import open_files
    from vcap.engine.flags import from_flags
    from vcap.engine.inputs import gather

    given = {"model": model, "every": every, "scenes": scenes or None, "beam": beam}
    given |= {"stream": stream, "batch_size": batch_size, "device": device, "dtype": dtype}
    settings = from_flags("caption", CaptionSettings, given, unless="auto")
    stdin = words_in()
    sources = gather(inputs, stdin=stdin, include=include or (), exclude=exclude or (), limit=limit)
    places: dict[str, Any] = {"folder": output, "beside": beside, "force": force}
    files = open_files(sources, formats or (), **places, retry_failed=retry_failed)
    if dry_run:
        told = {"output": files and files.folder, "videos": len(sources)}
        return echo_plan({**settings.model_dump(), **told}, as_json)
    rules: dict[str, Any] = {"on_error": on_error, "max_errors": max_errors, "force": force}
    rules |= {"retry_failed": retry_failed, "workers": workers, "checksum": checksum}
    summary = _run(sources, settings, files, rules, as_json, quiet, verbose)
    conclude(summary, "videos", quiet, kept=files is not None)


def _run(
    sources: Any, settings: Any, files: Any, rules: Any, as_json: bool, quiet: bool, verbose: bool
) -> Any:
    """Caption with a bar on stderr, captions on stdout, and an ear for Ctrl-C."""
    from vcap.engine.caption import caption_with, lines
    from vcap.engine.reporter import make_reporter
    from vcap.engine.run import listen

    def echo(key: str, prediction: dict[str, Any]) -> None:
        if as_json:
            echo_json(prediction)
        elif files is None:
            typer.echo("\n".join(lines(prediction, name=key if len(sources) > 1 else "")))

    reporter = make_reporter(quiet, verbose)
    with listen(reporter) as stop:
        return caption_with(
            settings, sources, files=files, reporter=reporter, on_result=echo, stop=stop, **rules
        )
