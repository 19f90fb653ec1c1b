"""A video beside its captions on a time line, as one HTML file.

Every caption is a link to its place in the video. The one script of the page, named by its digest,
makes the links move the player instead, and marks the captions of the moment.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from vcap.reports.links import is_still, media_link
from vcap.reports.subtitle import cues, timestamp
from vcap.reports.template import open_template
from vcap.types import Segment

WIDTH = 1000  # of the time line, in its own unit
LANE = 22
EDGE = 40
MAX_MARKS = 8
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


@dataclass(frozen=True)
class Stretch:
    """A part of the video, what is said of it, best first, and where it is in the file."""

    segment: Segment
    texts: Sequence[str]
    link: str


class Bar(NamedTuple):
    """A stretch on the time line."""

    x: float
    y: float
    width: float
    stretch: Stretch


class Mark(NamedTuple):
    """A time written on the time line, and where its words begin: `start`, `middle`, `end`."""

    x: float
    text: str
    anchor: str


def player_page(record: Mapping[str, Any], folder: Path | None = None) -> str:
    """The whole page for one record, as `subtitle` describes it.

    Args:
        folder: where the page will lie; a video in it or below is then linked from there.
    """
    path = Path(record["path"])
    kind = _kind(path, record)
    stretches = stretches_of(record, folder)
    whole = _whole(record, stretches)
    part = Segment(*record["segment"]) if record.get("segment") else None
    link = media_link(path, folder, None if kind == "still" else part)
    lanes = lanes_of([each.segment for each in stretches])
    script = Path(__file__).with_name("player.js").read_text(encoding="utf-8")
    text: str = open_template("player.html", {"clock": timestamp}).render(
        record=record,
        kind=kind,
        link=link,
        stretches=stretches,
        bars=list(_bars(stretches, lanes, whole)),
        marks=list(_marks(whole)),
        whole=whole,
        height=LANE * (max(lanes, default=0) + 1),
        script=Markup(script),
        digest=script_digest(script),
    )
    return text


def _kind(path: Path, record: Mapping[str, Any]) -> str:
    """What the page shows: a `film`, a `still`, or a `folder` of frames, which it only links."""
    if path.is_dir():
        return "folder"
    return "still" if record.get("media") == "image" or is_still(path) else "film"


def script_digest(script: str) -> str:
    """What a policy calls a script that may run: `sha256-...`."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def stretches_of(record: Mapping[str, Any], folder: Path | None = None) -> list[Stretch]:
    """The captions by the part they are about, in order of time."""
    texts: dict[Segment, list[str]] = {}
    for cue in cues(record):
        texts.setdefault(Segment(cue.start, cue.end), []).append(cue.text)
    path = Path(record["path"])
    return [Stretch(part, texts[part], media_link(path, folder, part)) for part in sorted(texts)]


def _whole(record: Mapping[str, Any], stretches: Sequence[Stretch]) -> Segment:
    """What the time line spans: the record, and captions that go beyond it."""
    first, last = record.get("segment") or (0.0, record.get("duration") or 0.0)
    start = min([first, *(each.segment.start for each in stretches)])
    end = max([last, *(each.segment.end for each in stretches)])
    return Segment(start, max(end, start + STEPS[0]))


def lanes_of(segments: Sequence[Segment]) -> list[int]:
    """A lane for each segment, the first in which nothing else is at that time.

    Args:
        segments: in order of time.
    """
    ends: list[float] = []
    lanes = []
    for segment in segments:
        lane = next((lane for lane, end in enumerate(ends) if end <= segment.start), len(ends))
        ends[lane : lane + 1] = [segment.end]
        lanes.append(lane)
    return lanes


def _bars(stretches: Sequence[Stretch], lanes: Sequence[int], whole: Segment) -> Iterator[Bar]:
    for stretch, lane in zip(stretches, lanes, strict=True):
        start, end = (_place(time, whole) for time in stretch.segment)
        yield Bar(start, LANE * lane, max(2.0, end - start - 1), stretch)


def _marks(whole: Segment) -> Iterator[Mark]:
    """Round times, few enough to be read side by side."""
    length = whole.end - whole.start
    step = next((step for step in STEPS if length / step <= MAX_MARKS), length / MAX_MARKS)
    first = -(-whole.start // step)
    times = (round((first + number) * step, 3) for number in range(MAX_MARKS + 2))
    for time in takewhile(lambda time: time <= whole.end, times):
        x, text = _place(time, whole), timestamp(time)
        anchor = "start" if x < EDGE else "end" if x > WIDTH - EDGE else "middle"
        yield Mark(x, text if step < 1 else text[:-4], anchor)


def _place(time: float, whole: Segment) -> float:
    """A time in seconds as a place on the time line."""
    return round(WIDTH * (time - whole.start) / (whole.end - whole.start), 1)
