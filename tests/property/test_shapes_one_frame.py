"""A model that sees one frame is at chance on the direction; one that sees two is not."""

import math

import numpy as np
import pytest

from vcap.data.shapes import describe, draw
from vcap.data.shapes.scene import Dice

WAYS = ("slides left", "slides right")


def small(frame):
    """The frame as a few numbers: where it is vivid, in cells of 8 by 8 pixels."""
    light = frame.astype(np.int16)
    vivid = light.max(axis=2) - light.min(axis=2) > 60
    return vivid.reshape(12, 8, 12, 8).mean(axis=(1, 3)).ravel()


@pytest.fixture(scope="module")
def sliding():
    """Small pictures of two frames in a row, at a random time, and the way of the slide."""
    found = []
    for index in range(2600):
        scene = describe(5, "clips", "train", index)
        act = scene.acts[0]
        if act.action in WAYS and act.thing.colour != "white":
            frames = draw(scene)
            at = Dice(index).whole(0, len(frames) - 3)
            found.append((small(frames[at]), small(frames[at + 2]), WAYS.index(act.action)))
    first, second, ways = (np.array(part) for part in zip(*found, strict=True))
    return first, second, ways


def accuracy(features, ways):
    """Of a ridge regression on half of the clips, tried on the other half."""
    half = len(ways) // 2
    features = np.c_[features, np.ones(len(features))]
    known = features[:half]
    gram = known.T @ known + 0.3 * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, known.T @ (2.0 * ways[:half] - 1))
    return np.mean((features[half:] @ weights > 0) == ways[half:])


def test_one_frame_leaves_the_direction_to_chance(sliding):
    first, second, ways = sliding
    bound = 3 * math.sqrt(0.25 / (len(ways) // 2))
    assert abs(accuracy(first, ways) - 0.5) < bound
    assert abs(accuracy(second, ways) - 0.5) < bound


def test_the_motion_between_two_frames_tells_the_direction(sliding):
    first, second, ways = sliding
    columns = np.arange(144) % 12
    places = [(one @ columns) / one.sum(axis=1) for one in (first, second)]
    right = (places[1] > places[0]) == ways
    assert right.mean() > 0.85  # a slide that just goes on from the other end misleads two frames
