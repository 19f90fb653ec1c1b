"""Checkpoints of ClipCap itself: one vector a picture, mapped to a whole prefix."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.small_models import SIDE, small_lm, write_encoder
from vcap.engine.captioner import FrameFeatures, load_model
from vcap.engine.original import read_original
from vcap.errors import CheckpointError

WIDTH, PREFIX, TOKENS = 16, 3, 2
NOTES = {"lm_heads": 2, "encoder": "tiny"}


class TheirMlp(nn.Module):
    """ClipCap's mapper of two linear layers, in its own words."""

    def __init__(self, width: int) -> None:
        super().__init__()
        whole = PREFIX * WIDTH
        self.model = nn.Sequential(
            nn.Linear(width, whole // 2), nn.Tanh(), nn.Linear(whole // 2, whole)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).view(-1, PREFIX, WIDTH)


class TheirAttention(nn.Module):
    """Attention of eight heads, keys and values in one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.to_queries = nn.Linear(WIDTH, WIDTH, bias=False)
        self.to_keys_values = nn.Linear(WIDTH, 2 * WIDTH, bias=False)
        self.project = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, _ = x.shape
        queries = self.to_queries(x).reshape(rows, length, 8, -1)
        keys, values = self.to_keys_values(x).reshape(rows, length, 2, 8, -1).unbind(2)
        shares = torch.einsum("bnhd,bmhd->bnmh", queries, keys) * (WIDTH // 8) ** -0.5
        out = torch.einsum("bnmh,bmhd->bnhd", shares.softmax(dim=2), values)
        return self.project(out.reshape(rows, length, WIDTH))


class TheirLayer(nn.Module):
    """Norm before attention and before the two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(WIDTH), TheirAttention()
        self.norm2, self.mlp = nn.LayerNorm(WIDTH), nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp.fc2(self.mlp.fc1(self.norm2(x)).relu())


class TheirTransformer(nn.Module):
    """ClipCap's mapper of a few tokens made of the vector, and constants."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transformer = nn.Module()
        self.transformer.layers = nn.ModuleList(TheirLayer() for _ in range(2))
        self.linear = nn.Linear(width, TOKENS * WIDTH)
        self.prefix_const = nn.Parameter(torch.randn(PREFIX, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.linear(x).view(len(x), TOKENS, -1)
        x = torch.cat([tokens, self.prefix_const.expand(len(x), -1, -1)], dim=1)
        for layer in self.transformer.layers:
            x = layer(x)
        return x[:, TOKENS:]


MAPPERS = {"mlp": TheirMlp, "transformer": TheirTransformer}


def their_file(
    path: Path, kind: str, notes: dict[str, Any] | None = None, width: int = 6
) -> tuple[Path, nn.Module]:
    """A checkpoint as ClipCap saved it, masks of old versions included, and its mapper."""
    torch.manual_seed(0)
    mapper = MAPPERS[kind](width)
    weights = {f"clip_project.{name}": value for name, value in mapper.state_dict().items()}
    weights |= {f"gpt.{name}": value for name, value in small_lm().state_dict().items()}
    weights["gpt.transformer.h.0.attn.bias"] = torch.ones(1, 1, 48, 48)
    weights["gpt.transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(weights, path)
    path.with_name(f"{path.name}.json").write_text(json.dumps({**NOTES, **(notes or {})}))
    return path, mapper


def one_frame(vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors [B, D] as clips of one frame."""
    shape = (len(vectors), 1)
    return vectors[:, None], torch.zeros(shape), torch.ones(shape, dtype=torch.bool)


@pytest.mark.parametrize("kind", MAPPERS)
def test_a_checkpoint_of_clipcap_gives_the_prefix_that_clipcap_gives(
    tmp_path: Path, kind: str
) -> None:
    path, theirs = their_file(tmp_path / "coco_prefix-009.pt", kind)
    found = read_original(path)
    vectors = torch.randn(4, 6)
    with torch.no_grad():
        ours = found.model.prefix(*one_frame(vectors))
        torch.testing.assert_close(ours, theirs(vectors), atol=1e-5, rtol=0)
    sizes = found.model.config
    assert (sizes.mapper, sizes.pooled, sizes.prefix_length) == (kind, True, PREFIX)
    assert not sizes.end_token


@pytest.mark.parametrize("kind", MAPPERS)
def test_a_model_of_pictures_sees_the_middle_frame_of_a_video(tmp_path: Path, kind: str) -> None:
    path, _ = their_file(tmp_path / "coco_prefix-009.pt", kind)
    assert str(read_original(path).sampler) == "uniform 1"


def test_features_are_brought_to_length_one_where_the_note_says_so(tmp_path: Path) -> None:
    path, theirs = their_file(tmp_path / "a.pt", "transformer", {"unit_length": True})
    vectors = 9 * torch.randn(4, 6)
    with torch.no_grad():
        ours = read_original(path).model.prefix(*one_frame(vectors))
        wanted = theirs(vectors / vectors.norm(dim=-1, keepdim=True))
    torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "width", "wanted"),
    [("transformer", 640, True), ("transformer", 512, False), ("mlp", 640, False)],
)
def test_the_published_wide_model_had_features_of_length_one(
    tmp_path: Path, kind: str, width: int, wanted: bool
) -> None:
    path, _ = their_file(tmp_path / "a.pt", kind, width=width)
    path.with_name("a.pt.json").write_text(json.dumps({"lm_heads": 2}))
    found = read_original(path)
    assert found.model.config.unit_length is wanted
    assert found.encoder == {640: "RN50x4:openai", 512: "ViT-B-32:openai"}[width]


