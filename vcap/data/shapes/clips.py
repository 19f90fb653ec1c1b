"""`clips`: one object that does one thing for two to four seconds."""

from vcap.data.shapes.motion import move
from vcap.data.shapes.scene import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    SIZES,
    Act,
    Scene,
    choose_action,
    dice,
    is_novel,
    make_thing,
)

SHORTEST, LONGEST = 16, 32  # frames


def describe(seed: int, split: str, index: int) -> Scene:
    """The clip of that number."""
    stream = dice(seed, "clips", split, index)
    novel = is_novel(split, index)
    shape, colour = stream.pick(SHAPES), stream.pick(COLOURS)
    thing = make_thing(stream, shape, colour, stream.pick(SIZES))
    action = choose_action(stream, colour, shape, novel)
    ground = stream.pick(BACKGROUNDS)
    num_frames = stream.whole(SHORTEST, LONGEST)
    act = Act(thing, action, move(stream, thing, action, num_frames), novel=novel)
    return Scene(seed, "clips", split, index, num_frames, ground, (act,))
