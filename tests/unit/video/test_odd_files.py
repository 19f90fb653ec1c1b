"""Files whose clocks, pictures or sizes are not the plainest: what is shown, and when."""

from fractions import Fraction

import av
import numpy as np
import pytest

from vcap.types import Segment
from vcap.video import decode as decoding
from vcap.video import source as opening
from vcap.video.decode import Size, read_frames
from vcap.video.sample import Sampler, parse_sampler
from vcap.video.source import open_video

KEYINT = "keyint=12:min-keyint=12:bframes=2:scenecut=0"
SAMPLERS = ["all", "fps 7", "uniform 5", "times 0.3,1.1,2", "keyframes"]


def assert_exact(path, reference, text):
    """The frames of a sampler are among those of the plain decode, at the same times."""
    frames = read_frames(path, parse_sampler(text))
    for time, pixels in zip(frames.times.tolist(), frames.pixels, strict=True):
        np.testing.assert_array_equal(pixels, reference.frames[reference.times.index(time)])
    return frames


def remuxed(path, out, first_packet_seconds, **options):
    """The same packets in another file, on a clock that starts where it is told."""
    options |= {"avoid_negative_ts": "disabled"}
    with av.open(str(path)) as source, av.open(str(out), "w", container_options=options) as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                shift = round(first_packet_seconds / packet.time_base)
                packet.pts += shift
                packet.dts += shift
                packet.stream = stream
                sink.mux(packet)
    return out


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize("text", SAMPLERS)
def test_a_clock_that_starts_late_is_left_as_it_is(make_video, decode_all, tmp_path, suffix, text):
    plain = make_video("a.mp4", number=45, x264_params=KEYINT)
    path = remuxed(plain, tmp_path / f"late.{suffix}", 0.7)
    reference = decode_all(path)
    assert reference.times[0] > 0.6
    frames = assert_exact(path, reference, text)
    if text == "all":
        assert frames.times.tolist() == reference.times
    if text == "fps 7":
        assert frames.times[0] == reference.times[0]


@pytest.mark.parametrize("text", SAMPLERS)
def test_pictures_that_an_edit_list_cuts_off_are_not_shown(make_video, decode_all, tmp_path, text):
    plain = make_video("a.mp4", number=45, x264_params=KEYINT)
    path = remuxed(plain, tmp_path / "cut.mp4", -0.5)
    reference = decode_all(path)
    assert len(reference.times) < 45
    frames = assert_exact(path, reference, text)
    assert frames.times[0] >= -1e-9
    if text == "all":
        assert frames.times.tolist() == reference.times


def test_a_segment_is_counted_by_the_clock_of_the_file(make_video, tmp_path):
    plain = make_video("a.mp4", number=45, x264_params=KEYINT)
    path = remuxed(plain, tmp_path / "late.mkv", 2.0)
    first = read_frames(path, Sampler("all")).times[0]
    segment = Segment(first + 0.5, first + 0.6)
    frames = read_frames(path, Sampler("all"), segment=segment)
    np.testing.assert_allclose(frames.times, first + np.array([15, 16, 17]) / 30, atol=2e-3)


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_joined_recordings_whose_times_start_again_are_shown_one_after_the_other(
    make_video, tmp_path, suffix
):
    plain = make_video("a.ts", number=20, x264_params="bframes=0:keyint=5")
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(plain.read_bytes() * 2)
    warnings = []
    frames = read_frames(joined, Sampler("all"), on_warning=warnings.append)
    assert len(frames.times) >= 39
    assert (np.diff(frames.times) > 0).all()
    few = read_frames(joined, Sampler("uniform", 4), size=Size(16, 16))
    assert len(few.times) == 4
    assert few.times[-1] > frames.times[20]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tff.mp4", {"x264_params": f"{KEYINT}:tff=1"}),
        ("bff.mkv", {"x264_params": f"{KEYINT}:bff=1"}),
        ("m.ts", {"codec": "mpeg2video", "flags": "+ildct+ilme", "g": "12"}),
    ],
)
def test_interlaced_pictures_come_as_they_are_stored(
    make_video, decode_all, monkeypatch, name, options
):
    path = make_video(name, number=40, size=(64, 64), **options)
    with av.open(str(path)) as container:
        assert any(frame.interlaced_frame for frame in container.decode(video=0))
    reference = decode_all(path)
    monkeypatch.setattr(decoding.Reader, "_whole", None)  # the fast way must do
    for text in SAMPLERS:
        assert_exact(path, reference, text)
    assert read_frames(path, Sampler("all")).times.tolist() == reference.times


@pytest.mark.parametrize(
    ("size", "alone", "threads"),
    [
        ((1280, 720), True, True),
        ((720, 1280), True, True),
        ((1280, 718), True, False),
        ((1280, 720), False, False),
    ],
)
def test_only_a_large_video_read_alone_is_decoded_in_threads(make_video, size, alone, threads):
    path = make_video(number=2, size=size, x264_params="bframes=0", preset="ultrafast")
    with open_video(path, alone=alone) as source:
        decoder = source.stream.codec_context
        next(decoder.decode(packet) for packet in source.packets())
        assert (decoder.thread_count != 1) == threads


@pytest.mark.parametrize("text", [*SAMPLERS, "uniform 5 keyframes-only"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"x264_params": KEYINT}),
        ("open.mkv", {"x264_params": "open-gop=1:keyint=12:bframes=3:scenecut=0"}),
        ("h.mp4", {"codec": "libx265", "x265_params": "log-level=0:keyint=12"}),
        ("v.webm", {"codec": "libvpx-vp9", "g": "12"}),
    ],
)
def test_threads_change_no_frame(make_video, decode_all, monkeypatch, name, options, text):
    path = make_video(name, number=80, **options)
    reference = decode_all(path)
    monkeypatch.setattr(opening, "LARGE_SIDE", 1)
    monkeypatch.setattr(decoding.Reader, "_whole", None)  # the fast way must do
    frames = read_frames(path, parse_sampler(text), alone=True)
    for time, pixels in zip(frames.times.tolist(), frames.pixels, strict=True):
        np.testing.assert_array_equal(pixels, reference.frames[reference.times.index(time)])
    plain = read_frames(path, parse_sampler(text))
    assert frames.times.tolist() == plain.times.tolist()


def test_damage_is_told_alike_with_and_without_threads(make_video, monkeypatch):
    path = make_video("a.mkv", number=60, x264_params=KEYINT)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    path.write_bytes(data)
    monkeypatch.setattr(opening, "LARGE_SIDE", 1)
    alone, plain = (read_frames(path, Sampler("all"), alone=alone) for alone in (True, False))
    assert alone.warnings == plain.warnings
    assert alone.times.tolist() == plain.times.tolist()


def test_wide_pixels_are_shown_square_at_a_wanted_size_too(make_video):
    path = make_video(aspect=Fraction(2, 1))
    for exact in (False, True):
        size = Size(short_side=24, exact=exact)
        assert read_frames(path, Sampler("uniform", 1), size=size).pixels.shape == (1, 24, 64, 3)
