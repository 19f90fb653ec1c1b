"""Events (times and captions) by video, from the layouts in which they are kept.

Predictions are ActivityNet's `{"version", "external_data", "results": {video: [{"sentence",
"timestamp"}]}}` or records. References are `{video: {"duration", "timestamps", "sentences"}}`,
YouCook2's `{"database": ...}`, or records, whose annotators are told apart by `source`. Times stay
as they are, the odd ones counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vcap.engine.evaluation.inputs import Given, records_in, usable_records
from vcap.engine.evaluation.problems import Problems, duration_of, text_of
from vcap.engine.evaluation.splits import in_split, split_of
from vcap.errors import AnnotationError
from vcap.types import Event, Segment

PARTS = ("version", "external_data", "results")
WANTED = "{video: {duration, timestamps, sentences}} or records"
NOWHERE = Segment(0.0, 0.0)  # no length: overlaps nothing, by the official formula


@dataclass
class References:
    """What the reference files say.

    Attributes:
        files: one mapping of video -> events a file, or an annotator.
        durations: seconds, of the videos whose duration is stated.
        warnings: one sentence each.
    """

    files: list[dict[str, list[Event]]] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def videos(self) -> list[str]:
        """All ids, in the order in which they come first."""
        return list(dict.fromkeys(video for file in self.files for video in file))


def read_predicted_events(
    given: Given, problems: Problems, durations: Mapping[str, float]
) -> dict[str, list[Event]]:
    """The events of each predicted video, in file order.

    Args:
        durations: of the references; where they are known, events past the end are counted.

    Raises:
        AnnotationError: the file cannot be read, or has neither layout.
    """
    value = given.load(problems)
    records = records_in(value)
    if records is not None:
        return {
            name: _record_events(record, f"{given.short}: {name}", problems, durations.get(name))
            for name, record in usable_records(records, given, problems)
        }
    results = _results(value, given)
    found = {}
    for name, entries in results.items():
        where = f"{given.short}: {name}"
        if not isinstance(entries, list):
            problems.add("unusable record", where)
        listed = entries if isinstance(entries, list) else []
        found[name] = _listed(
            listed, ("sentence", "timestamp"), where, problems, durations.get(name)
        )
    return found


def _results(value: Any, given: Given) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise AnnotationError(f"{given.name}: want an object with {', '.join(PARTS)}, or records")
    absent = [part for part in PARTS if part not in value]
    if absent:
        raise AnnotationError(
            f"{given.name}: the official layout has the keys {', '.join(PARTS)}; "
            f"there is no {' and no '.join(absent)}"
        )
    if not isinstance(value["results"], Mapping):
        raise AnnotationError(f"{given.name}: results: want an object of lists, one a video")
    results: Mapping[str, Any] = value["results"]
    return results


def _listed(
    entries: Sequence[Any],
    keys: tuple[str, str],
    where: str,
    problems: Problems,
    duration: float | None,
) -> list[Event]:
    """The events of entries that hold a caption and a pair of times under these keys."""
    found = []
    for number, entry in enumerate(entries, start=1):
        place = f"{where}: event {number}"
        if not isinstance(entry, Mapping) or not entry.keys() >= set(keys):
            problems.add("unusable record", place)
            continue
        found.append(_event(entry[keys[0]], entry[keys[1]], place, problems, duration))
    return _counted(found, where, problems)


def _event(text: Any, times: Any, where: str, problems: Problems, duration: float | None) -> Event:
    """One event; times that are no numbers become a segment that overlaps nothing."""
    pair: Sequence[Any] = (
        times if isinstance(times, list | tuple) and len(times) == 2 else (None, None)
    )
    usable = problems.check_times(pair[0], pair[1], where, duration)
    segment = Segment(float(pair[0]), float(pair[1])) if usable else NOWHERE
    return Event(segment, text_of(text, where, problems))


def _counted(events: list[Event], where: str, problems: Problems) -> list[Event]:
    """The same events, the number of repeated ones noted."""
    repeated = len(events) - len(set(events))
    if repeated:
        problems.add("duplicate", where, repeated)
    return events


def read_reference_events(
    references: Sequence[Given], split: str | None, problems: Problems
) -> References:
    """What all files say, in the order in which they are given.

    Raises:
        AnnotationError: a file cannot be read or has no known layout.
        UsageError: a split is wanted that a file does not know.
    """
    found = References()
    for given in references:
        add_references(found, given, given.load(problems), split, problems)
    return found


def add_references(
    found: References,
    given: Given,
    value: Any,
    split: str | None,
    problems: Problems,
    wanted: str = WANTED,
) -> None:
    """Add what one file says, whose value is given; `wanted` are the layouts to ask for."""
    records = records_in(value)
    listed = usable_records(records, given, problems) if records is not None else None
    videos = list(_videos(value, given, wanted) if listed is None else listed)
    splits = [split_of(record) for _, record in videos]
    chosen, warnings = in_split(videos, splits, split, given.name)
    found.warnings += warnings
    annotators = _Annotators(found.files)
    for name, record in chosen:
        where = f"{given.short}: {name}"
        duration = duration_of(record)
        if duration is not None:
            found.durations[name] = duration
        if records is None:
            annotators.file(None)[name] = _official(record, where, problems, duration)
            continue
        for source, captions in _sources(record).items():
            part = {**record, "captions": captions}
            annotators.file(source)[name] = _record_events(part, where, problems, duration)


class _Annotators:
    """The mappings that one file adds: one, or one a `source`."""

    def __init__(self, files: list[dict[str, list[Event]]]) -> None:
        self._files = files
        self._numbers: dict[Any, int] = {}

    def file(self, source: Any) -> dict[str, list[Event]]:
        """The mapping of an annotator."""
        if source not in self._numbers:
            self._numbers[source] = len(self._files)
            self._files.append({})
        return self._files[self._numbers[source]]


def _sources(record: Mapping[str, Any]) -> dict[str | None, list[Any]]:
    """The captions of a record by who said them."""
    found: dict[str | None, list[Any]] = {}
    for caption in _list(record.get("captions")):
        source = caption.get("source") if isinstance(caption, Mapping) else None
        found.setdefault(source if isinstance(source, str) else None, []).append(caption)
    return found or {None: []}


def has_events(record: Any) -> bool:
    """Whether a value of `{video: value}` is an object of events."""
    return isinstance(record, Mapping) and bool({"timestamps", "annotations"} & record.keys())


def _videos(value: Any, given: Given, wanted: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping) and isinstance(value.get("database"), Mapping):
        value = value["database"]
    listed = dict(value) if isinstance(value, Mapping) else {}
    usable = {name: record for name, record in listed.items() if has_events(record)}
    if not usable:
        raise AnnotationError(f"{given.name}: want {wanted}")
    yield from ((name, usable.get(name, {})) for name in listed)


def _official(
    record: Mapping[str, Any], where: str, problems: Problems, duration: float | None
) -> list[Event]:
    entries = record.get("annotations")
    if isinstance(entries, list):  # YouCook2
        return _listed(entries, ("sentence", "segment"), where, problems, duration)
    times, texts = record.get("timestamps"), record.get("sentences")
    if not isinstance(times, list) or not isinstance(texts, list) or len(times) != len(texts):
        problems.add("unusable record", f"{where}: as many timestamps as sentences are wanted")
    listed = list(zip(_list(times), _list(texts), strict=False))
    found = [
        _event(text, pair, f"{where}: event {number}", problems, duration)
        for number, (pair, text) in enumerate(listed, start=1)
    ]
    return _counted(found, where, problems)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _record_events(
    record: Mapping[str, Any], where: str, problems: Problems, duration: float | None
) -> list[Event]:
    """The events of a record; a caption without times is about the whole of it."""
    whole = duration_of(record) if duration is None else duration
    found = []
    for number, caption in enumerate(_list(record.get("captions")), start=1):
        place = f"{where}: caption {number}"
        if not isinstance(caption, Mapping):
            problems.add("unusable record", place)
            continue
        times = [caption.get("start"), caption.get("end")]
        if times == [None, None]:
            times = [0.0, whole]
        found.append(_event(caption.get("text"), times, place, problems, duration))
    return _counted(found, where, problems)
