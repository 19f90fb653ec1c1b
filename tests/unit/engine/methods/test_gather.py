"""Processes that train together get the gradients of one process with the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.conftest import REPOSITORY
from tests.unit.engine.methods import gathering
from vcap.engine.methods.gather import gather_rows, num_processes

PROGRAM = "tests.unit.engine.methods.gathering"


def test_one_process_gathers_nothing() -> None:
    rows = torch.randn(3, 2)
    assert num_processes() == 1
    assert gather_rows(rows) is rows


def test_two_processes_get_the_gradients_of_one(tmp_path: Path) -> None:
    output = tmp_path / "gradients.pt"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", PROGRAM, str(rank), "2", str(tmp_path / "meeting"), str(output)],
            cwd=REPOSITORY,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in started:
        _, told = process.communicate(timeout=300)
        assert process.returncode == 0, told
    together = torch.load(output, weights_only=True)
    model, frames, texts = gathering.parts()
    alone = gathering.gradients(model, frames, texts)
    assert together.keys() == alone.keys()
    for name, gradient in alone.items():
        torch.testing.assert_close(together[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
