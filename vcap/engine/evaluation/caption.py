"""`vcap evaluate caption`: one caption a clip, against all that people said about it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vcap.engine.evaluation.inputs import Given, with_videos
from vcap.engine.evaluation.problems import Problems, text_of
from vcap.engine.evaluation.sentences import read_lines, read_split
from vcap.errors import UsageError
from vcap.metrics.caption import score_captions
from vcap.metrics.outcome import Outcome, TextTools

if TYPE_CHECKING:
    from vcap.engine.evaluate import EvaluateSettings


def evaluate_caption(
    predictions: Given,
    references: Sequence[Given],
    settings: "EvaluateSettings",
    problems: Problems,
    tools: TextTools,
) -> Outcome:
    """BLEU, METEOR, ROUGE-L, CIDEr and SPICE of captions.

    Raises:
        UsageError: CIDEr is asked for clip by clip.
        InputError: a file cannot be used, or no id is in both.
    """
    if settings.per_clip and "CIDEr" in (settings.metrics or ()):
        raise UsageError("CIDEr weighs words by all clips: clip by clip it is always 0")
    candidates = read_candidates(predictions, problems)
    wanted, videos, warnings = read_references(references, settings.split, problems)
    problems.compare(candidates, wanted, what="clip", name=predictions.name)
    if settings.missing == "skip":
        wanted = {name: texts for name, texts in wanted.items() if name in candidates}
    outcome = score_captions(
        candidates,
        wanted,
        tools,
        metrics=settings.metrics,
        raw=settings.raw,
        mean_per_item=settings.per_clip,
    )
    items = with_videos(outcome.items, videos)
    absent = "left out" if settings.missing == "skip" else "counts as the empty caption"
    protocol = {**outcome.protocol, "clip_without_prediction": absent}
    told = (*warnings, *outcome.warnings)
    return replace(outcome, items=items, protocol=protocol, warnings=told)


def read_candidates(given: Given, problems: Problems) -> dict[str, str]:
    """The caption of each id: the first one, since predictions come best first."""
    found: dict[str, str] = {}
    for line in read_lines(given, problems, "predictions"):
        where = f"{given.short}: {line.id}"
        if line.id in found:
            problems.add("duplicate", where)
        elif line.texts:
            found[line.id] = text_of(line.texts[0], where, problems)
            if len(line.texts) > 1:
                problems.add("further captions", where, len(line.texts) - 1)
        else:
            problems.add("empty", where)
            found[line.id] = ""
    return found


def read_references(
    references: Sequence[Given], split: str | None, problems: Problems
) -> tuple[dict[str, list[str]], dict[str, str], list[str]]:
    """The captions of each id over all files, the videos of those that are clips, warnings.

    Ids without any caption are left out, and counted.
    """
    found: dict[str, list[str]] = {}
    videos: dict[str, str] = {}
    warnings: list[str] = []
    for given in references:
        lines, told = read_split(given, split, problems)
        warnings += told
        for line in lines:
            where = f"{given.short}: {line.id}"
            texts = [text_of(text, where, problems) for text in line.texts]
            found.setdefault(line.id, []).extend(texts)
            if line.video is not None:
                videos[line.id] = line.video
    for name in [name for name, texts in found.items() if not texts]:
        problems.add("no reference", name)
        del found[name]
    return found, videos, warnings
