"""`frames`: one still with one object, and where it is."""

from vcap.data.shapes.outlines import REACH
from vcap.data.shapes.scene import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    SHIFT_BACKGROUNDS,
    SHIFT_COLOURS,
    SHIFT_SHAPES,
    SIDE,
    SIZES,
    Act,
    Dice,
    Pose,
    Scene,
    Thing,
    dice,
    make_thing,
)

ROWS = ("top", "", "bottom")
COLUMNS = ("left", "", "right")
_THIRD = SIDE / 3
_CLEAR = 4.5  # pixels that a centre keeps from the line between two thirds


def describe(seed: int, split: str, index: int) -> Scene:
    """The still of that number."""
    stream = dice(seed, "frames", split, index)
    shift = split == "shift"
    shape = stream.pick(SHIFT_SHAPES if shift else SHAPES)
    colour = stream.pick(SHIFT_COLOURS if shift else COLOURS)
    thing = make_thing(stream, shape, colour, stream.pick(SIZES))
    act = place(stream, thing)
    ground = stream.pick(SHIFT_BACKGROUNDS if shift else BACKGROUNDS)
    return Scene(seed, "frames", split, index, 1, ground, (act,))


def place(stream: Dice, thing: Thing) -> Act:
    """Put an object in one of nine places; it does nothing."""
    row, column = stream.whole(0, 2), stream.whole(0, 2)
    x, y = (_within(stream, cell, thing.radius) for cell in (column, row))
    word = f"{ROWS[row]} {COLUMNS[column]}".strip() or "centre"
    return Act(thing, None, (Pose(x, y, thing.radius, thing.turn),), position=word)


def _within(stream: Dice, cell: int, radius: float) -> float:
    """A coordinate in one third of the picture, where the whole object is inside."""
    edge = radius * REACH + 1.5
    low = max(edge, cell * _THIRD + _CLEAR)
    high = min(SIDE - edge, (cell + 1) * _THIRD - _CLEAR)
    return stream.between(low, high)
