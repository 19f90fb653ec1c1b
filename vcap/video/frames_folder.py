"""A folder of numbered pictures with their times, as `vcap extract` writes it, read as one video.

Shapes: F pictures.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import av
import numpy as np

from vcap.errors import VideoError
from vcap.types import TIMES_FILE
from vcap.video.source import open_video
from vcap.video.timeline import Timeline


def is_frames_folder(path: Path) -> bool:
    """Whether the folder says when its pictures are shown."""
    return os.path.isfile(path / TIMES_FILE)  # False too where the folder cannot be looked into


def read_times(folder: Path) -> Timeline:
    """The time line of a folder: every picture can be decoded alone.

    Raises:
        VideoError: the times are not numbers in order, or too few for the pictures.
    """
    path = folder / TIMES_FILE
    try:
        numbers = [float(line) for line in path.read_text("utf-8").splitlines()]
        last = max(_pictures(folder), default=0)
    except OSError as error:
        raise VideoError(f"{folder}: cannot be read ({error})") from error
    except ValueError as error:
        raise VideoError(f"{path}: want a time in seconds a line ({error})") from error
    if not all(map(math.isfinite, numbers)) or numbers != sorted(numbers):
        raise VideoError(f"{path}: its times are not in order")
    count = len(numbers) - 1
    if count < max(1, last):
        raise VideoError(
            f"{path}: {max(0, count)} times and an end for {last} pictures; "
            "want a time for each and the end time as the last line"
        )
    times = np.array(numbers[:-1], dtype=np.float64)  # [F]
    return Timeline(times, np.ones(count, dtype=np.bool_), numbers[-1], num_packets=count)


def first_picture(folder: Path) -> Path:
    """The first picture that decodes.

    Raises:
        VideoError: none does.
    """
    for _, path in sorted(_pictures(folder).items()):
        if _decoded(path) is not None:
            return path
    raise VideoError(f"{folder}: none of its pictures can be read")


@dataclass
class Pictures:
    """The pictures of a folder, each decoded when it is asked for.

    Attributes:
        num_pictures: how many there should be.
        bad: numbers, from 0, of those that turned out to be missing or damaged.
    """

    folder: Path
    num_pictures: int
    bad: set[int] = field(default_factory=set)

    def read(self, chosen: Sequence[int], repeats: bool) -> Iterator[tuple[int, av.VideoFrame]]:
        """Number and picture of each chosen one.

        A bad one is left out; with `repeats`, where as many are wanted as are chosen, the good
        one before it stands for it, or else the next.

        Raises:
            VideoError: none can be read.
        """
        paths = _pictures(self.folder)
        last: tuple[int, av.VideoFrame] | None = None
        for wanted in chosen:
            for number in self._order(wanted) if repeats else [wanted]:
                if number in self.bad:
                    continue
                if last is None or last[0] != number:
                    path = paths.get(number + 1)
                    frame = None if path is None else _decoded(path)
                    if frame is None:
                        self.bad.add(number)
                        continue
                    last = (number, frame)
                yield last
                break
        if last is None:
            raise VideoError(f"{self.folder}: none of its pictures can be read")

    def warning(self) -> str | None:
        """One sentence on the bad ones that were met."""
        if not self.bad:
            return None
        first = f"number {min(self.bad) + 1:06d}"
        count = f"{len(self.bad)} of {self.num_pictures}"
        return f"pictures missing or damaged: {count}, the first is {first}"

    def _order(self, wanted: int) -> Iterator[int]:
        """The wanted number, those before it backwards, then those after it."""
        return chain(range(wanted, -1, -1), range(wanted + 1, self.num_pictures))


def _pictures(folder: Path) -> dict[int, Path]:
    """Paths of the numbered pictures, by their number from 1."""
    return {int(path.stem): path for path in folder.iterdir() if _is_numbered(path)}


def _is_numbered(path: Path) -> bool:
    return path.stem.isascii() and path.stem.isdecimal() and not path.name.startswith(".")


def _decoded(path: Path) -> av.VideoFrame | None:
    """The picture of an image file; None where it is damaged."""
    try:
        with open_video(path) as source:
            return next(source.container.decode(source.stream), None)
    except (VideoError, av.FFmpegError):
        return None
