"""How much faster frames are read than in the ways that others read them.

    python benchmarks/decode.py [--rounds 3] [--quick] [--json FILE] [--work FOLDER]

Goals, as ratios of processor time in one run: decode and resize of every frame at least 3 times
faster than through PIL images; 5 of 30 frames a second at least 2 times faster than converting all
frames and choosing then; 12 exact frames of ten minutes at least 25 times faster than going
through the file, and at least 1.3 times faster than torchcodec, where that is installed.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import videos
from benchmarks.harness import Comparison, Timing, compare, conclude, faster, make_parser, missing
from vcap.video.decode import iter_frames, read_frames
from vcap.video.picture import Painter, Size
from vcap.video.sample import Sampler

SIDE = 224
SQUARE = Size(SIDE, SIDE)
CROPPED = Size(short_side=SIDE, crop=True)
NUM_FRAMES = 12
FEW_PER_SECOND = 5
TORCHCODEC = "torchcodec, batch by index"

Way = Callable[[], object]
Pixels = npt.NDArray[np.uint8]


def every_frame(path: Path, size: Size) -> Way:
    """Ours: each frame decoded and resized."""

    def once() -> int:
        return sum(1 for _ in iter_frames(path, Sampler("all"), size=size))

    return once


def every_frame_pil(path: Path, size: Size) -> Way:
    """Each frame as a PIL image that PIL resizes, as image pipelines do."""
    from PIL import Image

    def once() -> int:
        count = 0
        for frame in _decoded(path):
            width, height = size.scaled(frame.width, frame.height)
            image = frame.to_image().resize((width, height), Image.Resampling.BICUBIC)
            if size.crop:
                left, top = (width - SIDE) // 2, (height - SIDE) // 2
                image = image.crop((left, top, left + SIDE, top + SIDE))
            count += np.asarray(image).shape == (SIDE, SIDE, 3)
        return count

    return once


def some_per_second(path: Path) -> Way:
    """Ours: frames at a lower rate."""

    def once() -> int:
        sampler = Sampler("fps", FEW_PER_SECOND)
        return sum(1 for _ in iter_frames(path, sampler, size=SQUARE))

    return once


def convert_all_then_choose(path: Path) -> Way:
    """Convert every frame, with one scaler for all, and keep one in six."""

    def once() -> int:
        converted = _converted(_decoded(path))
        step = videos.RATE // FEW_PER_SECOND
        return sum(1 for number, _ in enumerate(converted) if number % step == 0)

    return once


def chosen(path: Path) -> Pixels:
    """Ours: frames spread evenly over the file."""
    return read_frames(path, Sampler("uniform", NUM_FRAMES), size=SQUARE).pixels


def chosen_sequentially(path: Path, wanted: list[int]) -> Pixels:
    """The same frames, the file decoded from its start up to the last of them."""
    numbers = frozenset(wanted)
    painter = Painter(SQUARE, None)
    frames = (frame for number, frame in enumerate(_decoded(path)) if number in numbers)
    return np.stack([painter.paint(frame) for frame in frames])


def chosen_by_torchcodec(path: Path, wanted: list[int]) -> int:
    """The same frames from torchcodec's batch call, resized by torch."""
    import torch
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, seek_mode="approximate")
    batch = decoder.get_frames_at(wanted).data  # [T, 3, H, W]
    resized = torch.nn.functional.interpolate(
        batch, size=(SIDE, SIDE), mode="bicubic", antialias=True
    )
    return len(resized)


def numbers_of(path: Path) -> list[int]:
    """Numbers of the frames that lie evenly spread, from their times."""
    times = read_frames(path, Sampler("uniform", NUM_FRAMES), size=SQUARE).times
    return [round(time * videos.RATE) for time in times.tolist()]


def why_no_torchcodec() -> str:
    """Empty where torchcodec works; else why not, in a few words."""
    try:
        from torchcodec.decoders import VideoDecoder
    except ImportError:
        return "not installed"
    except (OSError, RuntimeError):
        return "installed without the ffmpeg libraries it needs"
    return "" if VideoDecoder else "not installed"


