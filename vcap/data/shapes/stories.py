"""`stories`: three to six events in 12 to 30 s, with the bare background between them."""

from vcap.data.shapes.motion import move
from vcap.data.shapes.scene import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    SIZES,
    Act,
    Dice,
    Scene,
    choose_action,
    dice,
    is_novel,
    make_thing,
)

SHORTEST, LONGEST = 96, 240  # frames of a story
_EVENT = (16, 28)  # frames
_GAP = 4  # frames, at least, before and after each event


def describe(seed: int, split: str, index: int) -> Scene:
    """The story of that number; no two of its objects are alike."""
    stream = dice(seed, "stories", split, index)
    ground = stream.pick(BACKGROUNDS)
    count = stream.whole(3, 6)
    lengths = [stream.whole(*_EVENT) for _ in range(count)]
    needed = sum(lengths) + (count + 1) * _GAP
    num_frames = stream.whole(max(SHORTEST, needed), LONGEST)
    gaps = _share(stream, num_frames - needed, count + 1)
    pairs = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    acts, at, novel = [], 0, is_novel(split, index)
    for (colour, shape), length, gap in zip(stream.some(pairs, count), lengths, gaps, strict=False):
        at += _GAP + gap
        thing = make_thing(stream, shape, colour, stream.pick(SIZES))
        action = choose_action(stream, colour, shape, novel)
        poses = move(stream, thing, action, length)
        acts.append(Act(thing, action, poses, first=at, novel=novel))
        at += length
    return Scene(seed, "stories", split, index, num_frames, ground, tuple(acts))


def _share(stream: Dice, total: int, parts: int) -> list[int]:
    """Cut a number of frames at random places."""
    cuts = sorted(stream.whole(0, total) for _ in range(parts - 1))
    return [high - low for low, high in zip([0, *cuts], [*cuts, total], strict=True)]
