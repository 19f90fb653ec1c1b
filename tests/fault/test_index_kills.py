"""A kill at any moment leaves the old index or the new one, whole, and the next run goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("work", ["build", "rebuild", "add", "remove", "sync"])
def test_an_index_survives_a_kill_before_every_change_to_the_disk(
    tmp_path: Path, work: str
) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fault.index_kills", work, str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10, "there were hardly any kills"
