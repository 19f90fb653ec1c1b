"""From a scene to its line in a manifest: captions, times, questions and the true slots."""

from typing import Any

from vcap.data.records import Caption, Record
from vcap.data.shapes.captions import tell_often
from vcap.data.shapes.scene import Scene, item_id, slots

_WORDS = 2  # purpose of the stream that captions come from
NUM_REFERENCES = 6


def record(scene: Scene, path: str) -> Record:
    """The record of a scene whose video lies at the path."""
    stream = scene.dice(_WORDS)
    act = scene.acts[0]
    texts = tell_often(stream, act, scene.background, scene.subset, NUM_REFERENCES)
    meta: dict[str, Any] = {**slots(act), "background": scene.background, "novel": act.novel}
    return Record(
        id=item_id(scene.subset, scene.split, scene.index),
        path=path,
        duration=scene.duration,
        split=scene.split,
        dataset=f"shapes:{scene.subset}",
        captions=[Caption(text=text) for text in texts],
        meta={**meta, "seed": scene.seed, "index": scene.index},
    )
