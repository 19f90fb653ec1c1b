"""`vcap` in several processes, as torchrun starts them; nothing drawn depends on a batch's size.

`python -m tests.together ...` is `vcap ...`, where no batch has noise and texts are the first of
their video: one process with a batch of twice the size then sees what two see. FAILS=rank:step
lets one of the processes run out of memory.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import REPOSITORY

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONPATH": str(REPOSITORY),
}
PATIENCE_SECONDS = 400


class Still:
    """Dice that always fall alike."""

    def gumbel(self, size: tuple[int, ...]) -> Any:
        return np.zeros(size)

    def integers(self, high: Any) -> Any:
        return np.zeros_like(high)


def command(processes: int, *words: object) -> list[str]:
    """What starts `vcap WORDS` in so many processes."""
    program = ["-m", "tests.together", *(str(word) for word in words)]
    if processes == 1:
        return [sys.executable, *program]
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)),
        *("--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"),
        *program,
    ]


def start(processes: int, *words: object, **environment: str) -> subprocess.Popen[str]:
    """Begin `vcap WORDS` in so many processes."""
    return subprocess.Popen(
        command(processes, *words),
        cwd=REPOSITORY,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(processes: int, *words: object, **environment: str) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of `vcap WORDS` in so many processes."""
    process = start(processes, *words, **environment)
    stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, stdout, stderr


def temporary(folder: Path) -> dict[str, str]:
    """The environment in which a program leaves its temporary files in a folder."""
    folder.mkdir(exist_ok=True)
    return {"TMPDIR": str(folder)}


def fail_at(step: int) -> None:
    """Let this process end at a step for want of memory."""
    from vcap.engine.trainer import Trainer

    usual = Trainer._step

    def failing(self: Trainer) -> None:
        if self.position.step == step:
            raise MemoryError
        usual(self)

    Trainer._step = failing  # type: ignore[method-assign]


def main() -> None:
    """Prepare this process and leave it to vcap."""
    from vcap.engine import training_data

    training_data.dice = lambda *place: Still()  # type: ignore[assignment,return-value]
    rank, _, step = os.environ.get("FAILS", "").partition(":")
    if rank and rank == os.environ.get("RANK"):
        fail_at(int(step))
    from vcap.cli.app import main as vcap

    vcap()


if __name__ == "__main__":
    main()
