"""Small videos of known content."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest


def pictures(number: int, width: int, height: int) -> list[np.ndarray]:
    """A noisy texture that moves, so that a wrong frame never looks like the right one."""
    rng = np.random.default_rng(1)
    texture = rng.integers(0, 256, (height, 3 * width, 3), dtype=np.uint8)
    frames = []
    for index in range(number):
        left = (index * 3) % (2 * width)
        frames.append(texture[:, left : left + width].copy())
        frames[-1][:6] = rng.integers(0, 256, (6, width, 3))
    return frames


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Write a video of moving noise and give its path."""

    def make(
        name: str = "a.mp4",
        number: int = 30,
        codec: str = "libx264",
        size: tuple[int, int] = (64, 48),
        times: Callable[[int], int] = lambda index: index,
        **options: Any,
    ) -> Path:
        aspect = options.pop("aspect", None)
        container_format = options.pop("container_format", None)
        with av.open(str(tmp_path / name), "w", format=container_format) as container:
            stream = container.add_stream(codec, rate=30)
            stream.width, stream.height = size
            stream.pix_fmt = options.pop("pix_fmt", "yuv420p")
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            stream.options = {key.replace("_", "-"): value for key, value in options.items()}
            for index, picture in enumerate(pictures(number, *size)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = times(index), Fraction(1, 30)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return tmp_path / name

    return make


class Decoded(NamedTuple):
    """What the plainest use of the decoder gives."""

    times: list[float]
    frames: list[np.ndarray]
    end_time: float


@pytest.fixture
def decode_all() -> Callable[[Path], Decoded]:
    """Every frame of a video, upright, with its time, and when the last one ends."""

    def decode(path: Path) -> Decoded:
        times, frames, end_time = [], [], 0.0
        with av.open(str(path)) as container:
            for frame in container.decode(container.streams.best("video")):
                times.append(float(frame.pts * frame.time_base))
                end_time = float((frame.pts + frame.duration) * frame.time_base)
                turns = round(frame.rotation / 90) % 4
                frames.append(np.rot90(frame.to_ndarray(format="rgb24"), turns))
        return Decoded(times, frames, end_time)

    return decode
