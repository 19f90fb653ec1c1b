"""`vcap evaluate grounding`: proposed segments against the one that each sentence describes.

Predictions are `{query: [{"timestamp": [start, end], "score"}]}`, also under `results`, Charades'
`{id: {"timestamp": [[start, end]]}}`, or records whose captions have times. References are
`{video: {"timestamps"}}` or records with timed captions, whose queries are `<video>-<number>` from
0, or Charades' `{"annotations": [{"id", "image_id", "timestamp"}]}`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vcap.engine.evaluation.inputs import Given, id_of, records_in, usable_records
from vcap.engine.evaluation.problems import Problems, duration_of, number_of
from vcap.engine.evaluation.splits import of_split
from vcap.errors import AnnotationError
from vcap.metrics.grounding import score_grounding
from vcap.metrics.outcome import Outcome, TextTools

if TYPE_CHECKING:
    from vcap.engine.evaluate import EvaluateSettings

NEVER = (math.nan, math.nan)  # overlaps nothing
Pair = tuple[float, float]


@dataclass
class Queries:
    """What is to be found.

    Attributes:
        segments: the true segment of each query.
        videos: the video of each query.
        texts: its sentence, where the file has it.
        durations: of the query's video, where it is stated.
        form: of the last file, "activitynet" or "charades".
        warnings: one sentence each.
    """

    segments: dict[str, Pair] = field(default_factory=dict)
    videos: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    durations: dict[str, float | None] = field(default_factory=dict)
    form: str = "activitynet"
    warnings: list[str] = field(default_factory=list)


def evaluate_grounding(
    predictions: Given,
    references: Sequence[Given],
    settings: "EvaluateSettings",
    problems: Problems,
    tools: TextTools,
) -> Outcome:
    """Recall of the first proposals at each tIoU, and the mean tIoU.

    Raises:
        InputError: a file cannot be used, or no query is in both.
    """
    queries = read_queries(references, settings.split, problems)
    proposals = read_proposals(predictions, queries, problems)
    problems.compare(proposals, queries.segments, what="query", name=predictions.name)
    outcome = score_grounding(
        proposals,
        queries.segments,
        form=settings.grounding or queries.form,
        tious=settings.tiou,
        missing=settings.missing,
    )
    items = [
        {**item, "video": queries.videos[item["id"]], **_text(queries.texts.get(item["id"]))}
        for item in outcome.items
    ]
    return replace(outcome, items=items, warnings=(*queries.warnings, *outcome.warnings))


def _text(sentence: str | None) -> dict[str, str]:
    return {} if sentence is None else {"query": sentence}


def read_queries(references: Sequence[Given], split: str | None, problems: Problems) -> Queries:
    """The queries of all files; one that comes again is counted, and the first holds.

    Raises:
        AnnotationError: a file cannot be read, or has no queries.
        UsageError: no record of a file is of the split that is wanted.
    """
    queries = Queries()
    for given in references:
        value, told = of_split(given.load(problems), split, given.name)
        queries.warnings += told
        found = list(_queries_of(value, given, queries, problems))
        if not found:
            raise AnnotationError(
                f"{given.name}: no queries in it; want {{video: {{timestamps}}}}, "
                "{annotations: [...]} or records with timed captions"
            )
        for query, video, times, text, duration in found:
            where = f"{given.name}: {query}"
            if query in queries.segments:
                problems.add("duplicate", where)
                continue
            queries.segments[query] = _segment(times, where, problems, duration)
            queries.videos[query] = video
            queries.durations[query] = duration
            if isinstance(text, str):
                queries.texts[query] = text
    return queries


_Query = tuple[str, str, Any, Any, float | None]  # id, video, times, sentence, duration


def _queries_of(value: Any, given: Given, queries: Queries, problems: Problems) -> Iterator[_Query]:
    records = records_in(value)
    if records is not None:
        for name, record in usable_records(records, given, problems):
            yield from _of_record(name, record)
    elif isinstance(value, Mapping) and isinstance(value.get("annotations"), list):
        queries.form = "charades"
        yield from _of_annotations(value["annotations"], given, problems)
    elif isinstance(value, Mapping):
        for video, entry in value.items():
            if isinstance(entry, Mapping) and isinstance(entry.get("timestamps"), list):
                yield from _of_video(video, entry)
            else:
                problems.add("unusable record", f"{given.name}: {video}")


def _of_record(name: str, record: Mapping[str, Any]) -> Iterator[_Query]:
    video = id_of(record.get("video_id"))
    captions = record.get("captions")
    for number, caption in enumerate(captions if isinstance(captions, list) else []):
        if isinstance(caption, Mapping):
            times = [caption.get("start"), caption.get("end")]
            yield (
                str(caption.get("id") or f"{name}-{number}"),
                name if video is None else video,
                times,
                caption.get("text"),
                duration_of(record),
            )


def _of_annotations(entries: Sequence[Any], given: Given, problems: Problems) -> Iterator[_Query]:
    for number, entry in enumerate(entries, start=1):
        known = entry if isinstance(entry, Mapping) else {}
        if known.get("id") is None or "timestamp" not in known:
            problems.add("unusable record", f"{given.name}: annotation {number}")
            continue
        query = str(known["id"])
        video = str(known.get("image_id", query))
        yield query, video, known["timestamp"], known.get("caption"), duration_of(known)


def _of_video(video: str, entry: Mapping[str, Any]) -> Iterator[_Query]:
    sentences = entry.get("sentences")
    texts = sentences if isinstance(sentences, list) else []
    for number, times in enumerate(entry["timestamps"]):
        text = texts[number] if number < len(texts) else None
        yield f"{video}-{number}", video, times, text, duration_of(entry)


def _segment(times: Any, where: str, problems: Problems, duration: float | None) -> Pair:
    """Two times as they are; what is no pair of numbers overlaps nothing."""
    whole = isinstance(times, list) and len(times) == 2
    pair: list[Any] = times if whole else [None, None]
    usable = problems.check_times(pair[0], pair[1], where, duration)
    return (float(pair[0]), float(pair[1])) if usable else NEVER


def read_proposals(given: Given, queries: Queries, problems: Problems) -> dict[str, list[Pair]]:
    """The proposals of each query, the surest first; without scores, in file order.

    Raises:
        AnnotationError: the file cannot be read, or has no known layout.
    """
    value = given.load(problems)
    records = records_in(value)
    found: dict[str, Any] = {}
    if records is not None:
        found = {
            name: _timed(record.get("captions"))
            for name, record in usable_records(records, given, problems)
        }
    elif isinstance(value, Mapping):
        results = value.get("results")
        found = dict(results) if isinstance(results, Mapping) else dict(value)
    else:
        raise AnnotationError(f"{given.name}: want {{query: [{{timestamp, score}}]}} or records")
    return {
        query: _proposals(entry, f"{given.name}: {query}", problems, queries.durations.get(query))
        for query, entry in found.items()
    }


def _timed(captions: Any) -> list[Any]:
    """Captions of a record as proposals."""
    return [
        {**caption, "timestamp": [caption.get("start"), caption.get("end")]}
        if isinstance(caption, Mapping)
        else caption
        for caption in (captions if isinstance(captions, list) else [])
    ]


def _proposals(entry: Any, where: str, problems: Problems, duration: float | None) -> list[Pair]:
    times = entry.get("timestamp") if isinstance(entry, Mapping) else entry
    if not isinstance(times, list):
        problems.add("unusable record", where)
        return []
    if not times:
        problems.add("empty", where)
    scored: list[tuple[float, Pair]] = []
    for number, each in enumerate(_nested(times), start=1):
        place = f"{where}: proposal {number}"
        known = each if isinstance(each, Mapping) else {"timestamp": each}
        score = number_of(known.get("score", 0.0))
        if score is None:
            problems.add("not a number", f"{place}: score")
            score = -math.inf
        scored.append((score, _segment(known.get("timestamp"), place, problems, duration)))
    return [pair for _, pair in sorted(scored, key=lambda each: -each[0])]


def _nested(times: list[Any]) -> list[Any]:
    """A list of proposals; one bare pair of times is one."""
    bare = len(times) == 2 and not any(isinstance(each, list | Mapping) for each in times)
    return [times] if bare else times
