"""The caption metrics on paragraphs: all captions of a video as one text, all videos as one set.

Paragraphs are compared by their words alone: every character that is not an ASCII letter becomes
a blank, also digits, and capitals do not count. A video of any reference file counts; one without
a prediction has the empty paragraph, unless such are left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from vcap.metrics.caption import BLEU_NAMES, CaptionScores, caption_scores, usable_metrics
from vcap.metrics.outcome import Outcome, Pair, TextTools
from vcap.metrics.ptb import clean_paragraph

PARAGRAPH_METRICS = (*BLEU_NAMES, "METEOR", "ROUGE-L", "CIDEr")
PREFIX = "v_"
MISSING_RULES = {
    "zero": "a missing video is an empty text",
    "skip": "a missing video is left out",
}
Value = TypeVar("Value")


def score_paragraphs(
    predictions: Mapping[str, Sequence[str]],
    paragraphs: Sequence[Mapping[str, str]],
    tools: TextTools,
    metrics: Sequence[str] | None = None,
    *,
    missing: str = "zero",
) -> Outcome:
    """BLEU-1..4, METEOR, ROUGE-L and CIDEr of the videos' paragraphs.

    Args:
        predictions: video -> its captions in file order.
        paragraphs: video -> reference paragraph, one mapping a file; ids of predictions and files
            are brought together by `with_prefix`.
        tools: METEOR.
        metrics: which ones, by the names of the caption metrics.
        missing: "zero" gives a video without a prediction the empty text, "skip" leaves it out.

    Raises:
        UsageError: a name is not one of a caption metric.
    """
    told = {video: paragraph_of(captions) for video, captions in with_prefix(predictions).items()}
    files = [with_prefix(file) for file in paragraphs]
    units = tuple(dict.fromkeys(video for file in files for video in file))
    if missing == "skip":
        units = tuple(unit for unit in units if unit in told)
    given: list[Pair] = [
        (told.get(unit, ""), tuple(file[unit] for file in files if unit in file)) for unit in units
    ]
    judged = [(clean_paragraph(text), tuple(map(clean_paragraph, texts))) for text, texts in given]
    names, absent = usable_metrics(PARAGRAPH_METRICS if metrics is None else metrics, tools)
    found = caption_scores(judged, tools, names)
    return Outcome(
        units=units,
        scores=found.scores,
        rescore=found.rescore,
        items=_items(units, given, judged, found),
        protocol={"paragraph": f"ASCII letters only, lower case; {MISSING_RULES[missing]}"},
        unavailable=absent,
    )


def paragraph_of(captions: Sequence[str]) -> str:
    """The captions of a video as one text, in their order."""
    return "".join(f"{caption}. " for caption in captions)


def with_prefix(videos: Mapping[str, Value]) -> dict[str, Value]:
    """The mapping with `v_` before all its ids where the first of them does not begin so."""
    if next(iter(videos), PREFIX).startswith(PREFIX):
        return dict(videos)
    return {PREFIX + video: value for video, value in videos.items()}


def _items(
    units: Sequence[str], given: Sequence[Pair], judged: Sequence[Pair], found: CaptionScores
) -> list[dict[str, Any]]:
    columns = {name: values.tolist() for name, values in found.items.items()}
    return [
        {
            "id": unit,
            "scores": {name: values[row] for name, values in columns.items()},
            "prediction": text.rstrip(" "),
            "references": [*references],
            "length": len(words.split()),
        }
        for row, (unit, (text, references), (words, _)) in enumerate(
            zip(units, given, judged, strict=True)
        )
    ]
