"""The text tower in numpy gives what open_clip's gives."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from vcap.models.clip import TowerConfig, build_clip
from vcap.models.text_tower import TextSizes, TextTower, erf, gelu, quick_gelu

VISION = {"layers": 1, "width": 16, "patch_size": 16, "image_size": 32, "head_width": 8}
SMALL: dict[str, Any] = {
    "context_length": 12,
    "vocab_size": 50,
    "width": 24,
    "heads": 3,
    "layers": 2,
}
LIKE_B_32: dict[str, Any] = {
    "context_length": 77,
    "vocab_size": 300,
    "width": 512,
    "heads": 8,
    "layers": 3,
}
END = 49


def both(text: dict[str, Any] = SMALL, seed: int = 0, **more: Any) -> tuple[Any, TextTower]:
    """open_clip's model with random weights, biases too, and the tower with the same."""
    torch.manual_seed(seed)
    model: Any = build_clip(TowerConfig(10, VISION, text, **more)).eval().requires_grad_(False)
    for name, weights in model.named_parameters():
        if name.endswith("bias") or ".ln_" in name:
            weights.add_(torch.randn_like(weights) * 0.1)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return model, TextTower(TextSizes(10, **text, **more), state)


def padded(rows: list[list[int]], length: int) -> torch.Tensor:
    return torch.tensor([row + [0] * (length - len(row)) for row in rows])


@pytest.mark.parametrize("more", [{}, {"quick_gelu": True}], ids=["gelu", "quick gelu"])
@pytest.mark.parametrize("text", [SMALL, LIKE_B_32], ids=["small", "like ViT-B-32"])
def test_embeddings_are_open_clips(text: dict[str, Any], more: dict[str, Any]) -> None:
    model, tower = both(text, **more)
    end, length = text["vocab_size"] - 1, text["context_length"]
    rows = [[3, 7, 8, end], [end], [5] * (length - 1) + [end], [9, 2, 2, 2, 2, end]]
    wanted = model.encode_text(padded(rows, length)).numpy()
    found = tower.encode(rows)
    assert found.shape == (4, 10) and found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * float(np.abs(wanted).max()))


def test_a_mark_of_the_end_inside_a_text_ends_it_as_in_open_clip() -> None:
    model, tower = both()
    rows = [[3, END, 8, END]]
    wanted = model.encode_text(padded(rows, 12)).numpy()
    np.testing.assert_allclose(tower.encode(rows), wanted, atol=1e-5)
    np.testing.assert_allclose(tower.encode([[3, END]]), wanted, atol=1e-5)


def test_a_text_alone_and_among_longer_ones_is_the_same_up_to_rounding() -> None:
    _, tower = both()
    together = tower.encode([[1, 2, END], [4, 5, 6, 7, 8, 9, END]])
    np.testing.assert_allclose(tower.encode([[1, 2, END]])[0], together[0], atol=1e-6)


def test_half_precision_weights_are_computed_with_in_float32() -> None:
    model, _ = both()
    state = {name: tensor.half().numpy() for name, tensor in model.state_dict().items()}
    found = TextTower(TextSizes(10, **SMALL), state).encode([[3, 7, END]])
    wanted = model.encode_text(padded([[3, 7, END]], 12)).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=0.05)


def test_no_text_gives_no_rows() -> None:
    _, tower = both()
    assert tower.encode([]).shape == (0, 10)


@pytest.mark.parametrize(
    ("row", "said"),
    [([], "want 1 to 12 ids"), ([1] * 12 + [END], "got 13"), ([50], "want ids below 50, got 50")],
    ids=["empty", "too long", "unknown"],
)
def test_rows_that_the_tower_cannot_take_are_refused(row: list[int], said: str) -> None:
    _, tower = both()
    with pytest.raises(ValueError, match=said):
        tower.encode([row])


def test_a_missing_or_misshapen_weight_is_named() -> None:
    sizes = TextSizes(10, **SMALL)
    state = {name: np.zeros(shape, np.float32) for name, shape in sizes.shapes().items()}
    with pytest.raises(ValueError, match=r"ln_final.bias: want \[24\], got nothing"):
        TextTower(sizes, {name: array for name, array in state.items() if name != "ln_final.bias"})
    with pytest.raises(ValueError, match=r"text_projection: want \[24, 10\], got \[3\]"):
        TextTower(sizes, state | {"text_projection": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="5 heads cannot share a width of 24"):
        TextTower(TextSizes(10, **SMALL | {"heads": 5}), state)


def test_the_activations_are_torchs() -> None:
    x = np.linspace(-100, 100, 20001, dtype=np.float32)
    wanted = [math.erf(value) for value in x.tolist()]
    np.testing.assert_allclose(erf(x), wanted, atol=5e-7)
    np.testing.assert_allclose(gelu(x), torch.nn.functional.gelu(torch.from_numpy(x)), atol=5e-5)
    there = torch.from_numpy(x)
    np.testing.assert_allclose(quick_gelu(x), there * torch.sigmoid(1.702 * there), atol=1e-5)
