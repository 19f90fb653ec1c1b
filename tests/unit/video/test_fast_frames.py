"""Answering each time with the keyframe before it, and lists of times."""

import numpy as np
import pytest

from vcap.errors import UsageError, VideoError
from vcap.types import Segment
from vcap.video import decode as decoding
from vcap.video.decode import read_frames
from vcap.video.parts import iter_parts
from vcap.video.sample import Sampler, choose_frames, parse_sampler

TIMES = np.array([0.0, 0.1, 0.2, 0.5, 0.9])
KEYS = np.array([True, False, False, True, False])
KEYINT = {"x264_params": "keyint=24:min-keyint=24:bframes=3:scenecut=0"}


def chosen(text, segment=None, keys=KEYS):
    """Indices that a sampler chooses on the small time line."""
    return choose_frames(parse_sampler(text), TIMES, keys, 1.0, segment)


@pytest.mark.parametrize(
    "text",
    [
        *("times 1.5,3,7", "times 0", "times 0.1,0.1", "times -2,0.3333333333333333"),
        *("fps 5 keyframes-only", "uniform 12 keyframes-only", "times 1,2 keyframes-only"),
    ],
)
def test_the_samplers_are_written_as_they_are_read(text):
    assert str(parse_sampler(text)) == text
    assert parse_sampler(str(parse_sampler(text))) == parse_sampler(text)


@pytest.mark.parametrize(
    "text",
    [
        *("times", "times 3,1", "times a", "times 1,,2", "times nan", "times inf", "times 1 2"),
        *("all keyframes-only", "keyframes keyframes-only", "keyframes-only"),
        *("fps keyframes-only", "keyframes-only fps 5", "times 1," + ",".join(["2"] * 100_000)),
    ],
)
def test_what_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError):
        parse_sampler(text)


def test_times_belong_to_their_own_sampler():
    with pytest.raises(UsageError, match="'times' alone takes times"):
        Sampler("fps", 2, times=(1.0,))


def test_each_time_gets_the_last_frame_not_after_it():
    assert chosen("times 0.05,0.1,0.49,0.5,0.5,99") == [0, 1, 2, 3, 3, 4]


def test_a_time_before_the_first_frame_gets_the_first():
    assert chosen("times -5,0.6") == [0, 3]


def test_a_segment_answers_the_times_inside_it():
    assert chosen("times 0.05,0.3,0.6,0.95", Segment(0.2, 0.9)) == [2, 3]


def test_a_segment_without_any_of_the_times_is_refused():
    with pytest.raises(VideoError, match=r"none of the wanted times lies in 0\.2-0\.4 s"):
        chosen("times 0.05,0.6", Segment(0.2, 0.4))


def test_fast_frames_are_the_keyframes_before_the_times():
    assert chosen("times 0.05,0.49,0.5,0.95 keyframes-only") == [0, 0, 3, 3]
    assert chosen("uniform 4 keyframes-only") == [0, 0, 3, 3]


def test_before_the_first_keyframe_there_is_the_first_keyframe():
    keys = np.array([False, False, True, False, True])
    assert chosen("times 0,0.2,0.95 keyframes-only", keys=keys) == [2, 2, 4]


def test_without_keyframes_the_frames_themselves_are_taken():
    assert chosen("times 0.1,0.6 keyframes-only", keys=np.zeros(5, bool)) == [1, 3]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", KEYINT),
        ("open.mkv", {"x264_params": "open-gop=1:keyint=24:bframes=3:scenecut=0"}),
        ("v.webm", {"codec": "libvpx-vp9", "g": "24"}),
        ("h.mp4", {"codec": "libx265", "x265_params": "log-level=0:keyint=24"}),
        ("m.ts", {"codec": "mpeg2video", "bf": "2", "g": "12"}),
        ("every.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
    ],
)
def test_keyframes_have_the_pixels_of_a_full_decode(
    make_video, decode_all, monkeypatch, name, options
):
    path = make_video(name, number=100, **options)
    reference = decode_all(path)
    monkeypatch.setattr(decoding.Reader, "_whole", None)  # the fast way must do
    frames = read_frames(path, parse_sampler("uniform 9 keyframes-only"))
    keys = read_frames(path, parse_sampler("keyframes")).times
    assert len(frames.times) == 9
    assert set(frames.times) <= set(keys)
    for time, pixels in zip(frames.times.tolist(), frames.pixels, strict=True):
        np.testing.assert_array_equal(pixels, reference.frames[reference.times.index(time)])


def test_one_packet_is_decoded_for_each_keyframe(make_video, monkeypatch):
    path = make_video(number=120, **KEYINT)
    decoded = []
    walker = decoding.walk.__globals__["_Walker"]
    whole = walker.keyframe
    monkeypatch.setattr(
        walker, "keyframe", lambda self, pts: (decoded.append(pts), whole(self, pts))[1]
    )
    monkeypatch.setattr(walker, "frames", None)
    frames = read_frames(path, parse_sampler("uniform 30 keyframes-only"))
    assert len(frames.times) == 30
    assert len(decoded) == len(set(frames.times)) == 5


def test_a_keyframe_that_does_not_stand_alone_is_decoded_from_the_start(make_video, decode_all):
    options = {"x264_params": "intra-refresh=1:keyint=24:bframes=0"}
    path = make_video("refresh.mkv", number=60, **options)
    reference = decode_all(path)
    frames = read_frames(path, parse_sampler("uniform 5 keyframes-only"))
    assert len(frames.times) == 5
    for time, pixels in zip(frames.times.tolist(), frames.pixels, strict=True):
        np.testing.assert_array_equal(pixels, reference.frames[reference.times.index(time)])


def test_segments_read_together_share_a_keyframe(make_video):
    path = make_video(number=48, **KEYINT)
    cut = [Segment(0.0, 0.5), Segment(0.5, 1.0), Segment(1.0, 1.6)]
    parts = list(iter_parts(path, parse_sampler("uniform 2 keyframes-only"), lambda *_: cut))
    times = [part.times.tolist() for _, part in parts]
    assert times == [[0.0, 0.0], [0.0, 0.8], [0.8, 0.8]]


def test_a_list_of_times_has_exactly_their_frames(make_video, decode_all):
    path = make_video(number=90, **KEYINT)
    reference = decode_all(path)
    frames = read_frames(path, parse_sampler("times 0.01,0.5,0.51,2,2.9,50"))
    numbers = [0, 15, 15, 60, 87, 89]
    assert frames.times.tolist() == [reference.times[number] for number in numbers]
    for number, pixels in zip(numbers, frames.pixels, strict=True):
        np.testing.assert_array_equal(pixels, reference.frames[number])
