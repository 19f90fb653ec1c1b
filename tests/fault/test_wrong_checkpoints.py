"""Weights that are damaged, hostile or of something else are refused in words, never run."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.small_models import SIDE, TEXTS, small_captioner, write_captioner, write_encoder
from vcap.engine.captioner import FrameFeatures, load_model
from vcap.engine.encoders import load_encoder
from vcap.engine.original import read_original
from vcap.engine.weights import load_weights, read_weights
from vcap.errors import CheckpointError, UnavailableError
from vcap.models.generation import GenerationSettings
from vcap.models.prefix import MapperName, to_original


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_a_pickle_with_code_is_refused_and_its_code_never_runs(tmp_path: Path, way: str) -> None:
    path, trace = tmp_path / "model.pt", tmp_path / "it-ran"
    content = {"gpt.transformer.wte.weight": torch.zeros(2), "x": Bomb(trace)}
    if way == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match="may hold code, which was not run"):
        load_model(str(path), device="cpu")
    assert not trace.exists()


def test_an_encoder_file_with_code_is_refused_and_its_code_never_runs(tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "it-ran"
    torch.save({"x": Bomb(trace)}, path)
    with pytest.raises(CheckpointError):
        load_encoder(f"RN50:{path}")
    assert not trace.exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"PK\x03\x04 broken zip", b"just some text\n"]
)
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        read_weights(path)


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_a_file_cut_short_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    weights = {"a": torch.randn(100, 100)}
    if path.suffix == ".pt":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        read_weights(path)


def test_an_archive_of_more_than_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "w": torch.zeros(1)}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="more than named tensors"):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "odd",
    [
        torch.eye(3).to_sparse(),
        torch.eye(3).to_sparse_coo().coalesce(),
        torch.empty(2, 2, device="meta"),
    ],
    ids=["sparse", "coalesced", "nowhere"],
)
def test_a_tensor_that_is_not_plain_is_named(tmp_path: Path, odd: Tensor) -> None:
    torch.save({"plain": torch.zeros(1), "layer.weight": odd}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"model\.pt: not a plain tensor.*layer\.weight"):
        read_weights(tmp_path / "model.pt")


def test_weights_wrapped_by_a_trainer_are_unwrapped(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {"w": torch.ones(2)}}, tmp_path / "model.pt")
    assert read_weights(tmp_path / "model.pt")["w"].tolist() == [1.0, 1.0]


def test_every_misfit_of_weights_is_told_at_once() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    weights: dict[str, Tensor] = {
        "0.weight": torch.zeros(3, 5),
        "0.bias": torch.full((3,), torch.nan),
        "1.weight": torch.zeros(1, 3),
        "2.weight": torch.zeros(1),
    }
    with pytest.raises(CheckpointError) as caught:
        load_weights(model, weights, Path("some/model.safetensors"))
    told = str(caught.value)
    assert told.startswith("some/model.safetensors does not fit the model")
    for part in (
        "missing: 1.bias",
        "unknown: 2.weight",
        "of another shape: 0.weight [3, 5] for [3, 2]",
        "not finite: 0.bias",
    ):
        assert part in told


def spoil(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the config.json of a folder."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c.update(method="memory"), "holds a model of kind memory, want prefix"),
        (lambda c: c["model"].update(mapper="lstm"), "mapper"),
        (lambda c: c["model"].update(colour=1), "colour"),
        (lambda c: c["model"].update(prefix_length=7), "does not fit the model"),
        (lambda c: c["model"].update(prefix_length=49), "prefix_length: 49 of 48 positions"),
        (lambda c: c.pop("lm"), "'lm'"),
        (lambda c: c.update(sampler="sometimes 3"), "sampler"),
        (lambda c: c["generation"].update(num_beams=-1), "num_beams"),
        (lambda c: c.pop("domain"), "threshold"),
        (lambda c: c["encoder"]["fingerprint"].update(weights="0"), "another encoder"),
        (lambda c: c["encoder"].update(features="embedding"), "another encoder"),
    ],
)
def test_a_captioners_config_that_is_wrong_says_where(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    write_captioner(tmp_path)
    spoil(tmp_path, change)
    with pytest.raises(CheckpointError, match=told) as caught:
        load_model(str(tmp_path), device="cpu")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"method": "prefix"'])
def test_a_config_that_is_no_object_is_named(tmp_path: Path, content: str) -> None:
    write_captioner(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_model(str(tmp_path), device="cpu")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_part_that_is_absent_is_named(tmp_path: Path, name: str) -> None:
    write_captioner(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        load_model(str(tmp_path), device="cpu")


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no model folder"):
        load_model(str(tmp_path), device="cpu")
    with pytest.raises(CheckpointError, match="is no model folder"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["model"]["vision_cfg"].update(colour=1),
        lambda c: c.pop("preprocess"),
        lambda c: c["preprocess"].update(mean=3),
        lambda c: c["model"]["vision_cfg"].update(width=8),
    ],
)
def test_an_encoders_config_that_is_wrong_says_where(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    write_encoder(tmp_path)
    spoil(tmp_path, change)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_encoder(str(tmp_path))


def test_weights_of_half_precision_become_those_of_the_model(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = load_encoder(str(tmp_path)).encode_text(["a red star"])
    half = {n: t.half() if t.is_floating_point() else t for n, t in load_file(path).items()}
    save_file(half, path)
    found = load_encoder(str(tmp_path)).encode_text(["a red star"])
    np.testing.assert_allclose(found, whole, atol=0.02)


def original(
    path: Path, mapper: MapperName, notes: dict[str, Any] | None = None, width: int = 6
) -> Path:
    """A checkpoint as the original saved it, of a model 16 wide with 2 heads."""
    model = small_captioner(mapper=mapper, num_heads=8, prefix_length=5, feature_width=width)
    weights = to_original(model.state_dict())
    del weights["gpt.lm_head.weight"]
    weights["gpt.transformer.h.0.attn.bias"] = torch.ones(1, 1, 48, 48)
    weights["gpt.transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(weights, path)
    if notes is not None:
        path.with_name(f"{path.name}.json").write_text(json.dumps(notes))
    return path


NOTES = {"lm_heads": 2, "clip_length": 5, "encoder": "tiny"}


@pytest.mark.parametrize("mapper", ["mlp", "transformer", "cross"])
def test_an_original_checkpoint_gives_the_same_prefix(tmp_path: Path, mapper: MapperName) -> None:
    path = original(tmp_path / "a-009.pt", mapper, {**NOTES, "mapper": mapper})
    found = read_original(path)
    wanted = small_captioner(mapper=mapper, num_heads=8, prefix_length=5)
    features = torch.randn(2, 5, 6)
    clip = (features, torch.zeros(2, 5), torch.ones(2, 5, dtype=torch.bool))
    torch.testing.assert_close(found.model.prefix(*clip), wanted.prefix(*clip))
    assert found.model.config.mapper == mapper
    assert not found.model.config.end_token
    assert (found.encoder, found.tokenizer) == ("tiny", "gpt2")


def test_a_checkpoint_of_either_attention_mapper_must_say_which(tmp_path: Path) -> None:
    path = original(tmp_path / "a.pt", "cross")
    with pytest.raises(CheckpointError, match="does not say if it was trained with --cross") as one:
        read_original(path)
    assert one.value.hint is not None
    assert one.value.hint.startswith("""echo '{"mapper": "cross"}' > """)


def test_a_checkpoint_of_unusual_features_must_say_which_encoder(tmp_path: Path) -> None:
    path = original(tmp_path / "a.pt", "mlp", {"lm_heads": 2, "clip_length": 5})
    with pytest.raises(CheckpointError, match="which encoder gives features 6 wide"):
        read_original(path)


def test_notes_beside_a_checkpoint_are_read_strictly(tmp_path: Path) -> None:
    path = original(tmp_path / "a.pt", "cross", {"maper": "cross"})
    with pytest.raises(CheckpointError, match="want an object with any of mapper"):
        read_original(path)


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"encoder.weight": torch.zeros(2)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"no checkpoint of a prefix captioner.*encoder"):
        read_original(tmp_path / "a.pt")
    torch.save({"gpt.transformer.wte.weight": torch.zeros(4, 8)}, tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match="is not whole"):
        read_original(tmp_path / "b.pt")


def test_an_original_without_gpt2s_tokenizer_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = str(tmp_path / "absent")
    path = original(tmp_path / "a.pt", "mlp", {**NOTES, "tokenizer": absent})
    with pytest.raises(UnavailableError, match=r"the tokenizer .* is not on this machine") as one:
        load_model(str(path), device="cpu")
    assert one.value.hint == f"hf download {absent}"


def gpt2_like_tokenizer(folder: Path) -> Path:
    """A tokenizer of the hub's kind, of few enough ids for the small language model."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*TEXTS[0].rstrip(".").split(), "."]
    library = Tokenizer(models.WordLevel({word: n for n, word in enumerate(["?", *words])}, "?"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=library, unk_token="?", eos_token="?")
    wrapped.save_pretrained(folder)
    return folder


def test_an_original_with_all_its_parts_captions_and_stops_at_a_full_stop(tmp_path: Path) -> None:
    clip = write_encoder(tmp_path / "clip")
    words = gpt2_like_tokenizer(tmp_path / "words")
    notes = {**NOTES, "encoder": str(clip), "tokenizer": str(words)}
    path = original(tmp_path / "a.pt", "mlp", notes, width=8)
    captioner = load_model(str(path), device="cpu")
    assert str(captioner.sampler) == "msrvtt-notebook 5"
    pixels = np.zeros((5, SIDE, SIDE, 3), np.uint8)
    features = FrameFeatures(captioner.encoder.encode_frames(pixels), np.arange(5))
    settings = GenerationSettings(strategy="sample", num_return=30, max_length=40)
    texts = [one.text for one in captioner.generate([features], settings)[0]]
    assert any(text.endswith(".") for text in texts)
    assert all("." not in text[:-1] for text in texts)


def test_an_original_with_an_encoder_of_another_width_is_refused(tmp_path: Path) -> None:
    clip = write_encoder(tmp_path / "clip")
    words = gpt2_like_tokenizer(tmp_path / "words")
    notes = {**NOTES, "encoder": str(clip), "tokenizer": str(words)}
    path = original(tmp_path / "a.pt", "mlp", notes)
    with pytest.raises(CheckpointError, match=r"wants features 6 wide, .* gives 8"):
        load_model(str(path), device="cpu")
