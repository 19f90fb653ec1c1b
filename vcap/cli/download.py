"""`vcap download`: a data set's name in, a manifest and its videos out."""

from pathlib import Path
from typing import Annotated

import typer

from vcap.cli import options
from vcap.cli.output import conclude, echo_json, echo_plan

EXAMPLE = "vcap download shapes:clips -o data --limit 20"

Split = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        metavar="NAME",
        help="Only this split (train, val, test; may be given more than once).",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="N items of each split; default: 2000 of train, 200 of the others.",
        show_default=False,
    ),
]


def command(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="`shapes`, or one part such as shapes:clips.")
    ],
    *,
    split: Split = None,
    limit: Limit = None,
    seed: options.Seed = 0,
    output: options.RequiredOutput = Path("data"),
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
    """Get a data set: its videos, and a manifest that says what is known of each.

    `shapes` is rendered on this machine, without a network. Run it again and only what is missing
    is made. Prints the manifest's path; with --json every record, with absolute paths.
    """
    from vcap.engine.download import download, plan, records
    from vcap.engine.reporter import make_reporter
    from vcap.engine.run import listen
    from vcap.engine.summary import Summary

    plans = plan(dataset, output, splits=split or (), limit=limit, seed=seed)
    if dry_run:
        for one in plans:
            echo_plan(one.settings(), as_json)
        return
    reporter, total = make_reporter(quiet, verbose), Summary()
    with listen(reporter) as stop:
        for one in plans:
            summary = download(
                one,
                reporter=reporter,
                workers=workers,
                force=force,
                on_error=on_error,
                max_errors=max_errors,
                retry_failed=retry_failed,
                stop=stop,
            )
            if as_json:
                for record in records(one):
                    path = str((one.folder / str(record.path)).resolve())
                    echo_json(record.model_copy(update={"path": path}).dump())
            elif not summary.interrupted:
                typer.echo(one.manifest_path)
            total += summary
            if total.interrupted or total.stopped:
                break
    conclude(total, "videos", quiet)
