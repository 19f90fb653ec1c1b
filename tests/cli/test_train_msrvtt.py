"""The published MSR-VTT recipes run on real annotations, with stand-ins for what is not here."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from tests.fault.toy import tree
from vcap.cli.app import app
from vcap.engine.interrupt import StopRequest
from vcap.engine.reporter import Silent
from vcap.engine.train import resolve, train_method

RECIPES = ("msrvtt-prefix", "msrvtt-prefix-lm")
NUM_FRAMES, WIDTH = 28, 512
LOST = "video4"  # as video6748 is from the published features
SMALL = {
    "options.lm": "",  # GPT-2 is not on every machine
    "options.lm_sizes": {"width": 16, "num_layers": 1, "num_heads": 2, "num_positions": 160},
    "options.vocabulary": 400,
    "options.max_length": 4,
    "train.batch_size": 3,
    "train.epochs": 3,
    "train.log_every": 1,
    "train.device": "cpu",
    "train.threads": 1,
}


@pytest.fixture(scope="session")
def annotations(shared_root: Path) -> Path:
    """Fifteen real videos of all three splits, each with 20 captions."""
    return shared_root / "data" / "annotations" / "msrvtt" / "videodatainfo_it_2017.json"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, annotations: Path) -> Path:
    """Noise in a file like that of the published features, imported as those are."""
    folder = tmp_path_factory.mktemp("published")
    draw = np.random.default_rng(0)
    with h5py.File(folder / "features.hdf5", "w") as file:
        for video in json.loads(annotations.read_text())["videos"]:
            if video["video_id"] != LOST:
                noise = draw.normal(0, 0.3, (NUM_FRAMES, WIDTH)).astype(np.float16)
                file.create_dataset(video["video_id"], data=noise)
    words = ["encode", "--import", str(folder / "features.hdf5"), "-o", str(folder / "store")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    return folder / "store"


def changes() -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in SMALL.items()]


def words(recipe: str, data: Path, store: Path, output: Path) -> list[str]:
    """The command line of the recipe's head, and what makes it small."""
    settings = [word for change in changes() for word in ("--set", change)]
    files = ["--data", str(data), "--features", str(store), "-o", str(output)]
    return ["train", "prefix", "-c", recipe, *files, *settings]


