"""The outline of each shape: how far a point lies outside of it, in pixels.

Distances need only be true near the outline, where they become the soft edge. They are made of
sums, products and roots alone, which are the same on every processor.
Shapes: T frames, S side of the box around the object.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.floating[Any]]  # float32 [T, S, S], or [T, 1, 1] for the radius

REACH = 1.16  # the farthest point of any shape, in radii
_C36, _S36 = np.float32(0.8090169943749475), np.float32(0.5877852522924731)
_C60, _S60 = np.float32(0.5), np.float32(0.8660254037844386)
_C45 = np.float32(0.7071067811865476)


def _number(value: float) -> np.float32:
    return np.float32(value)


def _unit(u: float, v: float) -> tuple[np.float32, np.float32]:
    size = math.sqrt(u * u + v * v)
    return _number(u / size), _number(v / size)


_NOTCH = 0.44  # inner radius of the star, in tips
_EDGE_U, _EDGE_V = _unit(_NOTCH * float(_S36), _NOTCH * float(_C36) - 1)
_SLOPE_U, _SLOPE_V = _unit(1.0, 0.52)  # half as wide as high, unlike any tilted square


def _larger(one: Plane, other: Plane) -> Plane:
    return np.asarray(np.maximum(one, other))


def _smaller(one: Plane, other: Plane) -> Plane:
    return np.asarray(np.minimum(one, other))


def _length(u: Plane, v: Plane) -> Plane:
    return np.asarray(np.sqrt(u * u + v * v))


def _circle(u: Plane, v: Plane, r: Plane) -> Plane:
    return _length(u, v) - r


def _ring(u: Plane, v: Plane, r: Plane) -> Plane:
    middle, half = r * _number(0.74), r * _number(0.28)
    return abs(_length(u, v) - middle) - half


def _box(u: Plane, v: Plane, wide: Plane, high: Plane) -> Plane:
    return _larger(abs(u) - wide, abs(v) - high)


def _square(u: Plane, v: Plane, r: Plane) -> Plane:
    side = r * _number(0.82)
    return _box(u, v, side, side)


def _cross(u: Plane, v: Plane, r: Plane) -> Plane:
    arm, half = r * _number(1.06), r * _number(0.36)
    return _smaller(_box(u, v, arm, half), _box(u, v, half, arm))


def _triangle(u: Plane, v: Plane, r: Plane) -> Plane:
    inner = r * _number(REACH / 2)
    return _larger(v, abs(u) * _S60 - v * _C60) - inner


def _star(u: Plane, v: Plane, r: Plane) -> Plane:
    """Five points: folded into half a point, where one straight edge is left."""
    u, v = abs(u), -v
    for sign in (1, -1):
        over = np.clip(u * (sign * _C36) - v * _S36, 0, None) * 2
        u, v = u - over * (sign * _C36), v + over * _S36
    u = abs(u)
    tip = r * _number(REACH)  # the edge runs from here to the notch
    return _EDGE_U * (v - tip) - _EDGE_V * u


def _hexagon(u: Plane, v: Plane, r: Plane) -> Plane:
    return _larger(abs(v), abs(u) * _S60 + abs(v) * _C60) - r * _number(0.92)


def _heart(u: Plane, v: Plane, r: Plane) -> Plane:
    side = r * _number(0.62)
    low = v - r * _number(0.14)
    box = _larger(abs(u * _C45 + low * _C45), abs(low * _C45 - u * _C45)) - side
    lobe = _length(abs(u) - side * _C45, low + side * _C45) - side
    return _smaller(box, lobe)


def _diamond(u: Plane, v: Plane, r: Plane) -> Plane:
    half = r * _number(REACH) * _SLOPE_V
    outside: Plane = abs(u) * _SLOPE_U + abs(v) * _SLOPE_V - half
    return outside


def _crescent(u: Plane, v: Plane, r: Plane) -> Plane:
    bite = _length(u - r * _number(0.62), v) - r * _number(0.82)
    return _larger(_length(u, v) - r, -bite)


OUTLINES: dict[str, Callable[[Plane, Plane, Plane], Plane]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
    "hexagon": _hexagon,
    "heart": _heart,
    "diamond": _diamond,
    "crescent": _crescent,
}

# where the mark sits and how large it is, in radii; `v` points down
MARKS: dict[str, tuple[float, float, float]] = {
    "circle": (0.0, -0.56, 0.3),
    "square": (0.0, -0.44, 0.28),
    "triangle": (0.0, -0.42, 0.26),
    "star": (0.0, -0.3, 0.21),
    "cross": (0.0, -0.68, 0.22),
    "ring": (0.0, -0.74, 0.21),
    "hexagon": (0.0, -0.5, 0.28),
    "heart": (-0.42, -0.3, 0.24),
    "diamond": (0.0, -0.4, 0.2),
    "crescent": (-0.6, 0.0, 0.2),
}
