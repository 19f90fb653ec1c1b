"""Slot accuracy: what a caption says of colour, shape, action ... against what is true.

Slots that every reference names are required: a caption that is silent about one is wrong there.
Other slots are judged where the caption names them. Beside every accuracy stands the majority
baseline: what always naming the most frequent value would reach on the same clips.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Slots = Mapping[str, Any]


def slot_accuracy(
    candidates: Sequence[str],
    truths: Sequence[Slots],
    parse: Callable[[str], Slots],
    slots: Sequence[str],
    required: Sequence[str] | None = None,
) -> dict[str, float]:
    """Accuracy by slot under its name, and `mean` over the required ones (all if none is).

    Args:
        candidates: one caption a clip.
        truths: the true slots of each clip; a slot without a text value is not judged there.
        parse: caption -> the slots it names.
        slots: what to judge.
        required: slots of which silence is a mistake; all where nothing is said. A slot that is
            not required and never named is left out.

    Raises:
        ValueError: the numbers of candidates and truths differ.
    """
    if len(candidates) != len(truths):
        raise ValueError(f"{len(candidates)} candidates for {len(truths)} clips")
    needed = slots if required is None else required
    right, judged = Counter[str](), Counter[str]()
    for candidate, truth in zip(candidates, truths, strict=True):
        said = parse(candidate)
        for name in slots:
            if isinstance(truth.get(name), str) and (name in needed or name in said):
                judged[name] += 1
                right[name] += said.get(name) == truth[name]
    scores = {name: right[name] / judged[name] for name in slots if judged[name]}
    return _with_mean(scores, needed)


def majority_accuracy(
    truths: Sequence[Slots], slots: Sequence[str], required: Sequence[str] | None = None
) -> dict[str, float]:
    """What always naming each slot's most frequent value reaches on these clips."""
    scores = {}
    for name in slots:
        counts = Counter(value for truth in truths if isinstance(value := truth.get(name), str))
        if counts:
            scores[name] = max(counts.values()) / counts.total()
    return _with_mean(scores, slots if required is None else required)


def _with_mean(scores: dict[str, float], counted: Sequence[str]) -> dict[str, float]:
    values = [scores[name] for name in counted if name in scores] or [*scores.values()]
    return {**scores, "mean": sum(values) / len(values)} if scores else {}
