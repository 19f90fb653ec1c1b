"""MSR-VTT: its JSON as records, captions and times verbatim.

The file is `{"videos": [...], "sentences": [...]}`, whatever part of the set it covers and whoever
copied it; two of its keys hold a space. Sentences go to their video in file order.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vcap.data.manifest import complaints
from vcap.data.records import SPLITS, Number, Record
from vcap.errors import AnnotationError

CATEGORIES = (
    *("music", "people", "gaming", "sports/actions", "news/events/politics", "education"),
    *("tv shows", "movie/comedy", "animation", "vehicles/autos", "howto", "travel"),
    *("science/technology", "animals/pets", "kids/family", "documentary", "food/drink"),
    *("cooking", "beauty/fashion", "advertisement"),
)
FIRST_VAL, FIRST_TEST = 6513, 7010  # the official split goes by the numbers of the videos
# where published archives keep the videos
FOLDERS = (".", "videos", "videos/all", "all", "TrainValVideo", "TestVideo")
MOST_DIGITS = 100
MANY = 10  # wrong entries that are told one by one


class _Video(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    video_id: str = Field(min_length=1)
    category: int | None = None
    url: str | None = None
    start: Number | None = Field(default=None, alias="start time")
    end: Number | None = Field(default=None, alias="end time")
    split: str | None = None


class _Sentence(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    video_id: str
    caption: str
    sen_id: int | str | None = None


class _Annotations(BaseModel):
    videos: list[_Video] = Field(min_length=1)
    sentences: list[_Sentence]


def is_msrvtt(value: Any) -> bool:
    """Whether the value of a JSON file has MSR-VTT's layout."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("sentences"), list)
        and isinstance(value.get("videos"), list)
    )


def msrvtt_records(value: Mapping[str, Any], name: str, folder: Path | None = None) -> list[Record]:
    """One record a video, in file order, with all its captions.

    Args:
        value: what the JSON file holds.
        name: what messages call it.
        folder: where `video<N>.mp4` may lie, itself or in a folder of the published archives;
            a video that is not there keeps its record and has an url only.

    Raises:
        AnnotationError: an entry lacks what it needs, two videos have one id, or a sentence is of
            no video; the first of them are told, the rest counted.
    """
    try:
        found = _Annotations.model_validate(value)
    except ValidationError as error:
        raise _refused(name, complaints(error)) from error
    captions: dict[str, list[dict[str, Any]]] = {video.video_id: [] for video in found.videos}
    if len(captions) < len(found.videos):
        raise _refused(name, _twice(found.videos))
    strays = []
    for number, sentence in enumerate(found.sentences):
        if sentence.video_id in captions:
            captions[sentence.video_id].append(_caption(sentence))
        else:
            strays.append(f"sentences.{number}.video_id: no video {sentence.video_id}")
    if strays:
        raise _refused(name, strays)
    paths = _videos_below(folder) if folder else {}
    return [_record(video, captions[video.video_id], paths, name) for video in found.videos]


def official_split(number: int) -> str:
    """The part of the official split that the video of a number is in."""
    if number < FIRST_VAL:
        return "train"
    return "val" if number < FIRST_TEST else "test"


def _refused(name: str, wrong: list[str]) -> AnnotationError:
    more = [f"... and {len(wrong) - MANY} more"] if len(wrong) > MANY else []
    return AnnotationError("\n".join([*(f"{name}: {text}" for text in wrong[:MANY]), *more]))


def _twice(videos: Iterable[_Video]) -> list[str]:
    first: dict[str, int] = {}
    return [
        f"videos.{number}.video_id: {video.video_id} is also the id of videos.{earlier}"
        for number, video in enumerate(videos)
        if (earlier := first.setdefault(video.video_id, number)) != number
    ]


def _caption(sentence: _Sentence) -> dict[str, Any]:
    given = {} if sentence.sen_id is None else {"id": sentence.sen_id}
    return {**(sentence.model_extra or {}), "text": sentence.caption, **given}


def _record(
    video: _Video, captions: list[dict[str, Any]], paths: Mapping[str, str], name: str
) -> Record:
    times = None if video.start is None or video.end is None else [video.start, video.end]
    fields = {
        "id": video.video_id,
        "path": paths.get(video.video_id),
        "url": video.url,
        "source_segment": times,
        "split": _split(video, name),
        "dataset": "msrvtt",
        "captions": captions,
        "label": _label(video.category),
        "meta": video.model_extra or None,
    }
    given = {key: part for key, part in fields.items() if part is not None}
    try:
        return Record.model_validate(given)
    except ValidationError as error:  # of further fields, which mean something to a record
        raise _refused(f"{name}: {video.video_id}", complaints(error)) from error


def _split(video: _Video, name: str) -> str | None:
    """What the file says, else what the number in the id says."""
    if video.split is not None:
        return SPLITS.get(video.split, video.split)
    number = video.video_id.removeprefix("video")
    if not number.isdecimal():
        return None
    if len(number) > MOST_DIGITS:
        raise _refused(name, [f"{video.video_id[:20]}...: a number of {len(number)} digits"])
    return official_split(int(number))


def _label(category: int | None) -> dict[str, Any] | None:
    if category is None:
        return None
    known = 0 <= category < len(CATEGORIES)
    return {"name": CATEGORIES[category], "index": category} if known else {"index": category}


def _videos_below(folder: Path) -> dict[str, str]:
    """Path of each video that is there, below the folder, by its id."""
    found: dict[str, str] = {}
    for place in FOLDERS:
        for path in sorted((folder / place).glob("video*.mp4")):
            found.setdefault(path.stem, path.relative_to(folder).as_posix())
    return found