def _decoded(path: Path) -> Iterator[av.VideoFrame]:
    """All frames in one thread, which is the cheapest."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        yield from container.decode(stream)


def _converted(frames: Iterator[av.VideoFrame]) -> Iterator[Pixels]:
    scaler = VideoReformatter()
    for frame in frames:
        yield scaler.reformat(
            frame,
            width=SIDE,
            height=SIDE,
            format="rgb24",
            interpolation=Interpolation.BICUBIC,
            threads=1,
        ).to_ndarray()


def compare_every_frame(path: Path, name: str, size: Size, rounds: int) -> "Results":
    """Ours against PIL for one video."""
    shape = "224, centre crop" if size.crop else "224x224"
    what = f"every frame of {name} to {shape}"
    ways = {
        f"PIL images, {name}, {shape}": every_frame_pil(path, size),
        f"vcap, {name}, {shape}": every_frame(path, size),
    }
    timings = compare(ways, rounds=rounds)
    if len({timing.count for timing in timings}) > 1:
        raise RuntimeError(f"{path}: not the same number of frames: {timings}")
    return timings, [faster(what, *timings, of="CPU", goal=3)]


def compare_some_per_second(path: Path, rounds: int) -> "Results":
    """Ours against converting all."""
    ways = {
        "convert all, then choose": convert_all_then_choose(path),
        f"vcap, fps {FEW_PER_SECOND}": some_per_second(path),
    }
    timings = compare(ways, rounds=rounds)
    if len({timing.count for timing in timings}) > 1:
        raise RuntimeError(f"{path}: not the same number of frames: {timings}")
    what = f"{FEW_PER_SECOND} of {videos.RATE} frames a second, 360p"
    return timings, [faster(what, *timings, of="CPU", goal=2)]


def compare_chosen(path: Path, rounds: int) -> "Results":
    """Ours against going through the file, and against torchcodec."""
    what = f"{NUM_FRAMES} exact frames of the long file, 360p"
    wanted = numbers_of(path)
    kept: dict[str, Pixels] = {}

    def through() -> int:
        kept["through"] = chosen_sequentially(path, wanted)
        return len(wanted)

    def ours() -> int:
        kept["ours"] = chosen(path)
        return len(wanted)

    ways: dict[str, Way] = {"from start to end": through, f"vcap, uniform {NUM_FRAMES}": ours}
    absent = why_no_torchcodec()
    if not absent:
        ways[TORCHCODEC] = lambda: chosen_by_torchcodec(path, wanted)
    timings = compare(ways, rounds=rounds)
    sequential, fast = timings[:2]
    equal = (kept["through"] == kept["ours"]).all(axis=(1, 2, 3)).mean()
    rows = [
        faster(what, sequential, fast, of="CPU", goal=25),
        Comparison("the same pixels", sequential.name, fast.name, "share", float(equal), 1),
    ]
    if absent:
        rows.append(missing(what, TORCHCODEC, fast.name, of="CPU", goal=1.3, why=absent))
    else:
        rows.append(faster(what, timings[2], fast, of="CPU", goal=1.3))
    return timings, rows


Results = tuple[list[Timing], list[Comparison]]


def main() -> None:
    """Print the ratios and what they come from; write them as JSON where asked."""
    arguments = make_parser(__doc__).parse_args()
    scale = videos.QUICK if arguments.quick else videos.FULL
    rounds = 1 if arguments.quick else arguments.rounds
    media, work = videos.media_folder(), arguments.work
    if not why_no_torchcodec():
        import torch

        torch.set_num_threads(1)  # so that processor time is what one thread needs
    paths = {name: videos.looped(media, work, name, scale) for name in ("240p", "360p", "720p")}
    parts = [compare_every_frame(path, name, SQUARE, rounds) for name, path in paths.items()]
    parts.append(compare_every_frame(paths["360p"], "360p", CROPPED, rounds))
    parts.append(compare_some_per_second(paths["360p"], rounds))
    parts.append(compare_chosen(videos.repeated(media, work, "360p", scale), rounds))
    timings = [timing for part, _ in parts for timing in part]
    conclude(timings, [row for _, rows in parts for row in rows], arguments.json)


if __name__ == "__main__":
    main()
