"""Captioners by name: loaded whole, and captioning features the same way each time."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_models import SIDE, TEXTS, write_captioner
from vcap.engine.captioner import Captioner, FrameFeatures, load_model
from vcap.engine.encoders import load_encoder
from vcap.errors import CheckpointError, FeatureError, UnavailableError, UsageError
from vcap.features.store import header_bytes, shard_bytes, shard_name
from vcap.models.generation import GenerationSettings
from vcap.models.prefix import PrefixConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_captioner(tmp_path_factory.mktemp("captioner"))


@pytest.fixture(scope="module")
def captioner(folder: Path) -> Captioner:
    return load_model(str(folder), device="cpu")


def clip(captioner: Captioner, seed: int = 0, num_frames: int = 4) -> FrameFeatures:
    shape = (num_frames, SIDE, SIDE, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return FrameFeatures(captioner.encoder.encode_frames(pixels), np.arange(num_frames) / 4)


def test_a_folder_brings_everything_a_caption_needs(captioner: Captioner) -> None:
    assert str(captioner.sampler) == "uniform 4"
    assert captioner.num_frames == 4
    assert captioner.settings == GenerationSettings(max_length=12, num_beams=3)
    assert captioner.threshold is not None
    assert captioner.encoder.features == "grid"


def test_captions_are_text_without_marks(captioner: Captioner) -> None:
    found = captioner.generate([clip(captioner), clip(captioner, 1)])
    assert [len(each) for each in found] == [1, 1]
    for each in found:
        assert "<end>" not in each[0].text
        assert each[0].text == each[0].text.strip()
        assert each[0].score < 0


def test_a_call_can_ask_for_more_captions_best_first(captioner: Captioner) -> None:
    settings = replace(captioner.settings, num_return=3)
    found = captioner.generate([clip(captioner)], settings)[0]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert found[0] == captioner.generate([clip(captioner)])[0][0]


def test_a_caption_does_not_depend_on_the_other_clips(captioner: Captioner) -> None:
    several = [clip(captioner, seed, num_frames=2 + seed % 3) for seed in range(20)]
    together = captioner.generate(several)
    for number in (0, 7, 19):
        alone = captioner.generate([several[number]])[0][0]
        assert alone.text == together[number][0].text
        assert alone.score == pytest.approx(together[number][0].score, abs=2e-4)


def test_features_from_a_store_give_the_caption_that_the_video_gives(captioner: Captioner) -> None:
    fresh = clip(captioner)
    stored = FrameFeatures(fresh.features.astype(np.float16), fresh.times.astype(np.float32))
    assert captioner.generate([stored]) == captioner.generate([fresh])


def stored(folder: Path, captioner: Captioner, **changes: Any) -> Path:
    """A feature store of two clips by the captioner's encoder, or by one that says otherwise."""
    clips = {f"v{seed}": clip(captioner, seed) for seed in range(2)}
    items = [
        (name, one.features.astype(np.float16), one.times.astype(np.float32))
        for name, one in clips.items()
    ]
    made_by = {"encoder": {**captioner.encoder.fingerprint, **changes}, "sampler": "uniform 4"}
    folder.mkdir()
    (folder / "store.json").write_bytes(header_bytes(made_by, captioner.encoder.width))
    (folder / shard_name(0)).write_bytes(shard_bytes(items))
    return folder


def test_a_feature_store_is_captioned_as_its_videos_are(
    tmp_path: Path, captioner: Captioner
) -> None:
    store = stored(tmp_path / "store", captioner, name="the same by another name")
    found = captioner.caption_features(store)
    wanted = captioner.generate([clip(captioner), clip(captioner, 1)])
    assert found == {"v0": wanted[0], "v1": wanted[1]}
    settings = replace(captioner.settings, num_return=2)
    some = captioner.caption_features(store, ["v1"], settings)
    assert list(some) == ["v1"]
    assert (some["v1"][0], len(some["v1"])) == (wanted[1][0], 2)
    with pytest.raises(FeatureError, match="v7"):
        captioner.caption_features(store, ["v7"])


def test_features_of_another_encoder_are_refused_naming_both(
    tmp_path: Path, captioner: Captioner
) -> None:
    other = stored(tmp_path / "other", captioner, name="ViT-B-32:openai", weights="0123")
    told = f'ViT-B-32:openai, {captioner.name} wants those of {captioner.encoder.name}: weights: "0'
    with pytest.raises(FeatureError, match=re.escape(told)):
        captioner.caption_features(other)


def test_features_that_tell_no_weights_are_taken_by_name(
    tmp_path: Path, captioner: Captioner
) -> None:
    right = stored(tmp_path / "right", captioner)
    header = json.loads((right / "store.json").read_text())
    del header["fingerprint"]["encoder"]["weights"]
    (right / "store.json").write_text(json.dumps(header))
    assert len(captioner.caption_features(right)) == 2
    header["fingerprint"]["encoder"]["name"] = "RN50:openai"
    (right / "store.json").write_text(json.dumps(header))
    with pytest.raises(FeatureError, match=r"features of RN50:openai, .* wants those of "):
        captioner.caption_features(right)


def test_loading_twice_captions_alike(folder: Path, captioner: Captioner) -> None:
    again = load_model(str(folder), device="cpu")
    assert again.generate([clip(again)]) == captioner.generate([clip(captioner)])


def test_footage_like_the_training_footage_is_near_and_other_is_far(captioner: Captioner) -> None:
    assert captioner.threshold is not None
    usual = clip(captioner, seed=5)
    assert captioner.distance(usual.features) < captioner.threshold * 1.5
    black = captioner.encoder.encode_frames(np.zeros((4, SIDE, SIDE, 3), np.uint8))
    assert captioner.distance(black) > captioner.threshold


