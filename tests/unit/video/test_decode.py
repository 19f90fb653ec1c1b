"""Decoding gives exactly the frames that a plain decode from start to end would give."""

from fractions import Fraction

import av
import numpy as np
import pytest

from vcap.errors import VideoError
from vcap.types import Segment
from vcap.video import decode as decoding
from vcap.video.decode import Size, iter_frames, read_frames
from vcap.video.picture import Painter
from vcap.video.sample import Sampler, parse_sampler

SAMPLERS = ["fps 5", "uniform 3", "uniform 7", "all", "keyframes"]


@pytest.fixture
def fast_only(monkeypatch):
    """Let the test fail where the video is decoded from start to end after all."""

    def refuse(*_):
        raise AssertionError("the fast way was given up")

    monkeypatch.setattr(decoding.Reader, "_whole", refuse)


@pytest.fixture
def slow_only(monkeypatch):
    """Forbid the fast way, as a file without usable times does."""
    monkeypatch.setattr(decoding, "read_timeline", lambda source: None)


def assert_same_frames(frames, reference):
    """Each frame has the pixels that the reference has at its time."""
    by_time = dict(zip(reference.times, reference.frames, strict=True))
    for time, pixels in zip(frames.times.tolist(), frames.pixels, strict=True):
        np.testing.assert_array_equal(pixels, by_time[time])


STREAMS = {
    "closed.mp4": {"x264_params": "keyint=24:bframes=3"},
    "open.mkv": {"x264_params": "open-gop=1:keyint=24:bframes=3:b-pyramid=normal"},
    "open.ts": {"x264_params": "open-gop=1:keyint=24:bframes=3"},
    "plain.avi": {"x264_params": "keyint=24:bframes=0"},
    "hevc.mp4": {"codec": "libx265", "x265_params": "log-level=0:keyint=24"},
    "layers.mp4": {"codec": "libx265", "x265_params": "log-level=0:temporal-layers=2:keyint=24"},
    "hidden.webm": {"codec": "libvpx", "auto_alt_ref": "1", "lag_in_frames": "9", "g": "24"},
    "b.ts": {"codec": "mpeg2video", "bf": "2", "g": "24"},
}


@pytest.mark.parametrize("name", STREAMS)
def test_skipping_and_seeking_change_no_pixel(make_video, decode_all, fast_only, name):
    path = make_video(name, number=150, **STREAMS[name])
    reference = decode_all(path)
    for text in SAMPLERS:
        frames = read_frames(path, parse_sampler(text))
        assert_same_frames(frames, reference)
        assert frames.warnings == ()


def test_a_stream_without_true_keyframes_is_exact_too(make_video, decode_all):
    path = make_video("refresh.mkv", number=150, x264_params="intra-refresh=1:keyint=24:bframes=0")
    reference = decode_all(path)
    for text in ["uniform 2", "uniform 3", "uniform 5", "fps 1"]:
        assert_same_frames(read_frames(path, parse_sampler(text)), reference)


