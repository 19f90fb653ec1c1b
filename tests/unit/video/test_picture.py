"""Sizes, rotation and crops."""

from fractions import Fraction

import av
import numpy as np
import pytest

from vcap.video.picture import Painter, Size, displayed_size, quarter_turns


def frame_of(pixels):
    """A decoder's frame with these pixels."""
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")


@pytest.mark.parametrize(
    "values",
    [
        *({}, {"width": 3}, {"height": 3}, {"width": 3, "height": 3, "short_side": 3}),
        *({"short_side": 0}, {"width": -1, "height": 2}),
        {"width": 4, "height": 4, "crop": True},
        {"short_side": 4, "interpolation": "random"},
    ],
)
def test_a_size_is_exact_or_a_short_side(values):
    with pytest.raises(ValueError, match="want"):
        Size(**values)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (Size(320, 240), "320x240"),
        (Size(short_side=224, crop=True), "short 224 crop"),
        (Size(short_side=224), "short 224"),
    ],
)
def test_different_sizes_have_different_names(size, text):
    assert str(size) == text


@pytest.mark.parametrize(
    ("stored", "scaled"),
    [((640, 360), (398, 224)), ((360, 640), (224, 398)), ((100, 100), (224, 224))],
)
def test_the_short_side_decides_the_scale(stored, scaled):
    assert Size(short_side=224, crop=True).scaled(*stored) == scaled


@pytest.mark.parametrize(
    ("rotation", "turns"), [(0, 0), (90, 1), (-90, 3), (180, 2), (-180, 2), (1, 0)]
)
def test_rotation_counts_quarter_turns_against_the_clock(rotation, turns):
    assert quarter_turns(rotation) == turns


@pytest.mark.parametrize(
    ("aspect", "turns", "shown"),
    [
        (None, 0, (720, 576)),
        (Fraction(0), 0, (720, 576)),
        (Fraction(16, 15), 0, (768, 576)),
        (Fraction(16, 15), 1, (576, 768)),
        (Fraction(1, 1000), 0, (720, 576)),
        (Fraction(100000), 0, (720, 576)),
    ],
)
def test_the_displayed_size_has_square_pixels_and_stands_upright(aspect, turns, shown):
    assert displayed_size(720, 576, aspect, turns) == shown


def test_a_native_picture_is_untouched():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Painter(None, None).paint(frame_of(pixels)), pixels)


def test_each_interpolation_weighs_its_own_neighbours():
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:, 4:] = 200  # an edge, which only the bicubic one overshoots
    made = {
        kind: Painter(Size(24, 24, interpolation=kind), None).paint(frame_of(pixels))
        for kind in ("bilinear", "bicubic")
    }
    assert made["bilinear"].max() <= 201 < made["bicubic"].max()


def test_the_crop_takes_the_centre():
    pixels = np.zeros((10, 30, 3), dtype=np.uint8)
    pixels[:, 10:20] = 200
    assert (Painter(Size(short_side=10, crop=True), None).paint(frame_of(pixels)) == 200).all()


def test_a_shared_scaler_gives_the_pixels_of_a_fresh_one():
    rng = np.random.default_rng(2)
    shared = Painter(Size(short_side=12, crop=True), None)
    for side in (20, 33, 20, 48):
        frame = frame_of(rng.integers(0, 256, (side, side + 5, 3), dtype=np.uint8))
        fresh = Painter(Size(short_side=12, crop=True), None)
        np.testing.assert_array_equal(shared.paint(frame), fresh.paint(frame))


def test_a_video_that_changes_its_size_keeps_that_of_its_first_frame():
    painter = Painter(None, None)
    first = painter.paint(frame_of(np.zeros((8, 12, 3), dtype=np.uint8)))
    second = painter.paint(frame_of(np.zeros((20, 20, 3), dtype=np.uint8)))
    assert first.shape == second.shape == (8, 12, 3)
