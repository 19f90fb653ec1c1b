"""Encoders by name: where they come from, and that a frame's numbers are its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.small_models import SIDE, write_encoder
from vcap.engine.encode import encode
from vcap.engine.encoders import ClipEncoder, load_encoder, torch_dtype
from vcap.errors import CheckpointError, FeatureError, UnavailableError, UsageError
from vcap.features.store import FeatureStore
from vcap.models.clip import TowerConfig, build_clip
from vcap.video.picture import Size

OPEN_CLIP = {
    "embed_dim": 8,
    "vision_cfg": {
        "layers": 1,
        "width": 16,
        "patch_size": 8,
        "image_size": SIDE,
        "head_width": 8,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}


def frames(num_frames: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    shape = (num_frames, SIDE, SIDE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ClipEncoder:
    return load_encoder(str(folder))


@pytest.fixture(scope="module")
def open_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("open_clip")
    torch.manual_seed(0)
    config = {"model_cfg": OPEN_CLIP, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (path / "open_clip_config.json").write_text(json.dumps(config))
    weights = build_clip(TowerConfig(**OPEN_CLIP)).state_dict()  # type: ignore[arg-type]
    save_file(weights, path / "open_clip_model.safetensors")
    return path


def test_features_are_as_wide_as_said(folder: Path) -> None:
    for features, width in (("embedding", 8), ("grid", 8 + 9 * 8)):
        encoder = load_encoder(str(folder), features=features)
        assert encoder.width == width
        found = encoder.encode_frames(frames(3))
        assert (found.shape, found.dtype) == ((3, width), np.float32)


def test_a_frames_numbers_do_not_depend_on_the_frames_beside_it(encoder: ClipEncoder) -> None:
    pixels = frames(37)
    together = encoder.encode_frames(pixels)
    for number in (0, 15, 16, 36):
        alone = encoder.encode_frames(pixels[number : number + 1])[0]
        np.testing.assert_array_equal(alone, together[number])


def test_the_first_part_of_a_grid_is_the_embedding(folder: Path, encoder: ClipEncoder) -> None:
    grid = load_encoder(str(folder), features="grid").encode_frames(frames(2))
    np.testing.assert_allclose(grid[:, :8], encoder.encode_frames(frames(2)), atol=1e-5)


def test_a_sentences_numbers_do_not_depend_on_the_sentences_beside_it(encoder: ClipEncoder) -> None:
    texts = [f"a red star number {number}" for number in range(20)]
    together = encoder.encode_text(texts)
    assert together.shape == (20, 8)
    np.testing.assert_array_equal(encoder.encode_text(texts[17:18])[0], together[17])
    assert not np.allclose(together[3], together[4])


def test_nothing_in_gives_nothing_out(encoder: ClipEncoder) -> None:
    assert encoder.encode_frames(frames(0)).shape == (0, 8)
    assert encoder.encode_text([]).shape == (0, 8)


def test_frames_of_another_size_are_refused_with_the_size_wanted(encoder: ClipEncoder) -> None:
    with pytest.raises(ValueError, match=r"want uint8 \[T, 32, 32, 3\], got uint8 \[1, 8, 8, 3\]"):
        encoder.encode_frames(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="got float32"):
        encoder.encode_frames(np.zeros((1, SIDE, SIDE, 3), np.float32))  # type: ignore[arg-type]


def test_an_encoder_says_what_size_it_wants(encoder: ClipEncoder) -> None:
    assert encoder.size == Size(short_side=SIDE, crop=True)


def test_the_fingerprint_is_plain_json_and_the_same_for_the_same_weights(
    folder: Path, encoder: ClipEncoder, tmp_path: Path
) -> None:
    assert json.loads(json.dumps(encoder.fingerprint)) == encoder.fingerprint
    copy = load_encoder(str(write_encoder(tmp_path / "elsewhere"))).fingerprint
    assert {**copy, "name": ""} == {**encoder.fingerprint, "name": ""}


def test_the_fingerprint_tells_other_weights_features_and_types_apart(
    folder: Path, encoder: ClipEncoder, tmp_path: Path
) -> None:
    other = load_encoder(str(write_encoder(tmp_path / "other", seed=1)))
    grid = load_encoder(str(folder), features="grid")
    bf16 = load_encoder(str(folder), dtype="bf16")
    assert other.fingerprint["weights"] != encoder.fingerprint["weights"]
    assert grid.fingerprint["features"] == "grid"
    assert bf16.fingerprint["dtype"] == "bfloat16"


def test_bf16_gives_nearly_the_same_features(folder: Path, encoder: ClipEncoder) -> None:
    ours = load_encoder(str(folder), dtype="bf16").encode_frames(frames(4))
    wanted = encoder.encode_frames(frames(4))
    cosine = (ours * wanted).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(wanted, axis=1)
    assert (cosine > 0.99).all()


def test_a_folder_of_open_clips_is_loaded_with_its_own_preprocessing(
    open_clip_folder: Path,
) -> None:
    encoder = load_encoder(str(open_clip_folder), features="grid")
    assert encoder.width == 80
    assert encoder.preprocess.mean == (0.5, 0.5, 0.5)
    assert encoder.preprocess.size == SIDE
    assert encoder.encode_text(["a red star"]).shape == (1, 8)


def test_a_frame_goes_through_open_clips_tower_as_open_clip_would_send_it(
    open_clip_folder: Path,
) -> None:
    import open_clip
    from PIL import Image

    pixels = frames(1)
    name = f"local-dir:{open_clip_folder}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    with torch.no_grad():
        wanted = model.eval().encode_image(transform(Image.fromarray(pixels[0]))[None])
    ours = load_encoder(str(open_clip_folder)).encode_frames(pixels)
    np.testing.assert_allclose(ours, wanted.numpy(), atol=1e-5)


def with_preprocessing(folder: Path, copy: Path, **changes: object) -> str:
    """A copy of open_clip's folder that wants its frames otherwise."""
    shutil.copytree(folder, copy)
    path = copy / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["preprocess_cfg"] |= changes
    path.write_text(json.dumps(config))
    return str(copy)


