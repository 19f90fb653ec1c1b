"""Write docs/commands.md from the program's own help, so that the two cannot differ.

python docs/make_commands.py
"""

import os
import subprocess
import sys
from pathlib import Path

from vcap.cli.app import COMMANDS

TARGET = Path(__file__).with_name("commands.md")


def help_of(*words: str) -> str:
    """What `vcap WORDS --help` prints."""
    result = subprocess.run(
        [sys.executable, "-m", "vcap", *words, "--help"],
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout.rstrip()


def page() -> str:
    """The whole page."""
    parts = ["# Commands", "Made by `python docs/make_commands.py` from the program's own help."]
    parts.append(f"```text\n{help_of()}\n```")
    for name in COMMANDS:
        parts += [f"## vcap {name}", f"```text\n{help_of(name)}\n```"]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
