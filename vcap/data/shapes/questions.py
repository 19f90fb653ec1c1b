"""Questions about a story, each with one right answer."""

from vcap.data.records import Question
from vcap.data.shapes.captions import SHAPE_WORDS
from vcap.data.shapes.scene import Act, Dice

COUNTS = ("zero", "one", "two", "three", "four", "five", "six")


def ask(stream: Dice, acts: tuple[Act, ...]) -> list[Question]:
    """Questions on number, action, colour and order; answers are house words."""
    asked = [
        ("count", "how many objects appear?", COUNTS[len(acts)]),
        ("order", "which object comes first?", _name(acts[0])),
        ("order", "which object comes last?", _name(acts[-1])),
        _about_action(stream, stream.pick(acts)),
    ]
    shapes = [act.thing.shape for act in acts]
    alone = [act for act in acts if shapes.count(act.thing.shape) == 1]
    if alone:
        asked.append(_about_colour(stream, stream.pick(alone)))
    before = stream.whole(0, len(acts) - 2)
    follows = f"which object comes right after the {_name(acts[before])}?"
    asked.append(("order", follows, _name(acts[before + 1])))
    return [
        Question(question=question, answer=answer, id=number, type=kind)
        for number, (kind, question, answer) in enumerate(asked)
    ]


def _name(act: Act) -> str:
    return f"{act.thing.colour} {act.thing.shape}"


def _about_action(stream: Dice, act: Act) -> tuple[str, str, str]:
    shape = stream.pick(SHAPE_WORDS[act.thing.shape])
    return "action", f"what does the {act.thing.colour} {shape} do?", act.action or "nothing"


def _about_colour(stream: Dice, act: Act) -> tuple[str, str, str]:
    shape = stream.pick(SHAPE_WORDS[act.thing.shape])
    return "colour", f"what colour is the {shape}?", act.thing.colour