def test_frames_are_resized_as_the_model_was_trained(
    open_clip_folder: Path, tmp_path: Path
) -> None:
    wanted = {"interpolation": "bilinear", "resize_mode": "squash"}
    encoder = load_encoder(with_preprocessing(open_clip_folder, tmp_path / "m", **wanted))
    assert encoder.size == Size(SIDE, SIDE, interpolation="bilinear")
    assert load_encoder(str(open_clip_folder)).size == Size(short_side=SIDE, crop=True)


@pytest.mark.parametrize("changes", [{"interpolation": "nearest"}, {"resize_mode": "longest"}])
def test_a_resize_that_vcap_does_not_have_is_refused(
    open_clip_folder: Path, tmp_path: Path, changes: dict[str, str]
) -> None:
    with pytest.raises(CheckpointError, match=f"got {next(iter(changes.values()))}"):
        load_encoder(with_preprocessing(open_clip_folder, tmp_path / "m", **changes))


def test_openais_weights_get_the_activation_they_were_trained_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import open_clip

    asked: dict[str, object] = {}

    def create_model(name: str, weights: str, **settings: object) -> object:
        asked.update(settings, weights=weights)
        raise RuntimeError("no network")

    monkeypatch.setattr(open_clip, "create_model", create_model)
    for name, quick in (("ViT-B-32:openai", True), ("ViT-B-32:laion2b_s34b_b79k", False)):
        with pytest.raises(UnavailableError, match="cannot be fetched") as caught:
            load_encoder(name)
        assert asked["force_quick_gelu"] is quick
        assert asked["require_pretrained"] is True, "random weights must never pass for trained"
        assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ViT-B-32:opnai", "no weights named opnai for ViT-B-32; did you mean openai"),
        ("ViT-B-33:openai", "no encoder named ViT-B-33:openai; did you mean ViT-B-32:openai"),
        ("tinny", r"no encoder named tinny; did you mean tiny\?"),
        ("ViT-B-32", "no encoder named ViT-B-32"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_encoder(name)


def test_features_of_an_unknown_kind_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="features: want embedding or grid, got patches"):
        load_encoder(str(folder), features="patches")


def test_a_number_type_is_taken_by_name_or_as_it_is() -> None:
    assert torch_dtype(None, "cpu") is torch.float32
    assert torch_dtype("auto", "cpu") is torch.float32
    assert torch_dtype("bf16", "cpu") is torch.bfloat16
    assert torch_dtype(torch.float16, "cpu") is torch.float16
    with pytest.raises(UsageError, match="int8"):
        torch_dtype("int8", "cpu")


