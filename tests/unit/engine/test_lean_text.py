"""Words become the same embeddings the lean way, under every name of an encoder."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.small_models import SIDE, write_encoder
from vcap.engine import lean_text
from vcap.engine.clip_words import clip_words
from vcap.engine.encoders import load_encoder
from vcap.engine.fingerprint import refuse_other_encoder
from vcap.engine.lean_text import LeanTextEncoder, WholeTextEncoder, load_text_encoder
from vcap.errors import CheckpointError, UsageError, VcapError
from vcap.models.clip import TowerConfig, build_clip

VISION = {"layers": 1, "width": 16, "patch_size": 8, "image_size": SIDE, "head_width": 8}
TEXT = {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
MODEL: dict[str, Any] = {"embed_dim": 8, "vision_cfg": VISION, "text_cfg": TEXT}
TEXTS = ["a red star", "", "It's 9 o'clock; Caf\u00e9!", "word " * 15, "a blue ring"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_open_clip(folder: Path, model: dict[str, Any] = MODEL, **changes: Any) -> Path:
    """A folder as open_clip publishes it; keyword arguments go into its preprocessing."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    wanted = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": None, **changes}
    config = {"model_cfg": model, "preprocess_cfg": wanted}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = build_clip(TowerConfig(**model)).state_dict()
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


def assert_same(name: str, texts: list[str] = TEXTS) -> None:
    """The lean way is taken, and gives what the encoder of this name gives."""
    lean, whole = load_text_encoder(name), load_encoder(name)
    assert isinstance(lean, LeanTextEncoder)
    assert lean.fingerprint == whole.fingerprint
    refuse_other_encoder(whole.fingerprint, lean.fingerprint, "a store", "a search")
    found, wanted = lean.encode_text(texts), whole.encode_text(texts)
    assert found.dtype == np.float32 and lean.width == whole.width == found.shape[1]
    np.testing.assert_allclose(found, wanted, atol=1e-5 * float(np.abs(wanted).max()))


def test_the_embedded_encoder_gives_the_same_embeddings_and_fingerprint() -> None:
    assert_same("tiny", ["a small red circle spins.", "", "large", "\u00e9toile"])


def test_an_encoder_that_vcap_trained_is_loaded_the_lean_way(tmp_path: Path) -> None:
    write_encoder(tmp_path / "run" / "model")
    assert_same(str(tmp_path / "run" / "model"))
    assert_same(str(tmp_path / "run"))


@pytest.mark.parametrize("quick", [False, True])
def test_a_folder_of_open_clip_is_loaded_the_lean_way(tmp_path: Path, quick: bool) -> None:
    model = MODEL | {"quick_gelu": quick}
    assert_same(str(write_open_clip(tmp_path / "m", model, resize_mode="squash")))


def test_weights_in_half_precision_have_the_fingerprint_of_the_model_made_of_them(
    tmp_path: Path,
) -> None:
    path = write_open_clip(tmp_path / "m") / "open_clip_model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)
    assert_same(str(tmp_path / "m"))


def test_what_was_fetched_from_the_hub_is_found_without_asking_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "models--someone--clip"
    write_open_clip(folder / "snapshots" / "abc")
    assert lean_text.hub_file("someone/clip", "open_clip_config.json") is None
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    there = load_text_encoder("hf:someone/clip")
    here = load_text_encoder(str(folder / "snapshots" / "abc"))
    np.testing.assert_array_equal(there.encode_text(TEXTS), here.encode_text(TEXTS))
    assert there.fingerprint == here.fingerprint | {"name": "hf:someone/clip"}


def test_a_published_name_is_found_in_the_cache_with_its_own_activation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip

    for name, (repository, quick) in lean_text.REPOSITORIES.items():
        tag = open_clip.get_pretrained_cfg(*name.split(":"))
        assert tag["hf_hub"].rstrip("/") == repository
        assert bool(tag.get("quick_gelu")) == quick
    path = write_open_clip(tmp_path / "m") / "open_clip_model.safetensors"
    monkeypatch.setattr(lean_text, "hub_file", lambda *_: path)
    config = tmp_path / "package" / "model_configs" / "ViT-B-32.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps(MODEL))
    real = clip_words()
    monkeypatch.setattr("vcap.engine.clip_words.open_clip_folder", lambda: tmp_path / "package")
    monkeypatch.setattr("vcap.engine.clip_words.clip_words", lambda: real)
    found = load_text_encoder("ViT-B-32:openai").fingerprint
    assert (found["quick_gelu"], found["preprocess"]["size"]) == (True, SIDE)
    assert not load_text_encoder("ViT-B-32:laion2b_s34b_b79k").fingerprint["quick_gelu"]


