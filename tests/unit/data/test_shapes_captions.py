"""Sentences name what is true, and can be read back."""

import re
from dataclasses import replace

import pytest

from vcap.data.shapes import describe, record
from vcap.data.shapes.captions import TEMPLATES, parse_slots, tell, tell_often
from vcap.data.shapes.scene import Dice


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("a small red circle slides to the left", "small red circle slides left"),
        ("A  tiny red disc moves left", "small red circle slides left"),
        ("the orange plus gets smaller", "orange cross shrinks"),
        ("a huge hoop goes round and round", "large ring circles"),
        ("a white star jumps again and again", "white star bounces"),
    ],
)
def test_synonyms_are_read_as_the_house_words(text, slots):
    assert " ".join(parse_slots(text).get(name, "") for name in ORDER).split() == slots.split()


ORDER = ("size", "colour", "shape", "action")


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a red star at the top left", "top left"),
        ("a red star at the top", "top"),
        ("near the lower edge there is a red star", "bottom"),
        ("a red star in the middle", "centre"),
        ("a red star in the upper right corner", "top right"),
        ("a red star on the left", "left"),
    ],
)
def test_positions_are_read_whole(text, position):
    assert parse_slots(text)["position"] == position


def test_a_slide_to_the_left_is_no_place_on_the_left():
    assert "position" not in parse_slots("a red star slides to the left")
    assert "action" not in parse_slots("a red star on the left")


def test_what_is_named_twice_in_different_ways_is_not_read():
    slots = parse_slots("a red or blue star spins and grows on a dark background")
    assert slots == {"shape": "star", "background": "dark"}
    assert parse_slots("a red circle and a red disc") == {"colour": "red", "shape": "circle"}


def test_words_inside_of_words_are_not_read():
    assert parse_slots("starry reddish ringing boxer") == {}
    assert parse_slots("") == {}


def test_a_background_is_read_only_as_a_background():
    assert parse_slots("on a light background a dark thing") == {"background": "light"}


def test_new_and_returning_objects_are_told_apart():
    assert parse_slots("a new red star spins")["status"] == "new"
    assert parse_slots("the red star comes back and spins")["status"] == "returns"
    assert parse_slots("here the red star returns and spins")["status"] == "returns"


@pytest.mark.parametrize("subset", ["clips", "frames", "recall"])
def test_references_are_six_different_sentences(subset):
    for index in range(50):
        texts = [c.text for c in record(describe(0, subset, "train", index), "x").captions]
        assert len(texts) == len(set(texts)) == 6


@pytest.mark.parametrize("subset", ["clips", "stories"])
def test_each_caption_names_colour_shape_and_action(subset):
    for index in range(50):
        for caption in record(describe(0, subset, "val", index), "x").captions:
            assert {"colour", "shape", "action"} <= set(parse_slots(caption.text))


def test_articles_fit_the_next_word():
    act = replace(describe(0, "clips", "train", 0).acts[0], position="left")
    act = replace(act, thing=replace(act.thing, colour="orange"))
    for kind in TEMPLATES:
        for seed in range(30):
            text = tell(Dice(seed), act, "dark", kind)
            assert not re.search(r"\ba [aeio]|\ban [^aeio]", text)
            assert text == " ".join(text.lower().split())


def test_sizes_are_not_told_while_they_change():
    for index in range(300):
        scene = describe(0, "clips", "train", index)
        if scene.acts[0].action in ("grows", "shrinks"):
            for text in tell_often(Dice(index), scene.acts[0], scene.background, "clips", 6):
                assert "size" not in parse_slots(text)


def test_the_vocabulary_is_small():
    words = set()
    for subset in ("clips", "frames", "stories", "recall", "needles"):
        for index in range(300):
            for caption in record(describe(0, subset, "train", index), "x").captions:
                words.update(caption.text.split())
    assert len(words) < 110
