"""`vcap retrieve`: words, a video or an image in, ranked videos out."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vcap.cli import options
from vcap.cli import retrieve_options as own
from vcap.cli.boundary import words_in
from vcap.cli.output import conclude, echo_plan

EXAMPLE = """
vcap encode sample -o features
vcap index features -o footage.index
vcap retrieve "a red circle" --index footage.index --moments
"""


def command(
    queries: own.Queries = None,
    *,
    index: own.IndexDir,
    top_k: own.TopK = None,
    like: own.Like = None,
    model: own.Model = None,
    unwanted: own.Unwanted = None,
    threshold: own.Threshold = None,
    where: own.Where = None,
    moments: own.Moments = False,
    per_video: own.PerVideo = None,
    cut: own.Cut = None,
    form: own.Format = None,
    output: own.OutputFile = None,
    force: options.Force = False,
    as_json: own.Json = False,
    dry_run: options.DryRun = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Rank the indexed videos for each query, the best first.

    A query is a sentence, the path of a video or image, or `-`. With --moments each hit is the
    stretch of a video that matches, with its seconds.
    """
    given = {**locals(), "moments": moments or cut is not None or None}
    from vcap.engine.hit_output import choose_format, refuse_file
    from vcap.engine.queries import parse_queries, read_index_name
    from vcap.engine.reporter import make_reporter
    from vcap.engine.retrieve import retrieve_settings

    settings = retrieve_settings(given)
    output = None if str(output) == "-" else output
    chosen = choose_format(form, output, as_json)
    words = list(queries or ())
    folder = read_index_name(index, words_in(), words)
    bad: list[Any] = []
    asked = parse_queries(words, like or (), words_in(), None if dry_run else bad.append)
    if dry_run:
        told = {"queries": [query.name for query in asked], "index": folder, "format": chosen}
        return echo_plan({**told, **asdict(settings), "output": output, "cut": cut}, as_json)
    if output is not None:
        refuse_file(output, force)
    reporter = make_reporter(quiet, verbose)
    for one in bad:
        reporter.tell("failed", f"{one.key}: {one.reason}")
    found, summaries = _found(asked, folder, settings, cut, force, reporter)
    _tell(found, chosen, output, as_json, reporter.warn)
    summaries["queries"].failed += bad
    for what, summary in summaries.items():
        if summary.exit_code or (what == "clips" and not quiet):
            conclude(summary, what, quiet, kept=what == "clips")


def _found(
    asked: Any, folder: Path, settings: Any, cut: Path | None, force: bool, reporter: Any
) -> tuple[Any, dict[str, Any]]:
    """What was found, its moments cut where that is asked for, and how both went."""
    from vcap.engine.interrupt import leaving_in_order
    from vcap.engine.retrieve import retrieve

    with leaving_in_order():
        found, summary = retrieve(asked, folder, settings, reporter=reporter)
    if cut is None:
        return found, {"queries": summary}
    from vcap.engine.cut import cut_hits
    from vcap.engine.run import listen

    with listen(reporter) as stop:
        found, clips = cut_hits(found, cut, reporter=reporter, stop=stop, force=force)
    return found, {"queries": summary, "clips": clips}


def _tell(found: Any, form: str, output: Path | None, as_json: bool, warn: Any) -> None:
    """The hits to stdout, or to a file; with `--json` to both."""
    from vcap.engine.hit_output import write_hits
    from vcap.engine.hits import rendered

    if output is not None:
        write_hits(found, output, form, warn)
    if output is None or as_json:  # not by echo, which takes what looks like colour out of names
        sys.stdout.write(rendered(found, "jsonl" if as_json else form, warn=warn))
