"""Write the frames of videos as image files: one folder a video, which appears whole."""

import csv
import io
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcap.engine.outputs import IsDone, Item, Units, one_by_one
from vcap.errors import OutputError, UsageError
from vcap.types import TIMES_FILE

if TYPE_CHECKING:
    from vcap.engine.inputs import Source
    from vcap.engine.interrupt import StopRequest
    from vcap.engine.items import Summary
    from vcap.engine.reporter import Reporter
    from vcap.types import Segment
    from vcap.video.decode import Warn
    from vcap.video.picture import Pixels, Size
    from vcap.video.sample import Sampler

DEFAULT_FPS = 5.0
SIZE = re.compile(r"(?P<width>\d{1,5})x(?P<height>\d{1,5})|(?P<short>\d{1,5})")
SUMMARY = "summary.csv"


@dataclass(frozen=True)
class Wish:
    """Which frames are wanted, and as what.

    Attributes:
        frames: a sampler's text such as `fps 5`, or `scenes` for the middle of each shot.
        size: `224` for the short side, `320x240` for both sides, None for the size as shown.
        format: `jpg`, `png` or `webp`.
        stream: number of the video stream in each file; None for the best.
    """

    frames: str
    size: str | None = None
    format: str = "jpg"
    stream: int | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense, before any video is looked for."""
        parse_size(self.size)
        _ = self.sampler

    @property
    def sampler(self) -> "Sampler | None":
        """The rule as a sampler; None for scenes."""
        from vcap.video.sample import parse_sampler

        return None if self.frames == "scenes" else parse_sampler(self.frames)


@dataclass(frozen=True)
class Extracted:
    """The frames of one video, in a temporary folder so far."""

    part: Path
    num_frames: int
    warnings: tuple[str, ...] = ()  # of the decoder


def choose(fps: float | None, frames: int | None, scenes: bool) -> str:
    """The rule that three options amount to; five frames a second without any of them.

    Raises:
        UsageError: more than one of them is given.
    """
    given = [
        flag
        for flag, used in (("--fps", fps), ("--frames", frames), ("--scenes", scenes))
        if used is not None and used is not False
    ]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} contradict each other; give one of them")
    if scenes:
        return "scenes"
    if frames is not None:
        return f"uniform {frames}"
    rate = DEFAULT_FPS if fps is None else fps
    return f"fps {int(rate) if rate.is_integer() else rate}"


def parse_size(text: str | None) -> "Size | None":
    """Read `224` (short side) or `320x240`.

    Raises:
        UsageError: the text is neither, or a side is 0.
    """
    from vcap.video.picture import Size

    if text is None:
        return None
    match = SIZE.fullmatch(text)
    if match is None or 0 in {int(side) for side in match.groups() if side}:
        raise UsageError(f"{text!r} is not a size", hint="--size 224 or --size 320x240")
    if match["short"]:
        return Size(short_side=int(match["short"]))
    return Size(width=int(match["width"]), height=int(match["height"]))


class Frames:
    """Cuts one video: the part of the work that runs on many videos at a time."""

    def __init__(self, wish: Wish, parts_dir: Path, alone: bool = False) -> None:
        """Put temporary folders into `parts_dir`; one video `alone` may use several threads."""
        self.alone = alone
        self.wish = wish
        self.size = parse_size(wish.size)
        self.sampler = wish.sampler
        self.parts_dir = parts_dir

    def __call__(self, source: "Source") -> Extracted:
        """Write the frames into a temporary folder; nothing stays of a video that fails."""
        from vcap.engine.files import output_errors
        from vcap.video.image import encode_image

        part = self.parts_dir / secrets.token_hex(8)
        times: list[float] = []
        warnings: list[str] = []
        with ExitStack() as unless_done:
            unless_done.callback(shutil.rmtree, part, ignore_errors=True)
            with output_errors(part):
                part.mkdir(parents=True)
            end_time, pictures = self.pictures(source, warnings.append)
            for time, pixels in pictures:
                times.append(time)
                data = encode_image(pixels, self.wish.format)
                with output_errors(part):
                    (part / f"{len(times):06d}.{self.wish.format}").write_bytes(data)
            lines = "".join(f"{time}\n" for time in (*times, end_time))
            with output_errors(part):
                (part / TIMES_FILE).write_bytes(lines.encode())
            unless_done.pop_all()
        return Extracted(part, len(times), tuple(warnings))

    def pictures(
        self, source: "Source", on_warning: "Warn"
    ) -> "tuple[float, Iterator[tuple[float, Pixels]]]":
        """When the last frame stops being shown, and the wanted frames with their times."""
        from vcap.video.decode import open_reader

        path, segment = source.path, source.segment
        options: dict[str, Any] = {"stream": self.wish.stream, "on_warning": on_warning}
        if self.sampler is None:
            from vcap.video.scenes import find_scenes

            scenes = find_scenes(path, segment=segment, **options)
            return scenes[-1].end if scenes else 0.0, self._middles(path, scenes)
        reader = open_reader(path, self.sampler, size=self.size, alone=self.alone, **options)
        chosen = reader.choose(segment)
        end_time = reader.timeline.end_time
        return min(end_time, segment.end) if segment else end_time, reader.read(chosen)

    def _middles(self, path: Path, scenes: "list[Segment]") -> "Iterator[tuple[float, Pixels]]":
        """The middle frame of each shot."""
        from vcap.video.parts import iter_parts
        from vcap.video.sample import Sampler

        middle, stream = Sampler("uniform", 1), self.wish.stream
        how: dict[str, Any] = {"size": self.size, "stream": stream, "alone": self.alone}
        for _, frames in iter_parts(path, middle, lambda *_: scenes, **how):
            yield float(frames.times[0]), frames.pixels[0]


class FramesOutput:
    """Folders of frames below one folder; a folder gets its name when all its frames are in it."""

    def __init__(self, folder: Path, force: bool = False) -> None:
        self.folder = folder
        self.force = force
        self.parts_dir = folder / f".vcap-{secrets.token_hex(8)}.part"
        self.ours = folder / ".vcap" / "folders"
        self.items: Sequence[Item] = ()

    def path(self, item: Item) -> Path:
        """Where the frames of an item are."""
        from vcap.engine.names import safe_name

        return self.folder / safe_name(item.key)

    def plan(self, items: Sequence[Item], done: IsDone) -> Units:
        """Items that are not done; what vcap did not make is left alone.

        Raises:
            OutputError: such a file or folder is in the way.
        """
        for leftover in self.folder.glob(".vcap-*.part"):
            shutil.rmtree(leftover, ignore_errors=True)
        units = one_by_one(items, done)
        ours = self.made()
        for path in [self.folder / SUMMARY, *(self.path(item) for [item] in units)]:
            if path.exists() and not self.force and path.name not in ours:
                raise OutputError(
                    f"{path} is there already and vcap did not make it",
                    hint="the same command with --force, or another folder after -o",
                )
        if SUMMARY not in ours:
            self._remember(SUMMARY)
        self.items = items
        return units

    def made(self) -> set[str]:
        """Names in the folder that are vcap's own."""
        return set(self.ours.read_text("utf-8").splitlines()) if self.ours.is_file() else set()

    def _remember(self, name: str) -> None:
        with self.ours.open("a", encoding="utf-8") as names:
            names.write(f"{name}\n")

    def write(self, item: Item, result: Extracted) -> list[Item]:
        """Give the folder its name, in the place of an older one."""
        from vcap.engine.files import output_errors, sync

        path = self.path(item)
        with output_errors(path):
            self._remember(path.name)  # before the folder appears: a kill may come between
            if path.exists():
                os.replace(path, self.parts_dir / f"{result.part.name}.old")
            os.replace(result.part, path)
            sync(self.folder)
        return [item]

    def flush(self) -> list[Item]:
        """Nothing waits."""
        return []

    def files(self, item: Item) -> tuple[str, ...]:
        """The folder of an item."""
        return (self.path(item).name,)

    def finish(self) -> None:
        """Write the table: the videos of this run, then earlier ones whose folders are there."""
        from vcap.engine.files import write_atomic

        text = table([*results(self.items, self.folder), *earlier(self.items, self.folder)])
        write_atomic(self.folder / SUMMARY, text.encode("utf-8", "surrogateescape"))


