"""`vcap encode`: videos in, a feature store out."""

from pathlib import Path
from typing import Any

import typer

from vcap.cli import encode_options as own
from vcap.cli import options
from vcap.cli.boundary import words_in
from vcap.cli.output import conclude, echo_json, echo_plan

EXAMPLE = "vcap encode sample -o features --frames 16"


def command(
    inputs: options.Inputs,
    *,
    output: options.RequiredOutput,
    model: own.Model = None,
    fps: own.Fps = None,
    frames: own.NumFrames = None,
    sampler: options.Sampler = None,
    fast_frames: options.FastFrames = False,
    exact_pixels: options.ExactPixels = False,
    stream: options.Stream = None,
    features: own.Features = None,
    text: own.Text = False,
    imported: own.Import = False,
    include: options.Include = None,
    exclude: options.Exclude = None,
    limit: options.Limit = None,
    checksum: options.Checksum = False,
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
    """Turn videos into features and keep them in a store, for `train` and for search.

    Run it again and only what is missing is done. Prints the store's path; with --json one object
    a video.
    """
    from vcap.engine.encode import EncodeSettings, choose_sampler
    from vcap.engine.flags import from_flags

    if text or imported:
        own.refuse_idle("--text" if text else "--import", locals())
    given: dict[str, Any] = {"model": model, "features": features, "batch_size": batch_size}
    given |= {"sampler": choose_sampler(fps, frames, sampler), "device": device, "dtype": dtype}
    given |= {"fast_frames": fast_frames or None, "exact_pixels": exact_pixels or None}
    settings = from_flags("encode", EncodeSettings, given | {"stream": stream}, unless="auto")
    rules: dict[str, Any] = {"on_error": on_error, "max_errors": max_errors, "force": force}
    rules |= {"retry_failed": retry_failed} | ({} if text else {"checksum": checksum})
    if imported:
        run, things, settings = _stored(inputs, text, limit, settings)
    elif text:
        run, things = _texts(inputs, limit)
    else:
        run, things = _videos(inputs, include=include or (), exclude=exclude or (), limit=limit)
        rules["workers"] = workers
    if dry_run:
        return _tell(settings, output, things, as_json)
    summary = _run(run, things, output, settings, rules, as_json, quiet, verbose)
    if not as_json and not summary.interrupted:
        typer.echo(output)
    conclude(summary, "texts" if text else "videos", quiet)


def _tell(settings: Any, output: Path, things: Any, as_json: bool) -> None:
    from vcap.engine.selecting import shown

    echo_plan({**shown(settings).model_dump(), "output": output, "inputs": len(things)}, as_json)


def _texts(inputs: list[str], limit: int | None) -> tuple[Any, Any]:
    from vcap.engine.encode_text import encode_text, gather_texts

    return encode_text, gather_texts(inputs, stdin=words_in())[:limit]


def _stored(inputs: list[str], text: bool, limit: int | None, settings: Any) -> tuple[Any, ...]:
    from vcap.engine.import_features import assumed, gather_features, import_features
    from vcap.errors import UsageError

    if text:
        raise UsageError("--text and --import contradict each other")
    things = gather_features(inputs, limit=limit)
    return import_features, things, assumed(things, settings)


def _videos(inputs: list[str], **choice: Any) -> tuple[Any, Any]:
    from vcap.engine.encode import encode
    from vcap.engine.inputs import gather

    return encode, gather(inputs, stdin=words_in(), **choice)


def _run(
    run: Any,
    things: Any,
    output: Path,
    settings: Any,
    rules: Any,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> Any:
    """Encode with a bar on stderr, an object a finished item on stdout, and an ear for Ctrl-C."""
    from vcap.engine.encode import tell_default
    from vcap.engine.reporter import make_reporter
    from vcap.engine.run import listen

    paths = {thing.id: str(thing.path) for thing in things if hasattr(thing, "path")}

    def echo(key: str, num_rows: int) -> None:
        place = {"path": paths[key], "frames": num_rows} if paths else {"texts": num_rows}
        echo_json({"id": key, **place, "store": str(output.absolute())})

    reporter = make_reporter(quiet, verbose)
    tell_default(settings, reporter)
    with listen(reporter) as stop:
        return run(
            things,
            output,
            reporter=reporter,
            on_result=echo if as_json else None,
            stop=stop,
            **settings.model_dump(exclude_unset=True),
            **rules,
        )