class Stopping(Silent):
    """Asks to stop as soon as a step was logged."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.stop = step, StopRequest()

    def detail(self, text: str) -> None:
        if text.startswith(f"step {self.step}:"):
            self.stop.request()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains_on_the_published_json_and_resumes_to_the_same_bytes(
    recipe: str, annotations: Path, store: Path, tmp_path: Path, vcap: Any
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = vcap(*words(recipe, annotations, store, whole))
    assert done.exit_code == 0, done.stderr
    assert "records: train 8, val 4, test 3" in done.stderr
    assert "1 records without captions or features left out" in done.stderr
    assert {"val/loss", "test/loss"} <= {line.split("\t")[0] for line in done.stdout.splitlines()}
    files = {"data.train": [str(annotations)], "data.features": [str(store)]}
    settings = resolve("prefix", config=recipe, overrides=changes(), flags=files)
    reporter = Stopping(3)
    cut = train_method(settings, broken, reporter=reporter, stop=reporter.stop)
    assert (cut.step, cut.total, cut.exit_code) == (3, 6, 130)
    resumed = vcap(*words(recipe, annotations, store, broken), "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert "going on from step 3 of 6" in resumed.stderr
    assert tree(broken) == tree(whole)
    assert resumed.stdout == done.stdout


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_recipe_trains_and_tells_is_what_was_published(
    recipe: str, annotations: Path, store: Path, tmp_path: Path, vcap: Any
) -> None:
    run = tmp_path / "run"
    assert vcap(*words(recipe, annotations, store, run)).exit_code == 0
    told = json.loads((run / "model" / "config.json").read_text())
    published = {"mapper": "cross", "prefix_length": 20, "clip_length": 28, "num_layers": 8}
    assert published.items() <= told["model"].items()
    assert (told["encoder"]["name"], told["sampler"]) == ("ViT-B-32:openai", "msrvtt-notebook 28")
    weights = checkpointed(run)
    assert any(name.startswith("captioner.mapper.") for name in weights)
    assert any(name.startswith("captioner.lm.") for name in weights) == recipe.endswith("-lm")
    log = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rates = [line["learning_rate"] for line in log if "learning_rate" in line]
    assert max(rates) == pytest.approx(2e-5), "the warm-up ends within the run"
    assert rates == sorted(rates, reverse=True), "nothing of a warm-up is left of six steps"
    assert [line["step"] for line in log if "val/loss" in line] == [2, 4, 6]


def checkpointed(run: Path) -> set[str]:
    from vcap.engine.checkpoint import list_checkpoints, read_tensors

    found = list_checkpoints(run / "checkpoints")
    return set(read_tensors(found[max(found)] / "model.safetensors"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_way_back_that_a_recipe_names_is_a_setting(recipe: str) -> None:
    from vcap.engine.methods.prefix import PrefixOptions
    from vcap.engine.settings import fill, find_config
    from vcap.models.prefix import PrefixConfig

    head = find_config(recipe).read_text(encoding="utf-8").split("method:")[0]
    ways = [part.split("]")[0] for part in head.split("[")[1:]]
    assert len(ways) >= 5
    settings = resolve("prefix", config=recipe, overrides=["data.train=m.json", *ways])
    assert fill(PrefixConfig, settings.model, "model").end_token is False
    assert fill(PrefixOptions, settings.options, "options").first_caption_only is True
    assert settings.train.warmup == 5000


def test_the_two_recipes_differ_in_what_trains_alone() -> None:
    from vcap.engine.settings import find_config

    frozen, tuned = (yaml.safe_load(find_config(name).read_text()) for name in RECIPES)
    assert frozen["options"].pop("train_lm") is False
    assert tuned["options"].pop("train_lm") is True
    assert frozen == tuned


@pytest.mark.parametrize("first_only", [False, True])
def test_all_twenty_captions_are_learned_unless_the_first_is_asked_for(
    annotations: Path, store: Path, tmp_path: Path, first_only: bool
) -> None:
    from vcap.engine.methods.prefix import PrefixMethod
    from vcap.engine.run import Run
    from vcap.engine.training_data import load_splits

    files = {"data.train": [str(annotations)], "data.features": [str(store)]}
    ours = [*changes(), f"options.first_caption_only={json.dumps(first_only)}"]
    settings = resolve("prefix", config=RECIPES[0], overrides=ours, flags=files)
    method = PrefixMethod(settings, load_splits(settings.data), Run(tmp_path))
    drawn = {
        tuple(row[mask].tolist())
        for epoch in range(120)
        for index in range(method.num_batches)
        for batch in [method.batch(epoch, index)]
        for row, mask in zip(batch["tokens"], batch["token_mask"], strict=True)
    }
    plain = json.loads(annotations.read_text())["sentences"]
    trained = {f"video{number}" for number in range(8)} - {LOST}
    captions = [one["caption"] for one in plain if one["video_id"] in trained]
    told = set(captions[::20]) if first_only else set(captions)
    assert drawn == {tuple(method.language.encode(text, end_token=True)) for text in told}


def test_without_features_and_videos_the_answer_names_both(
    annotations: Path, tmp_path: Path, vcap: Any
) -> None:
    line = ["train", "prefix", "-c", RECIPES[0], "--data", annotations, "-o", tmp_path / "run"]
    refused = vcap(*line)
    assert refused.exit_code == 4
    assert "15 of 15 records have no video here, such as video0" in refused.stderr
    assert "--features STORE" in refused.stderr


def test_the_json_may_be_set_instead_of_given(annotations: Path, tmp_path: Path, vcap: Any) -> None:
    data = f"data.train={annotations}"
    shown = vcap("train", "prefix", "-c", RECIPES[0], "--set", data, "-o", tmp_path, "-n", "--json")
    told = json.loads(shown.stdout)
    assert (told["train"], told["val"], told["test"]) == (8, 4, {"test": 3})
    assert told["settings"]["data"]["train"] == [str(annotations)]
    assert list(tmp_path.iterdir()) == []


def msrvtt_of(videos: Path, folder: Path) -> Path:
    """Seven videos in the folders and with the JSON of the published archive."""
    place = folder / "videos" / "all"
    place.mkdir(parents=True)
    entries, sentences = [], []
    for number, path in enumerate(sorted(videos.glob("*.mp4"))):
        name, split = f"video{number}", "validate" if number > 4 else "train"
        (place / f"{name}.mp4").symlink_to(path)
        entries.append({"id": number, "video_id": name, "category": 8, "split": split})
        words = ("square", "ring", "cross")
        for sen_id, word in enumerate(words):
            told = {"caption": f"a {word} moves", "sen_id": 3 * number + sen_id}
            sentences.append({"video_id": name, **told})
    path = folder / "train_val_videodatainfo.json"
    path.write_text(json.dumps({"info": {}, "videos": entries, "sentences": sentences}))
    return path


def test_the_readme_s_way_from_the_published_files_to_scores(
    small_videos: Path, model_folder: Path, tmp_path: Path, vcap: Any
) -> None:
    data, store, run = msrvtt_of(small_videos, tmp_path), tmp_path / "features", tmp_path / "run"
    sampler = ["--sampler", "msrvtt-notebook", "--exact-pixels", "--device", "cpu"]
    encoded = vcap("encode", data, "-o", store, "--model", model_folder / "clip", *sampler)
    assert encoded.exit_code == 0, encoded.stderr
    other = vcap(*words(RECIPES[0], data, store, run))
    assert other.exit_code == 2, "the recipe's encoder is another than that of these features"
    mine = ["--set", f"encoder={model_folder / 'clip'}"]
    assert mine[1] in other.stderr
    trained = vcap(*words(RECIPES[0], data, store, run), *mine)
    assert trained.exit_code == 0, trained.stderr
    assert "records: train 5, val 2" in trained.stderr
    said = vcap("caption", data, "--model", run / "model", "--device", "cpu", "--json")
    assert said.exit_code == 0, said.stderr
    told = [json.loads(line) for line in said.stdout.splitlines()]
    assert [one["id"] for one in told] == [f"video{number}" for number in range(7)]
    predictions = tmp_path / "captions.jsonl"
    predictions.write_text(said.stdout)
    line = ["evaluate", "caption", predictions, "-r", data, "--split", "val", "--no-java"]
    scores = vcap(*line, "--metrics", "CIDEr", "--json")
    assert scores.exit_code == 0, scores.stderr
    assert json.loads(scores.stdout)["stamp"]["num_videos"] == 2


def test_the_captions_of_the_json_can_be_encoded_as_sentences(
    annotations: Path, model_folder: Path, tmp_path: Path, vcap: Any
) -> None:
    from vcap.features.store import FeatureStore

    model = ["--model", model_folder / "clip", "--device", "cpu"]
    done = vcap("encode", "--text", annotations, "-o", tmp_path / "texts", *model)
    assert done.exit_code == 0, done.stderr
    texts = FeatureStore(tmp_path / "texts")
    assert (len(texts), texts.num_frames("video6516")) == (15, 20)
