"""A training of towers on pictures that is killed goes on to the same bytes."""

import json
import sys
from pathlib import Path

import pytest

from tests.fault.test_train_resume import kill_when_grown, newest
from tests.unit.engine.towers import config, look, parts, write_sources
from vcap.engine.reporter import Silent
from vcap.engine.train import train_method

STEPS = 24
COMMAND = "import sys; from vcap.cli.app import main; sys.argv[0] = 'vcap'; main()"


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder by name."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_a_training_of_towers_on_pictures_that_is_killed_goes_on_to_the_same_bytes(
    tmp_path: Path,
) -> None:
    sources = write_sources(tmp_path / "sources")
    changes = {
        "options": {"towers": "both", "policy": look("raw")},
        "train": {"steps": STEPS, "checkpoint_every": 2, "log_every": 1},
    }
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_method(config(sources, **changes), whole, reporter=Silent())
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(parts(sources, **changes)))
    words = ["train", "retrieval", "-c", str(recipe), "-o", str(broken)]
    committed = kill_when_grown([sys.executable, "-c", COMMAND, *words], broken)
    assert 0 < committed < STEPS, "killed before or after all work"
    assert newest(broken) == committed
    assert not (broken / "model").exists()
    train_method(config(sources, **changes), broken, reporter=Silent(), resume=True)
    assert contents(broken / "model") == contents(whole / "model")
    assert (broken / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
