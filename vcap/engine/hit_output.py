"""Where hits go: stdout, or a file that nobody else's work is in."""

from collections.abc import Callable, Sequence
from pathlib import Path

from vcap.engine.files import ensure_folder, output_errors, write_atomic
from vcap.engine.hits import Found, rendered
from vcap.engine.playlist import MARK
from vcap.errors import OutputError, UsageError

SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".html": "html",
    ".htm": "html",
    ".m3u": "m3u",
    ".m3u8": "m3u",
    ".edl": "edl",
}
PAGE_MARK = 'content="vcap retrieve"'
FIRST_BYTES = 4096


def choose_format(wanted: str | None, output: Path | None, as_json: bool) -> str:
    """The format: the one asked for, else what the file's name says, else text.

    Raises:
        UsageError: `--json` is beside another format.
    """
    if as_json and wanted not in (None, "jsonl") and output is None:
        raise UsageError(f"--json and -f {wanted} both want stdout", hint="-o FILE")
    if wanted:
        return wanted
    return SUFFIXES.get(output.suffix.lower(), "text") if output else "jsonl" if as_json else "text"


def refuse_file(path: Path, force: bool = False) -> None:
    """Make sure, before any work, that a file can be written and no other work is lost.

    Raises:
        OutputError: the place cannot be written, or holds a file that no search wrote.
    """
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    ensure_folder(path.parent)
    with output_errors(path):
        if not force and path.is_file() and not is_ours(path):
            raise OutputError(
                f"{path} was not written by vcap retrieve; it is kept", hint="--force"
            )


def is_ours(path: Path) -> bool:
    """Whether a file bears the mark of a search; an empty one is nobody's."""
    with path.open("rb") as file:
        text = file.read(FIRST_BYTES).decode(errors="replace")
    return not text or MARK in text or PAGE_MARK in text or text.startswith('{"query": ')


def write_hits(
    found: Sequence[Found], path: Path, form: str, warn: Callable[[str], None] = lambda _: None
) -> None:
    """Write what was found, whole or not at all; `warn` as of `rendered`.

    Raises:
        OutputError: it cannot be written.
    """
    text = rendered(found, form, path.absolute().parent, warn)
    data = text.encode(errors="surrogateescape" if form in ("m3u", "edl") else "backslashreplace")
    if path.exists() and not path.is_file():  # a pipe or a device
        with output_errors(path):
            path.write_bytes(data)
        return
    write_atomic(path, data)
