"""What a retrieval model is put together from, and how what was trained is written."""

import json
from pathlib import Path
from typing import Any
from urllib.error import URLError

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision import models
from torchvision.models import MobileNet_V2_Weights, MobileNet_V3_Large_Weights

from tests.small_models import TEXTS
from tests.unit.engine.towers import look, moved, sizes, weights, write_encoder
from vcap.engine.encoders import load_encoder
from vcap.engine.methods.retrieval_export import refuse_other_kinds, write_trained_encoder
from vcap.engine.methods.retrieval_options import RetrievalOptions
from vcap.engine.methods.retrieval_parts import build_cnn, build_policy, open_encoder
from vcap.engine.reporter import Silent
from vcap.errors import CheckpointError, ConfigError, UnavailableError
from vcap.models.clip import build_clip
from vcap.models.policy import PolicyConfig
from vcap.models.retrieval import RetrievalConfig

V3 = "mobilenet_v3_large"


class Listening(Silent):
    """Keeps what is warned of."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def warn(self, message: str) -> None:
        self.said.append(message)


def write_open_clip(folder: Path, quick_gelu: bool = True) -> Path:
    """An open_clip folder of small towers that read CLIP's own vocabulary."""
    towers = sizes(49408)
    told = {
        "embed_dim": towers.embed_dim,
        "vision_cfg": dict(towers.vision_cfg),
        "text_cfg": dict(towers.text_cfg),
        "quick_gelu": quick_gelu,
    }
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = open_clip.CLIP(**told)
    content = {"model_cfg": told, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def test_random_weights_of_a_cnn_follow_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = build_cnn(V3, None, 5).state_dict()
    draws = torch.rand(3)
    torch.manual_seed(1)
    torch.testing.assert_close(torch.rand(3), draws)
    again, other = build_cnn(V3, None, 5).state_dict(), build_cnn(V3, None, 6).state_dict()
    assert not moved(first, again)
    assert moved(first, other)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_cnn_starts_from_a_file_of_torchvisions_weights(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(3)
    state = models.mobilenet_v2().state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    found = build_cnn("mobilenet_v2", str(path), 0).state_dict()
    assert found
    assert not moved(found, {name: state[name] for name in found})


def test_weights_of_another_network_are_refused_by_the_key(tmp_path: Path) -> None:
    path = tmp_path / "v2.pth"
    torch.save(models.mobilenet_v2().state_dict(), path)
    with pytest.raises(CheckpointError, match=r"options\.policy_weights: .*v2\.pth"):
        build_cnn(V3, str(path), 0)
    (tmp_path / "empty.pth").touch()
    (tmp_path / "empty.safetensors").touch()
    torch.save({"features": Path("weights")}, tmp_path / "code.pth")
    for name in ("absent.pth", "absent.safetensors", "empty.pth", "empty.safetensors", "code.pth"):
        with pytest.raises(CheckpointError, match=rf"^options\.policy_weights: .*{name}"):
            build_cnn(V3, str(tmp_path / name), 0)


def test_published_weights_are_fetched_by_name_or_told_to_be_absent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []
    torch.manual_seed(4)
    state = models.mobilenet_v3_large().state_dict()

    def fetch(self: Any, **options: Any) -> Any:
        asked.append(options)
        print("Downloading")
        return state

    monkeypatch.setattr(MobileNet_V3_Large_Weights, "get_state_dict", fetch)
    found = build_cnn(V3, "imagenet", 0).state_dict()
    assert not moved(found, {name: state[name] for name in found})
    assert asked[0]["weights_only"] is True
    assert capsys.readouterr() == ("", "Downloading\n")

    def fail(self: Any, **options: Any) -> Any:
        raise URLError("no network")

    monkeypatch.setattr(MobileNet_V2_Weights, "get_state_dict", fail)
    with pytest.raises(UnavailableError, match=r"policy_weights: .*mobilenet_v2") as told:
        build_cnn("mobilenet_v2", "imagenet", 0)
    assert "policy_weights=FILE" in str(told.value.hint)


def test_a_frozen_cnn_of_random_weights_is_warned_of() -> None:
    heard = Listening()
    small = RetrievalConfig(num_frames=4, num_kept=2, feature_width=8)
    still = RetrievalOptions(policy=PolicyConfig(**look(V3)))
    policy = build_policy(still, small, 0, heard)
    assert policy is not None
    assert (policy.config.num_frames, policy.config.feature_width) == (4, 8)
    assert "policy_weights=imagenet" in heard.said[0]
    learns = RetrievalOptions(policy=PolicyConfig(**look(V3, freeze_cnn=False)))
    build_policy(learns, small, 0, heard)
    assert build_policy(RetrievalOptions(policy=None), small, 0, heard) is None
    assert len(heard.said) == 1


def test_towers_of_a_model_are_those_that_it_needs(tmp_path: Path) -> None:
    name = str(write_encoder(tmp_path / "clip"))
    told = {}
    for towers, words in (("none", False), ("none", True), ("text", False), ("both", False)):
        options = RetrievalOptions(towers=towers)  # type: ignore[arg-type]
        found = open_encoder(name, None, options, words, "cpu")
        texts = found.read(TEXTS[:3])
        assert texts.shape[0] == 3
        assert (texts.dtype == "int64") is (found.clip is not None)
        told[towers, words] = found.clip
    assert told["none", False] is None
    assert not hasattr(told["none", True], "visual")
    assert not hasattr(told["text", False], "visual")
    assert hasattr(told["both", False], "visual")


def test_text_towers_of_another_kind_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(write_encoder(tmp_path / "clip"))
    encoder = load_encoder(name)
    encoder.towers.text_pool_type = "last"
    where = "vcap.engine.methods.retrieval_parts.load_encoder"
    monkeypatch.setattr(where, lambda *_, **__: encoder)
    with pytest.raises(ConfigError, match=r"options\.towers: .*pools at the end token"):
        open_encoder(name, None, RetrievalOptions(towers="text"), False, "cpu")
    del encoder.towers.ln_final
    with pytest.raises(ConfigError, match=r"model\.word_aggregation: .*another kind"):
        open_encoder(name, None, RetrievalOptions(), True, "cpu")


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_an_encoder_of_open_clips_kind_is_written_as_one(tmp_path: Path, quick_gelu: bool) -> None:
    source = write_open_clip(tmp_path / "source", quick_gelu)
    name = str(source)
    refuse_other_kinds(name)
    new = {"text_projection": torch.ones(16, 16)}
    told = write_trained_encoder(tmp_path / "made", name, new)
    before, after = (
        load_file(folder / "open_clip_model.safetensors") for folder in (source, tmp_path / "made")
    )
    assert moved(before, after) == {"text_projection"}
    again, old = load_encoder(str(tmp_path / "made")), load_encoder(name)
    assert {**again.fingerprint, "name": "made"} == told
    assert again.preprocess == old.preprocess
    assert told["quick_gelu"] is quick_gelu
    frames = torch.randint(0, 255, (2, 32, 32, 3), dtype=torch.uint8).numpy()
    assert (again.encode_frames(frames) == old.encode_frames(frames)).all()
    assert not (again.encode_text(["a star"]) == old.encode_text(["a star"])).all()


def test_an_encoder_of_vcaps_own_kind_is_written_without_its_card(tmp_path: Path) -> None:
    source = write_encoder(tmp_path / "source")
    (source / "README.md").write_text("# Another model")
    new = {"logit_scale": torch.tensor(1.5)}
    told = write_trained_encoder(tmp_path / "made", str(source), new)
    assert moved(weights(source), weights(tmp_path / "made")) == {"logit_scale"}
    assert not (tmp_path / "made" / "README.md").exists()
    assert told["name"] == "made"
    assert told["weights"] == load_encoder(str(tmp_path / "made")).fingerprint["weights"]


def test_an_encoder_that_cannot_be_written_again_is_not_trained(tmp_path: Path) -> None:
    path = tmp_path / "trained_model.pth"
    torch.save({}, path)
    with pytest.raises(ConfigError, match=r"^encoder: .*cannot be trained along"):
        refuse_other_kinds(str(path))
    refuse_other_kinds("tiny")
    refuse_other_kinds("ViT-B-32:openai")


def test_towers_of_the_published_size_have_the_published_names() -> None:
    config = open_clip.get_model_config("ViT-B-32")
    assert config is not None
    with torch.device("meta"):
        names = set(open_clip.CLIP(**config, quick_gelu=True).state_dict())
    small = set(build_clip(sizes()).state_dict())
    assert small <= names