@pytest.mark.parametrize("text", SAMPLERS)
def test_the_slow_way_chooses_the_same_frames(make_video, monkeypatch, text):
    path = make_video(number=60, times=lambda index: index * (index + 1) // 2)
    fast = read_frames(path, parse_sampler(text))
    monkeypatch.setattr(decoding, "read_timeline", lambda source: None)
    slow = read_frames(path, parse_sampler(text))
    np.testing.assert_array_equal(fast.times, slow.times)
    np.testing.assert_array_equal(fast.pixels, slow.pixels)


def test_when_the_fast_way_breaks_no_frame_comes_twice(make_video, monkeypatch, decode_all):
    path = make_video(number=40)
    whole_walk = decoding.walk

    def breaks(*arguments):
        for count, frame in enumerate(whole_walk(*arguments)):
            if count == 4:
                raise decoding.PlanFailed
            yield frame

    monkeypatch.setattr(decoding, "walk", breaks)
    for text in ["all", "fps 10", "uniform 60"]:
        frames = read_frames(path, parse_sampler(text))
        assert np.all(np.diff(frames.times) >= 0)
        assert_same_frames(frames, decode_all(path))
    assert len(frames.times) == 60


def test_a_stream_without_time_stamps_is_counted_at_its_rate(make_video):
    path = make_video("raw.h264", number=50, container_format="h264", x264_params="bframes=2")
    frames = read_frames(path, Sampler("all"))
    assert len(frames.times) == 50
    assert np.all(np.diff(frames.times) > 0)
    assert len(read_frames(path, Sampler("uniform", 5)).times) == 5


def test_times_that_go_backwards_are_counted_on_with_a_warning(make_video, tmp_path):
    first = make_video("1.ts", number=20, x264_params="bframes=0").read_bytes()
    (tmp_path / "twice.ts").write_bytes(first + first)
    frames = read_frames(tmp_path / "twice.ts", Sampler("all"))
    assert len(frames.times) >= 39
    assert np.all(np.diff(frames.times) >= 0)


def test_few_frames_of_a_long_video_are_reached_without_decoding_the_rest(
    make_video, decode_all, fast_only, monkeypatch
):
    path = make_video(number=600, size=(32, 32), x264_params="keyint=60:bframes=2:scenecut=0")
    reference = decode_all(path)
    jumps = []
    jump = decoding.walk.__globals__["_Walker"]._jump
    monkeypatch.setattr(
        decoding.walk.__globals__["_Walker"],
        "_jump",
        lambda walker, ahead: (jumps.append(ahead), jump(walker, ahead)),
    )
    frames = read_frames(path, Sampler("uniform", 4))
    assert_same_frames(frames, reference)
    assert sum(jumps) > 300


def test_repeated_frames_are_converted_once(make_video, monkeypatch):
    path = make_video(number=3)
    painted = []
    paint = Painter.paint
    monkeypatch.setattr(
        Painter, "paint", lambda self, frame: (painted.append(frame), paint(self, frame))[1]
    )
    assert len(read_frames(path, Sampler("uniform", 30)).times) == 30
    assert len(painted) == 3


def test_frames_come_one_at_a_time(make_video):
    stream = iter_frames(make_video(number=30), Sampler("all"))
    time, pixels = next(stream)
    assert (time, pixels.shape, pixels.dtype) == (0.0, (48, 64, 3), np.uint8)
    stream.close()


def test_each_frame_is_an_array_of_its_own(make_video):
    (_, first), (_, second), *_ = iter_frames(make_video(number=3), Sampler("all"))
    before = second.copy()
    first[:] = 0
    np.testing.assert_array_equal(second, before)


def test_a_segment_gives_the_frames_inside_it(make_video):
    frames = read_frames(make_video(number=60), Sampler("all"), segment=Segment(0.5, 0.7))
    np.testing.assert_allclose(frames.times, np.arange(15, 21) / 30)


def test_a_segment_outside_the_video_names_the_file(make_video):
    path = make_video(number=30)
    with pytest.raises(VideoError, match=r"a\.mp4: the segment 5-6 s lies outside"):
        read_frames(path, Sampler("all"), segment=Segment(5, 6))


def test_pixels_that_are_not_square_are_shown_square(make_video):
    path = make_video(aspect=Fraction(2, 1))
    assert read_frames(path, Sampler("uniform", 1)).pixels.shape == (1, 48, 128, 3)


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        (Size(short_side=24, crop=True), (24, 24)),
        (Size(short_side=24), (24, 32)),
        (Size(20, 10), (10, 20)),
        (Size(short_side=96, crop=True), (96, 96)),
        (None, (48, 64)),
    ],
)
def test_frames_come_in_the_wanted_size(make_video, size, shape):
    frames = read_frames(make_video(number=3), Sampler("all"), size=size)
    assert frames.pixels.shape == (3, *shape, 3)


def test_odd_sides_are_kept(make_video):
    path = make_video("odd.mkv", codec="ffv1", size=(41, 23), number=2)
    assert read_frames(path, Sampler("all")).pixels.shape == (2, 23, 41, 3)


@pytest.mark.parametrize(("full_range", "white"), [(True, 235), (False, 255)])
@pytest.mark.parametrize("size", [None, Size(short_side=8, crop=True)])
def test_the_full_range_flag_decides_what_is_white(tmp_path, full_range, white, size):
    path = tmp_path / "white.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        stream.codec_context.color_range = 2 if full_range else 1
        planes = np.full((24, 16), 128, dtype=np.uint8)
        planes[:16] = 235
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.color_range = 2 if full_range else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    pixels = read_frames(path, Sampler("all"), size=size).pixels
    assert pixels.min() >= white - 2  # the scaler rounds
    assert pixels.max() <= white


def test_ten_bits_become_eight(make_video):
    path = make_video("ten.mkv", codec="ffv1", pix_fmt="yuv420p10le", number=2)
    assert read_frames(path, Sampler("all")).pixels.dtype == np.uint8


def test_frames_that_would_not_fit_into_memory_are_refused(make_video, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_BYTES", 64 * 48 * 3 * 10)
    path = make_video(number=30)
    assert len(read_frames(path, Sampler("uniform", 10)).times) == 10
    with pytest.raises(VideoError, match="choose fewer frames or a smaller size"):
        read_frames(path, Sampler("all"))


def test_a_missing_tail_is_told(make_video):
    path = make_video("cut.avi", number=60, codec="mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = read_frames(path, Sampler("all"))
    assert 10 < len(frames.times) < 60
    assert frames.warnings[0].startswith("the header announces 60 frames, the file holds ")
