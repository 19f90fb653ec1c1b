"""Caption files in a folder: what they are called, whose they are, and when they are written.

What was learnt from a video is kept in `.vcap/captions`; every file of a format is made from that
and the video's record. So the files of a finished video can be made in another format, or of a
record that was edited, without captioning it again, and the one file for all videos is put together
at the end, in the order of the input.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vcap.engine.caption_work import Made, Prediction, prediction
from vcap.engine.files import ensure_folder, output_errors, sweep, write_atomic
from vcap.engine.inputs import MEDIA_SUFFIXES, Source
from vcap.engine.lock import PRIVATE
from vcap.engine.names import safe_name
from vcap.engine.outputs import IsDone, Item, Units, one_by_one
from vcap.engine.registry import nearest
from vcap.errors import OutputError, UsageError
from vcap.reports.subtitle import WRITERS

JOINED = "jsonl"  # the format that holds all videos in one file
JOINED_NAME = "captions.jsonl"
PAGE = "html"  # the format that shows the video, too
FORMATS = (*WRITERS, PAGE)
ALL = "all"
MAX_NAMED = 5

Record = Mapping[str, Any]


class OwnFiles:
    """Remembers what vcap wrote, so that nobody else's file and no edit is lost.

    Files below the folder are remembered by their place in it, so that it can be moved.
    """

    def __init__(self, folder: Path, force: bool = False) -> None:
        """Read what was written before; with `force` any file may be replaced."""
        self._folder = folder
        self._log_path = log_path = folder / PRIVATE / "written.jsonl"
        self._force = force
        self._digests: dict[str, list[str]] = {}  # of all that was ever written to a path
        if log_path.exists():
            for line in log_path.read_text("utf-8", "replace").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # cut short when a run was killed
            return
        self._digests.setdefault(entry["path"], []).append(entry["digest"])

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._folder) if path.is_relative_to(self._folder) else path)

    def is_free(self, path: Path) -> bool:
        """Whether the file may be replaced: absent, or as vcap left it."""
        if self._force or not path.exists():
            return True
        known = self._digests.get(self._name(path), [])
        return path.is_file() and digest(path.read_bytes()) in known

    def write(self, path: Path, data: bytes) -> None:
        """Write the file whole; one that was edited since vcap wrote just this is left alone.

        Raises:
            OutputError: the file is not ours to replace, or cannot be written.
        """
        known = self._digests.get(self._name(path), [])
        if path.is_file() and digest(path.read_bytes()) == digest(data):
            if digest(data) not in known[-1:]:
                self._remember(path, data)
            return
        if not self.is_free(path):
            if known[-1:] == [digest(data)]:
                return
            raise not_ours([path])
        self._remember(path, data)  # first: a kill in between must not make the file a stranger
        ensure_folder(path.parent)
        write_atomic(path, data)

    def _remember(self, path: Path, data: bytes) -> None:
        self._digests.setdefault(self._name(path), []).append(digest(data))
        entry = json.dumps({"path": self._name(path), "digest": digest(data)})
        with output_errors(self._log_path), self._log_path.open("ab") as log:
            log.write(f"\n{entry}\n".encode())  # a line of its own, whatever a kill left before
            log.flush()
            os.fsync(log.fileno())


def not_ours(paths: Sequence[Path]) -> OutputError:
    """The refusal to replace files that vcap did not make, or that were edited since."""
    named = ", ".join(str(path) for path in paths[:MAX_NAMED])
    more = f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else ""
    return OutputError(
        f"not made by vcap, or edited since: {named}{more}",
        hint="the same command with --force, or with another -o DIR",
    )


def digest(data: bytes) -> str:
    """Short digest of the content of a file."""
    return hashlib.sha256(data).hexdigest()[:32]


def open_files(
    sources: Sequence[Source],
    formats: Sequence[str],
    *,
    folder: Path | None = None,
    beside: bool = False,
    force: bool = False,
    retry_failed: bool = False,
) -> "CaptionFiles | None":
    """Where captions are to be written; None where no format is asked for.

    Args:
        formats: names of formats; `all` is every one of them.
        folder: None for the current one; with `beside` the folder that all videos are below.
        retry_failed: an earlier run is to be gone on with, whose journal lies with the files.

    Raises:
        UsageError: an unknown format, a folder and `beside`, or what needs a format without one.
    """
    if beside and folder is not None:
        raise UsageError("-o and --beside contradict each other; give one of them")
    if not formats:
        if beside or folder is not None or retry_failed:
            flag = "--beside" if beside else f"-o {folder}" if folder else "--retry-failed"
            raise UsageError(f"{flag} needs a format of the files", hint="-f srt, or -f all")
        return None
    for name in formats:
        if name not in (*FORMATS, ALL):
            offer = nearest(name, [*FORMATS, ALL])
            raise UsageError(f"no format named {name}; {offer}", hint="vcap caption --help")
    kinds = FORMATS if ALL in formats else tuple(dict.fromkeys(formats))
    home = folder or (shared_folder(sources) if beside else Path())
    return CaptionFiles(home.absolute(), sources, kinds, beside=beside, force=force)


def shared_folder(sources: Sequence[Source]) -> Path:
    """The folder that all videos are below; where that is the root, the folder of the first."""
    parents = [source.path.parent for source in sources]
    shared = Path(os.path.commonpath(parents))
    return parents[0] if shared == Path(shared.anchor) else shared


def file_names(sources: Sequence[Source], *, beside: bool) -> dict[str, Path]:
    """Path without the suffix of a format for every id, relative to the folder unless `beside`.

    A video's own suffix is left out, unless two videos would then get one name.
    """
    candidates = {source.id: _beside(source) if beside else _below(source.id) for source in sources}
    level = dict.fromkeys(candidates, 0)
    while True:
        names = {key: candidates[key][level[key]] for key in candidates}
        count = Counter(names.values())
        raised = {
            key: level[key] + 1
            for key, name in names.items()
            if count[name] > 1 and level[key] + 1 < len(candidates[key])
        }
        if not raised:
            return names
        level |= raised


def _below(identity: str) -> list[Path]:
    """Names in a folder of their own: the id without suffix, then the whole id."""
    parts = [safe_name(part) for part in PurePosixPath(identity).parts if part not in ("/", "")]
    parts = parts or [safe_name(identity)]
    stem = safe_name(_stem(PurePosixPath(identity).name) or parts[-1])
    whole = Path(*parts)
    return [whole.with_name(stem), whole, Path(safe_name(identity))]


def _beside(source: Source) -> list[Path]:
    """Names next to the video: its stem, its whole name, its name and the id."""
    path = Path(source.path)
    stem = _stem(path.name)
    return [path.with_name(name) for name in (stem, path.name, f"{stem}.{safe_name(source.id)}")]


def _stem(name: str) -> str:
    """The name without a suffix of a video; `a.b` keeps its `.b`."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in MEDIA_SUFFIXES else name


