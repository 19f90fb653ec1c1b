"""How each action moves an object: the pose in every frame of an event.

All actions start from one distribution of places, and every place that is passed lies in one
square with rounded corners, so that the start does not tell the action. A slide that comes to the
end of its lane goes on from the other end: its place is spread alike in every frame, whatever the
direction, and only the motion tells it.
"""

import math
from collections.abc import Callable

from vcap.data.shapes.scene import Dice, Pose, Thing
from vcap.data.shapes.turns import cosine, sine

LOW, HIGH = 25.0, 71.0  # every centre lies between, so that large objects fit
ROUND = 15.0  # radius of the corners that are left out, above the largest circled radius
SMALLEST, LARGEST = (9.6, 10.8), (17.6, 20.5)  # radii at the two ends of growing


def start(dice: Dice) -> tuple[float, float]:
    """A place in the rounded square, the same for all actions."""
    while True:
        x, y = dice.between(LOW, HIGH), dice.between(LOW, HIGH)
        across, along = _depth(x), _depth(y)
        if across * across + along * along <= ROUND * ROUND:
            return x, y


def _depth(value: float) -> float:
    """How far a coordinate lies in the zone of the corners."""
    return max(LOW + ROUND - value, value - HIGH + ROUND, 0.0)


def lane(other: float) -> tuple[float, float]:
    """The two ends of the straight way through the rounded square at that other coordinate."""
    depth = _depth(other)
    inset = ROUND - math.sqrt(ROUND * ROUND - depth * depth) if depth else 0.0
    return LOW + inset, HIGH - inset


def _progress(dice: Dice, num_frames: int) -> list[float]:
    """From 0 to 1, somewhat faster at one end than at the other."""
    bend = dice.between(-0.3, 0.3)
    shares = [k / max(1, num_frames - 1) for k in range(num_frames)]
    return [share + bend * share * (1.0 - share) for share in shares]


def _slide(dice: Dice, thing: Thing, num_frames: int, way: tuple[int, int]) -> list[Pose]:
    x, y = start(dice)
    low, high = lane(y if way[0] else x)
    travel = dice.between(36.0, 44.0)
    poses = []
    for share in _progress(dice, num_frames):
        gone = (x if way[0] else y) + (way[0] + way[1]) * travel * share
        at = low + (gone - low) % (high - low)
        poses.append(Pose(*((at, y) if way[0] else (x, at)), thing.radius, thing.turn))
    return poses


def _left(dice: Dice, thing: Thing, num_frames: int) -> list[Pose]:
    return _slide(dice, thing, num_frames, (-1, 0))


def _right(dice: Dice, thing: Thing, num_frames: int) -> list[Pose]:
    return _slide(dice, thing, num_frames, (1, 0))


def _up(dice: Dice, thing: Thing, num_frames: int) -> list[Pose]:
    return _slide(dice, thing, num_frames, (0, -1))


def _down(dice: Dice, thing: Thing, num_frames: int) -> list[Pose]:
    return _slide(dice, thing, num_frames, (0, 1))


def _spin(dice: Dice, thing: Thing, num_frames: int) -> list[Pose]:
    x, y = start(dice)
    turns = dice.between(1.25, min(3.0, 0.1 * num_frames)) * dice.pick((-1, 1))
    shares = [k / num_frames for k in range(num_frames)]
    return [Pose(x, y, thing.radius, thing.turn + turns * share) for share in shares]


def _resize(dice: Dice, thing: Thing, num_frames: int, grows: bool) -> list[Pose]:
    x, y = start(dice)
    small, large = dice.between(*SMALLEST), dice.between(*LARGEST)
    first, last = (small, large) if grows else (large, small)
    shares = _progress(dice, num_frames)
    return [Pose(x, y, first + (last - first) * share, thing.turn) for share in shares]


def _grow(dice: Dice, thing: Thing, num_frames: int) -> list[Pose]:
    return _resize(dice, thing, num_frames, True)


def _shrink(dice: Dice, thing: Thing, num_frames: int) -> list[Pose]:
    return _resize(dice, thing, num_frames, False)


def _blink(dice: Dice, thing: Thing, num_frames: int) -> list[Pose]:
    x, y = start(dice)
    times, phase = dice.between(2.0, 3.0), dice.between(0.0, 1.0)
    seen = [(phase + times * k / num_frames) % 1.0 < 0.5 for k in range(num_frames)]
    return [Pose(x, y, thing.radius, thing.turn, on) for on in seen]


def _bounce(dice: Dice, thing: Thing, num_frames: int) -> list[Pose]:
    x, y = start(dice)
    while True:  # the start is given: find a hop through it that stays inside
        height, phase = dice.between(21.0, 28.0), dice.between(0.0, 1.0)
        ground = y + height * 4.0 * phase * (1.0 - phase)
        if ground <= HIGH and ground - height >= LOW:
            break
    hops = dice.between(2.0, min(3.0, num_frames / 7))
    beats = [(phase + hops * k / num_frames) % 1.0 for k in range(num_frames)]
    return [
        Pose(x, ground - height * 4.0 * beat * (1.0 - beat), thing.radius, thing.turn)
        for beat in beats
    ]


def _circle(dice: Dice, thing: Thing, num_frames: int) -> list[Pose]:
    x, y = start(dice)
    while True:  # the start is given: find a circle through it that stays inside
        radius, phase = dice.between(13.0, 14.6), dice.between(0.0, 1.0)
        middle_x, middle_y = x - radius * cosine(phase), y - radius * sine(phase)
        if all(LOW + radius <= middle <= HIGH - radius for middle in (middle_x, middle_y)):
            break
    turns = dice.between(1.0, 2.0) * dice.pick((-1, 1))
    poses = []
    for k in range(num_frames):
        angle = phase + turns * k / num_frames
        at_x, at_y = middle_x + radius * cosine(angle), middle_y + radius * sine(angle)
        poses.append(Pose(at_x, at_y, thing.radius, thing.turn))
    return poses


_MOVES: dict[str, Callable[[Dice, Thing, int], list[Pose]]] = {
    "slides left": _left,
    "slides right": _right,
    "slides up": _up,
    "slides down": _down,
    "spins": _spin,
    "grows": _grow,
    "shrinks": _shrink,
    "blinks": _blink,
    "bounces": _bounce,
    "circles": _circle,
}


def move(dice: Dice, thing: Thing, action: str, num_frames: int) -> tuple[Pose, ...]:
    """The poses of an object that does the action for that many frames."""
    return tuple(_MOVES[action](dice, thing, num_frames))
