"""What a search found, and how it is told: lines for eyes, JSON, a page."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcap.engine.shown import one_line
from vcap.types import Segment

if TYPE_CHECKING:
    from vcap.reports import gallery

FORMATS = ("text", "jsonl", "html", "m3u", "edl")
OWN_FIELDS = ("query", "id", "rank", "score", "path", "start", "end", "clip", "text")
LEFT_OUT = ("segment", "captions", "qa")  # said by start and end; or long, and in the manifest


@dataclass(frozen=True)
class Hit:
    """One thing that was found.

    Attributes:
        rank: from 1.
        score: similarity, higher is closer.
        record: what the index knows of it.
        segment: seconds of the file that it is about; None for all of it.
        frame_times: seconds of the frames that match best, best first; may be empty.
        clip: the file into which the segment was cut; None where it was not.
    """

    query: str
    id: str
    rank: int
    score: float
    record: Mapping[str, Any] = field(default_factory=dict)
    segment: Segment | None = None
    frame_times: tuple[float, ...] = ()
    clip: Path | None = None

    @property
    def path(self) -> Path | None:
        """The file, as a whole path; None for a text."""
        given = self.record.get("path")
        return Path(os.path.abspath(given)) if given else None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the hit: it carries its query, its rank and what is known of it."""
        told: dict[str, Any] = {"query": self.query, "id": self.id, "rank": self.rank}
        told["score"] = round(self.score, 6)
        if self.path is not None:
            told["path"] = str(self.path)
        if self.segment is not None:
            told |= {"start": self.segment.start, "end": self.segment.end}
        if self.clip is not None:
            told["clip"] = str(self.clip)
        if self.record.get("text") is not None:
            told["text"] = self.record["text"]
        rest = {**dict.fromkeys(OWN_FIELDS), **dict.fromkeys(LEFT_OUT)}
        return told | {key: value for key, value in self.record.items() if key not in rest}


@dataclass(frozen=True)
class Found:
    """A query and what was found for it, the best first.

    Attributes:
        query: its words, or the name of the file or of the stored video it stands for.
        path: the file that was searched with; None for words.
        unwanted: words that were to be far.
    """

    query: str
    hits: Sequence[Hit] = ()
    path: Path | None = None
    unwanted: tuple[str, ...] = ()


def text_of(found: Sequence[Found]) -> str:
    """For eyes: the query, then a line a hit with rank, score, id, and times where it has some."""
    blocks = []
    for one in found:
        lines = [_line(hit) for hit in one.hits] or ["      nothing found"]
        blocks.append("\n".join([one_line(one.query), *lines]) + "\n")
    return "\n".join(blocks)


def _line(hit: Hit) -> str:
    from vcap.reports.subtitle import timestamp

    line = f"{hit.rank:4d}  {hit.score:.4f}  {one_line(hit.id)}"
    if hit.segment is not None:
        line += f"  {timestamp(hit.segment.start)} --> {timestamp(hit.segment.end)}"
    return line + (f"  {one_line(str(hit.record['text']))}" if hit.record.get("text") else "")


def json_lines_of(found: Sequence[Found]) -> str:
    """One JSON object a hit."""
    return "".join(json_line(hit.to_dict()) + "\n" for one in found for hit in one.hits)


def json_line(value: Mapping[str, Any]) -> str:
    """One object; a file name that is no UTF-8 is escaped, so that it stays valid JSON."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or _is_utf8(text) else json.dumps(value)


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def page_of(found: Sequence[Found], folder: Path | None = None) -> str:
    """One self-contained HTML page; `folder` is where it will lie."""
    from vcap.reports import gallery

    def shown(hit: Hit) -> "gallery.Hit":
        named: dict[str, Any] = {"path": hit.path, "segment": hit.segment}
        text = str(hit.record.get("text") or "")
        times = hit.frame_times
        return gallery.Hit(hit.id, hit.rank, hit.score, **named, frame_times=times, text=text)

    queries = [
        gallery.QueryHits(one.query, [shown(hit) for hit in one.hits], one.path, one.unwanted)
        for one in found
    ]
    return gallery.gallery_page(queries, folder)


def rendered(
    found: Sequence[Found],
    form: str,
    folder: Path | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> str:
    """What was found in a format, ending in a line break.

    Args:
        form: one of `FORMATS`.
        folder: where the file will lie; None for stdout.
        warn: gets a sentence where the format cannot hold all.
    """
    from vcap.engine import playlist

    if form == "html":
        return page_of(found, folder).rstrip("\n") + "\n"
    if form == "edl":
        return playlist.edl(found, warn)
    plain: dict[str, Callable[[Sequence[Found]], str]] = {"text": text_of, "jsonl": json_lines_of}
    plain |= {"m3u": playlist.m3u}
    return plain[form](found)