def not_made_here(sources: "Sequence[Source]", folder: Path) -> "list[Source]":
    """Leave out frames that an earlier run wrote into the folder, where it lies in the input."""
    home = Path(os.path.abspath(folder))
    made = {home / name for name in FramesOutput(folder).made()}
    return [source for source in sources if made.isdisjoint([source.path, *source.path.parents])]


def extract(
    sources: "Sequence[Source]",
    folder: Path,
    wish: Wish,
    *,
    reporter: "Reporter",
    workers: int | None = None,
    force: bool = False,
    checksum: bool = False,
    stop: "StopRequest | None" = None,
    **errors: Any,
) -> "Summary":
    """Write the frames of videos below a folder, and a table of how each video went.

    Args:
        sources: the videos.
        checksum: tell inputs by their content, not by size and time.
        errors: `on_error`, `max_errors` and `retry_failed` of `map_items`.

    Raises:
        UsageError: the wish makes no sense.
        OutputError: the folder cannot be written, or a folder there is not ours.
    """
    from vcap.engine.executor import Local
    from vcap.engine.files import ensure_folder
    from vcap.engine.fingerprint import digest
    from vcap.engine.inputs import to_items
    from vcap.engine.items import map_items

    output = FramesOutput(folder, force)
    work = Frames(wish, output.parts_dir, alone=len(sources) == 1)
    ensure_folder(folder)

    def warn(item: Item, result: Extracted) -> None:
        for warning in result.warnings:
            reporter.warn(f"{item.key}: {warning}")

    try:
        return map_items(
            to_items(sources, checksum=checksum),
            None,
            prepare=work,
            output=output,
            executor=Local(workers or os.cpu_count() or 1),
            fingerprint=digest(asdict(wish)),
            force=force,
            reporter=reporter,
            stop=stop,
            on_result=warn,
            title="extract",
            unit="videos",
            **errors,
        )
    finally:
        shutil.rmtree(output.parts_dir, ignore_errors=True)