def test_a_text_longer_than_the_context_is_cut_with_a_warning(tmp_path: Path) -> None:
    said: list[str] = []
    encoder = load_text_encoder(str(write_open_clip(tmp_path / "m")), said.append)
    found = encoder.encode_text(["dog " * 18, "dog " * 19, "cat", "dog " * 40])
    shown = "'" + "dog " * 14 + "d...'"
    assert said == [
        f"{shown} has 21 tokens; only the first 20 count",
        f"{shown} has 42 tokens; only the first 20 count",
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[3])


def test_order_and_company_change_a_sentences_numbers_by_no_more_than_rounding() -> None:
    encoder = load_text_encoder("tiny")
    texts = [f"a {'very ' * (number % 7)}red star number {number}" for number in range(40)]
    together = encoder.encode_text(texts)
    for number in (0, 6, 39):
        alone = encoder.encode_text([texts[number]])[0]
        np.testing.assert_allclose(alone, together[number], atol=1e-5)
    assert encoder.encode_text([]).shape == (0, encoder.width)


ODD_TOWERS = {
    "read out elsewhere": MODEL | {"text_cfg": TEXT | {"pool_type": "last"}},
    "no causal mask": MODEL | {"text_cfg": TEXT | {"no_causal_mask": True}},
    "a class of its own": MODEL | {"custom_text": True},
}


@pytest.mark.parametrize("model", ODD_TOWERS.values(), ids=ODD_TOWERS)
def test_a_tower_with_more_to_it_than_sizes_is_not_taken_the_lean_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: dict[str, Any]
) -> None:
    folder = write_open_clip(tmp_path / "m")
    path = folder / "open_clip_config.json"
    path.write_text(json.dumps({"model_cfg": model}))
    whole = object()
    monkeypatch.setattr(lean_text, "_whole", lambda name, warn: whole)
    assert load_text_encoder(str(folder)) is whole


@pytest.mark.parametrize("change", ["logit_scale", "visual.positional_embedding"])
def test_weights_that_open_clip_reshapes_are_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = write_open_clip(tmp_path / "m") / "open_clip_model.safetensors"
    state = load_file(path)
    state[change] = state[change][None] if change == "logit_scale" else state[change][:-1].clone()
    save_file(state, path)
    whole = object()
    monkeypatch.setattr(lean_text, "_whole", lambda name, warn: whole)
    assert load_text_encoder(str(tmp_path / "m")) is whole


def test_the_whole_encoder_stands_in_and_warns_of_a_full_context(tmp_path: Path) -> None:
    folder = write_open_clip(tmp_path / "m")
    (folder / "open_clip_model.safetensors").rename(folder / "model.safetensors")
    said: list[str] = []
    encoder = load_text_encoder(str(folder), said.append)
    assert isinstance(encoder, WholeTextEncoder)
    assert encoder.width == 8 and encoder.fingerprint == load_encoder(str(folder)).fingerprint
    assert encoder.encode_text(["cat", "dog " * 30]).shape == (2, 8)
    assert len(said) == 1 and "fills the whole context" in said[0]


def test_a_wrong_name_or_folder_is_refused_as_the_encoder_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no encoder named tinny"):
        load_text_encoder("tinny")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_text_encoder(str(tmp_path))
    folder = write_encoder(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        load_text_encoder(str(folder))


def test_weights_that_are_not_finite_are_refused_when_they_are_used(tmp_path: Path) -> None:
    path = write_open_clip(tmp_path / "m") / "open_clip_model.safetensors"
    state = load_file(path)
    state["text_projection"][0, 0] = float("nan")
    save_file(state, path)
    with pytest.raises(VcapError, match="numbers that are not finite"):
        load_text_encoder(str(tmp_path / "m")).encode_text(["a cat"])


def test_neither_torch_nor_open_clip_nor_a_decoder_is_loaded(tmp_path: Path) -> None:
    folder = write_open_clip(tmp_path / "m")
    code = (
        "import sys; from vcap.engine.lean_text import load_text_encoder\n"
        f"for name in ('tiny', {str(folder)!r}):\n"
        "    encoder = load_text_encoder(name)\n"
        "    assert encoder.encode_text(['a red star']).any() and encoder.fingerprint\n"
        "heavy = ('torch', 'open_clip', 'transformers', 'av', 'PIL', 'faiss', 'scipy')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
