"""What a scene is, and which scenes a split may hold."""

from collections import Counter

import numpy as np
import pytest

from vcap.data import shapes
from vcap.data.shapes import scene as names
from vcap.data.shapes.scene import Dice, held_back, is_novel

TRIPLES = [(colour, shape) for colour in names.COLOURS for shape in names.SHAPES]


def many(subset, split, count, seed=0):
    return [shapes.describe(seed, subset, split, index) for index in range(count)]


def triple(act):
    return act.thing.colour, act.thing.shape, act.action


def test_an_id_says_subset_split_and_number():
    assert shapes.item_id("clips", "train", 123) == "clips-train-000123"


def test_only_stills_have_the_split_of_unseen_looks():
    assert shapes.splits("frames") == ("train", "val", "test", "shift")
    assert all(shapes.splits(name) == ("train", "val", "test") for name in shapes.SUBSETS[1:])
    assert set(shapes.DEFAULT_SIZES) == set(shapes.splits("frames"))


@pytest.mark.parametrize("subset", shapes.SUBSETS)
def test_a_scene_depends_on_its_key_alone(subset):
    np.random.seed(1)
    first = shapes.describe(3, subset, "val", 5)
    shapes.describe(4, subset, "val", 6)
    assert shapes.describe(3, subset, "val", 5) == first
    others = [(4, subset, "val", 5), (3, subset, "train", 5), (3, subset, "val", 6)]
    assert all(shapes.describe(*key).acts != first.acts for key in others)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ((0, "films", "train", 0), "no subset films; there are frames, clips"),
        ((0, "clips", "shift", 0), "no split shift in clips; there are train, val, test"),
        ((0, "clips", "dev", 0), "no split dev"),
        ((-1, "clips", "train", 0), "want seed and index of 0 or more"),
        ((0, "clips", "train", -2), "got 0 and -2"),
    ],
)
def test_a_key_that_names_nothing_is_refused(key, message):
    with pytest.raises(ValueError, match=message):
        shapes.describe(*key)


def test_a_tenth_of_the_triples_is_held_back_evenly():
    held = [(colour, shape, held_back(colour, shape)) for colour, shape in TRIPLES]
    assert len(set(held)) == 48
    assert set(Counter(colour for colour, _, _ in held).values()) == {6}
    assert set(Counter(shape for _, shape, _ in held).values()) == {8}
    actions = Counter(action for _, _, action in held)
    assert set(actions) == set(names.ACTIONS)
    assert max(actions.values()) - min(actions.values()) <= 2


@pytest.mark.parametrize("subset", ["clips", "stories", "recall"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_held_back_triples_never_occur_outside_of_test(subset, split):
    for scene in many(subset, split, 400):
        for act in scene.acts:
            assert act.action != held_back(act.thing.colour, act.thing.shape)
            assert not act.novel


@pytest.mark.parametrize("subset", ["clips", "stories", "recall"])
def test_a_third_of_test_is_novel_and_says_so(subset):
    acts = [act for scene in many(subset, "test", 600) for act in scene.acts]
    for act in acts:
        assert act.novel == (act.action == held_back(act.thing.colour, act.thing.shape))
    assert 0.25 < sum(act.novel for act in acts) / len(acts) < 0.42


def test_novel_items_of_clips_are_every_third_of_test():
    assert [is_novel("test", index) for index in range(4)] == [False, False, True, False]
    assert not any(is_novel(split, 2) for split in ("train", "val", "shift"))


def test_all_triples_that_are_allowed_occur_about_equally_often():
    counts = Counter(triple(scene.acts[0]) for scene in many("clips", "train", 6000))
    assert len(counts) == 480 - 48
    for place in range(3):
        share = Counter(key[place] for key in counts.elements())
        assert max(share.values()) < 1.25 * min(share.values())


def test_shift_shares_no_shape_colour_or_background_with_anything_else():
    shift = many("frames", "shift", 200)
    seen = [scene for subset in shapes.SUBSETS for scene in many(subset, "train", 100)]
    for look in (
        lambda scene: scene.acts[0].thing.shape,
        lambda scene: scene.acts[0].thing.colour,
        lambda scene: scene.background,
    ):
        assert {look(scene) for scene in shift}.isdisjoint({look(scene) for scene in seen})
    assert len({scene.acts[0].thing.shape for scene in shift}) == 4


def test_objects_of_one_colour_differ_a_little_in_shade():
    shades = {s.acts[0].thing.rgb for s in many("clips", "train", 200) if "red" in str(s.acts[0])}
    assert len(shades) > 10
    assert all(red > 190 and green < 60 and blue < 60 for red, green, blue in shades)


def test_small_and_large_never_meet():
    radii = {"small": [], "large": []}
    for scene in many("frames", "train", 300):
        radii[scene.acts[0].thing.size].append(scene.acts[0].thing.radius)
    assert max(radii["small"]) + 5 < min(radii["large"])


def test_dice_pick_every_option_and_keep_to_their_ends():
    dice = Dice(1, 2, 3)
    assert {dice.pick("abc") for _ in range(50)} == set("abc")
    assert {dice.whole(2, 4) for _ in range(50)} == {2, 3, 4}
    assert all(-1 <= dice.between(-1, 1) < 1 for _ in range(50))
    assert sorted(dice.some(range(9), 9)) == list(range(9))
    assert 20 < sum(dice.chance(0.5) for _ in range(60)) < 40


def test_times_of_an_event_come_from_its_frames():
    act = many("stories", "train", 1)[0].acts[1]
    assert act.start == act.first / 8
    assert act.end == (act.first + len(act.poses)) / 8


def test_the_size_is_no_slot_while_it_changes():
    for scene in many("clips", "train", 200):
        act = scene.acts[0]
        slots = names.slots(act)
        assert (slots["size"] is None) == (act.action in ("grows", "shrinks"))
        assert slots["action"] == act.action
        assert "position" not in slots
