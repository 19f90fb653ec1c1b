"""From a scene to its line in a manifest: captions, times, questions and the true slots."""

from typing import Any

from vcap.data.records import Caption, Question, Record
from vcap.data.shapes.captions import tell, tell_often
from vcap.data.shapes.questions import ask
from vcap.data.shapes.scene import Act, Dice, Scene, item_id, slots

NUM_REFERENCES = 6
_WORDS = 2  # purpose of the stream that captions come from


def record(scene: Scene, path: str) -> Record:
    """The record of a scene whose video lies at the path."""
    stream = scene.dice(_WORDS)
    parts = _story(stream, scene) if scene.subset == "stories" else _event(stream, scene)
    captions, questions, truth = parts
    return Record(
        id=item_id(scene.subset, scene.split, scene.index),
        path=path,
        duration=scene.duration,
        split=scene.split,
        dataset=f"shapes:{scene.subset}",
        captions=captions,
        qa=questions,
        video_id=scene.video[0] if scene.video else None,
        order=scene.video[1] if scene.video else None,
        meta={
            **truth,
            "background": scene.background,
            "novel": any(act.novel for act in scene.acts),
            "seed": scene.seed,
            "index": scene.index,
        },
    )


Parts = tuple[list[Caption], list[Question] | None, dict[str, Any]]


def _event(stream: Dice, scene: Scene) -> Parts:
    """One event: captions about the whole clip, and its slots."""
    act = scene.acts[0]
    if scene.subset == "needles":
        text = tell(stream, act, scene.background, "needles")
        return [Caption(text=text)], None, {**slots(act), **_times(act)}
    kind = act.status or scene.subset
    texts = tell_often(stream, act, scene.background, kind, NUM_REFERENCES)
    return [Caption(text=text) for text in texts], None, dict(slots(act))


def _story(stream: Dice, scene: Scene) -> Parts:
    """Many events: a caption with times for each, questions, and the paragraph."""
    captions = [
        Caption(text=tell(stream, act, scene.background, "stories"), **_times(act))
        for act in scene.acts
    ]
    events = [{**slots(act), **_times(act)} for act in scene.acts]
    paragraph = " ".join(f"{caption.text}." for caption in captions)
    return captions, ask(stream, scene.acts), {"events": events, "paragraph": paragraph}


def _times(act: Act) -> dict[str, Any]:
    return {"start": act.start, "end": act.end}
