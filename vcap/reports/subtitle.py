"""Caption files: one writer a format, each from a prediction record to text.

A record is a mapping with `captions` (`text`, and `start`, `end` in seconds where the caption is
about a part), and `segment` or `duration` in seconds where they are known. Formats and layout are
those that whisper writes, so that whatever reads its files reads these.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol


class Cue(NamedTuple):
    """A line of text and the seconds during which it is shown."""

    start: float
    end: float
    text: str


def cues(record: Mapping[str, Any]) -> list[Cue]:
    """The captions of a record, each with times; one without times lasts as long as the record.

    Text is laid on one line, as a line break would end a cue early.
    """
    first, last = record.get("segment") or (0.0, record.get("duration"))
    timed = []
    for caption in record.get("captions", []):
        start, end = caption.get("start"), caption.get("end")
        start = first if start is None else start
        end = last if end is None else end
        end = start + 1.0 if end is None else end  # a still has no length: show it for a second
        timed.append(Cue(float(start), max(float(end), float(start)), one_line(caption["text"])))
    return timed


def best_cues(record: Mapping[str, Any]) -> list[Cue]:
    """The first caption of each stretch of time, as viewers read one at a time.

    Several captions of a video or segment stand best first.
    """
    return list({cue[:2]: cue for cue in reversed(cues(record))}.values())[::-1]


def one_line(text: str) -> str:
    """The text with every run of white space as one blank."""
    return " ".join(text.split())


def timestamp(seconds: float, *, always_hours: bool = False, decimal: str = ".") -> str:
    """Seconds as `[HH:]MM:SS.mmm`, rounded to the nearest millisecond; never negative."""
    milliseconds = max(0, round(seconds * 1000))
    rest, milliseconds = divmod(milliseconds, 1000)
    rest, whole = divmod(rest, 60)
    hours, minutes = divmod(rest, 60)
    head = f"{hours:02d}:" if hours or always_hours else ""
    return f"{head}{minutes:02d}:{whole:02d}{decimal}{milliseconds:03d}"


def timed_line(start: float, end: float, text: str) -> str:
    """A caption as eyes read it: `[00:00.000 --> 00:10.000] text`."""
    return f"[{timestamp(start)} --> {timestamp(end)}] {one_line(text)}"


class Writer(Protocol):
    """One format of caption file; its name in `WRITERS` is the suffix."""

    def render(self, record: Mapping[str, Any]) -> str:
        """The whole text of the file for one record."""
        ...


class TextWriter:
    """Plain text, one caption a line."""

    def render(self, record: Mapping[str, Any]) -> str:
        """One caption a line, without times."""
        return "".join(f"{cue.text}\n" for cue in cues(record))


class SrtWriter:
    """SubRip subtitles: numbered cues, comma before the milliseconds."""

    def render(self, record: Mapping[str, Any]) -> str:
        """Cues numbered from 1, each ended by an empty line."""
        best = enumerate(best_cues(record), start=1)
        return "".join(self._cue(number, cue) for number, cue in best)

    def _cue(self, number: int, cue: Cue) -> str:
        start = timestamp(cue.start, always_hours=True, decimal=",")
        end = timestamp(cue.end, always_hours=True, decimal=",")
        return f"{number}\n{start} --> {end}\n{_without_arrow(cue.text)}\n\n"


class VttWriter:
    """WebVTT subtitles, as browsers read them."""

    def render(self, record: Mapping[str, Any]) -> str:
        """The WEBVTT line, then cues, each ended by an empty line."""
        return "WEBVTT\n\n" + "".join(self._cue(cue) for cue in best_cues(record))

    def _cue(self, cue: Cue) -> str:
        text = _without_arrow(cue.text).replace("&", "&amp;").replace("<", "&lt;")
        return f"{timestamp(cue.start)} --> {timestamp(cue.end)}\n{text}\n\n"


class TsvWriter:
    """A table with tabs: start and end in whole milliseconds, then the text."""

    def render(self, record: Mapping[str, Any]) -> str:
        """A header line, then one caption a line."""
        lines = [
            f"{round(c.start * 1000)}\t{round(c.end * 1000)}\t{c.text}\n" for c in cues(record)
        ]
        return "start\tend\ttext\n" + "".join(lines)


class JsonWriter:
    """The whole record, indented for eyes."""

    def render(self, record: Mapping[str, Any]) -> str:
        """One JSON object over several lines."""
        return json.dumps(record, ensure_ascii=False, indent=2) + "\n"


class JsonlWriter:
    """The whole record on one line, to be joined with others into one file."""

    def render(self, record: Mapping[str, Any]) -> str:
        """One JSON object and a line end."""
        return json.dumps(record, ensure_ascii=False) + "\n"


def _without_arrow(text: str) -> str:
    """`-->` inside a caption would be read as times."""
    return text.replace("-->", "->")


WRITERS: dict[str, Writer] = {
    "txt": TextWriter(),
    "srt": SrtWriter(),
    "vtt": VttWriter(),
    "tsv": TsvWriter(),
    "json": JsonWriter(),
    "jsonl": JsonlWriter(),
}
