"""What a search found as one HTML file: hits with their frames; it runs no script."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcap.reports.links import is_still, media_link
from vcap.reports.subtitle import timestamp
from vcap.reports.template import open_template
from vcap.reports.thumbnails import thumbnails_or_reason
from vcap.types import Segment

MAX_FRAMES = 8


@dataclass(frozen=True)
class Hit:
    """One thing that was found.

    Attributes:
        rank: from 1.
        path: the file, which the page links and takes frames from; None for a text.
        segment: seconds of the file that the hit is about, a moment say; None for all of it.
        frame_times: seconds of the frames that match, best first; none: the middle of the segment.
        text: the words that were found, or that are known of the video; may be empty.
    """

    id: str
    rank: int
    score: float
    path: Path | None = None
    segment: Segment | None = None
    frame_times: tuple[float, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class QueryHits:
    """A query and what was found for it, the best first.

    Attributes:
        query: its words, or the name of the video or image that was searched with.
        path: the file that was searched with; None for words.
        unwanted: words that were to be far, `--not`.
    """

    query: str
    hits: Sequence[Hit]
    path: Path | None = None
    unwanted: tuple[str, ...] = ()


def gallery_page(queries: Sequence[QueryHits], folder: Path | None = None) -> str:
    """The whole page: each query with its hits, their frames, scores and times.

    Args:
        queries: in the order of the page.
        folder: where the page will lie; links to videos in it or below are then relative.
    """
    text: str = open_template("gallery.html", {"clock": timestamp}).render(
        queries=[_query(query, folder) for query in queries]
    )
    return text


def _query(query: QueryHits, folder: Path | None) -> dict[str, Any]:
    frames, reason = thumbnails_or_reason(query.path) if query.path else ([], "")
    return {"given": query, "frames": frames, "reason": reason, "hits": _hits(query, folder)}


def _hits(query: QueryHits, folder: Path | None) -> Iterator[dict[str, Any]]:
    """One at a time, as the page is written."""
    for hit in query.hits:
        path = hit.path
        shown: dict[str, Any] = {"given": hit, "frames": [], "reason": "", "link": "", "film": ""}
        if path is not None:
            times = hit.frame_times[:MAX_FRAMES]
            found, shown["reason"] = thumbnails_or_reason(path, times, hit.segment)
            still = is_still(path)
            links = [media_link(path, folder, None if still else each.time) for each in found]
            shown["frames"] = list(zip(found, links, strict=True))
            shown["link"] = media_link(path, folder, None if still else hit.segment)
            shown["film"] = "" if still or path.is_dir() or shown["reason"] else shown["link"]
        yield shown
