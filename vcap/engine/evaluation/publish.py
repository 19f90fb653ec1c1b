"""A verdict as text in each format, and the files that receive it."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from vcap.engine.evaluation.compare import Verdict, without_nan
from vcap.engine.evaluation.report import Scores
from vcap.engine.files import ensure_folder, output_errors, write_atomic
from vcap.errors import OutputError, UsageError
from vcap.reports.table import score_table

Format = Literal["table", "json", "html"]
SUFFIXES: dict[str, Format] = {".json": "json", ".html": "html", ".htm": "html"}
FIRST_BYTES = 65536
MAKER = "vcap evaluate"  # the key that marks a line an item
PAGE_MARK = '<meta name="generator" content="vcap evaluate">'


def choose_format(wanted: Format | None, output: Path | None, as_json: bool) -> Format:
    """The format: the one asked for, else what the file's name says, else a table.

    Raises:
        UsageError: stdout would get two formats.
    """
    if as_json and output is None:
        if wanted not in (None, "json"):
            raise UsageError(f"--json and -f {wanted} both want stdout", hint="-o FILE")
        return "json"
    named = SUFFIXES.get(output.suffix.lower(), "table") if output else "table"
    return wanted or named


def rendered(verdict: Verdict, form: Format, *, told: bool = False) -> str:
    """The verdict as text that ends in a line break and can be written as UTF-8.

    Args:
        verdict: the scores.
        form: table, json or html.
        told: whether the reader has seen warnings and problems already; a table leaves them out.
    """
    if form == "json":
        text = json.dumps(verdict.as_dict(), ensure_ascii=False)
    elif form == "html":
        from vcap.reports.html import page

        text = page(verdict.sheet())
    else:
        text = score_table(verdict.sheet(), told=told)
    return writable(text) + "\n"


def item_lines(verdict: Verdict) -> str:
    """One JSON object a line, one line a unit; each says who made it."""
    made = {MAKER: verdict.report.task}
    items = (json.dumps(without_nan(made | i), ensure_ascii=False) for i in verdict.report.items())
    return "".join(f"{writable(item)}\n" for item in items)


def writable(text: str) -> str:
    """The text with every half of a character escaped, as JSON does it too."""
    return text.encode(errors="backslashreplace").decode()


def refuse_targets(
    targets: Iterable[Path | None],
    sources: Iterable[Path | str | None],
    *,
    force: bool = False,
    make: bool = True,
) -> None:
    """Make sure, before any work, that files can be written and nothing else is lost.

    Args:
        targets: what will be written; None is nothing.
        sources: what will be read; None is nothing, `-` is no file.
        force: whether files that no evaluation wrote may be replaced.
        make: whether a folder that is absent is made.

    Raises:
        UsageError: a target is one of the sources, or is named twice.
        OutputError: the place cannot be written, or holds a file that no evaluation wrote.
    """
    # realpath takes names that are too long, and folders that may not be entered
    files = [source for source in sources if source is not None and source != "-"]
    taken = {os.path.realpath(source) for source in files}
    for target in filter(None, targets):
        place = os.path.realpath(target)
        if place in taken:
            raise UsageError(f"{target} is read, or written, already; choose another name")
        taken.add(place)
        with output_errors(target):
            _refuse_target(target, force, make)


def _refuse_target(target: Path, force: bool, make: bool) -> None:
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder")
    if make:
        ensure_folder(target.parent)
    if target.exists() and not force and not is_ours(target):
        raise OutputError(f"{target} was not written by vcap evaluate; it is kept", hint="--force")


def is_ours(path: Path) -> bool:
    """Whether a file bears the mark of an evaluation; an empty one is nobody's."""
    if not path.is_file():
        return True  # a device or a pipe
    with path.open("rb") as file:
        text = file.read(FIRST_BYTES).decode(errors="replace")
    first = text.split("\n", 1)[0]
    if first.startswith('{"task": '):
        return _is_scores(path)
    table = first.split()[:2] == ["metric", "score"] and "\nvcap: " in text
    return not text or PAGE_MARK in text or first.startswith(f'{{"{MAKER}": ') or table


def _is_scores(path: Path) -> bool:
    """Whether a file is one object as `--json` prints it, down to the version in its stamp."""
    try:
        found = Scores.model_validate_json(path.read_bytes())
    except ValidationError:
        return False
    return "vcap" in found.stamp


def write(path: Path, text: str) -> None:
    """Write a text whole or not at all; a device or a pipe gets it as it comes.

    Raises:
        OutputError: the disk is full, or the place cannot be written.
    """
    with output_errors(path):
        if path.exists() and not path.is_file():
            path.write_bytes(text.encode())
            return
    write_atomic(path, text.encode())
