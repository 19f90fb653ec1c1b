"""How long `vcap --help` and shell completion take, against `python -c "import typer"`.

    python benchmarks/startup.py [--rounds 11] [--json FILE]

Goal: at most 3 times the import of typer alone, measured in the same run.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.harness import compare, report

WAYS = {
    'python -c "import typer"': ([sys.executable, "-c", "import typer"], {}),
    "vcap --help": ([str(Path(sys.executable).with_name("vcap")), "--help"], {}),
    "vcap caption --help": ([str(Path(sys.executable).with_name("vcap")), "caption", "--help"], {}),
    "completion of a command": (
        [str(Path(sys.executable).with_name("vcap"))],
        {"_VCAP_COMPLETE": "complete_bash", "COMP_WORDS": "vcap ca", "COMP_CWORD": "1"},
    ),
    "completion of an option": (
        [str(Path(sys.executable).with_name("vcap"))],
        {"_VCAP_COMPLETE": "complete_bash", "COMP_WORDS": "vcap caption --ev", "COMP_CWORD": "2"},
    ),
}


def run(command: list[str], environment: dict[str, str]) -> Callable[[], object]:
    """A call that runs the command once and refuses one that fails."""

    def once() -> object:
        return subprocess.run(
            command, env={**os.environ, **environment}, check=True, capture_output=True
        )

    return once


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    ways = {name: run(command, environment) for name, (command, environment) in WAYS.items()}
    timings = compare(ways, rounds=arguments.rounds)
    print(report(timings, against='python -c "import typer"', json_path=arguments.json))


if __name__ == "__main__":
    main()
