"""Every real and every broken video of the shared data, against a plain full decode."""

import json

import numpy as np
import pytest

from vcap.errors import VideoError
from vcap.video import decode as decoding
from vcap.video.decode import Size, iter_frames, read_frames
from vcap.video.probe import probe
from vcap.video.sample import Sampler, parse_sampler

pytestmark = pytest.mark.media

REAL = [
    *("v_GGSY1Qvo990.mp4", "klteYv1Uv9A_27_33.avi", "UXs3eq68ZjE_250_255.avi"),
    *("women_long_jump.mp4", "flipping_a_pancake.mkv", "nasa_13013.mp4", "rabbit320.webm"),
    *("fire2.mp4", "video_90.mov", "hdr10-av1.mp4", "bear-vp9-odd-dimensions.webm", "cups.mp4"),
]


def rows_of(path):
    """The manifest, by file name."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["file"].removeprefix("broken/"): row for row in rows}


def by_the_rule(times, wanted):
    """Last frame at or before each time, else the first: written a second time, plainly."""
    return [max([i for i, t in enumerate(times) if t <= at + 1e-6], default=0) for at in wanted]


def test_every_video_of_the_manifest_is_tested(media_root):
    assert sorted(rows_of(media_root / "manifest.jsonl")) == sorted(REAL)


@pytest.mark.parametrize("name", REAL)
def test_chosen_frames_have_the_pixels_of_a_full_decode(media_root, decode_all, monkeypatch, name):
    def refuse(*_):
        raise AssertionError("the fast way was given up")

    monkeypatch.setattr(decoding.Reader, "_whole", refuse)
    times, reference, end_time = decode_all(media_root / name)
    length = end_time - times[0]
    grid = [times[0] + step / 5 for step in range(500) if step / 5 < length - 1e-6]
    middles = [times[0] + (part + 0.5) * length / 12 for part in range(12)]
    places = [-1.0, times[0], times[-1] / 3, times[-1] / 3, times[len(times) // 2], times[-1] + 9]
    listed = "times " + ",".join(map(repr, sorted(places)))
    rules = [("fps 5", grid), ("uniform 12", middles), ("all", times), (listed, sorted(places))]
    for text, wanted in rules:
        frames = read_frames(media_root / name, parse_sampler(text))
        chosen = by_the_rule(times, wanted)
        assert frames.times.tolist() == [times[index] for index in chosen]
        assert frames.warnings == ()
        for pixels, index in zip(frames.pixels, chosen, strict=True):
            assert np.array_equal(pixels, reference[index])


@pytest.mark.parametrize("name", REAL)
def test_fast_frames_are_keyframes_with_their_own_pixels(media_root, decode_all, name):
    times, reference, _ = decode_all(media_root / name)
    frames = read_frames(media_root / name, parse_sampler("uniform 6 keyframes-only"))
    exact = read_frames(media_root / name, parse_sampler("uniform 6"), size=Size(8, 8))
    assert len(frames.times) == 6
    assert (frames.times <= exact.times).all()
    assert frames.warnings == ()
    for time, pixels in zip(frames.times.tolist(), frames.pixels, strict=True):
        assert np.array_equal(pixels, reference[times.index(time)])


@pytest.mark.parametrize("text", ["all", "fps 2", "uniform 5"])
@pytest.mark.parametrize(
    "name", ["UXs3eq68ZjE_250_255.avi", "fire2.mp4", "hdr10-av1.mp4", "cups.mp4"]
)
def test_a_large_video_read_alone_has_the_same_frames(media_root, name, text):
    ways = [
        iter_frames(media_root / name, parse_sampler(text), size=Size(99, 66), alone=alone)
        for alone in (False, True)
    ]
    num_frames = 0
    for (time, pixels), (other_time, other) in zip(*ways, strict=True):
        num_frames += 1
        assert time == other_time
        assert np.array_equal(pixels, other)
    assert num_frames >= 5


@pytest.mark.parametrize("name", REAL)
def test_a_probe_agrees_with_the_manifest(media_root, name):
    row = rows_of(media_root / "manifest.jsonl")[name]
    info = probe(media_root / name, stream=row["first_video_stream_index"])
    assert (info.width, info.height) == (row["display_width"], row["display_height"])
    assert info.rotation == row["rotation"]
    assert (info.codec, info.pix_fmt) == (row["codec"], row["pix_fmt"])
    assert info.has_audio == bool(row["audio"])
    assert (info.num_frames_in_header or 0) == row["frames_in_header"]
    assert info.frames_per_second == pytest.approx(row["fps"], abs=1e-3)
    announced = row["stream_duration_s"] or row["container_duration_s"]
    assert info.duration_seconds == pytest.approx(announced, abs=1e-3)
    assert probe(media_root / name).stream_index == row["best_video_stream_index"]


@pytest.mark.parametrize("stream", [0, 3])
def test_times_are_the_published_ones(media_root, stream):
    published = json.loads((media_root / f"nasa_13013.stream{stream}.frames.json").read_text())
    frames = read_frames(
        media_root / "nasa_13013.mp4", Sampler("all"), stream=stream, size=Size(16, 9)
    )
    times = [float(row["pts_time"]) for row in published]
    np.testing.assert_allclose(frames.times, times, atol=1e-6)


def test_pixels_are_the_published_ones(media_root):
    frames = read_frames(media_root / "nasa_13013.mp4", Sampler("all"), stream=0)
    with np.load(media_root / "nasa_13013.stream0.rgb.npz") as published:
        pictures = [published[key] for key in sorted(published.files, key=lambda k: (len(k), k))]
    for index, picture in zip([0, 9, 35], pictures, strict=True):
        np.testing.assert_array_equal(frames.pixels[index], picture)


BROKEN = [
    *("audio_only.mp4", "corrupt_middle.mp4", "corrupt_start.mp4", "decord_corrupted.mp4"),
    *("header_only.webm", "moov_missing.mp4", "one_frame.mp4", "one_pixel.mp4"),
    *("text_renamed.mp4", "truncated.avi", "truncated.webm", "truncated_moov_first.mp4"),
    "zero_bytes.mp4",
]
SOUND = {"one_frame.mp4", "one_pixel.mp4"}


def test_every_broken_video_of_the_manifest_is_tested(media_root):
    assert sorted(rows_of(media_root / "broken" / "manifest.jsonl")) == sorted(BROKEN)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_video_gives_what_decodes_and_says_what_does_not(media_root, name):
    row = rows_of(media_root / "broken" / "manifest.jsonl")[name]
    path = media_root / "broken" / name
    low, high = row.get("frames_skipping_range", (0, 0))
    if not high:
        with pytest.raises(VideoError, match=name):
            read_frames(path, Sampler("all"))
        return
    frames = read_frames(path, Sampler("all"))
    assert 0.9 * low <= len(frames.times) <= 1.1 * high
    assert np.all(np.diff(frames.times) > 0)
    assert bool(frames.warnings) == (name not in SOUND)
    assert len(read_frames(path, Sampler("uniform", 12)).times) == 12


def test_the_damage_is_counted(media_root):
    frames = read_frames(media_root / "broken" / "corrupt_middle.mp4", Sampler("all"))
    row = rows_of(media_root / "broken" / "manifest.jsonl")["corrupt_middle.mp4"]
    (warning,) = frames.warnings
    assert warning.endswith(f"{len(frames.times)} frames were decoded")
    assert f"of {row['frames_in_header']} packets were damaged" in warning
