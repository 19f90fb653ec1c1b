"""`shapes`: videos that the package renders itself, with the truth about each.

A video is a pure function of seed, subset, split and index: `describe` gives the scene, `draw`
its pixels and `record` its line in a manifest.
"""

from vcap.data.shapes import clips, frames, needles, recall, stories
from vcap.data.shapes.draw import draw
from vcap.data.shapes.scene import (
    FRAMES_PER_SECOND,
    SUBSETS,
    Scene,
    item_id,
    splits,
)
from vcap.data.shapes.telling import record

__all__ = [
    "DEFAULT_SIZES",
    "FRAMES_PER_SECOND",
    "SUBSETS",
    "Scene",
    "describe",
    "draw",
    "item_id",
    "record",
    "splits",
]

DEFAULT_SIZES = {"train": 2000, "val": 200, "test": 200, "shift": 200}

_MAKERS = {
    "frames": frames.describe,
    "clips": clips.describe,
    "stories": stories.describe,
    "recall": recall.describe,
    "needles": needles.describe,
}


def describe(seed: int, subset: str, split: str, index: int) -> Scene:
    """The scene of one item: everything that is drawn in it, and what is true of it.

    Raises:
        ValueError: there is no such subset or split, or a number is negative.
    """
    if subset not in _MAKERS:
        raise ValueError(f"no subset {subset}; there are {', '.join(SUBSETS)}")
    if split not in splits(subset):
        raise ValueError(f"no split {split} in {subset}; there are {', '.join(splits(subset))}")
    if seed < 0 or index < 0:
        raise ValueError(f"want seed and index of 0 or more, got {seed} and {index}")
    return _MAKERS[subset](seed, split, index)
