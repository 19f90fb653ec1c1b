"""`vcap train retrieval` at the level of commands."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.unit.engine.captioned import rendered
from tests.unit.engine.paired import parts, store, texts

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def written(folder: Path, **changes: Any) -> Path:
    """A config file of the small model; JSON is YAML too."""
    path = folder / "config.yaml"
    path.write_text(json.dumps(parts(folder, **changes)))
    return path


def test_rendered_needles_train_a_model_on_features_made_on_the_way(
    tmp_path: Path, vcap: Any
) -> None:
    data = rendered(tmp_path, {("needles", "train"): 10, ("needles", "test"): 6})
    small = ("options.policy.hidden_width=64", "train.steps=6", "train.batch_size=8")
    words = ["train", "retrieval", "--data", data, "-o", tmp_path / "run", "--device", "cpu"]
    for setting in (*small, "sampler=uniform 12", "model.num_kept=4"):
        words += ["--set", setting]
    done = vcap(*words)
    assert done.exit_code == 0, done.stderr
    scores = dict(line.split("\t") for line in done.stdout.splitlines())
    assert {"test/R@1", "test/video-to-text R@1", "test mean of all frames/R@1"} <= scores.keys()
    told = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert (told["model"]["num_frames"], told["model"]["num_kept"]) == (12, 4)
    assert told["encoder"]["name"] == "tiny"


def test_annotations_of_adaclip_go_with_a_store_of_features(tmp_path: Path, vcap: Any) -> None:
    store(tmp_path / "store", 24)
    videos = {
        f"v{number}": {"extension": "mp4", "sentences": texts(number)} for number in range(24)
    }
    (tmp_path / "train.json").write_text(json.dumps(videos))
    settings = ("train.epochs=1", "train.batch_size=8", "options.policy=null")
    done = vcap(
        *("train", "retrieval", "-c", "adaclip-didemo", "--data", tmp_path / "train.json"),
        *("--features", tmp_path / "store", "-o", tmp_path / "run", "--device", "cpu"),
        *(word for setting in settings for word in ("--set", setting)),
        *("--set", f"data.test={tmp_path / 'train.json'}"),
    )
    assert done.exit_code == 0, done.stderr
    assert "test/R@1" in done.stdout
    assert "records: train 24" in done.stderr


@pytest.mark.slow
def test_two_processes_train_the_model_that_one_trains_on_batches_of_twice_the_size(
    tmp_path: Path, vcap: Any
) -> None:
    options = {"policy": None, "captions": "concat"}  # nothing is drawn
    train = {"steps": 3, "log_every": 1, "weight_decay": 0.0}
    config = written(tmp_path, options=options, train={**train, "batch_size": 12})
    assert vcap("train", "retrieval", "-c", config, "-o", tmp_path / "one").exit_code == 0
    config = written(tmp_path, options=options, train={**train, "batch_size": 6})
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"),
        *("-m", "vcap", "train", "retrieval", "-c", str(config), "-o", str(tmp_path / "two")),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    losses = [
        [json.loads(line).get("loss") for line in (folder / "metrics.jsonl").open()]
        for folder in (tmp_path / "one", tmp_path / "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    one, two = (
        load_file(folder / "model" / "model.safetensors")
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-2, atol=1e-4, msg=name)
