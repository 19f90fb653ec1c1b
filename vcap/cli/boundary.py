"""Where every failure becomes one line on stderr and an exit code.

0 done; 1 our bug; 2 usage or configuration; 3 some items failed; 4 nothing could be used;
5 something needed is absent; 6 device or memory; 7 output; 130 interrupted; 143 terminated;
141 the reader of our output closed the pipe, which is told to nobody.
"""

import errno
import shlex
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, TextIO

import typer

from vcap.cli.streams import closed_pipe, keep_odd_names, stand_in_for_closed
from vcap.engine.shown import harmless_lines
from vcap.errors import DeviceError, OutputError, UsageError, VcapError

BUG, INTERRUPTED = 1, 130
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
BATCHED = ("caption", "encode")  # the commands that have --batch-size
PHRASES = {"Value error, ": "", "Input should be": "must be"}  # pydantic's, in the house's words

command_line: ContextVar[tuple[str, ...]] = ContextVar("command_line", default=())


def pasteable(*extra: str) -> str:
    """The command line that is running, quoted so that it can be run again."""
    return shlex.join(["vcap", *command_line.get(), *extra])


def guarded(run: Callable[[], Any], words: Sequence[str]) -> int:
    """Run the program; whatever it raises is told in one line and returned as an exit code."""
    token = command_line.set(tuple(words))
    try:
        stand_in_for_closed()
        keep_odd_names()
        result = run()
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except typer.Exit as leaving:
        return leaving.exit_code
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        return closed_pipe()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else BUG
    except BaseException as error:  # the one place where an unknown failure ends
        return told(error, words)
    finally:
        command_line.reset(token)


def told(error: BaseException, words: Sequence[str]) -> int:
    """Say what went wrong and how to go on; returns the exit code."""
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return closed_pipe()
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(str(error), err=True)  # the overview
        return UsageError.exit_code
    known = as_known(error, words)
    if known is None:
        return bug(error, verbose=not {"-v", "--verbose"}.isdisjoint(words))
    say(known)
    return known.exit_code


def as_known(error: BaseException, words: Sequence[str]) -> VcapError | None:
    """The failure as one of ours, where its cause is not in vcap."""
    if isinstance(error, VcapError):
        return error
    if isinstance(error, typer.TyperException):
        return wrong_usage(error, words)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        place = "memory" if isinstance(error, MemoryError) else "the memory of the device"
        hint = pasteable("--batch-size", "1") if words and words[0] in BATCHED else None
        return DeviceError(f"{place} is used up", hint=hint)
    if isinstance(error, OSError) and error.errno in FULL:
        where = f" {error.filename}" if error.filename else ""
        return OutputError(f"cannot write{where}: {error.strerror}")
    return None


def wrong_usage(error: Any, words: Sequence[str]) -> UsageError:
    """What the parser refused, in one line that names the nearest or the allowed words."""
    ctx = getattr(error, "ctx", None)
    command = ["vcap", *[word for word in words[:1] if not word.startswith("-")]]
    help_line = f"{ctx.command_path if ctx else ' '.join(command)} --help"
    message = " ".join(error.format_message().split()).rstrip(".")
    for theirs, ours in PHRASES.items():
        message = message.replace(theirs, ours)
    if getattr(error, "possibilities", None):
        message = f"{error.message} (did you mean {error.possibilities[0]}?)"
    return UsageError(message[:1].lower() + message[1:], hint=help_line)


def say(error: VcapError) -> None:
    """One line what is wrong, and a second that can be pasted."""
    typer.echo(f"{typer.style('error:', fg='red')} {harmless_lines(str(error))}", err=True)
    if error.hint:
        typer.echo(f"  try: {harmless_lines(error.hint)}", err=True)


def bug(error: BaseException, verbose: bool) -> int:
    """Own up to a failure that vcap should not have; the traceback goes to a file or, -v, here."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    first = (str(error).strip().splitlines() or [""])[0]
    what = f"a bug in vcap: {type(error).__name__}: {first}"
    if verbose:
        typer.echo(text.rstrip(), err=True)
        say(VcapError(what))
        return BUG
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="vcap-bug-", suffix=".log", delete=False, errors="backslashreplace"
        ) as log:
            log.write(f"{pasteable()}\n{text}")
        say(VcapError(f"{what} (traceback in {log.name})"))
    except OSError:
        say(VcapError(what, hint=pasteable("--verbose")))
    return BUG


def words_in() -> TextIO:
    """Stdin, in which a file name that is not valid UTF-8 is a name like any other."""
    return typer.get_text_stream("stdin", errors="surrogateescape")
