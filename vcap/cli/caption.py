"""`vcap caption`: videos in, words out."""

from typing import Any

import typer

from vcap.cli import caption_options as own
from vcap.cli import options
from vcap.cli.boundary import words_in
from vcap.cli.output import conclude, echo_json, echo_plan

EXAMPLE = "vcap caption sample"


def command(
    inputs: options.Inputs,
    *,
    model: own.Model = None,
    list_models: own.ListModels = False,
    every: own.Every = None,
    scenes: own.Scenes = False,
    num_captions: own.NumCaptions = None,
    strategy: own.Strategy = None,
    beam: own.Beam = None,
    top_p: own.TopP = None,
    top_k: own.TopK = None,
    temperature: own.Temperature = None,
    repetition_penalty: own.RepetitionPenalty = None,
    min_length: own.MinLength = None,
    max_length: own.MaxLength = None,
    seed: own.Seed = None,
    stream: options.Stream = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    limit: options.Limit = None,
    checksum: options.Checksum = False,
    formats: own.Formats = None,
    output: options.Output = None,
    beside: own.Beside = False,
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
    given = {**locals(), "scenes": scenes or None}  # a setting has the name of its flag
    from vcap.engine.caption import caption_settings
    from vcap.engine.caption_files import open_files
    from vcap.engine.inputs import gather

    settings = caption_settings(given)
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
