"""The sentences that tell what happens, and the way back from a sentence to the slots.

Colours have one word, everything else two or three, so that references differ while the whole
vocabulary stays small. All is lower case.
"""

import re

from vcap.data.shapes.scene import COLOURS, SHIFT_COLOURS, Act, Dice

Words = dict[str, tuple[str, ...]]

SHAPE_WORDS: Words = {
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "cross": ("cross", "plus"),
    "ring": ("ring", "hoop"),
    "hexagon": ("hexagon",),
    "heart": ("heart",),
    "diamond": ("diamond",),
    "crescent": ("crescent",),
}
SIZE_WORDS: Words = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
ACTION_WORDS: Words = {
    "slides left": ("slides left", "moves left", "slides to the left", "moves to the left"),
    "slides right": ("slides right", "moves right", "slides to the right", "moves to the right"),
    "slides up": ("slides up", "moves up", "slides upwards", "moves upwards"),
    "slides down": ("slides down", "moves down", "slides downwards", "moves downwards"),
    "spins": ("spins", "rotates", "turns around"),
    "grows": ("grows", "gets bigger", "becomes larger"),
    "shrinks": ("shrinks", "gets smaller", "becomes tinier"),
    "blinks": ("blinks", "flashes", "flickers"),
    "bounces": ("bounces", "hops", "jumps again and again"),
    "circles": ("circles around", "goes round and round", "moves in a loop"),
    "appears": ("appears", "shows up", "is seen"),
}
POSITION_WORDS: Words = {
    "top left": ("at the top left", "in the upper left corner"),
    "top": ("at the top", "near the upper edge"),
    "top right": ("at the top right", "in the upper right corner"),
    "left": ("on the left", "near the left edge"),
    "centre": ("in the centre", "in the middle"),
    "right": ("on the right", "near the right edge"),
    "bottom left": ("at the bottom left", "in the lower left corner"),
    "bottom": ("at the bottom", "near the lower edge"),
    "bottom right": ("at the bottom right", "in the lower right corner"),
}
GROUND_WORDS = ("on a {} background", "in front of a {} background")
BACKGROUND_WORDS = ("dark", "light", "checkered", "gradient", "noisy", "striped", "dotted")
STATUS_WORDS: Words = {"new": ("a new",), "returns": ("returns", "comes back")}

_CLIP_TEMPLATES = (
    "a {colour} {shape} {action}",
    "a {size} {colour} {shape} {action}",
    "the {size} {colour} {shape} {action}",
    "there is a {size} {colour} {shape} that {action}",
    "a {colour} {shape} that {action} {ground}",
    "{ground} a {colour} {shape} {action}",
    "a {shape} that is {colour} {action}",
    "we see a {size} {colour} {shape} which {action} {ground}",
)
_FRAME_TEMPLATES = (
    "a {size} {colour} {shape} {position}",
    "a {colour} {shape} {position}",
    "there is a {size} {colour} {shape} {position}",
    "{position} there is a {colour} {shape}",
    "a {size} {colour} {shape} {position} {ground}",
    "a {shape} that is {colour} {position}",
    "we see a {size} {colour} {shape} {position}",
)
_NEEDLE_TEMPLATES = (
    "a {size} {colour} {shape} {action} {position}",
    "{position} a {size} {colour} {shape} {action}",
)
_NEW_TEMPLATES = (
    "a new {colour} {shape} {action}",
    "a new {size} {colour} {shape} {action}",
    "there is a new {colour} {shape} that {action}",
    "a new {colour} {shape} comes in and {action}",
    "a new {size} {colour} {shape} comes in and {action}",
    "we see a new {colour} {shape} which {action}",
)
_RETURN_TEMPLATES = (
    "the {colour} {shape} {returns} and {action}",
    "the {size} {colour} {shape} {returns} and {action}",
    "here the {colour} {shape} {returns} and {action}",
    "we see that the {colour} {shape} {returns} and {action}",
)
TEMPLATES = {
    "clips": _CLIP_TEMPLATES,
    "frames": _FRAME_TEMPLATES,
    "stories": _CLIP_TEMPLATES[:4],  # one sentence an event; the background stays the same
    "needles": _NEEDLE_TEMPLATES,
    "new": _NEW_TEMPLATES,
    "returns": _RETURN_TEMPLATES,
}


def tell(dice: Dice, act: Act, background: str, kind: str) -> str:
    """One sentence about an event, from the templates of that kind."""
    template = dice.pick(TEMPLATES[kind])
    words = {
        "colour": act.thing.colour,
        "shape": dice.pick(SHAPE_WORDS[act.thing.shape]),
        "size": dice.pick(SIZE_WORDS[act.size]) if act.size else "",
        "action": dice.pick(ACTION_WORDS[act.action]) if act.action else "",
        "position": dice.pick(POSITION_WORDS[act.position]) if act.position else "",
        "ground": dice.pick(GROUND_WORDS).format(background),
        "returns": dice.pick(STATUS_WORDS["returns"]),
    }
    text = " ".join(template.format(**words).split())
    return re.sub(r"\ba(?= [aeio])", "an", text)


def tell_often(dice: Dice, act: Act, background: str, kind: str, count: int) -> list[str]:
    """That many different sentences about one event."""
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[tell(dice, act, background, kind)] = None
    return list(texts)


def _either(words: list[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def _reader(slot: str, table: Words) -> tuple[str, re.Pattern[str]]:
    return slot, re.compile(rf"\b(?:{_either([w for words in table.values() for w in words])})\b")


_TABLES: dict[str, Words] = {
    "background": {name: (f"{name} background",) for name in BACKGROUND_WORDS},
    "action": ACTION_WORDS,
    "position": POSITION_WORDS,
    "status": {"new": ("new",), "returns": STATUS_WORDS["returns"]},
    "size": SIZE_WORDS,
    "colour": {name: (name,) for name in (*COLOURS, *SHIFT_COLOURS)},
    "shape": SHAPE_WORDS,
}
_READERS = [_reader(slot, table) for slot, table in _TABLES.items()]
_NAMES = {
    slot: {word: name for name, words in table.items() for word in words}
    for slot, table in _TABLES.items()
}


def parse_slots(text: str) -> dict[str, str]:
    """The slots that a caption names; a slot is left out where nothing or two things are named.

    Synonyms are mapped to the house word: `disc` to `circle`, `moves left` to `slides left`.
    """
    text = " ".join(text.lower().split())
    slots = {}
    for slot, pattern in _READERS:
        named = {_NAMES[slot][word] for word in pattern.findall(text)}
        if len(named) == 1:
            slots[slot] = named.pop()
    return slots
