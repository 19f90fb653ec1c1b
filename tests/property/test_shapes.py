"""Laws of the rendered data set: sentences tell the truth, and time can be turned round."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcap.data import shapes
from vcap.data.manifest import manifest_bytes, parse_lines
from vcap.data.records import Caption, Record
from vcap.data.shapes.captions import parse_slots

ITEMS = st.tuples(
    st.integers(0, 2**40), st.sampled_from(shapes.SUBSETS), st.integers(0, 3), st.integers(0, 10**7)
)


def scene_of(item):
    seed, subset, number, index = item
    splits = shapes.splits(subset)
    return shapes.describe(seed, subset, splits[number % len(splits)], index)


@settings(max_examples=300, deadline=None)
@given(ITEMS)
def test_every_slot_that_a_caption_names_is_true(item):
    scene = scene_of(item)
    record = shapes.record(scene, "x.mp4")
    events = record.meta.get("events", [record.meta] * len(record.captions))
    for caption, event in zip(record.captions, events, strict=True):
        told = parse_slots(caption.text)
        truth = {**event, "background": record.meta["background"]}
        assert {slot: truth[slot] for slot in told} == told
        needed = {"colour", "shape"} | ({"action", "position", "status"} & set(event))
        assert needed <= set(told)


@settings(max_examples=60, deadline=None)
@given(ITEMS)
def test_objects_lie_within_the_picture_and_events_within_the_video(item):
    scene = scene_of(item)
    for act in scene.acts:
        assert 0 <= act.first <= act.first + len(act.poses) <= scene.num_frames
        for pose in act.poses:
            room = pose.radius * 1.16 + 1
            assert room < min(pose.x, pose.y)
            assert max(pose.x, pose.y) < 96 - room


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TEXTS, VALUES, VALUES), min_size=1, max_size=4))
def test_any_records_come_back_from_a_manifest_as_they_were(rows):
    made = [
        Record(
            id=f"{number}{text}",
            path=text,
            captions=[Caption.model_validate({"text": text, "kept": one})],
            meta={"any": other},
        )
        for number, (text, one, other) in enumerate(rows)
    ]
    data = manifest_bytes(made)
    read = parse_lines(data.split(b"\n"), "test")
    assert [record.dump() for record in read] == [record.dump() for record in made]
    assert manifest_bytes(read) == data


def steps(frames):
    """The usual step of the coloured object from frame to frame, in place and size: [3]."""
    light = [frames[..., channel].astype(np.int16) for channel in range(3)]
    vivid = np.maximum.reduce(light) - np.minimum.reduce(light) > 60  # [T, H, W]
    size = vivid.sum(axis=(1, 2))
    line = np.arange(96)
    x = (vivid.sum(axis=1) * line).sum(axis=1) / np.maximum(size, 1)
    y = (vivid.sum(axis=2) * line).sum(axis=1) / np.maximum(size, 1)
    return np.median(np.diff(np.stack([x, y, np.sqrt(size)]), axis=1), axis=1)


PAIRS = (("slides left", "slides right"), ("slides up", "slides down"), ("grows", "shrinks"))
OPPOSITE = {**dict(PAIRS), **{other: one for one, other in PAIRS}}


@pytest.fixture(scope="module")
def moving():
    """The actions of clips that have an opposite, and their steps forwards and backwards."""
    found = []
    for index in range(300):
        scene = shapes.describe(0, "clips", "train", index)
        act = scene.acts[0]
        if act.action in OPPOSITE and act.thing.colour != "white":
            frames = shapes.draw(scene)
            found.append((act.action, steps(frames), steps(frames[::-1])))
    return found


def test_a_trained_model_reads_a_clip_played_backwards_as_the_opposite(moving):
    half = len(moving) // 2
    scale = np.std([forward for _, forward, _ in moving[:half]], axis=0)
    means = {
        action: np.mean([one for name, one, _ in moving[:half] if name == action], axis=0)
        for action in OPPOSITE
    }

    def predict(step):  # the nearest mean step: the smallest model that can be trained
        return min(means, key=lambda action: np.abs((step - means[action]) / scale).sum())

    forward = [predict(one) == action for action, one, _ in moving[half:]]
    backward = [predict(other) == OPPOSITE[action] for action, _, other in moving[half:]]
    assert np.mean(forward) > 0.95
    assert np.mean(backward) > 0.95
