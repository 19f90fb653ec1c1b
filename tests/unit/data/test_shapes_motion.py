"""Each action is visible at four frames a second, and nothing but the motion tells it."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from vcap.data.shapes import describe
from vcap.data.shapes.motion import HIGH, LOW, lane, move, start
from vcap.data.shapes.outlines import REACH
from vcap.data.shapes.scene import ACTIONS, COLOURS, SHAPES, Dice, make_thing
from vcap.data.shapes.turns import cosine, rotations, sine

LENGTHS = (16, 23, 32)


def poses(action, seed, num_frames=24, size="large"):
    dice = Dice(seed, num_frames)
    thing = make_thing(dice, dice.pick(SHAPES), dice.pick(COLOURS), size)
    return move(dice, thing, action, num_frames)


def column(path, name):
    return np.array([getattr(pose, name) for pose in path], dtype=float)


def cases(action):
    return [poses(action, seed, n) for seed in range(40) for n in LENGTHS]


@pytest.mark.parametrize("action", ACTIONS)
def test_the_whole_object_stays_in_the_picture(action):
    for path in cases(action):
        for pose in path:
            room = pose.radius * REACH + 1
            assert room < pose.x < 96 - room
            assert room < pose.y < 96 - room


@pytest.mark.parametrize(
    ("action", "name", "way"),
    [
        ("slides left", "x", -1),
        ("slides right", "x", 1),
        ("slides up", "y", -1),
        ("slides down", "y", 1),
    ],
)
def test_a_slide_goes_its_way_but_for_the_return_to_the_other_end(action, name, way):
    other = "y" if name == "x" else "x"
    for path in cases(action):
        steps = way * np.diff(column(path, name))
        low, high = lane(getattr(path[0], other))
        returns = steps < 0
        assert returns.sum() <= max(1, 44 // (high - low) + 1)
        assert (steps[~returns] > 0.5).all()
        assert 35 < (steps % (high - low)).sum() < 45
        assert len(set(column(path, other))) == 1


def test_a_spin_turns_at_least_once_and_never_too_fast_to_follow():
    for path in cases("spins"):
        steps = np.diff(column(path, "turn"))
        assert 1.1 < abs(steps.sum()) < 3
        assert (abs(steps) <= 0.1 + 1e-9).all()
        assert len({(pose.x, pose.y, pose.radius) for pose in path}) == 1


@pytest.mark.parametrize(("action", "way"), [("grows", 1), ("shrinks", -1)])
def test_size_changes_all_the_way(action, way):
    for path in cases(action):
        radius = column(path, "radius")
        assert (way * np.diff(radius) > 0).all()
        assert 1.6 < max(radius) / min(radius) < 2.2


def test_a_blink_goes_on_and_off_at_least_twice():
    for path in cases("blinks"):
        seen = column(path, "seen")
        changes = np.flatnonzero(np.diff(seen))
        assert 3 <= len(changes) <= 6
        assert (np.diff(changes) >= 2).all()
        assert 0.3 < seen.mean() < 0.7


def test_only_blinking_objects_are_ever_unseen():
    for action in set(ACTIONS) - {"blinks"}:
        assert all(pose.seen for path in cases(action)[:20] for pose in path)


def test_a_bounce_hops_twice_or_more_and_high():
    for path in cases("bounces"):
        y = column(path, "y")
        turns = np.count_nonzero(np.diff(np.sign(np.diff(y))))
        assert 3 <= turns <= 8
        assert np.ptp(y) > 16
        assert len(set(column(path, "x"))) == 1


def test_a_circle_goes_round_once_or_more():
    for path in cases("circles"):
        x, y = column(path, "x"), column(path, "y")
        assert np.ptp(x) > 24
        assert np.ptp(y) > 24
        steps = np.hypot(np.diff(x), np.diff(y))
        assert (steps < 13).all()
        assert steps.sum() > 2 * math.pi * 13 * 0.85


def test_starts_are_spread_alike_for_every_action(scenes):
    places = defaultdict(list)
    for scene in scenes:
        act = scene.acts[0]
        places[act.action].append((act.poses[0].x, act.poses[0].y))
    for found in places.values():
        assert np.abs(np.mean(found, axis=0) - 48).max() < 2.5
        assert np.abs(np.std(found, axis=0) - 12.5).max() < 1.5


def guess(train, test):
    """Accuracy of a table from cue to the most frequent answer."""
    table = defaultdict(Counter)
    for cue, answer in train:
        table[cue][answer] += 1
    right = [cue in table and table[cue].most_common(1)[0][0] == answer for cue, answer in test]
    return sum(right) / len(right)


def cell(value):
    return int((value - LOW) // 8)


@pytest.fixture(scope="module")
def scenes():
    return [describe(0, "clips", "train", index) for index in range(8000)]


CUES = {
    "start": lambda s: (cell(s.acts[0].poses[0].x), cell(s.acts[0].poses[0].y)),
    "across": lambda s: cell(s.acts[0].poses[0].x),
    "length": lambda s: s.num_frames,
    "background": lambda s: s.background,
    "tilt": lambda s: int(s.acts[0].thing.turn * 10),
    "all": lambda s: (s.background, s.num_frames // 6, s.acts[0].poses[0].x > 48),
}


@pytest.mark.parametrize("cue", CUES)
def test_start_length_and_background_do_not_tell_the_action(scenes, cue):
    pairs = [(CUES[cue](scene), scene.acts[0].action) for scene in scenes]
    assert guess(pairs[:4000], pairs[4000:]) < 0.1 + 3 * math.sqrt(0.09 / 4000)


@pytest.mark.parametrize("slot", ["colour", "shape", "size"])
@pytest.mark.parametrize("cue", ["start", "length", "background", "all"])
def test_start_length_and_background_do_not_tell_the_object(scenes, cue, slot):
    pairs = [(CUES[cue](scene), getattr(scene.acts[0].thing, slot)) for scene in scenes]
    chance = max(Counter(answer for _, answer in pairs).values()) / len(pairs)
    assert guess(pairs[:4000], pairs[4000:]) < chance + 3 * math.sqrt(chance * (1 - chance) / 4000)


def slid(action, seed, place):
    """Where a slide is after that share of its time, both ways."""
    path = poses(action, seed, 16 + seed % 17)
    pose = path[round(place * (len(path) - 1))]
    return cell(pose.x), cell(pose.y)


@pytest.mark.parametrize("place", [0.0, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("ways", [("left", "right"), ("up", "down")])
def test_one_frame_does_not_tell_the_direction(ways, place):
    pairs = [(slid(f"slides {ways[n % 2]}", n, place), n % 2) for n in range(4000)]
    assert guess(pairs[:2000], pairs[2000:]) < 0.5 + 3 * math.sqrt(0.25 / 2000)


def test_starts_reach_most_of_the_square():
    dice = Dice(7)
    found = np.array([start(dice) for _ in range(3000)])
    counts, _, _ = np.histogram2d(found[:, 0], found[:, 1], bins=4, range=[[LOW, HIGH]] * 2)
    assert counts.min() > 60


def test_sine_and_cosine_are_right_to_a_fraction_of_a_pixel():
    for turn in np.linspace(-3, 3, 577):
        assert cosine(turn) == pytest.approx(math.cos(2 * math.pi * turn), abs=0.003)
        assert sine(turn) == pytest.approx(math.sin(2 * math.pi * turn), abs=0.003)


def test_quarter_turns_are_exact():
    table = rotations(np.array([0.0, 0.25, 0.5, 0.75, 1.0, -0.25]))
    assert table.tolist() == [[1, 0], [0, 1], [-1, 0], [0, -1], [1, 0], [0, -1]]