def test_a_note_that_contradicts_the_weights_is_refused(tmp_path: Path) -> None:
    path, _ = their_file(tmp_path / "a.pt", "transformer", {"mapper": "cross"})
    with pytest.raises(CheckpointError, match="mapper of kind transformer, not cross"):
        read_original(path)
    path, _ = their_file(tmp_path / "b.pt", "mlp", {"pooled": False})
    with pytest.raises(CheckpointError, match="vector to 3 tokens: it is pooled"):
        read_original(path)


@pytest.mark.parametrize(
    "notes", [{"pooled": "yes"}, {"lm_heads": "2"}, {"unit_length": 1}, {"mapper": ["cross"]}]
)
def test_a_note_of_another_kind_is_named(tmp_path: Path, notes: dict[str, Any]) -> None:
    path, _ = their_file(tmp_path / "a.pt", "transformer", notes)
    with pytest.raises(CheckpointError, match=rf"a\.pt\.json: {next(iter(notes))}: want "):
        read_original(path)


def test_one_token_a_vector_is_pooled_only_where_the_note_says_so(tmp_path: Path) -> None:
    path, _ = their_file(tmp_path / "a.pt", "transformer", {"mapper": "transformer"})
    weights = torch.load(path, weights_only=True)
    for part in ("weight", "bias"):
        name = f"clip_project.linear.{part}"
        weights[name] = weights[name][:WIDTH]
    torch.save(weights, path)
    assert not read_original(path).model.config.pooled
    notes = {**NOTES, "pooled": True}
    path.with_name("a.pt.json").write_text(json.dumps(notes))
    assert read_original(path).model.config.pooled


def test_a_weight_of_another_size_is_named_with_both_shapes(tmp_path: Path) -> None:
    path, _ = their_file(tmp_path / "a.pt", "transformer")
    weights = torch.load(path, weights_only=True)
    torch.save({**weights, "clip_project.linear.weight": torch.zeros(33, 6)}, path)
    told = r"clip_project\.linear\.weight: want rows in multiples of 16, .* found shape \[33, 6\]"
    with pytest.raises(CheckpointError, match=told):
        read_original(path)
    torch.save({**weights, "clip_project.prefix_const": torch.zeros(3, 8)}, path)
    with pytest.raises(CheckpointError, match=r"of another shape: .*\[3, 8\] for \[3, 16\]"):
        read_original(path)


@pytest.mark.parametrize("shape", [(), (5,), (5, 0), (2, 3, 4)])
@pytest.mark.parametrize(
    "part", ["gpt.transformer.wte", "gpt.transformer.wpe", "clip_project.linear"]
)
def test_a_weight_that_is_no_matrix_is_named_with_its_shape(
    tmp_path: Path, part: str, shape: tuple[int, ...]
) -> None:
    path, _ = their_file(tmp_path / "a.pt", "transformer")
    torch.save({**torch.load(path, weights_only=True), f"{part}.weight": torch.zeros(shape)}, path)
    with pytest.raises(CheckpointError) as caught:
        read_original(path)
    told = f"{part}.weight: want a matrix, found shape {[*shape]}"
    assert str(caught.value) == f"{path}: {told}"


def test_a_weight_that_claims_more_than_the_memory_is_refused(tmp_path: Path) -> None:
    path, _ = their_file(tmp_path / "a.pt", "transformer")
    weights = torch.load(path, weights_only=True)
    small = torch.zeros(1).expand(10**13, 16)
    torch.save({**weights, "gpt.transformer.wpe.weight": small}, path)
    with pytest.raises(CheckpointError, match="allocate"):
        read_original(path)


def test_a_model_of_pictures_captions_what_its_encoder_gives(tmp_path: Path) -> None:
    from tests.fault.test_wrong_checkpoints import gpt2_like_tokenizer

    notes = {
        "encoder": str(write_encoder(tmp_path / "clip")),
        "tokenizer": str(gpt2_like_tokenizer(tmp_path / "words")),
    }
    path, _ = their_file(tmp_path / "coco_prefix-009.pt", "mlp", notes, width=8)
    captioner = load_model(str(path), device="cpu")
    pixels = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    features = FrameFeatures(captioner.encoder.encode_frames(pixels), np.arange(1))
    found = captioner.generate([features])[0]
    assert found[0].text
    assert np.isfinite(found[0].score)
