"""The greyish grounds on which objects move, drawn in whole numbers."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from vcap.data.shapes.scene import SIDE, Dice

MARGIN = 8  # pixels that the camera may drift, either way
WIDE = SIDE + 2 * MARGIN

Grey = npt.NDArray[np.int16]


def paint_background(dice: Dice, kind: str) -> npt.NDArray[np.int16]:
    """A ground of that kind with a margin for the camera: [WIDE, WIDE, 3]."""
    grey = _KINDS[kind](dice)
    tint = np.array([dice.whole(-5, 5) for _ in range(3)], dtype=np.int16)
    return grey[:, :, None] + tint


def _rows_and_columns() -> tuple[Grey, Grey]:
    line = np.arange(WIDE, dtype=np.int16)
    return line[:, None], line[None, :]


def _blotches(dice: Dice, strength: int) -> Grey:
    """Soft clouds, so that even a plain ground shows the camera move."""
    knots = dice.generator.integers(-strength, strength + 1, (9, 9)).astype(np.int16)
    steps = np.arange(WIDE)
    cell, share = steps // 14, (steps % 14).astype(np.int16)
    rows = knots[cell] * (14 - share)[:, None] + knots[cell + 1] * share[:, None]
    both = rows[:, cell] * (14 - share) + rows[:, cell + 1] * share
    return (both // (14 * 14)).astype(np.int16)


def _dark(dice: Dice) -> Grey:
    return dice.whole(34, 58) + _blotches(dice, 12)


def _light(dice: Dice) -> Grey:
    return dice.whole(192, 216) + _blotches(dice, 12)


def _two_greys(dice: Dice, where: npt.NDArray[np.bool_]) -> Grey:
    low, high = dice.whole(70, 100), dice.whole(145, 175)
    return np.where(where, low, high).astype(np.int16)


def _checkered(dice: Dice) -> Grey:
    rows, columns = _rows_and_columns()
    cell, down, along = dice.whole(9, 15), dice.whole(0, 29), dice.whole(0, 29)
    return _two_greys(dice, ((rows + down) // cell + (columns + along) // cell) % 2 == 0)


def _gradient(dice: Dice) -> Grey:
    rows, columns = _rows_and_columns()
    down, along = dice.pick(((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)))
    low, high = dice.whole(45, 75), dice.whole(170, 200)
    height = down * rows + along * columns + np.zeros((WIDE, WIDE), dtype=np.int32)
    height -= height.min()
    return (low + height * (high - low) // int(height.max())).astype(np.int16)


def _noisy(dice: Dice) -> Grey:
    low, high = dice.whole(55, 80), dice.whole(150, 180)
    grains = dice.generator.integers(low, high + 1, (WIDE // 2, WIDE // 2)).astype(np.int16)
    return grains.repeat(2, axis=0).repeat(2, axis=1)


def _striped(dice: Dice) -> Grey:
    rows, columns = _rows_and_columns()
    lines = dice.pick((rows, columns, rows + columns)) + np.zeros((WIDE, WIDE), dtype=np.int16)
    return _two_greys(dice, (lines + dice.whole(0, 29)) // dice.whole(6, 10) % 2 == 0)


def _dotted(dice: Dice) -> Grey:
    rows, columns = _rows_and_columns()
    cell = dice.whole(11, 15)
    down = (rows + dice.whole(0, 14)) % cell - cell // 2
    along = (columns + dice.whole(0, 14)) % cell - cell // 2
    return _two_greys(dice, down * down + along * along <= 10)


_KINDS: dict[str, Callable[[Dice], Grey]] = {
    "dark": _dark,
    "light": _light,
    "checkered": _checkered,
    "gradient": _gradient,
    "noisy": _noisy,
    "striped": _striped,
    "dotted": _dotted,
}
