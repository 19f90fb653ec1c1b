"""`vcap index`: feature stores in, an index out."""

from typing import Any

import typer

from vcap.cli import index_options as own
from vcap.cli import options
from vcap.cli.boundary import words_in
from vcap.cli.output import echo_json, echo_plan

EXAMPLE = """
vcap encode sample -o features --frames 16
vcap index features -o search
"""


def command(
    stores: own.Stores = None,
    *,
    output: own.Output,
    kind: own.Kind = None,
    level: own.Level = None,
    aggregate: own.Aggregate = None,
    recall: own.Recall = None,
    add: own.Add = False,
    remove: own.Remove = None,
    sync: own.Sync = False,
    force: own.Force = False,
    as_json: own.Json = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Make an index of the videos of feature stores, for `vcap retrieve`.

    Run it again and nothing is done unless something changed. Prints the index's path. A kill at
    any moment leaves the old index whole.
    """
    from vcap.engine.flags import from_flags
    from vcap.engine.index import COUNTS, IndexSettings, gather_stores, idle_settings, index
    from vcap.engine.interrupt import leaving_in_order
    from vcap.engine.reporter import make_reporter

    given = {"kind": kind, "level": level, "aggregate": aggregate, "recall": recall}
    settings = from_flags("index", IndexSettings, given)
    folders = gather_stores(stores or (), stdin=words_in())
    modes: dict[str, Any] = {"add": add, "remove": remove or (), "sync": sync, "force": force}
    idle = {name for name in idle_settings(modes) if given[name] is None}  # of the environment
    reporter = make_reporter(quiet, verbose)
    with leaving_in_order():
        done = index(
            folders,
            output,
            dry_run=dry_run,
            reporter=reporter,
            **modes,
            **settings.model_dump(exclude_unset=True, exclude=idle),
        )
    if dry_run:
        plan = {**settings.model_dump(), **modes, "output": output, "stores": folders}
        return echo_plan({**plan, **dict.fromkeys(COUNTS, 0), **done.counts}, as_json)
    if as_json:
        return echo_json({"index": str(output.absolute()), **done.told()})
    typer.echo(output)
    if not quiet:
        typer.echo(str(done), err=True)
