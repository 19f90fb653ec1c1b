"""`vcap train` as a user meets it, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fault.toy import tree
from tests.unit.engine.captioned import captions
from vcap.engine.checkpoint import list_checkpoints

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
PATIENCE_SECONDS = 400.0  # a busy machine may need minutes to load the libraries


def words(folder: Path, **train: Any) -> list[str]:
    """A language model of some hundred quick steps."""
    settings = {"steps": 300, "batch_size": 8, "device": "cpu", "log_every": 5, **train}
    sizes = {"width": 16, "num_layers": 1, "num_heads": 2, "num_positions": 40}
    return [
        *("train", "lm", "--data", str(captions(folder)), "-o", str(folder / "run")),
        *("--set", f"model={json.dumps(sizes)}", "--set", f"train={json.dumps(settings)}"),
        *("--set", "options.vocabulary=280"),
    ]


def started(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """The command, as soon as its log has grown."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vcap", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    log, end = folder / "run" / "metrics.jsonl", time.monotonic() + PATIENCE_SECONDS
    while not (log.exists() and log.stat().st_size):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "the training does not start"
        time.sleep(0.005)
    return process


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_checkpoint_and_the_command_that_goes_on(
    tmp_path: Path, vcap: Any, number: int, code: int
) -> None:
    arguments = words(tmp_path)
    process = started(arguments, tmp_path)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, stdout) == (code, ""), stderr
    assert "--resume" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    step = max(list_checkpoints(tmp_path / "run" / "checkpoints"))
    assert 0 < step < 300
    if number == signal.SIGTERM:
        return
    resumed = vcap(*arguments, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert f"going on from step {step} of 300" in resumed.stderr
    before = tree(tmp_path / "run")
    assert vcap(*arguments, "--force").exit_code == 0
    assert tree(tmp_path / "run") == before, "an interrupt changed the result"


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"),
        *("-m", "vcap", *words(tmp_path, steps=4, checkpoint_every=2)),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("val/perplexity") == 1
    steps = [
        json.loads(line)["step"]
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(steps)
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_several_processes_need_features_made_before(
    tmp_path: Path, vcap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    data = captions(tmp_path)
    result = vcap("train", "prefix", "--data", data, "-o", tmp_path / "run", "--device", "cpu")
    assert result.exit_code == 2
    assert "--features" in result.stderr
    assert "vcap encode" in result.stderr


def test_a_wrong_setting_is_one_line_with_the_nearest_key(tmp_path: Path, vcap: Any) -> None:
    result = vcap(*words(tmp_path), "--set", "train.stpes=3")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "train.steps" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_missing_manifest_is_named(tmp_path: Path, vcap: Any) -> None:
    result = vcap("train", "lm", "--data", tmp_path / "no.jsonl", "-o", tmp_path / "run")
    assert result.exit_code == 4
    assert "no.jsonl" in result.stderr


def test_a_device_that_is_not_there_is_refused(tmp_path: Path, vcap: Any) -> None:
    result = vcap(*words(tmp_path), "--device", "cuda:99")
    assert result.exit_code == 6
    assert "cuda:99" in result.stderr


def test_quiet_training_says_nothing_but_its_scores(tmp_path: Path, vcap: Any) -> None:
    result = vcap(*words(tmp_path, steps=2), "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == [
        "val/perplexity",
        "test/loss",
        "test/perplexity",
        "test/novel/loss",
        "test/novel/perplexity",
    ]


def test_a_diverged_training_ends_with_2_and_the_command_for_a_lower_rate(
    tmp_path: Path, vcap: Any
) -> None:
    wild = words(tmp_path, learning_rate=1e30, warmup=0, clip_norm=0, steps=30)
    result = vcap(*wild)
    assert result.exit_code == 2
    assert "step" in result.stderr and "finite" in result.stderr
    assert "train.learning_rate=" in result.stderr
    assert not (tmp_path / "run" / "model").exists()


def test_help_ends_in_an_example_that_works_offline(vcap: Any) -> None:
    result = vcap("train", "--help")
    assert result.exit_code == 0
    assert "vcap train lm" in result.stdout
    for name in ("prefix", "encoder", "lm", "--resume", "--set", "--features"):
        assert name in result.stdout
