"""`vcap extract`: videos in, folders of image files out."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vcap.cli import options
from vcap.cli.boundary import words_in
from vcap.cli.output import conclude, echo_json, echo_plan

EXAMPLE = "vcap extract sample -o frames --fps 2"

Fps = Annotated[
    float | None,
    typer.Option("--fps", metavar="F", help="F frames a second; default: 5.", show_default=False),
]
NumFrames = Annotated[
    int | None,
    typer.Option(
        "--frames", metavar="N", min=1, help="N frames, evenly spread.", show_default=False
    ),
]
Scenes = Annotated[bool, typer.Option("--scenes", help="The middle frame of each shot.")]
Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="S|WxH",
        help="Short side, or width and height, in pixels; default: as shown.",
        show_default=False,
    ),
]
Format = Annotated[Literal["jpg", "png", "webp"], typer.Option("--format", help="Kind of image.")]


def command(
    inputs: options.Inputs,
    *,
    output: options.RequiredOutput,
    fps: Fps = None,
    frames: NumFrames = None,
    scenes: Scenes = False,
    size: Size = None,
    format: Format = "jpg",
    include: options.Include = None,
    exclude: options.Exclude = None,
    stream: options.Stream = None,
    limit: options.Limit = None,
    checksum: options.Checksum = False,
    force: options.Force = False,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    workers: options.Workers = None,
    on_error: options.OnError = "skip",
    max_errors: options.MaxErrors = None,
    retry_failed: options.RetryFailed = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write the frames of videos as image files, one folder a video, and a summary.csv.

    Prints the folder and the number of frames of each video. Run it again and only what is missing
    is made. You need this only for other programs: vcap itself reads videos.
    """
    from vcap.engine.extract import Wish, choose, extract, not_made_here
    from vcap.engine.inputs import gather
    from vcap.engine.reporter import make_reporter
    from vcap.engine.run import listen

    wish = Wish(choose(fps, frames, scenes), size, format, stream)
    stdin = words_in()
    sources = gather(inputs, stdin=stdin, include=include or (), exclude=exclude or (), limit=limit)
    sources = not_made_here(sources, output)
    if dry_run:
        return echo_plan({**asdict(wish), "output": output, "videos": len(sources)}, as_json)
    reporter = make_reporter(quiet, verbose)
    with listen(reporter) as stop:
        summary = extract(
            sources,
            output,
            wish,
            reporter=reporter,
            workers=workers,
            force=force,
            checksum=checksum,
            stop=stop,
            on_error=on_error,
            max_errors=max_errors,
            retry_failed=retry_failed,
        )
    echo_folders(sources, output, as_json)
    conclude(summary, "videos", quiet)


def echo_folders(sources: Any, output: Path, as_json: bool) -> None:
    """The folder of each video that went well, done now or before."""
    from vcap.engine.extract import results
    from vcap.engine.inputs import to_items

    for result in results(to_items(sources), output):
        if result.reason:
            continue
        if as_json:
            folder = str(result.path.resolve())
            echo_json({"id": result.key, "folder": folder, "frames": result.num_frames})
        else:
            typer.echo(f"{result.path}\t{result.num_frames}")
