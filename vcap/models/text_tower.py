"""CLIP's text tower in plain numpy, for a start without torch.

Source: Radford et al., "CLIP", arXiv:2103.00020, section 2.4. Departures: positions behind the
one that is read out are never computed, which changes nothing, as no position looks ahead.
Shapes: B texts, L tokens, V ids, W width, H heads, D embedding width, F width inside the MLP.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
LN_EPSILON = 1e-5
QUICK_SLOPE = 1.702
FARTHEST = 4.0  # from here on the error function is 1 in float32
# A quotient of polynomials in x*x times x, highest power first; off by at most 5e-7.
ERF_ABOVE = (
    *(-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05),
    *(-7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02),
)
ERF_BELOW = (
    *(-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03),
    *(-7.37332916720468e-03, -1.42647390514189e-02),
)
LAYER_SHAPES = {  # of a layer's weights, in letters of the head of this file; I is 3 W
    **{f"ln_{number}.{kind}": "W" for number in (1, 2) for kind in ("weight", "bias")},
    "attn.in_proj_weight": "IW",
    "attn.in_proj_bias": "I",
    "attn.out_proj.weight": "WW",
    "attn.out_proj.bias": "W",
    "mlp.c_fc.weight": "FW",
    "mlp.c_fc.bias": "F",
    "mlp.c_proj.weight": "WF",
    "mlp.c_proj.bias": "W",
}


@dataclass(frozen=True)
class TextSizes:
    """Sizes of the tower, in open_clip's words.

    Attributes:
        embed_dim: D.
        quick_gelu: as OpenAI's weights need.
    """

    embed_dim: int
    context_length: int = 77
    vocab_size: int = 49408
    width: int = 512
    heads: int = 8
    layers: int = 12
    mlp_ratio: float = 4.0
    quick_gelu: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every weight by its name in open_clip."""
        width = self.width
        letters = {"W": width, "I": 3 * width, "F": int(width * self.mlp_ratio)}
        layer = {name: tuple(letters[k] for k in shape) for name, shape in LAYER_SHAPES.items()}
        found: dict[str, tuple[int, ...]] = {
            "token_embedding.weight": (self.vocab_size, width),
            "positional_embedding": (self.context_length, width),
            "ln_final.weight": (width,),
            "ln_final.bias": (width,),
            "text_projection": (width, self.embed_dim),
        }
        for number in range(self.layers):
            found |= {f"{_layer(number)}{name}": shape for name, shape in layer.items()}
        return found