def test_a_model_that_knows_no_training_footage_never_warns(tmp_path: Path) -> None:
    write_captioner(tmp_path)
    (tmp_path / "domain.safetensors").unlink()
    captioner = load_model(str(tmp_path), device="cpu")
    assert captioner.threshold is None
    assert captioner.distance(clip(captioner).features) == 0.0


def test_a_model_without_a_learned_end_stops_at_a_full_stop(tmp_path: Path) -> None:
    write_captioner(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["model"]["end_token"] = False
    (tmp_path / "config.json").write_text(json.dumps(config))
    captioner = load_model(str(tmp_path), device="cpu")
    settings = GenerationSettings(strategy="sample", num_return=40, max_length=40)
    for one in captioner.generate([clip(captioner)], settings)[0]:
        assert one.text.find(".") in (-1, len(one.text) - 1)


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (np.zeros((4, 7)), r"clip 0: .* wants features \[T, 80\] and times \[T\], got \[4, 7\]"),
        (np.zeros((3, 80)), r"got \[3, 80\] and \[4\]"),
        (np.full((4, 80), np.nan), "clip 0: features of no frame, or not finite"),
    ],
)
def test_features_that_cannot_be_captioned_are_refused(
    captioner: Captioner, features: np.ndarray, told: str
) -> None:
    with pytest.raises(FeatureError, match=told):
        captioner.generate([FrameFeatures(features, np.arange(4))])


def test_a_clip_of_no_frame_is_refused(captioner: Captioner) -> None:
    with pytest.raises(FeatureError, match="of no frame"):
        captioner.generate([FrameFeatures(np.zeros((0, 80)), np.zeros(0))])


def test_the_encoder_may_be_named_by_what_a_feature_store_recorded(
    tmp_path: Path, captioner: Captioner
) -> None:
    recorded = {"encoder": captioner.encoder.fingerprint, "sampler": "uniform 4", "decoder": "x"}
    write_captioner(tmp_path, encoder={"name": "clip", **recorded})
    found = load_model(str(tmp_path), device="cpu")
    assert found.encoder.features == "grid"
    assert found.generate([clip(found)]) == captioner.generate([clip(captioner)])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"encoder": "clip"}, "encoder: want an object, got 'clip'"),
        ({"sampler": 4}, "config.json: "),
        ({"model": {"feature_width": "wide"}}, "model: feature_width: must be a valid integer"),
        ({"model": {}}, r"does not fit the model; "),
    ],
)
def test_a_configuration_that_was_edited_wrongly_is_told_as_such(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    write_captioner(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(CheckpointError, match=told):
        load_model(str(tmp_path), device="cpu")


def test_a_size_that_is_not_told_is_the_usual_one(tmp_path: Path) -> None:
    write_captioner(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    usual = {key: value for key, value in asdict(PrefixConfig()).items() if key != "feature_width"}
    config["model"] = {k: v for k, v in config["model"].items() if usual.get(k, "") != v}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_model(str(tmp_path), device="cpu").encoder.width == 80


def test_the_folder_of_a_run_stands_for_the_model_inside(tmp_path: Path) -> None:
    write_captioner(tmp_path / "model")
    (tmp_path / "config.yaml").write_text("method: prefix\n")
    assert load_model(str(tmp_path), device="cpu").num_frames == 4
    assert load_encoder(str(tmp_path / "model" / "clip")).width == 8


@pytest.mark.parametrize("recorded", ["bfloat16", "float32"])
def test_the_encoder_computes_in_the_type_that_the_captioner_was_trained_with(
    tmp_path: Path, recorded: str
) -> None:
    write_captioner(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["encoder"]["fingerprint"]["dtype"] = recorded
    (tmp_path / "config.json").write_text(json.dumps(config))
    for dtype, wanted in ((None, recorded), ("auto", recorded), ("fp32", "float32")):
        found = load_model(str(tmp_path), device="cpu", dtype=dtype)
        assert found.encoder.fingerprint["dtype"] == wanted
        assert str(next(found.model.parameters()).dtype) == "torch.float32"


def test_a_misspelt_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no model named tny; did you mean tiny\?") as caught:
        load_model("tny", device="cpu")
    assert caught.value.hint == "vcap caption --list-models"


def test_a_path_to_nothing_is_told_as_such() -> None:
    with pytest.raises(CheckpointError, match=r"no such model folder or checkpoint file: a/b\.pt"):
        load_model("a/b.pt", device="cpu")


def test_a_model_of_the_hub_that_is_not_here_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match="hf:nobody/nothing is not on this machine") as one:
        load_model("hf:nobody/nothing", device="cpu")
    assert one.value.hint == "hf download nobody/nothing"
    with pytest.raises(UsageError, match="want hf:ORG/NAME"):
        load_model("hf:a b//", device="cpu")


def test_captioning_a_video_goes_through_the_one_function(
    captioner: Captioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys
    from types import ModuleType
    from typing import Any

    asked: list[Any] = []

    def caption_video(*given: object, **options: object) -> list[str]:
        asked.append((given, options))
        return [TEXTS[0]]

    stand_in = ModuleType("vcap.engine.caption")
    stand_in.caption_video = caption_video  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vcap.engine.caption", stand_in)
    assert captioner.caption("a.mp4", every="2s") == [TEXTS[0]]
    assert asked == [((captioner, "a.mp4"), {"every": "2s", "scenes": False})]
