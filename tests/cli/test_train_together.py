"""`vcap train retrieval` in two processes, as torchrun starts them."""

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.fault.toy import tree
from tests.together import PATIENCE_SECONDS, run, start, temporary
from tests.unit.engine.paired import parts
from vcap.engine.checkpoint import list_checkpoints

STEPS = 4


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return int(one.getsockname()[1])


def config(folder: Path, batch_size: int, **train: Any) -> Path:
    """A recipe of the small model; JSON is YAML too. A large eps keeps rounding small."""
    settings = {"steps": STEPS, "log_every": 1, "eps": 1e-2, "checkpoint_every": 2, **train}
    path = folder / f"batches-of-{batch_size}.yaml"
    path.write_text(json.dumps(parts(folder, train={**settings, "batch_size": batch_size})))
    return path


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """What a run made."""
    return load_file(folder / "model" / "model.safetensors")


@pytest.mark.slow
def test_two_processes_of_which_one_fails_go_on_to_the_weights_of_one_with_twice_the_batch(
    tmp_path: Path, vcap: Any
) -> None:
    one, two, leftovers = tmp_path / "one", tmp_path / "two", tmp_path / "temporary"
    words = ("train", "retrieval", "-c", config(tmp_path, 6), "-o", two)
    code, stdout, stderr = run(2, *words, FAILS="1:3", **temporary(leftovers))
    assert (code, stdout) == (1, ""), stderr  # torchrun's own code
    assert "error: memory is used up" in stderr
    assert "error: another process of this training ended" in stderr
    assert "torchrun --nproc-per-node 2 -m vcap train retrieval" in stderr
    assert "bug" not in stderr
    assert max(list_checkpoints(two / "checkpoints")) == 2

    refused = vcap(*words, "--resume")
    assert refused.exit_code == 2
    assert "begun by 2 processes, here is 1" in refused.stderr

    code, together, stderr = run(2, *words, "--resume", **temporary(leftovers))
    assert code == 0, stderr
    assert "going on from step 2 of 4" in stderr
    assert not list(leftovers.glob("tmp*")), "a process left a folder of its own behind"

    code, alone, stderr = run(1, "train", "retrieval", "-c", config(tmp_path, 12), "-o", one)
    assert code == 0, stderr
    assert together == alone, "scores differ, or two processes tell them"
    assert tree(two).keys() == tree(one).keys()
    wanted, found = weights(one), weights(two)
    assert found.keys() == wanted.keys()
    assert any(name.startswith("policy.") for name in wanted)
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-5, msg=name)


@pytest.mark.slow
def test_a_process_that_waits_for_one_that_never_comes_ends_when_it_is_told_to(
    tmp_path: Path,
) -> None:
    places = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    words = ("train", "retrieval", "-c", config(tmp_path, 6), "-o", tmp_path / "run")
    waiting = start(1, *words, **places, **meeting)
    time.sleep(12)  # most of it for libraries; it must end wherever it is
    waiting.terminate()
    _, stderr = waiting.communicate(timeout=PATIENCE_SECONDS)
    assert waiting.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM), stderr
    assert not (tmp_path / "run").exists(), "a helper wrote into the folder of the first"


def test_more_processes_than_batches_are_refused(
    tmp_path: Path, vcap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = vcap("train", "retrieval", "-c", config(tmp_path, 24), "-o", tmp_path / "run")
    assert done.exit_code == 2
    assert "train.batch_size" in done.stderr
