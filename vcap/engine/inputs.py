"""What the user named, as a list of sources: files, folders, manifests and lists on stdin."""

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from vcap.data.annotations import DOCUMENT, read_records
from vcap.data.manifest import parse_lines, resolve_path
from vcap.data.records import Record
from vcap.engine import sample
from vcap.engine.fingerprint import file_identity
from vcap.engine.outputs import Item
from vcap.errors import AnnotationError, InputError
from vcap.types import TIMES_FILE, Segment

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
})
IMAGE_SUFFIXES = frozenset({".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
# fmt: on
MEDIA_SUFFIXES = VIDEO_SUFFIXES | IMAGE_SUFFIXES
MANIFEST_SUFFIXES = frozenset({".jsonl", ".ndjson", DOCUMENT})
STDIN = "-"
FRAME_DIGITS = 6  # in the names of frames that `vcap extract` writes


@dataclass(frozen=True)
class Source:
    """One video or image to work on.

    Attributes:
        id: unique in the run.
        path: absolute; what is there may be absent or no video, which its decoding will tell.
        segment: the part it is about, None for all of it.
        record: what is known of it.
        given: the path as the user wrote it; None for a record of a manifest.
    """

    id: str
    path: Path
    segment: Segment | None
    record: Record
    given: str | None = None


def gather(
    arguments: Sequence[str],
    *,
    stdin: TextIO | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    limit: int | None = None,
) -> list[Source]:
    """All sources that the arguments name, in their order; a folder's in the order of names.

    Args:
        arguments: files, folders (walked, hidden files skipped; extracted frames are one video),
            manifests, `-` for stdin.
        include, exclude: globs on the id or the file name.
        limit: at most so many a split.

    Raises:
        InputError: a folder, a manifest or stdin names nothing.
        AnnotationError: a manifest is wrong, or an id stands twice.
    """
    sources = list(chain.from_iterable(_sources(word, stdin) for word in arguments))
    sources = _told_apart(_once(sources))
    chosen = [source for source in sources if _is_wanted(source, include, exclude)]
    if sources and not chosen:
        raise InputError(f"none of {len(sources)} inputs is left by --include and --exclude")
    return _limited(chosen, limit)


def to_items(sources: Iterable[Source], *, checksum: bool = False) -> list[Item]:
    """Sources as items; the same input is the same id, size, time (or digest) and segment."""
    return [
        Item(
            source.id,
            source,
            {"id": source.id, "segment": source.segment and [*source.segment]}
            | file_identity(source.path, checksum),
        )
        for source in sources
    ]


def _sources(word: str, stdin: TextIO | None) -> list[Source]:
    path = Path(word)
    if word == STDIN:
        return _from_stdin(stdin)
    if word == sample.NAME and not path.exists():
        return [_from_file(str(sample.sample_path()), sample.sample_path().name)]
    if path.is_dir():
        return _from_folder(path)
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        return _from_records(read_records(path), path.parent, word)
    return [_from_file(word, path.name)]


def _from_file(word: str, identity: str) -> Source:
    path = Path(os.path.abspath(word))
    media = "image" if path.suffix.lower() in IMAGE_SUFFIXES else "video"
    # not validated: the name of a file need not be UTF-8
    record = Record.model_construct(id=identity, path=str(path), media=media)
    return Source(identity, path, None, record, word)


def _from_folder(folder: Path) -> list[Source]:
    names = sorted(_walk(folder))
    if not names:
        raise InputError(f"no video or image in {folder}")
    if names == ["."]:  # the folder itself is a video
        return [_from_file(str(folder), Path(os.path.abspath(folder)).name)]
    return [_from_file(str(folder / name), name) for name in names]


def _walk(folder: Path) -> Iterator[str]:
    """Paths of videos and images below a folder, as they stand in ids.

    A folder that `vcap extract` made is one video.
    Links to folders are followed after all else, and no folder is entered twice.
    """

    def unreadable(error: OSError) -> None:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error

    waiting, seen = deque([folder]), set[str]()
    while waiting:
        for place, folders, files in os.walk(waiting.popleft(), onerror=unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if os.path.realpath(place) in seen:
                folders.clear()
                continue
            seen.add(os.path.realpath(place))
            if _is_frames(files):
                folders.clear()
                yield Path(place).relative_to(folder).as_posix()
                continue
            paths = [Path(place, name) for name in folders]
            waiting += [path for path in paths if path.is_symlink()]
            for name in files:
                if not name.startswith(".") and Path(name).suffix.lower() in MEDIA_SUFFIXES:
                    yield (Path(place) / name).relative_to(folder).as_posix()


def _is_frames(names: Sequence[str]) -> bool:
    """Whether files of these names are the frames of one video: numbered, and their times."""
    return TIMES_FILE in names and any(
        len(path.stem) >= FRAME_DIGITS and path.stem.isdecimal() and path.suffix in IMAGE_SUFFIXES
        for path in map(Path, names)
    )


def _from_stdin(stdin: TextIO | None) -> list[Source]:
    lines = [line for line in stdin or () if line.strip()]
    if not lines:
        raise InputError("nothing on stdin: want JSON Lines of records, or a path a line")
    lines[0] = lines[0].removeprefix("\ufeff")  # a mark that some editors put before a text
    if lines[0].lstrip().startswith("{"):
        return _from_records(parse_lines(lines, "stdin"), Path.cwd(), "stdin")
    words = [line.rstrip("\r\n") for line in lines]
    return [_from_file(word, Path(word).name) for word in words]


def _from_records(records: Sequence[Record], folder: Path, name: str) -> list[Source]:
    if all(record.path is None for record in records):
        raise InputError(
            f"{name}: its videos are not here yet, only their urls; fetch them, and say in `path` "
            "where each lies"
        )
    return [_from_record(record, folder) for record in records]


def _from_record(record: Record, folder: Path) -> Source:
    # A url alone is no file; the item then fails like any file that is absent.
    found = folder / str(record.url) if record.path is None else resolve_path(record, folder)
    segment = Segment(*record.segment) if record.segment else None
    return Source(record.id, Path(os.path.abspath(found)), segment, record)


def _once(sources: Iterable[Source]) -> list[Source]:
    """Leave out what was named twice."""
    seen: dict[Any, Source] = {}
    for source in sources:
        is_file = source.given is not None
        seen.setdefault(
            source.path if is_file else (source.id, source.path, source.segment), source
        )
    return list(seen.values())


def _told_apart(sources: list[Source]) -> list[Source]:
    """Give files of one name their path as id; records keep theirs, which must differ.

    Raises:
        AnnotationError: two records have the same id.
    """
    count = Counter(source.id for source in sources)
    seen: dict[str, Source] = {}
    for source in sources:
        is_unclear = count[source.id] > 1 and source.given is not None
        named = _renamed(source, str(source.given)) if is_unclear else source
        if named.id in seen:
            paths = f"{seen[named.id].path} and {named.path}"
            raise AnnotationError(f"two inputs have the id {named.id}: {paths}")
        seen[named.id] = named
    return list(seen.values())


def _renamed(source: Source, identity: str) -> Source:
    record = source.record.model_copy(update={"id": identity})
    return replace(source, id=identity, record=record)


def _is_wanted(source: Source, include: Sequence[str], exclude: Sequence[str]) -> bool:
    names = (source.id, source.path.name)

    def matches(globs: Sequence[str]) -> bool:
        return any(fnmatchcase(name, glob) for glob in globs for name in names)

    return (not include or matches(include)) and not matches(exclude)


def _limited(sources: list[Source], limit: int | None) -> list[Source]:
    if limit is None:
        return sources
    seen: Counter[Any] = Counter()
    chosen = []
    for source in sources:
        seen[source.record.split] += 1
        if seen[source.record.split] <= limit:
            chosen.append(source)
    return chosen
