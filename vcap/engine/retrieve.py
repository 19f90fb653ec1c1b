"""Words, videos and images find videos, moments of videos, or texts: `retrieve`."""

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from vcap.engine.filters import parse_condition, unknown_fields
from vcap.engine.hits import Found, Hit
from vcap.engine.queries import Query, refuse_odd_text
from vcap.engine.query_vectors import QueryEncoder, turned_from
from vcap.engine.registry import nearest
from vcap.engine.reporter import Reporter, Silent
from vcap.engine.search import Answer, Cutting, Limits, find_in_videos, find_rows
from vcap.engine.summary import Summary
from vcap.errors import ConfigError, InputError, UsageError
from vcap.features.index import Index
from vcap.features.index_files import HEADER_NAME, shards_of
from vcap.types import Segment
from vcap.video.sample import is_centred

TOP_K = 10
VARIABLES = "VCAP_SET__retrieve__"


@dataclass(frozen=True)
class RetrieveSettings:
    """What can be set for `retrieve` by flags, and by the environment as a user's own defaults.

    Attributes:
        top_k: hits a query; None for ten.
        moments: look for the stretches of videos that match.
        per_video: moments of one video, at most.
        unwanted: sentences that hits should be far from.
        threshold: lowest score of a hit.
        where: conditions on the records of hits.
        model: the encoder; None for the one that the index names.
        device: `auto`, `cpu` or `cuda[:N]`.
        dtype: `auto`, `fp32`, `bf16` or `fp16`.
    """

    top_k: int | None = None
    moments: bool = False
    per_video: int = 1
    unwanted: tuple[str, ...] = ()
    threshold: float | None = None
    where: tuple[str, ...] = ()
    model: str | None = None
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name in ("top_k", "per_video"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}: want at least 1, got {value}")
        if self.per_video > 1 and not self.moments:
            raise UsageError("--per-video counts moments", hint="--moments --per-video 3")
        if self.threshold is not None and math.isnan(self.threshold):
            raise ConfigError("threshold: want a number, got nan, which no score is above")
        for text in self.where:
            parse_condition(text)
        for text in self.unwanted:
            if not text.strip():
                raise UsageError("--not wants words, got none", hint='--not "snow"')
            refuse_odd_text(text)


def retrieve_settings(given: Mapping[str, Any]) -> RetrieveSettings:
    """Settings from those flags that are some, over the environment; see `from_flags`.

    Raises:
        UsageError: a condition cannot be read.
        ConfigError: a value makes no sense.
    """
    names = [field.name for field in fields(RetrieveSettings)]
    flags = {name: given[name] for name in names if given.get(name) not in (None, "auto")}
    flags |= {name: tuple(value) for name, value in flags.items() if isinstance(value, list)}
    if not any(name.startswith(VARIABLES) for name in os.environ):
        return RetrieveSettings(**flags)  # what reads the environment takes longer than a search
    from vcap.engine.flags import from_flags

    return from_flags("retrieve", RetrieveSettings, flags)


def retrieve(
    queries: Sequence[Query],
    index: Index | Path | str,
    settings: RetrieveSettings | None = None,
    *,
    reporter: Reporter | None = None,
    encoder: Any = None,
) -> tuple[list[Found], Summary]:
    """What an index holds that is nearest to each query, best first, and which queries failed.

    Args:
        queries: what `parse_queries` made.
        index: an open one, or its folder.
        encoder: that of the index, where it is loaded already.

    Raises:
        FeatureError: the index is damaged, or was made by another encoder.
        InputError: the index is empty.
        UsageError: moments of texts are asked for.
    """
    settings, reporter = settings or RetrieveSettings(), reporter or Silent()
    opened = index if isinstance(index, Index) else Index.open(index)
    _refuse(opened, settings)
    _warn(opened, settings, reporter)
    places: dict[str, Any] = {"device": settings.device, "dtype": settings.dtype}
    makes = QueryEncoder(opened, reporter, model=settings.model, **places, encoder=encoder)
    pairs, summary = makes.vectors(queries)
    if not pairs:
        return [], summary
    vectors = np.stack([vector for _, vector in pairs])  # [Q, D]
    unwanted = makes.texts(settings.unwanted) if settings.unwanted else vectors[:0]
    vectors = turned_from(vectors, unwanted)
    asked = [query for query, _ in pairs]
    answers = _answers(opened, vectors, asked, settings)
    if settings.where and not any(answers):
        _warn_of_fields(opened, settings, reporter)
    found = [
        Found(query.name, _hits(query, own), query.path, settings.unwanted)
        for query, own in zip(asked, answers, strict=True)
    ]
    return found, summary