@dataclass(frozen=True)
class Result:
    """How one video went.

    Attributes:
        path: the folder of its frames, where it went well.
        reason: why there are none.
    """

    key: str
    path: Path
    num_frames: int = 0
    reason: str = ""


def results(items: Sequence[Item], folder: Path) -> list[Result]:
    """How each video went by the journal, in input order; videos not tried yet are left out."""
    from vcap.engine.journal import Journal

    journal = Journal.read(folder)
    output = FramesOutput(folder)
    found = []
    for item in items:
        entry, path = journal.entry(item.key), output.path(item)
        if entry is not None and entry.status == "done":
            names = os.listdir(path) if path.is_dir() else []
            found.append(Result(item.key, path, len({*names} - {TIMES_FILE})))
        elif entry is not None:
            found.append(Result(item.key, path, 0, entry.reason or entry.status))
    return found


def earlier(items: Sequence[Item], folder: Path) -> list[Result]:
    """How other videos of earlier runs went, where a folder of theirs is still there."""
    from vcap.engine.journal import Journal

    now = {item.key for item in items}
    entries = Journal.read(folder).entries()
    others = [Item(entry.key, None) for entry in entries if entry.key not in now]
    return [result for result in results(others, folder) if result.path.is_dir()]


def table(rows: Sequence[Result]) -> str:
    """The results as CSV: id, success, frames, reason."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "success", "frames", "reason"])
    for row in rows:
        writer.writerow([row.key, str(not row.reason).lower(), row.num_frames, row.reason])
    return out.getvalue()
