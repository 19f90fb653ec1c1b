"""The encoder's towers: pixels in, embeddings and a grid of them out."""

import pytest
import torch
from torch import nn

from vcap.models.clip import (
    CLIP_MEAN,
    CLIP_STD,
    TowerConfig,
    build_clip,
    contrastive_loss,
    grid_features,
    normalise,
)

RESNET = {"layers": [1, 1, 1, 1], "width": 4, "image_size": 96, "head_width": 32}
VIT = {"layers": 2, "width": 32, "patch_size": 16, "image_size": 96, "head_width": 16}
TEXT = {"context_length": 8, "vocab_size": 40, "width": 16, "heads": 2, "layers": 1}


def tower(vision: dict[str, object]) -> nn.Module:
    torch.manual_seed(0)
    return build_clip(TowerConfig(8, vision, TEXT)).eval()


@pytest.mark.parametrize("vision", [RESNET, VIT], ids=["resnet", "vit"])
@torch.no_grad()
def test_the_pooled_part_of_grid_features_is_the_ordinary_embedding(
    vision: dict[str, object],
) -> None:
    model = tower(vision)
    pictures = torch.randn(2, 3, 96, 96)
    pooled, grid = grid_features(model.visual, pictures)  # type: ignore[arg-type]
    torch.testing.assert_close(pooled, model.encode_image(pictures))  # type: ignore[operator]
    assert grid.shape == (2, 9, 8)


@pytest.mark.parametrize("vision", [RESNET, VIT], ids=["resnet", "vit"])
@torch.no_grad()
def test_places_of_the_grid_go_row_by_row(vision: dict[str, object]) -> None:
    model = tower(vision)
    pictures = torch.zeros(1, 3, 96, 96)
    _, before = grid_features(model.visual, pictures)  # type: ignore[arg-type]
    pictures[:, :, 80:, :16] = 3.0  # the lower left corner
    _, after = grid_features(model.visual, pictures)  # type: ignore[arg-type]
    changed = (after - before).norm(dim=-1)[0]
    assert int(changed.argmax()) == 6


@torch.no_grad()
def test_a_grid_is_the_attention_pool_looking_at_one_place_only() -> None:
    visual: nn.Module = tower(RESNET).visual  # type: ignore[assignment]
    pictures = torch.randn(1, 3, 96, 96)
    _, grid = grid_features(visual, pictures)
    seen = visual.forward_intermediates(pictures, intermediates_only=True)  # type: ignore[operator]
    x = seen["image_intermediates"][-1]  # [1, F, 3, 3]
    pool = visual.attnpool
    place = x[0, :, 1, 2] + pool.positional_embedding[1 + 5]  # type: ignore[index, union-attr]
    torch.testing.assert_close(grid[0, 5], pool.c_proj(pool.v_proj(place)))  # type: ignore[operator, union-attr]


def test_a_tower_without_places_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="Identity gives no features per position"):
        grid_features(nn.Identity(), torch.zeros(1, 3, 32, 32))


def test_an_unknown_key_of_the_sizes_is_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        build_clip(TowerConfig(vision_cfg={**RESNET, "colour": 1}, text_cfg=TEXT))


def test_pixels_are_scaled_by_mean_and_deviation_of_each_colour() -> None:
    pixels = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)
    found = normalise(pixels, CLIP_MEAN, CLIP_STD)
    wanted = [
        (value - mean) / std
        for value, mean, std in zip((0.0, 1.0, 0.2), CLIP_MEAN, CLIP_STD, strict=True)
    ]
    assert found.shape == (1, 3, 1, 1)
    assert found.flatten().tolist() == pytest.approx(wanted, rel=1e-5)
    assert pixels.flatten().tolist() == [0, 255, 51], "the frames themselves stay as they are"


def test_the_loss_of_a_perfect_match_is_small_and_of_even_scores_is_the_log_of_the_batch() -> None:
    images = torch.eye(4)
    own = torch.eye(4, dtype=torch.bool)
    assert float(contrastive_loss(images, images, torch.tensor(50.0), own)) < 1e-3
    even = contrastive_loss(torch.zeros(4, 4), images, torch.tensor(50.0), own)
    assert float(even) == pytest.approx(float(torch.tensor(4.0).log()))


def test_two_texts_true_of_one_picture_are_both_right() -> None:
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    scale = torch.tensor(50.0)
    own = torch.eye(3, dtype=torch.bool)
    both = own.clone()
    both[0, 1] = both[1, 0] = True
    strict = contrastive_loss(images, images, scale, own)
    fair = contrastive_loss(images, images, scale, both)
    half = float(torch.tensor(2.0).log())
    assert float(strict) == pytest.approx(half * 2 / 3, rel=1e-3)
    assert float(fair) == pytest.approx(half * 2 / 3, rel=1e-3)
    one_wrong = images[[0, 2, 2]]  # now one of the two equal captions is far off
    assert float(contrastive_loss(images, one_wrong, scale, both)) > float(fair)


def test_a_pair_of_which_nobody_can_say_whether_it_fits_is_left_out() -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    own = torch.eye(3, dtype=torch.bool)
    alike = torch.zeros(3, 3, dtype=torch.bool)
    alike[0, 2] = alike[2, 0] = True
    scale = torch.tensor(50.0)
    assert float(contrastive_loss(images, images, scale, own)) > 0.4
    assert float(contrastive_loss(images, images, scale, own, alike)) < 1e-3
    nobody = torch.zeros(3, 3, dtype=torch.bool)
    assert contrastive_loss(images, images, scale, own, nobody) == contrastive_loss(
        images, images, scale, own
    )


def test_a_pair_that_nobody_can_judge_neither_helps_nor_hurts() -> None:
    images, own = torch.eye(3), torch.eye(3, dtype=torch.bool)
    unknown = torch.zeros(3, 3, dtype=torch.bool)
    unknown[0, 1] = unknown[1, 0] = True
    alike, scale = images[[0, 0, 2]], torch.tensor(50.0)
    judged = contrastive_loss(alike, alike, scale, own)
    left_out = contrastive_loss(alike, alike, scale, own, unknown)
    assert float(left_out) < 1e-3 < float(judged)


@torch.no_grad()
def test_text_embeddings_stop_at_the_end_token() -> None:
    model = tower(RESNET)
    row = torch.tensor([[3, 5, 39, 0, 0, 0, 0, 0]])
    after = torch.tensor([[3, 5, 39, 7, 8, 9, 0, 0]])
    encode = model.encode_text
    assert torch.allclose(encode(row), encode(after), atol=1e-6)  # type: ignore[operator]
