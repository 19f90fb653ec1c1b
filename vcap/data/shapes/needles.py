"""`needles`: eight seconds of grey clutter, and an object that is there in two to four frames."""

from dataclasses import replace

from vcap.data.shapes.frames import place
from vcap.data.shapes.scene import (
    COLOURS,
    SHAPES,
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

NUM_FRAMES = 64
BACKGROUND = "dark"  # one kind for all, so that only the event tells two videos apart
NUM_PIECES = 10
_EVENT = (2, 4)  # frames
_EDGE = 9.0  # pixels that the centre of a piece keeps from the border


def describe(seed: int, split: str, index: int) -> Scene:
    """The video of that number; the event may be at any time."""
    stream = dice(seed, "needles", split, index)
    clutter = tuple(_piece(stream) for _ in range(NUM_PIECES))
    shape, colour = stream.pick(SHAPES), stream.pick(COLOURS)
    still = place(stream, make_thing(stream, shape, colour, stream.pick(SIZES)))
    length = stream.whole(*_EVENT)
    first = stream.whole(0, NUM_FRAMES - length)
    act = replace(still, action="appears", poses=still.poses * length, first=first)
    return Scene(seed, "needles", split, index, NUM_FRAMES, BACKGROUND, (act,), clutter)


def _piece(stream: Dice) -> Act:
    """A small grey shape that drifts and turns, thrown back at the borders."""
    grey = stream.whole(75, 150)
    shape, turn = stream.pick(SHAPES), stream.between(0.0, 1.0)
    thing = Thing(shape, "grey", "small", (grey, grey, grey), stream.between(4.0, 6.5), turn)
    x, y, spin = (stream.between(0.0, 1.0) for _ in range(3))
    across, along = (stream.between(-1.0, 1.0) for _ in range(2))
    poses = (
        Pose(_fold(x, across, k), _fold(y, along, k), thing.radius, turn + (spin - 0.5) * k / 20)
        for k in range(NUM_FRAMES)
    )
    return Act(thing, None, tuple(poses))


def _fold(start: float, speed: float, frame: int) -> float:
    """A coordinate that goes to and fro between the borders."""
    room = SIDE - 2 * _EDGE
    at = (start * 2 * room + speed * frame) % (2 * room)
    return _EDGE + min(at, 2 * room - at)
