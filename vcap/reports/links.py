"""Where a page finds a video, and the place in it: an address with `#t=` seconds."""

import os
from pathlib import Path
from urllib.parse import quote

from vcap.types import Segment

STILL_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)


def media_link(path: Path, folder: Path | None = None, place: Segment | float | None = None) -> str:
    """The address of a file.

    It is relative where the file lies in the folder of the page or below, so that both can be moved
    together, else it holds the whole path.

    Args:
        folder: where the page lies; None where nobody knows.
        place: seconds at which a player is to begin, and to stop where they are a segment.
    """
    whole = Path(os.path.abspath(path))
    home = None if folder is None else Path(os.path.abspath(folder))
    if home is not None and whole.is_relative_to(home):
        link = "./" + quote(os.fsencode(whole.relative_to(home)))
    else:
        link = "file://" + quote(os.fsencode(whole))
    return link + _fragment(place)


def _fragment(place: Segment | float | None) -> str:
    if place is None:
        return ""
    times = place if isinstance(place, tuple) else (place,)
    return "#t=" + ",".join(f"{max(0.0, time):.3f}".rstrip("0").rstrip(".") for time in times)


def is_still(path: Path) -> bool:
    """Whether a page shows the file as a picture, not in a player."""
    return path.suffix.lower() in STILL_SUFFIXES
