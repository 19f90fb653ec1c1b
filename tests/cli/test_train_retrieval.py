"""`vcap train retrieval` at the level of commands."""

import json
from pathlib import Path
from typing import Any

from tests.unit.engine.captioned import rendered
from tests.unit.engine.paired import store, texts


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
    settings = ("train.epochs=1", "train.batch_size=8", "options.policy=null", "encoder=tiny")
    done = vcap(
        *("train", "retrieval", "-c", "adaclip-didemo", "--data", tmp_path / "train.json"),
        *("--features", tmp_path / "store", "-o", tmp_path / "run", "--device", "cpu"),
        *(word for setting in settings for word in ("--set", setting)),
        *("--set", f"data.test={tmp_path / 'train.json'}", "--set", "sampler=uniform 12"),
    )
    assert done.exit_code == 0, done.stderr
    assert "test/R@1" in done.stdout
    assert "records: train 24" in done.stderr