class TextTower:
    """Token ids to embeddings; the weights may lie in a mapped file and are not copied."""

    def __init__(self, sizes: TextSizes, weights: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take the weights by their names in open_clip; others are left alone.

        Raises:
            ValueError: one is missing or of another shape, or the heads do not share the width.
        """
        if sizes.heads < 1 or sizes.width % sizes.heads:
            raise ValueError(f"{sizes.heads} heads cannot share a width of {sizes.width}")
        for name, shape in sizes.shapes().items():
            if name not in weights or weights[name].shape != shape:
                found = [*weights[name].shape] if name in weights else "nothing"
                raise ValueError(f"{name}: want {[*shape]}, got {found}")
        self.sizes = sizes
        self._weights = {name: weights[name] for name in sizes.shapes()}

    def encode(self, rows: Sequence[Sequence[int]]) -> Array:
        """B rows of ids -> embeddings [B, D], projected, not normalised.

        What is read out is the first place of a row's highest id, where the sentence ends. Rows
        may differ in length; a row's last bits may depend on the rows beside it.

        Raises:
            ValueError: a row is empty or longer than the context, or an id is unknown.
        """
        if not rows:
            return np.zeros((0, self.sizes.embed_dim), np.float32)  # [0, D]
        lengths = [row.index(max(row)) + 1 if row else 0 for row in map(list, rows)]
        longest = max(lengths)
        if min(lengths) < 1 or longest > self.sizes.context_length:
            raise ValueError(f"want 1 to {self.sizes.context_length} ids, got {longest}")
        ids = np.zeros((len(rows), longest), np.int64)  # [B, L]
        for number, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            ids[number, :length] = row[:length]
        if ids.min() < 0 or ids.max() >= self.sizes.vocab_size:
            raise ValueError(f"want ids below {self.sizes.vocab_size}, got {ids.max()}")
        return self._embed(ids, np.array(lengths) - 1)  # [B, D]

    def _embed(self, ids: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Array:
        """Ids [B, L] and where each row is read out [B] -> [B, D]."""
        x = _float(self._weights["token_embedding.weight"][ids])  # [B, L, W]
        x += self._get("positional_embedding")[: ids.shape[1]]  # [B, L, W]
        ahead = np.triu(np.full((ids.shape[1],) * 2, -np.inf, np.float32), 1)  # [L, L]
        for number in range(self.sizes.layers):
            x = self._layer(x, _layer(number), ahead)  # [B, L, W]
        read = x[np.arange(len(x)), ends]  # [B, W]
        normed = self._norm(read, "ln_final.")  # [B, W]
        found: Array = normed @ self._get("text_projection")  # [B, D]
        return found

    def _layer(self, x: Array, name: str, ahead: Array) -> Array:
        x = x + self._attend(self._norm(x, f"{name}ln_1."), f"{name}attn.", ahead)  # [B, L, W]
        inside = self._linear(self._norm(x, f"{name}ln_2."), f"{name}mlp.c_fc.")  # [B, L, F]
        active = quick_gelu(inside) if self.sizes.quick_gelu else gelu(inside)  # [B, L, F]
        return x + self._linear(active, f"{name}mlp.c_proj.")  # [B, L, W]

    def _attend(self, x: Array, name: str, ahead: Array) -> Array:
        num_heads = self.sizes.heads
        size = x.shape[-1] // num_heads
        joint = x @ self._get(f"{name}in_proj_weight").T + self._get(f"{name}in_proj_bias")
        parts = joint.reshape(*x.shape[:2], 3, num_heads, size)  # [B, L, 3, H, W / H]
        query, key, value = parts.transpose(2, 0, 3, 1, 4)  # [B, H, L, W / H] each
        scores = query @ key.swapaxes(-1, -2) / np.float32(math.sqrt(size))  # [B, H, L, L]
        scores += ahead  # [B, H, L, L]
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))  # [B, H, L, L]
        scores /= scores.sum(axis=-1, keepdims=True)  # [B, H, L, L]
        mixed = (scores @ value).transpose(0, 2, 1, 3).reshape(x.shape)  # [B, L, W]
        return self._linear(mixed, f"{name}out_proj.")  # [B, L, W]

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)  # [B, L, W]
        variance = np.square(centred).mean(axis=-1, keepdims=True)  # [B, L, 1]
        even: Array = centred / np.sqrt(variance + np.float32(LN_EPSILON))  # [B, L, W]
        return even * self._get(f"{name}weight") + self._get(f"{name}bias")  # [B, L, W]

    def _linear(self, x: Array, name: str) -> Array:
        out: Array = x @ self._get(f"{name}weight").T  # [B, L, F]
        out += self._get(f"{name}bias")  # [B, L, F]
        return out

    def _get(self, name: str) -> Array:
        return _float(self._weights[name])


def _layer(number: int) -> str:
    return f"transformer.resblocks.{number}."


def _float(weights: npt.NDArray[np.generic]) -> Array:
    """The same numbers in float32; not copied where they are."""
    return np.asarray(weights, dtype=np.float32)


def quick_gelu(x: Array) -> Array:
    """x * sigmoid(1.702 x)."""
    with np.errstate(over="ignore"):  # exp of far negative numbers is infinite, the result 0
        found: Array = x / (1 + np.exp(np.float32(-QUICK_SLOPE) * x))
    return found


def gelu(x: Array) -> Array:
    """x times the share of the normal distribution below x."""
    found: Array = np.float32(0.5) * x * (1 + erf(x * np.float32(math.sqrt(0.5))))
    return found


def erf(x: Array) -> Array:
    """The error function in float32, off by at most 5e-7."""
    near = np.clip(x, -FARTHEST, FARTHEST)
    square = near * near
    found: Array = near * _polynomial(ERF_ABOVE, square) / _polynomial(ERF_BELOW, square)
    return found


def _polynomial(factors: Sequence[float], x: Array) -> Array:
    total = np.full_like(x, factors[0])
    for factor in factors[1:]:
        total *= x
        total += np.float32(factor)
    return total