def test_a_name_of_the_hub_that_is_not_here_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match="hf:nobody/nothing"):
        load_encoder("hf:nobody/nothing")


def test_weights_of_another_tower_are_refused(open_clip_folder: Path) -> None:
    weights = open_clip_folder / "open_clip_model.safetensors"
    with pytest.raises(CheckpointError, match="does not fit"):
        load_encoder(f"ViT-B-32:{weights}")


def test_an_installation_without_the_embedded_weights_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from vcap.engine import weights

    monkeypatch.setattr(weights, "__file__", str(tmp_path / "engine" / "weights.py"))
    with pytest.raises(UnavailableError, match="not part of this installation"):
        load_encoder("tiny")


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of open_clip's with a small transformer of random weights, four layers deep."""
    path = tmp_path_factory.mktemp("vit")
    sizes = {"layers": 4, "width": 64, "patch_size": 8, "image_size": SIDE, "head_width": 16}
    config = {**OPEN_CLIP, "embed_dim": 32, "vision_cfg": sizes}
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3}
    told = {"model_cfg": config, "preprocess_cfg": preprocess}
    (path / "open_clip_config.json").write_text(json.dumps(told))
    torch.manual_seed(0)
    weights = build_clip(TowerConfig(**config)).state_dict()  # type: ignore[arg-type]
    save_file(weights, path / "open_clip_model.safetensors")
    return path


@pytest.fixture
def gains(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Make this a machine that gains by bf16, or one that does not."""

    def choose(gains: bool) -> None:
        dtype = torch.bfloat16 if gains else torch.float32
        monkeypatch.setattr("vcap.engine.encoders.fastest_dtype", lambda device: dtype)

    return choose


def test_bf16_and_fp32_point_the_same_way(vit: Path) -> None:
    pixels = frames(40)
    full, half = (
        load_encoder(str(vit), dtype=name).encode_frames(pixels) for name in ("fp32", "bf16")
    )
    norms = np.linalg.norm(full, axis=1) * np.linalg.norm(half, axis=1)
    assert ((full * half).sum(1) / norms).min() >= 0.999
    assert not np.array_equal(full, half)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_frames_numbers_are_its_own_in_large_batches_too(vit: Path, dtype: str) -> None:
    encoder, pixels = load_encoder(str(vit), dtype=dtype), frames(77)
    together = encoder.encode_frames(pixels)
    order = np.random.default_rng(0).permutation(77)
    np.testing.assert_array_equal(encoder.encode_frames(pixels[order]), together[order])
    np.testing.assert_array_equal(encoder.encode_frames(pixels[70:71]), together[70:71])


@pytest.mark.parametrize(("faster", "wanted"), [(True, "bfloat16"), (False, "float32")])
def test_auto_follows_the_machine_for_an_encoder_of_open_clips(
    vit: Path, gains: Callable[[bool], None], faster: bool, wanted: str
) -> None:
    gains(faster)
    assert load_encoder(str(vit), dtype="auto").fingerprint["dtype"] == wanted
    assert load_encoder(str(vit), dtype="fp32").fingerprint["dtype"] == "float32"
    assert load_encoder(str(vit)).fingerprint["dtype"] == "float32"


def test_auto_leaves_vcaps_own_encoders_in_the_type_they_were_trained_in(
    folder: Path, gains: Callable[[bool], None]
) -> None:
    gains(True)
    assert load_encoder(str(folder), dtype="auto").fingerprint["dtype"] == "float32"
    assert load_encoder("tiny", dtype="auto").fingerprint["dtype"] == "float32"


def test_a_store_goes_on_in_the_type_it_was_begun_in(
    vit: Path, gains: Callable[[bool], None], small_videos: Path, tmp_path: Path
) -> None:
    first, second = (str(small_videos / f"{number}.mp4") for number in range(2))
    gains(True)
    encode([first], tmp_path / "store", model=str(vit), device="cpu")
    gains(False)  # another machine
    assert encode([first, second], tmp_path / "store", model=str(vit), device="cpu").done == 1
    told = FeatureStore(tmp_path / "store").fingerprint["encoder"]
    assert told["dtype"] == "bfloat16"
    with pytest.raises(FeatureError, match=r"dtype bfloat16.*dtype float32"):
        encode([second], tmp_path / "store", model=str(vit), device="cpu", dtype="fp32")
