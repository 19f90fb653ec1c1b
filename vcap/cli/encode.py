"""`vcap encode`: videos in, a feature store out."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vcap.cli import options
from vcap.cli.boundary import words_in
from vcap.cli.output import conclude, echo_json, echo_plan

EXAMPLE = "vcap encode sample -o features --frames 16"

ENCODERS = (
    "tiny (the default), an open_clip name such as ViT-B-32:openai, a folder, or hf:ORG/NAME."
)

Model = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help=ENCODERS, show_default=False)
]
Fps = Annotated[
    float | None,
    typer.Option("--fps", metavar="F", help="F frames a second; default: 1.", show_default=False),
]
NumFrames = Annotated[
    int | None,
    typer.Option(
        "--frames", metavar="N", min=1, help="N frames, evenly spread.", show_default=False
    ),
]
Features = Annotated[
    Literal["embedding", "grid"] | None,
    typer.Option(
        "--features",
        help="One vector a frame, or one for each of 3x3 places too.",
        show_default=False,
    ),
]
Text = Annotated[
    bool,
    typer.Option("--text", help="Encode sentences: captions of manifests, lines of text files."),
]


def command(
    inputs: options.Inputs,
    *,
    output: options.RequiredOutput,
    model: Model = None,
    fps: Fps = None,
    frames: NumFrames = None,
    sampler: options.Sampler = None,
    fast_frames: options.FastFrames = False,
    exact_pixels: options.ExactPixels = False,
    stream: options.Stream = None,
    features: Features = None,
    text: Text = False,
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

    given: dict[str, Any] = {"model": model, "features": features}
    given["sampler"] = choose_sampler(fps, frames, sampler)
    given |= {"fast_frames": fast_frames or None, "exact_pixels": exact_pixels or None}
    given |= {"stream": stream, "batch_size": batch_size, "device": device, "dtype": dtype}
    settings = from_flags("encode", EncodeSettings, given, unless="auto")
    rules: dict[str, Any] = {"on_error": on_error, "max_errors": max_errors, "force": force}
    rules |= {"retry_failed": retry_failed}
    if text:
        things = _texts(inputs)
    else:
        things = _videos(inputs, include=include or (), exclude=exclude or (), limit=limit)
        rules |= {"workers": workers, "checksum": checksum}
    if dry_run:
        told = {"output": output, "inputs": len(things)}
        return echo_plan({**settings.model_dump(), **told}, as_json)
    summary = _run(things, output, settings, rules, as_json, quiet, verbose)
    if not as_json and not summary.interrupted:
        typer.echo(output)
    conclude(summary, "texts" if text else "videos", quiet)


def _texts(inputs: list[str]) -> Any:
    from vcap.engine.encode_text import gather_texts

    return gather_texts(inputs, stdin=words_in())


def _videos(inputs: list[str], **choice: Any) -> Any:
    from vcap.engine.inputs import gather

    return gather(inputs, stdin=words_in(), **choice)


def _run(
    things: Any, output: Path, settings: Any, rules: Any, as_json: bool, quiet: bool, verbose: bool
) -> Any:
    """Encode with a bar on stderr, an object a finished item on stdout, and an ear for Ctrl-C."""
    from vcap.engine.encode import encode, tell_default
    from vcap.engine.encode_text import encode_text
    from vcap.engine.reporter import make_reporter
    from vcap.engine.run import listen

    paths = {thing.id: str(thing.path) for thing in things if hasattr(thing, "path")}

    def echo(key: str, num_rows: int) -> None:
        place = {"path": paths[key], "frames": num_rows} if paths else {"texts": num_rows}
        echo_json({"id": key, **place, "store": str(output.absolute())})

    reporter = make_reporter(quiet, verbose)
    tell_default(settings, reporter)
    run = encode if paths else encode_text
    with listen(reporter) as stop:
        return run(
            things,
            output,
            reporter=reporter,
            on_result=echo if as_json else None,
            stop=stop,
            **settings.model_dump(),
            **rules,
        )
