"""Whatever happens to the bytes of a video, it gives frames or one clear error."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from vcap.errors import VideoError
from vcap.types import Frames
from vcap.video.decode import Size, read_frames
from vcap.video.probe import probe
from vcap.video.sample import parse_sampler

KINDS = {
    "mp4": ("libx264", "mp4"),
    "mkv": ("libx264", "matroska"),
    "webm": ("libvpx", "webm"),
    "avi": ("mpeg4", "avi"),
    "ts": ("mpeg2video", "mpegts"),
    "gif": ("gif", "gif"),
    "png": ("png", "image2pipe"),
    "jpg": ("mjpeg", "image2pipe"),
}
PIXEL_FORMATS = {"gif": "rgb8", "png": "rgb24", "jpg": "yuvj420p"}


def whole_file(kind):
    """A small valid file."""
    codec, container_format = KINDS[kind]
    out = io.BytesIO()
    with av.open(out, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = 32, 24
        stream.pix_fmt = PIXEL_FORMATS.get(kind, "yuv420p")
        rng = np.random.default_rng(0)
        for index in range(1 if kind in ("png", "jpg") else 16):
            pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def flip(data, rng):
    """Some bytes anywhere become others."""
    for place in rng.integers(0, len(data), rng.integers(1, 30)):
        data[place] = rng.integers(0, 256)


def flip_head(data, rng):
    """Some bytes of the first or last part, where headers and indexes lie."""
    for place in rng.integers(0, min(len(data), 800), rng.integers(1, 8)):
        data[place if rng.random() < 0.5 else -place - 1] = rng.integers(0, 256)


def zero(data, rng):
    """A stretch is overwritten with zeros."""
    start = int(rng.integers(0, len(data)))
    stop = min(len(data), start + int(rng.integers(1, len(data) // 2)))
    data[start:stop] = bytes(stop - start)


def cut(data, rng):
    """The end is missing."""
    del data[int(rng.integers(1, len(data))) :]


def lose(data, rng):
    """A stretch in the middle is missing."""
    start = int(rng.integers(0, len(data)))
    del data[start : start + int(rng.integers(1, 400))]


@pytest.fixture(scope="module")
def whole():
    """The undamaged files, by kind."""
    return {kind: whole_file(kind) for kind in KINDS}


@pytest.mark.parametrize("damage", [flip, flip_head, zero, cut, lose])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_gives_frames_or_a_video_error(tmp_path, whole, kind, damage):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        data = bytearray(whole[kind])
        damage(data, rng)
        path = tmp_path / f"{seed}.{kind}"
        path.write_bytes(data)
        for text in ["uniform 3", "fps 4", "all", "keyframes"]:
            frames = read_or_none(path, text)
            if frames is not None:
                assert len(frames.times) >= 1
                assert frames.pixels.shape[1:] == (8, 8, 3)
                assert np.all(np.diff(frames.times) >= 0)
                assert text != "uniform 3" or len(frames.times) == 3


def read_or_none(path, text) -> Frames | None:
    """The frames, or nothing where the file is refused; any other error is a failure."""
    try:
        probe(path)
        return read_frames(path, parse_sampler(text), size=Size(short_side=8, crop=True))
    except VideoError as error:
        assert path.name in str(error)
        return None


@pytest.mark.parametrize("kind", KINDS)
def test_the_undamaged_files_decode_without_a_warning(tmp_path, whole, kind):
    (tmp_path / f"a.{kind}").write_bytes(whole[kind])
    frames = read_frames(tmp_path / f"a.{kind}", parse_sampler("all"))
    assert frames.warnings == ()
    assert frames.pixels.shape == (1 if kind in ("png", "jpg") else 16, 24, 32, 3)
