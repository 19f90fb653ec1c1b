"""`vcap train retrieval` on pictures and with towers that train along, at the level of commands."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.together import run
from tests.unit.engine.towers import NUM_FRAMES, look, parts, write_sources

DATA = ("msrvtt", "didemo", "activitynet")
POLICY = {"hidden_width": 64, "head_width": 8}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, videos and features of them."""
    return write_sources(tmp_path_factory.mktemp("sources"))


def words(sources: Path, folder: Path, **changes: Any) -> list[object]:
    """The command line of a training; JSON is YAML too."""
    recipe = folder.with_suffix(".yaml")
    recipe.write_text(json.dumps(parts(sources, **changes)))
    return ["train", "retrieval", "-c", recipe, "-o", folder]


def told(folder: Path) -> dict[str, Any]:
    """The config of the model that a run made."""
    found: dict[str, Any] = json.loads((folder / "model" / "config.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("towers", "policy"),
    [
        ("text", look("raw")),
        ("none", look("mobilenet_v2")),
        ("both", look("mobilenet_v3_large")),
        ("both", POLICY),
        ("both", None),
    ],
    ids=["raw and text", "mobilenet_v2", "mobilenet_v3 and both", "features and both", "both"],
)
def test_videos_make_a_model_that_finds_them_by_words(
    sources: Path, tmp_path: Path, vcap: Any, towers: str, policy: Any
) -> None:
    options = {"towers": towers, "policy": policy, "num_used": 2}
    changes: dict[str, Any] = {"options": options, "model": {"num_kept": 1}}
    done = vcap(*words(sources, tmp_path / "run", **changes))
    assert done.exit_code == 0, done.stderr
    scores = dict(line.split("\t") for line in done.stdout.splitlines())
    assert {"val/R@1", "test/R@1", "test/video-to-text R@1"} <= scores.keys()
    assert told(tmp_path / "run")["towers"] == towers
    model, videos, store = tmp_path / "run", sources / "videos", tmp_path / "features"
    done = vcap("encode", videos / "videos.jsonl", "-o", store, "--model", model, "--json")
    assert done.exit_code == 0, done.stderr
    counts = {json.loads(line)["frames"] for line in done.stdout.splitlines()}
    looks = policy is not None and "encoder" in policy
    assert counts == {1 if looks else NUM_FRAMES}
    done = vcap("index", store, "-o", tmp_path / "index", "--aggregate", model)
    assert done.exit_code == 0, done.stderr
    done = vcap("retrieve", "a small red circle", "--index", tmp_path / "index", "-k", 3, "--json")
    assert done.exit_code == 0, done.stderr
    hits = [json.loads(line) for line in done.stdout.splitlines()]
    assert [hit["rank"] for hit in hits] == [1, 2, 3]


def test_words_are_aggregated_on_features_made_on_the_way(
    sources: Path, tmp_path: Path, vcap: Any
) -> None:
    model = {"word_aggregation": "transformer", "frame_aggregation": "mean"}
    options = {"towers": "none", "policy": POLICY, "max_tokens": 12}
    line = words(sources, tmp_path / "run", model=model, options=options, data={"features": []})
    done = vcap(*line)
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "run" / "features").is_dir()
    found = told(tmp_path / "run")
    assert (found["max_tokens"], found["model"]["word_aggregation"]) == (12, "transformer")
    done = vcap("index", tmp_path / "run" / "features", "-o", tmp_path / "index",
                "--aggregate", tmp_path / "run")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    done = vcap("retrieve", "a small star", "--index", tmp_path / "index", "--json")
    assert done.exit_code == 0, done.stderr


@pytest.mark.slow
def test_two_processes_train_towers_on_pictures_as_one_does_with_twice_the_batch(
    sources: Path, tmp_path: Path, vcap: Any
) -> None:
    changes: dict[str, Any] = {
        "options": {"towers": "both", "policy": None, "captions": "concat", "tower_rate": 1.0},
        "model": {"word_aggregation": "mlp", "frame_aggregation": "mean"},
    }
    one, two = tmp_path / "one", tmp_path / "two"
    few = {"steps": 2, "eps": 1e-2}  # so that rounding stays small
    assert vcap(*words(sources, one, **changes, train={**few, "batch_size": 4})).exit_code == 0
    line = words(sources, two, **changes, train={**few, "batch_size": 2})
    code, _, stderr = run(2, *line)
    assert code == 0, stderr
    before = load_file(sources / "clip" / "model.safetensors")
    wanted, found = (
        load_file(folder / "model" / "encoder" / "model.safetensors") for folder in (one, two)
    )
    assert not torch.equal(wanted["visual.proj"], before["visual.proj"])
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-5, msg=name)


