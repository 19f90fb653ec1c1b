"""`trained_model.pth` of AdaCLIP, read as the product reads it, gives the recorded numbers.

Recorded data: `golden/adaclip`. The file is written here, as the original writes it, from the
recorded weights; tolerance 1e-5 of the largest number or of 1.
"""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip import get_tokenizer
from safetensors.torch import load_file
from torch import Tensor

from vcap.engine.original_retrieval import OriginalRetrieval, read_original_retrieval
from vcap.engine.retriever import load_retriever
from vcap.errors import CheckpointError
from vcap.models.retrieval import to_original

pytestmark = pytest.mark.parity
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def folder(golden_root: Path) -> Path:
    """The recordings of this system."""
    return golden_root / "adaclip"


@pytest.fixture(scope="module")
def config(folder: Path) -> dict[str, Any]:
    """The flags of the recorded model, and what its run was about."""
    found: dict[str, Any] = json.loads((folder / "full_model.json").read_text())
    return {**found, "dataset": "msrvtt", "gpus": 1}


@pytest.fixture(scope="module")
def weights(folder: Path) -> Tensors:
    """All weights of the recorded model under the original's names."""
    towers = load_file(folder / "clip_weights.safetensors")
    return {f"clip.{name}": value for name, value in towers.items()} | load_file(
        folder / "model_weights.safetensors"
    )


@pytest.fixture(scope="module")
def recorded(folder: Path) -> Tensors:
    """Inputs and outputs of the whole model."""
    return load_file(folder / "full_model.safetensors")


def write(path: Path, weights: Tensors, config: Any, **changes: Any) -> Path:
    """A checkpoint file as the original leaves it."""
    state = {"state": {0: {"step": 3, "next_m": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]}
    held = {"arch": "AdaCLIP", "epoch": 2, "state_dict": weights, "config": config}
    torch.save({**held, "optimizer": state, **changes}, path)
    return path


@pytest.fixture(scope="module")
def original(
    tmp_path_factory: pytest.TempPathFactory, weights: Tensors, config: dict[str, Any]
) -> OriginalRetrieval:
    """The recorded model, through a file."""
    path = tmp_path_factory.mktemp("adaclip") / "trained_model.pth"
    return read_original_retrieval(write(path, weights, config))


def close(ours: Tensor, theirs: Tensor) -> None:
    """Assert that numbers differ by no more than the golden tolerance."""
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= 1e-5 * max(1.0, float(theirs.abs().max()))


def test_a_checkpoint_file_gives_the_recorded_frames_choices_and_similarities(
    original: OriginalRetrieval, recorded: Tensors, config: dict[str, Any]
) -> None:
    model, pictures = original.model, recorded["clip_images"]
    mask = torch.ones(pictures.shape[:2], dtype=torch.bool)
    tokens = recorded["tokens"][:, 0]
    with torch.no_grad():
        kept, chosen, _ = model.keep(pictures, mask, recorded["policy_images"])
        assert torch.equal(chosen.matrix, recorded["eval.actions_knn"])
        close(kept, recorded["eval.frame_embd"])
        videos = model.video_vector(pictures, mask, recorded["policy_images"])
        texts = model.text_vector(tokens)
        close(model.logit_scale.exp() * texts @ videos.T, recorded["eval.sim_matrix"])
    assert original.sampler == f"adaclip-linspace {config['num_frm']}"
    assert original.max_tokens == config["max_txt_len"]
    assert original.preprocess.size == config["clip_config"]["res"]


def test_vectors_to_store_and_to_search_with_give_the_recorded_similarities(
    tmp_path: Path, weights: Tensors, config: dict[str, Any], recorded: Tensors
) -> None:
    path = write(tmp_path / "trained_model.pth", weights, config)
    found = load_retriever(str(path), device="cpu")
    order = recorded["eval.actions_knn"].argmax(dim=2).argsort(dim=1)[..., None]
    frames = recorded["eval.frame_embd"].gather(1, order.expand_as(recorded["eval.frame_embd"]))
    videos = found.video_vectors([own.numpy() for own in frames])  # of a store: in order of time
    texts = found.embedded_texts(recorded["text_embd_all"][:, 0].numpy())
    scale = found.model.logit_scale.exp()
    close(scale * torch.from_numpy(texts @ videos.T), recorded["eval.sim_matrix"])
    assert found.selection is not None
    with pytest.raises(CheckpointError, match="knows 96 tokens, CLIP's words are 49408"):
        found.text_vectors(["a man"])


def test_flags_kept_as_a_namespace_are_read_too(
    tmp_path: Path, weights: Tensors, config: dict[str, Any], original: OriginalRetrieval
) -> None:
    path = write(tmp_path / "trained_model.pth", weights, Namespace(**config))
    again = read_original_retrieval(path).model.state_dict()
    assert all(torch.equal(value, again[k]) for k, value in original.model.state_dict().items())


@pytest.mark.slow
def test_the_published_sizes_are_read_off_the_637_entries_of_the_real_file(
    folder: Path, tmp_path: Path
) -> None:
    listed = json.loads((folder / "state_dict_vitb32_msrvtt.json").read_text())
    state = {
        name: torch.full(shape, 0.01, dtype=getattr(torch, dtype))
        for name, (shape, dtype) in listed.items()
    }
    flags = {"num_frm": 16, "top_k": 12, "frame_agg": "mlp", "max_txt_len": 32, "use_policy": True}
    found = read_original_retrieval(write(tmp_path / "trained_model.pth", state, flags))
    model = found.model
    assert to_original(model.state_dict()).keys() == listed.keys()
    sizes = model.config
    assert (sizes.feature_width, sizes.num_frames, sizes.num_kept) == (512, 16, 12)
    assert model.policy is not None
    assert model.policy.config.encoder == "mobilenet_v3_large"
    assert found.preprocess.size == 224
    words = ["a man is singing", ""]
    assert torch.equal(found.tokenize(words), get_tokenizer("ViT-B-32")(words))


def test_entries_that_do_not_fit_are_named_as_the_file_names_them(
    tmp_path: Path, weights: Tensors, config: dict[str, Any]
) -> None:
    state = dict(weights)
    del state["clip.visual.ln_post.bias"], state["sampler.projection.0.bias"]
    state |= {"frame_agg_mlp.6.weight": torch.zeros(1), "sampler.linear.2.bias": torch.zeros(2)}
    with pytest.raises(CheckpointError) as error:
        read_original_retrieval(write(tmp_path / "trained_model.pth", state, config))
    for told in (
        "missing: sampler.projection.0.bias, clip.visual.ln_post.bias",
        "unknown: frame_agg_mlp.6.weight",
        "another shape: sampler.linear.2.bias [2] for [1]",
    ):
        assert told in str(error.value)
