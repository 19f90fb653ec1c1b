"""What a training of a retrieval model refuses, leaves out or warns of, once it sees the data."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small_videos import make_video
from tests.unit.engine.captioned import write_manifest
from tests.unit.engine.towers import config, look, write_sources
from vcap.engine.encoders import load_encoder
from vcap.engine.methods.retrieval import RetrievalMethod
from vcap.engine.methods.retrieval_options import checked_options, with_frames
from vcap.engine.reporter import Silent
from vcap.engine.run import Run
from vcap.engine.schedule import TrainConfig
from vcap.engine.training_data import load_splits
from vcap.errors import ConfigError, FeatureError, VideoError
from vcap.models.aggregation import TransformerHeader


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, videos and features of them."""
    return write_sources(tmp_path_factory.mktemp("sources"))


class Heard(Silent):
    """Remembers warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def method(sources: Path, **changes: Any) -> RetrievalMethod:
    settings = config(sources, **changes)
    run = Run(sources / "run", reporter=Heard())
    return RetrievalMethod(settings, load_splits(settings.data), run)


def warnings(ours: RetrievalMethod) -> str:
    """All that was warned of."""
    heard = ours.run.reporter
    assert isinstance(heard, Heard)
    return "\n".join(heard.warnings)


@pytest.mark.parametrize("cached", [False, True])
def test_features_of_other_frames_than_the_pictures_are_refused_by_the_video(
    sources: Path, tmp_path: Path, cached: bool
) -> None:
    cache = str(tmp_path / "cache") if cached else None
    shutil.copytree(sources, tmp_path / "s")
    options = {"towers": "none", "policy": look("raw")}
    data = {"features": [str(sources / "store")], "cache": cache}
    for _ in range(2):  # with a cache, the second time from it
        method(tmp_path / "s", options=options, data=data).batch(0, 0)
    for number in range(10):
        make_video(tmp_path / "s" / "videos" / f"v{number}.mp4", number, num_frames=12)
    for _ in range(2):
        ours = method(tmp_path / "s", options=options, data=data)
        with pytest.raises(FeatureError, match=r"v\d: the feature store has frames at 0\.\d+") as e:
            ours.batch(0, 0)
        assert "vcap encode" in str(e.value.hint)


@pytest.mark.parametrize(
    ("header", "towers", "began"),
    [("seqTransf", "none", 2), ("seqTransf", "both", 2), ("transformer", "text", 0)],
)
def test_a_header_begins_as_the_encoders_text_blocks_and_says_how_far(
    sources: Path, tmp_path: Path, header: str, towers: str, began: int
) -> None:
    options = {"towers": towers, "policy": None}
    ours = method(sources, model={"header": header}, options=options)
    theirs = load_encoder(str(sources / "clip")).towers
    started = ours.retrieval.matcher.header
    assert isinstance(started, TransformerHeader)
    blocks = started.blocks
    for own, block in zip(list(blocks)[:began], theirs.transformer.resblocks, strict=False):
        assert torch.equal(own.get_parameter("mlp.c_fc.weight"), block.mlp.c_fc.weight)
    told = f"{began} of {len(blocks)} blocks of"
    assert f"model.header: {told} {header} start as text blocks" in warnings(ours)
    ours.export(tmp_path, {})
    card = (tmp_path / "README.md").read_text()
    assert f"{told} the header began as the encoder's text blocks" in card


@pytest.mark.parametrize("asked", [{"model.num_frames": 4}, {"options.num_used": 4}])
def test_few_frames_are_taken_without_a_word_on_how_many_are_kept(asked: dict[str, int]) -> None:
    parts: dict[str, dict[str, int]] = {"model": {}, "options": {}}
    for key, value in asked.items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    settings = TrainConfig.model_validate({"method": "retrieval", **parts})
    assert RetrievalMethod.reads_features(settings)
    sizes = with_frames(settings.model, 16, checked_options(settings))
    assert (sizes["num_frames"], sizes["num_kept"]) == (4, 2)
    more = settings.model_copy(update={"model": {**parts["model"], "num_kept": 5}})
    with pytest.raises(ConfigError, match="num_kept"):
        RetrievalMethod.reads_features(more)


def manifest(sources: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    """A `data` part that names copies of the records; keyword arguments change some by their id."""
    lines = (sources / "videos" / "videos.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row["path"] = str(sources / "videos" / row["path"])
        row.update(changes.get(row["id"], {}))
    return {"train": [str(write_manifest(folder / "videos.jsonl", rows))]}


@pytest.mark.parametrize("towers", ["none", "both"])
def test_records_without_captions_are_left_out_with_a_warning_and_empty_ones_are_none(
    sources: Path, tmp_path: Path, towers: str
) -> None:
    empty, other = [{"text": " \t"}, {"text": ""}], [{"text": ""}, {"text": "a star"}]
    changes = {"v1": {"captions": []}, "v2": {"captions": empty}, "v3": {"captions": other}}
    data = manifest(sources, tmp_path, **changes)
    if towers == "none":
        data["features"] = [str(sources / "store")]
    ours = method(sources, data=data, options={"towers": towers, "policy": None})
    assert ours.train_pairs.names == ["v0", "v3", "v4", "v5", "v6", "v7"]
    assert ours.train_pairs.texts.counts.tolist() == [2, 1, 2, 2, 2, 2]
    assert "2 records without captions" in warnings(ours)


@pytest.mark.parametrize(
    ("key", "policy"),
    [
        ("num_frames: say it as model.num_frames", {"num_frames": 8}),
        ("feature_width: .*model.num_frames", {"feature_width": 128}),
        ("batch_statistics: has no effect with policy.encoder raw", look("raw")),
        ("raw_side: has no effect with policy.encoder features", {"raw_side": 8}),
    ],
)
def test_options_of_the_policy_without_effect_are_refused(key: str, policy: dict[str, Any]) -> None:
    more = {"batch_statistics": True} if "batch_statistics" in key else {}
    options = {"policy": {**policy, **more}}
    settings = TrainConfig.model_validate({"method": "retrieval", "options": options})
    with pytest.raises(ConfigError, match=rf"options\.policy\.{key}"):
        RetrievalMethod.reads_features(settings)


def test_more_frames_are_not_used_than_there_are(sources: Path) -> None:
    with pytest.raises(ConfigError, match=r"options\.num_used: want at most 4, .*, got 5"):
        method(sources, options={"towers": "none", "num_used": 5})


def test_a_split_without_a_video_that_decodes_is_named(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"no video")
    data = manifest(sources, tmp_path, v8={"path": str(tmp_path / "no.mp4")})
    with pytest.raises(VideoError, match="split val: none of 1 videos decodes"):
        method(sources, data=data, options={"policy": None})


@pytest.mark.parametrize("name", ["qscore", "mlp"])
def test_a_model_that_cannot_be_indexed_says_so_before_and_after_its_training(
    sources: Path, tmp_path: Path, name: str
) -> None:
    asked = {"frame_aggregation": name}
    ours = method(sources, model=asked, options={"towers": "none", "policy": None})
    ours.export(tmp_path, {})
    for told in (warnings(ours), (tmp_path / "README.md").read_text().replace("`vcap", "vcap")):
        assert ("qscore" in told and "neither vcap index" in told) is (name == "qscore")
