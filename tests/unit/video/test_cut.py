"""Parts of videos as files of their own: their times, pictures and sound."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.small_videos import make_video
from vcap.errors import VideoError
from vcap.types import Segment
from vcap.video.cut import cut_clip
from vcap.video.decode import read_frames
from vcap.video.probe import probe
from vcap.video.sample import Sampler

ALL = Sampler("all")


def with_sound(path: Path, seconds: int = 6, rate: int = 16000) -> Path:
    """Pictures that grow brighter, and a tone that is heard from the third second on."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=rate)
        for number in range(10 * seconds):
            pixels = np.full((48, 64, 3), 4 * number, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        tone = np.sin(np.arange(rate * seconds, dtype=np.float32) * 0.3)[None]
        tone[:, : 3 * rate] = 0
        for start in range(0, tone.shape[1], 1024):
            part = np.ascontiguousarray(tone[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(audio.encode(frame))
        for stream in (video, audio):
            container.mux(stream.encode())
    return path


def loudness(path: Path) -> list[float]:
    """Mean strength of the sound in each half second."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    half = frames[0].sample_rate // 2
    return [float(np.abs(samples[at : at + half]).mean()) for at in range(0, len(samples), half)]


def test_a_part_has_the_pictures_and_times_of_the_original(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 3, num_frames=24, rate=8)
    count = cut_clip(video, Segment(1.0, 2.0), tmp_path / "part.mp4")
    part = read_frames(tmp_path / "part.mp4", ALL)
    whole = read_frames(video, ALL, segment=Segment(1.0, 2.0))
    assert count == len(part.times) == len(whole.times) == 8
    assert part.times.tolist() == pytest.approx((whole.times - 1.0).tolist(), abs=1e-3)
    assert np.abs(part.pixels.astype(int) - whole.pixels).mean() < 4


def test_pictures_of_uneven_times_keep_them(tmp_path: Path) -> None:
    path = tmp_path / "uneven.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for pts in (0, 100, 150, 400, 1000, 1900):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), pts // 8, np.uint8))
            frame.pts, frame.time_base = pts, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    cut_clip(path, Segment(0.1, 1.5), tmp_path / "part.mp4")
    times = read_frames(tmp_path / "part.mp4", ALL).times
    assert times.tolist() == pytest.approx([0, 0.05, 0.3, 0.9], abs=2e-3)


def test_the_sound_of_the_part_comes_along_at_its_place(tmp_path: Path) -> None:
    video = with_sound(tmp_path / "a.mp4")
    cut_clip(video, Segment(2.0, 5.0), tmp_path / "part.mp4")
    assert probe(tmp_path / "part.mp4").has_audio
    strength = loudness(tmp_path / "part.mp4")
    assert len(strength) in (6, 7)
    assert max(strength[:2]) < 0.05 and min(strength[3:5]) > 0.3


def test_odd_sides_lose_a_line_and_odd_is_no_reason_to_fail(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (33, 1), "red").save(tmp_path / "a.png")
    cut_clip(tmp_path / "a.png", Segment(0.0, 1.0), tmp_path / "part.mp4")
    info = probe(tmp_path / "part.mp4")
    assert (info.width, info.height) == (32, 2)


def test_the_same_part_gives_the_same_bytes(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 5)
    for name in ("one.mp4", "two.mp4"):
        cut_clip(video, Segment(0.5, 2.0), tmp_path / name)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_a_part_outside_of_the_video_is_refused(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 6)
    with pytest.raises(VideoError, match=r"a\.mp4"):
        cut_clip(video, Segment(50.0, 60.0), tmp_path / "part.mp4")
    with pytest.raises(VideoError, match="gone"):
        cut_clip(tmp_path / "gone.mp4", Segment(0.0, 1.0), tmp_path / "part.mp4")