class CaptionFiles:
    """The output of `caption`: what was learnt from each video, and the files made from it."""

    def __init__(
        self,
        folder: Path,
        sources: Sequence[Source],
        formats: Sequence[str],
        *,
        beside: bool = False,
        force: bool = False,
    ) -> None:
        """Choose the names; nothing is read or written yet."""
        self.folder = folder
        self._formats = tuple(formats)
        self._force = force
        self._names = file_names(sources, beside=beside)
        self._sources = {source.id: source for source in sources}
        self._records = folder / PRIVATE / "captions"
        self._kept: set[str] = set()
        self._own: OwnFiles | None = None

    @property
    def own(self) -> OwnFiles:
        """What vcap wrote here before; read when the folder is locked."""
        if self._own is None:
            self._own = OwnFiles(self.folder, self._force)
        return self._own

    def plan(self, items: Sequence[Item], done: IsDone) -> Units:
        """The videos still to do, one by one; refuses before any work what it may not replace."""
        sweep(self._records)
        units = one_by_one(items, done)
        to_do = {item.key for unit in units for item in unit}
        self._kept = {
            key for key in self._sources if key not in to_do and self._path(key).is_file()
        }
        targets = [path for key in self._sources if key in to_do for path in self.paths(key)]
        targets += [self.joined_path] if JOINED in self._formats and to_do else []
        foreign = [path for path in targets if not self.own.is_free(path)]
        if foreign:
            raise not_ours(foreign)
        return units

    def write(self, item: Item, result: Made) -> list[Item]:
        """Keep what was learnt from a video and write its files; the item is then done."""
        path = self._path(item.key)
        ensure_folder(path.parent)
        write_atomic(path, json.dumps(result).encode())
        self._kept.add(item.key)
        self._write_files(item.key, prediction(self._sources[item.key], result))
        return [item]

    def flush(self) -> list[Item]:
        """Nothing waits."""
        return []

    def files(self, item: Item) -> tuple[str, ...]:
        """What is kept of a video; without it the video is done again."""
        return (str(self._path(item.key).relative_to(self.folder)),)

    def is_kept(self, key: str) -> bool:
        """Whether the captions of a video are here and belong to this run's input."""
        return key in self._kept

    def record(self, key: str) -> Prediction:
        """The record of a video with the captions that are kept of it."""
        return prediction(self._sources[key], json.loads(self._path(key).read_bytes()))

    def forget(self, key: str) -> None:
        """Leave out a video that failed, whatever is kept of it from before."""
        self._kept.discard(key)

    def finish(self) -> None:
        """Make what is missing of finished videos, and the file that holds them all."""
        lines = []
        for key in self._sources:
            if key in self._kept:
                record = self.record(key)
                self._write_files(key, record)
                lines.append(WRITERS[JOINED].render(record))
        if JOINED in self._formats and lines:
            self.own.write(self.joined_path, as_bytes("".join(lines)))

    @property
    def joined_path(self) -> Path:
        """The one file of all videos."""
        return self.folder / JOINED_NAME

    def paths(self, key: str) -> list[Path]:
        """The files that a video has for itself."""
        return list(self._targets(key).values())

    def _targets(self, key: str) -> dict[str, Path]:
        base = self.folder / self._names[key]
        return {
            kind: base.with_name(f"{base.name}.{kind}") for kind in self._formats if kind != JOINED
        }

    def _path(self, key: str) -> Path:
        return self._records / f"{safe_name(key)}.json"

    def _write_files(self, key: str, record: Record) -> None:
        for kind, path in self._targets(key).items():
            self.own.write(path, as_bytes(_rendered(kind, record, path.parent)))


def _rendered(kind: str, record: Record, folder: Path) -> str:
    """The text of a file that will lie in the folder."""
    if kind != PAGE:
        return WRITERS[kind].render(record)
    from vcap.reports.player import player_page

    return player_page(record, folder)


def as_bytes(text: str) -> bytes:
    """UTF-8; what is no character (in the name of a file) becomes an escape that JSON reads."""
    return text.encode(errors="backslashreplace")
