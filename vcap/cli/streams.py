"""Stdout and stderr as the caller left them: closed, a pipe that ended, or of odd names."""

import os
import sys
from contextlib import suppress

CLOSED_PIPE = 141


def closed_pipe() -> int:
    """Point stdout nowhere, so that the interpreter's last flush is quiet too."""
    with suppress(OSError, ValueError):  # stdout may be no file of this process (tests)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return CLOSED_PIPE


def stand_in_for_closed() -> None:
    """Throw away what goes to a stream that the caller closed (`>&-`), as a shell would.

    It also takes the number of that stream, which no other file may have: a library that writes
    to stdout would write into that one.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def keep_odd_names() -> None:
    """Let file names that are not valid UTF-8 pass through stdout as they are."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="surrogateescape")