def _refuse(index: Index, settings: RetrieveSettings) -> None:
    if not len(index):
        hint = f"vcap index STORE -o {shlex.quote(str(index.folder))}"
        raise InputError(f"{index.folder}: the index is empty", hint=hint)
    if settings.moments and index.level == "text":
        raise UsageError(f"{index.folder} is an index of texts, which have no moments")


def _warn(index: Index, settings: RetrieveSettings, reporter: Reporter) -> None:
    """Tell of more hits than there are, and of a store that grew."""
    what = "texts" if index.level == "text" else "videos"
    count = len(index) if index.level == "text" else index.header.num_videos
    if (settings.top_k or 0) > count and not settings.moments:
        reporter.warn(f"-k {settings.top_k}: the index holds {count} {what}, which is all there is")
    for store in index.header.stores:
        if _has_changed(store, index):
            reporter.warn(
                f"{store} has changed since it was indexed; to find what is new: "
                f"vcap index {shlex.quote(store)} -o {shlex.quote(str(index.folder))} --sync"
            )


def _warn_of_fields(index: Index, settings: RetrieveSettings, reporter: Reporter) -> None:
    """Tell of conditions on fields that no record has, since nothing was found."""
    conditions = [parse_condition(text) for text in settings.where]
    for condition, known in unknown_fields(conditions, map(index.record_of, range(len(index)))):
        told = nearest(condition.field, known)
        reporter.warn(f"--where {condition}: no record has a field {condition.field!r}; {told}")


def _has_changed(store: str, index: Index) -> bool:
    """Whether the shards of a store are others than those that the index followed."""
    try:
        now, known = shards_of(store), index.header.shards.get(store)
        if known is not None:
            return now != known
        return now[-1] > (index.folder / HEADER_NAME).stat().st_mtime_ns
    except OSError:  # it was moved away; the index does without it
        return False


def _answers(
    index: Index, vectors: Any, queries: Sequence[Query], settings: RetrieveSettings
) -> list[list[Answer]]:
    conditions = tuple(parse_condition(text) for text in settings.where)
    limits = Limits(settings.top_k or TOP_K, settings.threshold, conditions, index.level == "frame")
    left_out = [query.name if query.is_stored else None for query in queries]
    left_out = left_out if any(left_out) else []
    if settings.moments:
        made_by = index.fingerprint  # of imported features the times are only thought of
        in_middle = "imported" not in made_by and is_centred(str(made_by.get("sampler", "")))
        cutting = Cutting(settings.per_video, in_middle)
        return find_in_videos(index, vectors, limits, left_out, cutting)
    return find_rows(index, vectors, limits, left_out)


def _hits(query: Query, answers: Sequence[Answer]) -> list[Hit]:
    """Answers as they are told: with their rank, and the part of the file that they are about."""
    return [
        Hit(
            query.name,
            answer.record["id"],
            rank,
            answer.score,
            answer.record,
            answer.segment or _part(answer.record),
            answer.frame_times or _time(answer.record),
        )
        for rank, answer in enumerate(answers, start=1)
    ]


def _part(record: Mapping[str, Any]) -> Segment | None:
    given = record.get("segment")
    return Segment(float(given[0]), float(given[1])) if given else None


def _time(record: Mapping[str, Any]) -> tuple[float, ...]:
    """The time of the frame that matches, of an index of frames."""
    return (record["time"],) if record.get("time") is not None else ()
