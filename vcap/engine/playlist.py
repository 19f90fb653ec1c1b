"""Hits as a playlist: M3U for players, an edit decision list (CMX 3600) for editing programs.

Both go hit by hit, the best first, query after query. Hits that have no file are left out, and so
is, in an edit decision list, what has no length: it says how long each piece is.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vcap.engine.shown import harmless, one_line
from vcap.errors import InputError
from vcap.types import Segment

if TYPE_CHECKING:
    from vcap.engine.hits import Found, Hit

MARK = "made by vcap retrieve"
DEFAULT_RATE = 25
MAX_EVENTS = 999  # numbers of three digits

Length = Callable[[Path], tuple[float | None, float | None]]


def m3u(found: "Sequence[Found]") -> str:
    """A playlist for players: VLC and Kodi begin at the moment and stop at its end."""
    lines = ["#EXTM3U", f"# {MARK}"]
    for one in found:
        lines.append(f"#PLAYLIST:{one_line(one.query)}")
        for hit in one.hits:
            lines += _entry(hit)
    return "\n".join(lines) + "\n"


def _entry(hit: "Hit") -> Iterator[str]:
    if hit.path is None:
        return
    segment = hit.segment
    seconds = -1 if segment is None else max(1, round(segment.end - segment.start))
    yield f"#EXTINF:{seconds},{hit.rank}. {one_line(hit.id)}"
    if segment is not None:
        yield f"#EXTVLCOPT:start-time={_seconds(segment.start)}"
        yield f"#EXTVLCOPT:stop-time={_seconds(segment.end)}"
    yield hit.path.as_uri() if "\n" in str(hit.path) or "\r" in str(hit.path) else str(hit.path)


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def probed(path: Path) -> tuple[float | None, float | None]:
    """Frames a second and seconds of a video by its header; None where nobody knows."""
    from vcap.video.probe import probe

    try:
        known = probe(path)
    except InputError:
        return None, None
    return known.frames_per_second, known.duration_seconds


def edl(
    found: "Sequence[Found]", warn: Callable[[str], None] = lambda _: None, length: Length = probed
) -> str:
    """An edit decision list: times of the source, and of the sequence that they make.

    The whole list counts frames at one rate, that of the first video, without dropped frames:
    time codes of 29.97 frames a second count 30 to the second, and so fall behind the clock.

    Args:
        warn: gets a sentence where there are more pieces than a list can hold.
        length: tells frames a second and seconds of a file.
    """
    pieces = list(_pieces(found, length))
    if len(pieces) > MAX_EVENTS:
        warn(f"an edit decision list holds {MAX_EVENTS} pieces; {len(pieces)} were found")
    known = (rate for _, _, rate in pieces if rate and round(rate))
    rate = next(known, float(DEFAULT_RATE))
    title = ", ".join(one_line(one.query) for one in found)
    lines = [f"TITLE: {title}", "FCM: NON-DROP FRAME", f"* {MARK}", ""]
    at = 0
    for number, (hit, segment, _) in enumerate(pieces[:MAX_EVENTS], start=1):
        start, end = round(segment.start * rate), round(segment.end * rate)
        end = max(end, start + 1)
        ends = (start, end, at, at + end - start)
        codes = " ".join(timecode(count, round(rate)) for count in ends)
        name = os.path.basename(hit.path or "")
        lines.append(f"{number:03d}  AX       V     C        {codes}")
        lines += [
            f"* FROM CLIP NAME: {harmless(name)}",
            f"* SOURCE FILE: {harmless(str(hit.path))}",
        ]
        lines += [f"* COMMENT: {hit.rank}. {one_line(hit.query)} ({hit.score:.4f})", ""]
        at += end - start
    return "\n".join(lines)


def _pieces(
    found: "Sequence[Found]", length: Length
) -> "Iterator[tuple[Hit, Segment, float | None]]":
    """Each hit that has a length, with the part that is used and its frames a second."""
    for hit in (hit for one in found for hit in one.hits):
        if hit.path is None:
            continue
        rate, seconds = length(hit.path)
        segment = hit.segment or (Segment(0.0, seconds) if seconds else None)
        if segment is not None:
            yield hit, segment, rate


def timecode(frames: int, rate: int) -> str:
    """A count of frames as `HH:MM:SS:FF`."""
    seconds, rest = divmod(frames, rate)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"
