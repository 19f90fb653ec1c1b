"""The annotation files of AdaCLIP, for MSR-VTT, DiDeMo and ActivityNet: one object a split.

`{video_id: {"extension": ..., "sentences": [...], ...}}`. The order of the videos is that of the
evaluation, so it is kept. Sentences and times are kept verbatim. The file does not say of which
split it is; that follows from where it is named (`data.train`, `data.val`, `data.test`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from vcap.data.manifest import complaints
from vcap.data.records import Record, Times
from vcap.errors import AnnotationError

FOLDERS = (".", "videos", "train", "val", "test")  # below the file, where videos may lie
MANY = 10  # wrong entries that are told one by one


class _Video(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    extension: str
    sentences: list[str] = Field(min_length=1)
    timestamps: list[Times] | None = None
    duration: float | None = Field(default=None, gt=0)


_VIDEOS = TypeAdapter(dict[str, _Video])


def is_adaclip(value: Any) -> bool:
    """Whether the value of a JSON file has this layout; its first video decides."""
    if not isinstance(value, Mapping) or not value:
        return False
    first = next(iter(value.values()))
    return isinstance(first, Mapping) and {"extension", "sentences"} <= first.keys()


def adaclip_records(
    value: Mapping[str, Any], name: str, folder: Path | None = None
) -> list[Record]:
    """One record a video, in file order, with all its sentences.

    Times of sentences become theirs where the file says how long the video is (ActivityNet); the
    one pair of times of a video without (MSR-VTT) is its place in the source video.

    Args:
        value: what the JSON file holds.
        name: what messages call it.
        folder: where the videos may lie, each as its id and the extension, itself or in a folder
            such as `videos`; one that is not there keeps its record, without a path.

    Raises:
        AnnotationError: an entry lacks what it needs, or has times for some of its sentences only;
            the first of them are told, the rest counted.
    """
    try:
        videos = _VIDEOS.validate_python(dict(value))
    except ValidationError as error:
        raise _refused(name, complaints(error)) from error
    wrong = [
        f"{key}.timestamps: want one for each of {len(video.sentences)} sentences, got "
        f"{len(video.timestamps or ())}"
        for key, video in videos.items()
        if _is_timed(video) and len(video.timestamps or ()) != len(video.sentences)
    ]
    if wrong:
        raise _refused(name, wrong)
    return [_record(key, video, folder) for key, video in videos.items()]


def _refused(name: str, wrong: list[str]) -> AnnotationError:
    more = [f"... and {len(wrong) - MANY} more"] if len(wrong) > MANY else []
    return AnnotationError("\n".join([*(f"{name}: {text}" for text in wrong[:MANY]), *more]))


def _is_timed(video: _Video) -> bool:
    """Whether its times are those of its sentences."""
    return video.timestamps is not None and video.duration is not None


def _record(key: str, video: _Video, folder: Path | None) -> Record:
    captions: list[dict[str, Any]] = [{"text": text} for text in video.sentences]
    if _is_timed(video):
        for caption, (start, end) in zip(captions, video.timestamps or (), strict=True):
            caption |= {"start": start, "end": end}
    is_cut = video.duration is None and len(video.timestamps or ()) == 1
    fields = {
        "id": key,
        "path": None if folder is None else _path(folder, f"{key}.{video.extension}"),
        "source_segment": video.timestamps[0] if video.timestamps and is_cut else None,
        "duration": video.duration,
        "captions": captions,
        "meta": video.model_extra or None,
    }
    return Record.model_validate({name: part for name, part in fields.items() if part is not None})


def _path(folder: Path, name: str) -> str | None:
    """Where a video lies below the folder; an id may hold its extension already."""
    for place in FOLDERS:
        for path in (folder / place / name, folder / place / name.rpartition(".")[0]):
            if path.is_file():
                return path.relative_to(folder).as_posix()
    return None
