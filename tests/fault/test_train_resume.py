"""A training that is killed for good goes on to the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fault.toy import SETTINGS, train_toy, tree
from vcap.engine.checkpoint import list_checkpoints

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 400.0  # a busy machine may need minutes to load the libraries
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def newest(folder: Path) -> int:
    """The step of the newest committed checkpoint; 0 without one."""
    return max(list_checkpoints(folder / "checkpoints"), default=0)


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def starts(folder: Path) -> list[int]:
    """The steps at which the processes of a run took up work."""
    lines = [json.loads(line) for line in (folder / "timing.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line.get("event") == "start"]


def wait_until(process: subprocess.Popen[bytes], is_so: Callable[[], bool], said: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert process.poll() is None, f"ended before it could be killed: {said.read_text()}"
        assert time.monotonic() < end, f"the training does not move: {said.read_text()}"
        time.sleep(0.002)


def kill_when_grown(command: list[str], folder: Path) -> int:
    """Start a training, SIGKILL it in the middle; gives the step of its newest checkpoint.

    That is when metrics.jsonl has grown after a checkpoint was committed, so that there is both
    work that must not be done again and work that has to be.
    """
    before = newest(folder)
    said = folder.with_suffix(".err")
    with said.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stderr=stream)
    try:
        wait_until(process, lambda: newest(folder) > before, said)
        grown = size(folder / "metrics.jsonl")
        wait_until(process, lambda: size(folder / "metrics.jsonl") > grown, said)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return newest(folder)


def test_a_run_killed_again_and_again_ends_with_the_bytes_of_an_unbroken_one(
    tmp_path: Path,
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_toy(whole)
    command = [sys.executable, "-m", "tests.fault.toy", str(broken), "0.01"]
    committed = [kill_when_grown(command, broken) for _ in range(2)]
    assert all(0 < step < SETTINGS.steps for step in committed), "killed before or after all work"
    assert committed == sorted(set(committed)), "a part of the run brought nothing"
    assert not (broken / "model").exists()
    outcome, toy = train_toy(broken)
    assert outcome.step == SETTINGS.steps
    assert starts(broken) == [0, *committed], "a committed step was done twice"
    assert len(toy.seen) == (SETTINGS.steps - committed[-1]) * SETTINGS.accumulation
    assert tree(broken) == tree(whole)


@pytest.mark.slow
def test_the_command_with_resume_ends_with_the_same_bytes_with_dropout_on(
    tmp_path: Path, vcap: Any
) -> None:
    manifest = tmp_path / "captions.jsonl"
    manifest.write_text("".join(json.dumps(record(number)) + "\n" for number in range(40)))
    words = [
        *("train", "lm", "--data", str(manifest), "--device", "cpu"),
        *("--set", "model={width: 16, num_layers: 1, num_heads: 2, num_positions: 32}"),
        *("--set", "train={steps: 400, batch_size: 8, log_every: 4, checkpoint_every: 20}"),
        *("--set", "train.validate_every=50", "--set", "options.vocabulary=270"),
    ]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = vcap(*words, "-o", whole)
    assert unbroken.exit_code == 0, unbroken.stderr
    command = [sys.executable, "-m", "vcap", *words, "-o", str(broken)]
    step = kill_when_grown(command, broken)
    assert 0 < step < 400
    refused = vcap(*words, "-o", broken)
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    resumed = vcap(*words, "-o", broken, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert starts(broken) == [0, step]
    assert tree(broken) == tree(whole)
    assert resumed.stdout == unbroken.stdout


def record(number: int) -> dict[str, Any]:
    colour, shape = ("red", "green", "blue")[number % 3], ("star", "ring")[number % 2]
    text = f"a {colour} {shape} number {number}"
    split = ("train", "train", "train", "val", "test")[number % 5]
    return {"id": f"v{number}", "path": "v.mp4", "split": split, "captions": [{"text": text}]}
