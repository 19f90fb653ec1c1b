"""Shots of a video."""

from fractions import Fraction

import av
import numpy as np
import pytest

from vcap.types import Segment
from vcap.video.scenes import find_scenes


@pytest.fixture
def three_shots(tmp_path):
    """One second of black, one of grey, one of white, at 30 frames a second."""
    path = tmp_path / "shots.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(90):
            pixels = np.full((48, 64, 3), [20, 130, 240][index // 30], dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_shots_begin_with_their_first_frame_and_cover_the_video(three_shots):
    scenes = find_scenes(three_shots)
    np.testing.assert_allclose(scenes, [(0, 1), (1, 2), (2, 3)])


def test_a_segment_is_cut_within_its_borders(three_shots):
    scenes = find_scenes(three_shots, segment=Segment(0.3, 1.7))
    np.testing.assert_allclose(scenes, [(0.3, 1), (1, 1.7)])


def test_a_high_threshold_sees_no_cut(three_shots):
    np.testing.assert_allclose(find_scenes(three_shots, threshold=200.0), [(0, 3)])


def test_a_video_of_one_frame_is_one_shot(make_video):
    (scene,) = find_scenes(make_video(number=1))
    assert scene.start == 0.0 < scene.end


@pytest.mark.media
def test_the_shots_of_real_footage_are_those_of_the_reference_detector(media_root):
    scenes = find_scenes(media_root / "women_long_jump.mp4")
    borders = [5.034404, 8.498073, 11.075688, 22.272202, 34.838073, 35.079725]
    np.testing.assert_allclose([scene.end for scene in scenes], borders, atol=1e-5)
    assert scenes[0].start == 0.0
