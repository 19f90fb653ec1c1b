"""`vcap extract`: videos in, folders of image files out."""

from typing import Annotated, Literal

import typer

from vcap.cli import options
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
    limit: options.Limit = None,
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
    from vcap.engine.extract import Wish, choose, extract, results
    from vcap.engine.inputs import gather, to_items
    from vcap.engine.interrupt import StopRequest
    from vcap.engine.reporter import make_reporter

    wish = Wish(choose(fps, frames, scenes), size, format)
    sources = gather(
        inputs,
        stdin=typer.get_text_stream("stdin"),
        include=include or (),
        exclude=exclude or (),
        limit=limit,
    )
    if dry_run:
        settings = {"frames": wish.frames, "size": size or "as shown", "format": format}
        echo_plan({**settings, "output": output, "videos": len(sources)}, as_json)
        return
    with StopRequest() as stop:
        summary = extract(
            sources,
            output,
            wish,
            reporter=make_reporter(quiet, verbose),
            workers=workers,
            force=force,
            stop=stop,
            on_error=on_error,
            max_errors=max_errors,
            retry_failed=retry_failed,
        )
    for result in results(to_items(sources), output):
        if as_json and not result.reason:
            path = str(result.path.resolve())
            echo_json({"id": result.key, "folder": path, "frames": result.num_frames})
        elif not result.reason:
            typer.echo(f"{result.path}\t{result.num_frames}")
    conclude(summary, "videos", quiet)