def test_wrong_wishes_end_the_command_before_anything_is_read(
    sources: Path, tmp_path: Path, vcap: Any
) -> None:
    wrong = {
        "options.max_tokens": {"towers": "none", "max_tokens": 9},
        "options.exact_pixels": {"towers": "none", "exact_pixels": True},
        "policy_weights": {"towers": "both", "policy_weights": "imagenet"},
    }
    for key, options in wrong.items():
        line = words(sources, tmp_path / "run", options=options)
        for last in ((), ("--dry-run",)):
            done = vcap(*line, *last)
            assert done.exit_code == 2
            assert f"error: {key}" in done.stderr or f"options: {key}" in done.stderr
            assert "records" not in done.stderr


@pytest.mark.parametrize("data", DATA)
def test_published_recipes_are_whole_and_tell_what_differs(
    sources: Path, tmp_path: Path, vcap: Any, data: str
) -> None:
    name = f"adaclip-{data}-pixels"
    videos = {f"v{n}": {"extension": "mp4", "sentences": [f"a star {n}"]} for n in range(8)}
    (tmp_path / "train.json").write_text(json.dumps(videos))
    line = ["train", "retrieval", "-c", name, "--data", tmp_path / "train.json", "-o", "nowhere"]
    done = vcap(*line, "--dry-run", "--json")
    assert done.exit_code == 0, done.stderr
    settings = json.loads(done.stdout)["settings"]
    features = yaml.safe_load((Path("configs") / f"adaclip-{data}.yaml").read_text())
    assert settings["model"] == features["model"]
    assert settings["sampler"] == features["sampler"]
    assert settings["options"]["captions"] == features["options"]["captions"]
    assert settings["train"]["batch_size"] * 3 == features["train"]["batch_size"]
    assert settings["train"]["epochs"] == features["train"]["epochs"]
    head = (Path("configs") / f"{name}.yaml").read_text().partition("method:")[0]
    for option in ("tower_rate=0.001", "batch_statistics=true", "decay_all=true", "positives=pair"):
        assert option in head
    assert f"batch_size={features['train']['batch_size']}" in head
    done = vcap(*line[:4], "-o", "nowhere", "--flops")
    assert done.exit_code == 0, done.stderr
    kept = str(settings["model"]["num_kept"])
    assert f"mobilenet_v3_large\t{kept}" in done.stdout


@pytest.mark.slow
def test_a_published_recipe_trains_on_a_small_encoder(
    sources: Path, tmp_path: Path, vcap: Any
) -> None:
    videos = {
        f"v{n}": {"extension": "mp4", "sentences": [f"star {n}", "it spins"]} for n in range(6)
    }
    for number in range(6):
        shutil.copy(sources / "videos" / f"v{number}.mp4", tmp_path)
    (tmp_path / "train.json").write_text(json.dumps(videos))
    settings = (
        *("model.num_frames=3", "model.num_kept=2", f"encoder={sources / 'clip'}"),
        *("options.policy_weights=null", "sampler=adaclip-linspace 3", "options.tower_rate=1"),
        *("train.epochs=2", "train.batch_size=3", f"data.cache={tmp_path / 'cache'}"),
        *("options.policy.hidden_width=64", "options.policy.head_width=8", "train.device=cpu"),
    )
    done = vcap(
        *("train", "retrieval", "-c", "adaclip-msrvtt-pixels", "-o", tmp_path / "run"),
        *("--data", tmp_path / "train.json"),
        *(word for setting in settings for word in ("--set", setting)),
    )
    assert done.exit_code == 0, done.stderr
    assert "keeps random weights" in done.stderr
    found = told(tmp_path / "run")
    assert (found["towers"], found["pixels"], found["max_tokens"]) == ("both", "exact", 32)
    old = load_file(sources / "clip" / "model.safetensors")
    new = load_file(tmp_path / "run" / "model" / "encoder" / "model.safetensors")
    assert torch.equal(old["visual.conv1.weight"], new["visual.conv1.weight"])
    assert not torch.equal(old["visual.proj"], new["visual.proj"])
    cached = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*"))
    assert cached > 6 * 3 * 224 * 224 * 3
