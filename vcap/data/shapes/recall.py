"""`recall`: the clips of a long video in order; an object may have been seen in an earlier one.

From the second clip on, half of the clips bring an object back and half bring a new one, whatever
the place, and nothing in the clip itself tells which.
"""

from itertools import accumulate
from typing import NamedTuple

from vcap.data.shapes.clips import LONGEST, SHORTEST
from vcap.data.shapes.motion import move
from vcap.data.shapes.scene import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    SIZES,
    Act,
    Scene,
    Thing,
    choose_action,
    dice,
    is_novel,
    make_thing,
)

LENGTHS = (3, 4, 5, 6)  # clips of a video, in turn
_FIRSTS = tuple(accumulate(LENGTHS, initial=0))[:-1]  # of each video in a round
_PLAN = 3  # purpose of the stream that the whole video comes from


class Place(NamedTuple):
    """Which video an item belongs to, where it stands there, and how many clips there are."""

    video: int
    order: int
    length: int


def place(index: int) -> Place:
    """Where an item stands: items 0 to 2 are the first video, 3 to 6 the second, and so on."""
    rounds, left = divmod(index, sum(LENGTHS))
    number = sum(left >= first for first in _FIRSTS) - 1
    return Place(rounds * len(LENGTHS) + number, left - _FIRSTS[number], LENGTHS[number])


def describe(seed: int, split: str, index: int) -> Scene:
    """The clip of that number, with what its video showed before."""
    where = place(index)
    ground, things = _plan(seed, split, where)
    status = "returns" if things[-1] in things[:-1] else "new"
    stream = dice(seed, "recall", split, index)
    novel = is_novel(split, where.video)
    thing = things[-1]
    action = choose_action(stream, thing.colour, thing.shape, novel)
    num_frames = stream.whole(SHORTEST, LONGEST)
    poses = move(stream, thing, action, num_frames)
    act = Act(thing, action, poses, novel=novel, status=status)
    video = (f"recall-{split}-video-{where.video:06d}", where.order)
    return Scene(
        seed, "recall", split, index, num_frames, ground, (act,), video=video, place=where.video
    )


def _plan(seed: int, split: str, where: Place) -> tuple[str, list[Thing]]:
    """The background of a video and the object of each clip up to this one."""
    stream = dice(seed, "recall", split, where.video, _PLAN)
    ground = stream.pick(BACKGROUNDS)
    fresh = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    things: list[Thing] = []
    seen: list[Thing] = []
    for _ in range(where.order + 1):
        if things and stream.chance(0.5):
            things.append(stream.pick(seen))
            continue
        colour, shape = fresh.pop(stream.whole(0, len(fresh) - 1))
        seen.append(make_thing(stream, shape, colour, stream.pick(SIZES)))
        things.append(seen[-1])
    return ground, things
