"""Write the completion scripts that lie beside this file: python completions/generate.py."""

import os
import subprocess
import sys
from pathlib import Path

FILES = {"bash": "vcap.bash", "zsh": "_vcap", "fish": "vcap.fish"}


def script(shell: str) -> str:
    """What the program itself prints for a shell."""
    environment = os.environ | {"_VCAP_COMPLETE": f"source_{shell}"}
    command = [sys.executable, "-m", "vcap"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip() + "\n"


def main() -> None:
    """Write one file a shell."""
    for shell, name in FILES.items():
        (Path(__file__).parent / name).write_text(script(shell), encoding="utf-8")


if __name__ == "__main__":
    main()
