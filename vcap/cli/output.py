"""What commands print: data on stdout, the end of a run on stderr, and its exit code."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from vcap.cli.boundary import command_line, pasteable

if TYPE_CHECKING:
    from vcap.engine.items import Summary
    from vcap.engine.schedule import TrainConfig


def echo_json(value: Mapping[str, Any]) -> None:
    """One JSON object a line, flushed, so that the next command of a pipe can start at once."""
    text = json.dumps(value, ensure_ascii=False)
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        text = json.dumps(value)  # a file name that is no UTF-8: escaped, it stays valid JSON
    typer.echo(text)


def echo_plan(settings: Mapping[str, Any], as_json: bool) -> None:
    """What `--dry-run` shows: the resolved settings and what would be done."""
    if as_json:
        echo_json({name: _plain(value) for name, value in settings.items()})
        return
    for name, value in settings.items():
        typer.echo(f"{name}: {_plain(value)}")


def echo_costs(settings: "TrainConfig", as_json: bool) -> None:
    """What `--flops` shows: one line a kind of policy, in billions of multiply-adds."""
    from vcap.engine.flops import cost_rows, costs_by_policy

    if as_json:
        echo_json(costs_by_policy(settings))
        return
    for row in cost_rows(settings):
        typer.echo("\t".join(row))


def conclude(summary: "Summary", what: str, quiet: bool = False, kept: bool = True) -> None:
    """Tell how a run over items ended, and leave with its exit code.

    Args:
        summary: counts and failures of the run; the failures themselves were told as they came.
        what: the noun of the items, in the plural.
        quiet: leave out the closing line when everything went well.
        kept: whether results lie in a folder, from which the same command can go on.
    """
    code = summary.exit_code
    if code or not quiet:
        typer.echo(closing_line(summary, what), err=True)
    if summary.interrupted:
        goes_on = kept and "--force" not in command_line.get()
        note = "goes on from here" if goes_on else "begins again"
        typer.echo(f"  try: {pasteable()}   # {note}", err=True)
    if code:
        raise typer.Exit(code)


def closing_line(summary: "Summary", what: str) -> str:
    """`videos: 12 done, 3 done before, 1 failed`, without what is zero."""
    if summary.skipped and not (summary.done or summary.failed or summary.interrupted):
        return "nothing to do"
    counts = [
        (summary.skipped, "done before"),
        (len(summary.failed) - summary.bugs, "failed"),
        (summary.bugs, "hit a bug in vcap"),
    ]
    parts = [f"{summary.done} done", *(f"{count} {how}" for count, how in counts if count)]
    if summary.interrupted or summary.stopped:
        parts.append("interrupted" if summary.interrupted else "stopped")
    return f"{what}: {', '.join(parts)}"


def _plain(value: Any) -> Any:
    """Paths as words, everything JSON knows as it is."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    return str(value)
