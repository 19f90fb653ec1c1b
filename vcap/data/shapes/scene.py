"""What one rendered video holds: the plain values that are drawn and told.

Everything random comes from `dice`, a stream that depends on the item alone. Only whole numbers
and plain fractions are taken from it, so the same item is the same scene on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

SUBSETS = ("frames", "clips", "stories", "recall", "needles")
SPLITS = ("train", "val", "test", "shift")
FRAMES_PER_SECOND = 8
SIDE = 96  # pixels, both ways

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "cyan")
SIZES = ("small", "large")
ACTIONS = (
    "slides left",
    "slides right",
    "slides up",
    "slides down",
    "spins",
    "grows",
    "shrinks",
    "blinks",
    "bounces",
    "circles",
)
RESIZING = ("grows", "shrinks")  # the size is no slot of these
BACKGROUNDS = ("dark", "light", "checkered", "gradient", "noisy")

SHIFT_SHAPES = ("hexagon", "heart", "diamond", "crescent")
SHIFT_COLOURS = ("pink", "brown", "teal", "lime")
SHIFT_BACKGROUNDS = ("striped", "dotted")

_RADII = {"small": (10.0, 11.0), "large": (19.0, 20.5)}
_SYMMETRY = {"square": 4, "triangle": 3, "star": 5, "cross": 4}
_GROUND = 4  # purpose of the stream that backgrounds come from
_TILT = 0.022  # turns, either way
_SMOOTH = ("circle", "ring")  # any tilt looks alike but for the mark
_RGB = {
    "red": (220, 35, 40),
    "green": (40, 160, 60),
    "blue": (45, 75, 225),
    "yellow": (242, 220, 40),
    "purple": (150, 45, 190),
    "orange": (242, 128, 22),
    "white": (245, 245, 245),
    "cyan": (50, 210, 225),
    "pink": (245, 130, 190),
    "brown": (125, 72, 32),
    "teal": (0, 115, 110),
    "lime": (165, 235, 60),
}

Choice = TypeVar("Choice")


class Dice:
    """Draws from one stream of random numbers."""

    def __init__(self, *key: int) -> None:
        self.generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    def pick(self, options: Sequence[Choice]) -> Choice:
        """One of the options, each as likely."""
        return options[int(self.generator.integers(len(options)))]

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self.generator.integers(high - low + 1))

    def between(self, low: float, high: float) -> float:
        """A fraction from low to high."""
        return low + (high - low) * float(self.generator.random())

    def chance(self, share: float) -> bool:
        """True in that share of the calls."""
        return float(self.generator.random()) < share

    def some(self, options: Sequence[Choice], count: int) -> list[Choice]:
        """That many different places of the options, in random order."""
        left = list(options)
        return [left.pop(int(self.generator.integers(len(left)))) for _ in range(count)]


class Pose(NamedTuple):
    """Where an object is in one frame: pixels, radius in pixels, whole turns, seen or not."""

    x: float
    y: float
    radius: float
    turn: float
    seen: bool = True


@dataclass(frozen=True)
class Thing:
    """An object: what it is called and how it looks."""

    shape: str
    colour: str
    size: str
    rgb: tuple[int, int, int]
    radius: float
    turn: float


@dataclass(frozen=True)
class Act:
    """One event: what an object does, and its pose in each frame of the event.

    Attributes:
        first: the frame of the video in which the event starts.
        position: the word for its place, where captions tell it.
        novel: whether the triple of colour, shape and action is kept out of training.
        status: `new` or `returns` where the video has earlier clips.
    """

    thing: Thing
    action: str | None
    poses: tuple[Pose, ...]
    first: int = 0
    position: str | None = None
    novel: bool = False
    status: str | None = None

    @property
    def start(self) -> float:
        """Seconds from the start of the video to the first frame of the event."""
        return self.first / FRAMES_PER_SECOND

    @property
    def end(self) -> float:
        """Seconds from the start of the video to the end of the event's last frame."""
        return (self.first + len(self.poses)) / FRAMES_PER_SECOND

    @property
    def size(self) -> str | None:
        """The size slot; none where the event itself changes the size."""
        return None if self.action in RESIZING else self.thing.size


@dataclass(frozen=True)
class Scene:
    """Everything that is drawn in one video, and the truth about it.

    Attributes:
        clutter: grey pieces that drift through the whole video, behind the object.
        video: which long video the clip is from, and its place there, where it is from one.
        place: number of the ground that it shares with the other clips of that video.
    """

    seed: int
    subset: str
    split: str
    index: int
    num_frames: int
    background: str
    acts: tuple[Act, ...]
    clutter: tuple[Act, ...] = ()
    video: tuple[str, int] | None = None
    place: int | None = None

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_frames / FRAMES_PER_SECOND

    def dice(self, purpose: int) -> Dice:
        """A stream of its own for one purpose, such as the noise or the captions."""
        return dice(self.seed, self.subset, self.split, self.index, purpose)

    def ground_dice(self) -> Dice:
        """The stream of the background, one for all clips of a long video."""
        number = self.index if self.place is None else self.place
        return dice(self.seed, self.subset, self.split, number, _GROUND)


def dice(seed: int, subset: str, split: str, index: int, purpose: int = 0) -> Dice:
    """The stream of one item; purposes do not disturb each other."""
    return Dice(seed, SUBSETS.index(subset), SPLITS.index(split), index, purpose)


def splits(subset: str) -> tuple[str, ...]:
    """The splits of a subset; only `frames` has the one with unseen looks."""
    return SPLITS if subset == "frames" else SPLITS[:3]


def item_id(subset: str, split: str, index: int) -> str:
    """The id of one item, such as `clips-train-000123`."""
    return f"{subset}-{split}-{index:06d}"


def held_back(colour: str, shape: str) -> str:
    """The one action that this colour and shape never do outside of the novel part of test.

    One triple for each of the 48 pairs makes a tenth of all; colours, shapes and actions occur
    in them about equally often.
    """
    return ACTIONS[(COLOURS.index(colour) + 7 * SHAPES.index(shape)) % len(ACTIONS)]


def is_novel(split: str, index: int) -> bool:
    """Whether an item is from the held back triples: each third of test."""
    return split == "test" and index % 3 == 2


def choose_action(dice: Dice, colour: str, shape: str, novel: bool) -> str:
    """The held back action of the pair, or any of the other nine."""
    kept = held_back(colour, shape)
    return kept if novel else dice.pick([action for action in ACTIONS if action != kept])


def make_thing(dice: Dice, shape: str, colour: str, size: str) -> Thing:
    """An object with its own shade, radius and tilt."""
    red, green, blue = (min(255, max(0, value + dice.whole(-10, 10))) for value in _RGB[colour])
    tilt = dice.between(-_TILT, _TILT)
    if shape in _SMOOTH:
        turn = dice.between(0.0, 1.0)
    else:
        sides = _SYMMETRY.get(shape, 1)
        turn = tilt + dice.whole(0, sides - 1) / sides  # looks alike, but the mark is elsewhere
    return Thing(shape, colour, size, (red, green, blue), dice.between(*_RADII[size]), turn)


def slots(act: Act) -> dict[str, str | None]:
    """The true slots of one event, as they stand in a record's `meta`."""
    named = {"colour": act.thing.colour, "shape": act.thing.shape, "size": act.size}
    told = {"action": act.action, "position": act.position, "status": act.status}
    return {**named, **{name: value for name, value in told.items() if value is not None}}
