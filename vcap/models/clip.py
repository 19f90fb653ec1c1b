"""The image and text encoder: a contrastive model of open_clip's kinds, any size.

Source: Radford et al., "CLIP", arXiv:2103.00020; per-position features after Zhou et al.,
"MaskCLIP", arXiv:2112.01071, section 3.2. Departures: none.
Shapes: B pictures, H W pixels, C colour, D embedding width, F tower width, G*G positions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from open_clip.model import CLIP
from torch import Tensor, nn

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
LEFT_OUT = -1e4  # a similarity without weight; infinite ones would make zero targets NaN


def _small_vision() -> dict[str, Any]:
    return {"layers": [1, 1, 1, 1], "width": 16, "image_size": 96, "head_width": 64}


def _small_text() -> dict[str, Any]:
    return {"context_length": 32, "vocab_size": 1024, "width": 128, "heads": 4, "layers": 2}


@dataclass(frozen=True)
class TowerConfig:
    """Sizes of both towers, in open_clip's words; the defaults are the embedded model's.

    Attributes:
        embed_dim: D.
        vision_cfg: of `open_clip.CLIPVisionCfg`; four numbers of layers make a ResNet.
        text_cfg: of `open_clip.CLIPTextCfg`.
        quick_gelu: as OpenAI's weights need.
    """

    embed_dim: int = 128
    vision_cfg: Mapping[str, Any] = field(default_factory=_small_vision)
    text_cfg: Mapping[str, Any] = field(default_factory=_small_text)
    quick_gelu: bool = False


def build_clip(config: TowerConfig) -> nn.Module:
    """Make both towers with random weights.

    Raises:
        ValueError: a key that open_clip does not know.
    """
    try:
        model = CLIP(**asdict(config))
    except TypeError as error:
        raise ValueError(f"vision_cfg or text_cfg: {error}") from error
    assert isinstance(model, nn.Module)
    return model


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """pixels [B, H, W, C] uint8 -> what a tower takes [B, C, H, W] float32."""
    centre = torch.tensor(mean, device=pixels.device).view(1, -1, 1, 1) * 255  # [1, C, 1, 1]
    scale = torch.tensor(std, device=pixels.device).view(1, -1, 1, 1) * 255  # [1, C, 1, 1]
    picture = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return picture.sub_(centre).div_(scale)  # [B, C, H, W]


def grid_features(visual: nn.Module, pictures: Tensor, side: int = 3) -> tuple[Tensor, Tensor]:
    """pictures [B, C, H, W] -> pooled [B, D] and per position, row by row, [B, side*side, D].

    Raises:
        ValueError: the tower is neither a ResNet with attention pooling nor a plain ViT.
    """
    if hasattr(visual, "attnpool"):
        pooled, grid = _resnet_grid(visual, pictures)
    elif hasattr(visual, "ln_post") and getattr(visual, "attn_pool", None) is None:
        pooled, grid = _vit_grid(visual, pictures)
    else:
        raise ValueError(f"{type(visual).__name__} gives no features per position")
    even = nn.functional.adaptive_avg_pool2d(grid, side)  # [B, D, side, side]
    return pooled, even.flatten(2).transpose(1, 2)  # [B, D], [B, side*side, D]


def _resnet_grid(visual: Any, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Values and output projection of the attention pool, at each position for itself."""
    x = visual.stem(pictures)  # [B, F, h, w]
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        x = layer(x)  # [B, F, h, w]
    pool = visual.attnpool
    places = pool.positional_embedding[1:].T.view(1, -1, *x.shape[2:]).to(x.dtype)  # [1, F, h, w]
    values = pool.c_proj(pool.v_proj((x + places).permute(0, 2, 3, 1)))  # [B, h, w, D]
    return pool(x), values.permute(0, 3, 1, 2)  # [B, D], [B, D, h, w]


def _vit_grid(visual: Any, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The patches' last states, normed and projected as the class token's is."""
    out = visual.forward_intermediates(pictures, indices=1, normalize_intermediates=True)
    grid = out["image_intermediates"][-1]  # [B, F, h, w]
    if visual.proj is not None:
        grid = torch.einsum("bfhw,fd->bdhw", grid, visual.proj)  # [B, D, h, w]
    return out["image_features"], grid


def contrastive_loss(
    images: Tensor,
    texts: Tensor,
    scale: Tensor,
    positives: Tensor,
    unknown: Tensor | None = None,
) -> Tensor:
    """Mean of the image-to-text and text-to-image cross-entropies.

    Args:
        images: [B, D] unit length.
        texts: [B, D] unit length.
        scale: [] what similarities are multiplied by.
        positives: [B, B] bool, True where a text is true of an image; the targets are shared
            equally among them.
        unknown: [B, B] bool, True where nobody can say; such pairs are left out.
    """
    similarity = scale * images @ texts.T  # [B, B]
    if unknown is not None:
        similarity = similarity.masked_fill(unknown, LEFT_OUT)  # [B, B]
    wanted = positives.to(similarity.dtype)  # [B, B]
    rows = wanted / wanted.sum(dim=1, keepdim=True)  # [B, B]
    columns = (wanted / wanted.sum(dim=0, keepdim=True)).T  # [B, B]
    to_text = nn.functional.cross_entropy(similarity, rows)  # []
    return (to_text + nn.functional.cross_entropy(similarity.T, columns)) / 2  # []
