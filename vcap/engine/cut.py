"""Moments that were found become clips in a folder; each is cut once."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vcap.engine.executor import Local
from vcap.engine.fingerprint import file_identity
from vcap.engine.hits import Found, Hit
from vcap.engine.items import FilesOutput, Item, Summary, map_items
from vcap.engine.names import safe_name
from vcap.engine.reporter import Reporter, Silent
from vcap.types import Segment

if TYPE_CHECKING:
    from vcap.engine.interrupt import StopRequest

SUFFIX = ".mp4"
Part = tuple[Path, Segment]


def cut_hits(
    found: Sequence[Found],
    folder: Path,
    *,
    reporter: Reporter | None = None,
    stop: "StopRequest | None" = None,
    force: bool = False,
) -> tuple[list[Found], Summary]:
    """Write each moment of a video as a clip, and say in each hit where its clip is.

    Clips are named by id and seconds, so that a moment that answers two queries is one file.
    Hits that are no part of a file, such as texts and pictures, have no clip.

    Args:
        folder: made where absent; what is in it already is not cut again.
        force: cut all again.

    Raises:
        OutputError: the folder cannot be written.
    """
    reporter = reporter or Silent()
    parts = {
        clip_name(hit): (hit.path, hit.segment)
        for one in found
        for hit in one.hits
        if hit.path is not None and hit.segment is not None
    }
    items = [Item(name, part, _identity(name, *part)) for name, part in parts.items()]
    output = FilesOutput(folder, lambda item: Path(item.key), lambda data: data)

    def cut(part: Part) -> bytes:
        return clip_bytes(part, reporter)

    summary = map_items(
        items,
        None,
        prepare=cut,
        output=output,
        executor=Local(os.cpu_count() or 1),
        fingerprint="cut 1",
        force=force,
        stop=stop,
        reporter=reporter,
        title="cut",
        unit="clips",
    )
    return [_told(one, folder) for one in found], summary


def clip_name(hit: Hit) -> str:
    """The file name of a hit's clip."""
    if hit.segment is None:
        return ""
    times = "-".join(f"{time:.3f}".rstrip("0").rstrip(".") for time in hit.segment)
    return f"{safe_name(hit.id)}_{times}{SUFFIX}"


def clip_bytes(part: Part, reporter: Reporter) -> bytes:
    """The clip of a part of a video as a whole file.

    Raises:
        VideoError: the video does not decode there.
    """
    from vcap.video.cut import cut_clip

    path, segment = part

    def warn(text: str) -> None:
        reporter.warn(f"{path}: {text}")

    with tempfile.TemporaryDirectory(prefix="vcap-cut-") as scratch:
        target = Path(scratch) / f"clip{SUFFIX}"
        cut_clip(path, segment, target, on_warning=warn)
        return target.read_bytes()


def _identity(name: str, path: Path, segment: Segment) -> dict[str, object]:
    return {"id": name, "segment": [*segment], **file_identity(path)}


def _told(one: Found, folder: Path) -> Found:
    """The hits with those clips that are there."""

    def placed(hit: Hit) -> Hit:
        clip = folder.absolute() / clip_name(hit)
        return replace(hit, clip=clip) if clip_name(hit) and clip.is_file() else hit

    return replace(one, hits=[placed(hit) for hit in one.hits])
