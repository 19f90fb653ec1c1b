"""Outlines, worked out by hand: below zero inside, zero on the edge, pixels away outside."""

import math

import numpy as np
import pytest

from vcap.data.shapes.outlines import MARKS, OUTLINES, REACH


def away(shape, u, v, radius=10.0):
    """How far outside of the shape a point is; `v` points down."""
    point = [np.full((1, 1, 1), value, dtype=np.float32) for value in (u, v, radius)]
    return float(OUTLINES[shape](*point)[0, 0, 0])


@pytest.mark.parametrize(
    ("shape", "u", "v", "expected"),
    [
        ("circle", 0, 0, -10),
        ("circle", 3, 4, -5),
        ("circle", 0, 12, 2),
        ("ring", 0, 0, 4.6),  # in the hole
        ("ring", 7.4, 0, -2.8),  # in the middle of the band
        ("ring", 0, -10.2, 0),
        ("square", 0, 0, -8.2),
        ("square", 8.2, 5, 0),
        ("square", 8, 8, -0.2),
        ("square", -10.2, 0, 2),
        ("cross", 10.6, 0, 0),
        ("cross", 0, 10.6, 0),
        ("cross", 5, 5, 1.4),  # between two arms
        ("cross", 0, 0, -3.6),
        ("triangle", 0, 5.8, 0),  # the lower side
        ("triangle", 0, -11.6, 0),  # the tip
        ("triangle", 0, 0, -5.8),
        ("star", 0, -11.6, 0),  # the tip
        ("hexagon", 0, 9.2, 0),
        ("diamond", 0, 11.6, 0),
        ("diamond", 6.032, 0, 0),
        ("crescent", -10, 0, 0),
        ("crescent", 6.2, 0, 8.2),  # in the bite
        ("heart", 0, 10.168, 0),  # the lower tip
    ],
)
def test_distances_are_as_worked_out_by_hand(shape, u, v, expected):
    assert away(shape, u, v) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("shape", "corners"),
    [("star", 5), ("triangle", 3), ("hexagon", 6), ("square", 4), ("cross", 4)],
)
def test_shapes_look_alike_after_one_corner_of_a_turn(shape, corners):
    dice = np.random.default_rng(0)
    for u, v in dice.uniform(-12, 12, (50, 2)):
        angle = 2 * math.pi / corners
        x = u * math.cos(angle) - v * math.sin(angle)
        y = u * math.sin(angle) + v * math.cos(angle)
        assert (away(shape, u, v) < -0.01) == (away(shape, x, y) < -0.01) or abs(
            away(shape, u, v)
        ) < 0.1


@pytest.mark.parametrize("turn", range(5))
def test_a_star_has_five_tips_and_deep_notches_between(turn):
    def at(share, distance):
        angle = 2 * math.pi * share / 5
        return away("star", distance * math.sin(angle), -distance * math.cos(angle))

    assert at(turn, 11.5) < 0 < at(turn, 11.8)
    assert at(turn + 0.5, 4.9) < 0 < at(turn + 0.5, 5.4)


@pytest.mark.parametrize("shape", OUTLINES)
def test_a_shape_of_twice_the_radius_is_twice_as_large(shape):
    dice = np.random.default_rng(1)
    for u, v in dice.uniform(-12, 12, (40, 2)):
        assert away(shape, 2 * u, 2 * v, 20.0) == pytest.approx(2 * away(shape, u, v), abs=1e-3)


@pytest.mark.parametrize("shape", OUTLINES)
def test_no_point_of_a_shape_lies_beyond_its_reach(shape):
    for angle in np.linspace(0, 2 * math.pi, 721):
        far = 10 * REACH + 0.01
        assert away(shape, far * math.cos(angle), far * math.sin(angle)) > -0.01


@pytest.mark.parametrize("shape", OUTLINES)
def test_the_mark_lies_in_the_shape_and_off_its_centre(shape):
    u, v, size = MARKS[shape]
    assert away(shape, 10 * u, 10 * v) < -1
    assert math.hypot(u, v) > size


@pytest.mark.parametrize("shape", OUTLINES)
def test_soft_edges_are_about_a_pixel_wide(shape):
    """A step of half a pixel moves the distance by no more than that."""
    dice = np.random.default_rng(2)
    for u, v in dice.uniform(-12, 12, (60, 2)):
        change = abs(away(shape, u + 0.5, v) - away(shape, u, v))
        assert change <= 0.5 + 1e-4


@pytest.mark.parametrize("shape", OUTLINES)
def test_distances_are_single_precision_for_every_frame(shape):
    u = np.zeros((3, 4, 4), dtype=np.float32)
    radius = np.array([5, 10, 20], dtype=np.float32)[:, None, None]
    outside = OUTLINES[shape](u, u, radius)
    assert (outside.shape, outside.dtype) == ((3, 4, 4), np.float32)
