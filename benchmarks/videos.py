"""The videos that benchmarks read: made once from real footage, or rendered.

    python benchmarks/videos.py [--work FOLDER] [--quick]

Real clips are joined, scaled, given light noise and looped to a minute: 30 frames a second, x264
medium crf 23, a keyframe at least every 250 frames, yuv420p, no sound. The long file is the
minute ten times over, copied packet by packet. The footage lies under VCAP_MEDIA.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.harness import make_parser

REPOSITORY = Path(__file__).resolve().parents[1]
FOOTAGE = (
    "v_GGSY1Qvo990.mp4",
    "klteYv1Uv9A_27_33.avi",
    "UXs3eq68ZjE_250_255.avi",
    "flipping_a_pancake.mkv",
    "women_long_jump.mp4",
)
RATE = 30
NUM_JOINED = 10
SIZES = {"240p": (320, 240), "360p": (640, 360), "720p": (1280, 720)}
X264 = {"preset": "medium", "crf": "23", "g": "250"}
NOISE = 2.0  # standard deviation of the brightness, of 255
NUM_NOISES = 16


@dataclass(frozen=True)
class Scale:
    """How long the videos are, and how many there are.

    Attributes:
        seconds: of the looped video, a third of that at 720p; the long one is ten times that.
        clip_seconds: of each short clip.
        num_clips: short clips, one half small, the other larger.
    """

    name: str
    seconds: int
    clip_seconds: int
    num_clips: int


FULL = Scale("full", 60, 15, 20)
QUICK = Scale("quick", 1, 1, 4)


def media_folder() -> Path:
    """Where the real videos lie."""
    return Path(os.environ.get("VCAP_MEDIA", REPOSITORY.parent / "shared" / "data" / "videos"))


def looped(media: Path, work: Path, size: str, scale: Scale = FULL) -> Path:
    """The joined footage in a size named in `SIZES`, as long as the scale says."""
    path = work / scale.name / f"{size}.mp4"
    if not path.exists():
        count = scale.seconds * RATE // (3 if size == "720p" else 1)
        _write(path, _footage(media, SIZES[size]), count)
    return path


def repeated(media: Path, work: Path, size: str, scale: Scale = FULL) -> Path:
    """The looped video ten times over, without encoding it again."""
    path = work / scale.name / f"{size}-long.mp4"
    if not path.exists():
        _join(looped(media, work, size, scale), path)
    return path


def clips(media: Path, work: Path, scale: Scale = FULL) -> list[Path]:
    """Short clips that begin at different places of the footage, half 240p and half 360p."""
    paths = []
    for number in range(scale.num_clips):
        size = "240p" if number < scale.num_clips // 2 else "360p"
        paths.append(work / scale.name / "clips" / f"{number:02}-{size}.mp4")
    for size in ("240p", "360p"):
        todo = [path for path in paths if path.stem.endswith(size)]
        if not all(path.exists() for path in todo):
            frames = _footage(media, SIZES[size])
            for path in todo:  # each goes on where the one before ended
                _write(path, frames, scale.clip_seconds * RATE)
    return paths


def rendered(work: Path, count: int) -> list[Path]:
    """Small clips of drawn shapes, as many as wanted."""
    from vcap.data.shapes import FRAMES_PER_SECOND, describe, draw
    from vcap.video.write import write_mp4

    folder = work / "shapes"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            part = path.with_suffix(".part")
            frames = draw(describe(0, "clips", "train", number))
            write_mp4(part, frames, frames_per_second=FRAMES_PER_SECOND)
            part.replace(path)
    return paths


def _footage(media: Path, size: tuple[int, int]) -> Iterator[av.VideoFrame]:
    """The clips one after the other, scaled, with light noise, for ever."""
    width, height = size
    draws = np.random.default_rng(0)
    noises = np.rint(draws.normal(0, NOISE, (NUM_NOISES, height, width))).astype(np.int16)
    number = 0
    while True:
        for name in FOOTAGE:
            scaler = VideoReformatter()
            with av.open(str(media / name)) as container:
                for frame in container.decode(container.streams.best("video")):
                    scaled = scaler.reformat(frame, width=width, height=height, format="yuv420p")
                    planes = scaled.to_ndarray()  # [H * 3 / 2, W], brightness first
                    noise = noises[(7 * number) % NUM_NOISES]
                    planes[:height] = np.clip(planes[:height] + noise, 0, 255)
                    yield av.VideoFrame.from_ndarray(planes, format="yuv420p")
                    number += 1


def _write(path: Path, frames: Iterator[av.VideoFrame], count: int) -> None:
    """The next `count` frames as a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with av.open(str(part), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options=X264)
        for number, frame in enumerate(islice(frames, count)):
            if not number:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part.replace(path)


def _join(source: Path, target: Path) -> None:
    """Copy the packets of a file several times, each time later by its length."""
    part = target.with_suffix(".part")
    with av.open(str(part), "w", format="mp4") as out:
        copied, shift = None, 0
        for _ in range(NUM_JOINED):
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                copied = copied or out.add_stream_from_template(stream)
                length = round(stream.frames / RATE / stream.time_base)
                for packet in container.demux(stream):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = copied
                    out.mux(packet)
            shift += length
    part.replace(target)


def main() -> None:
    """Make all that the benchmarks need."""
    arguments = make_parser(__doc__).parse_args()
    scale = QUICK if arguments.quick else FULL
    media = media_folder()
    for size in SIZES:
        print(looped(media, arguments.work, size, scale))
    print(repeated(media, arguments.work, "360p", scale))
    print(*clips(media, arguments.work, scale), sep="\n")


if __name__ == "__main__":
    main()
