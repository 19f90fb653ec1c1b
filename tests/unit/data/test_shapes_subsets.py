"""The records of each subset say what its video shows."""

import json
from collections import Counter

import numpy as np
import pytest

from vcap.data import shapes
from vcap.data.manifest import manifest_bytes, read_manifest
from vcap.data.shapes.recall import LENGTHS, place
from vcap.data.shapes.scene import COLOURS


def scenes(subset, count, split="train"):
    return [shapes.describe(0, subset, split, index) for index in range(count)]


def records(subset, count, split="train"):
    return [shapes.record(scene, f"{scene.index}.mp4") for scene in scenes(subset, count, split)]


@pytest.mark.parametrize("subset", shapes.SUBSETS)
def test_a_record_carries_id_path_split_and_the_key_of_its_item(subset):
    record = shapes.record(shapes.describe(7, subset, "val", 3), "videos/x.mp4")
    assert record.id == f"{subset}-val-000003"
    assert (record.path, record.split) == ("videos/x.mp4", "val")
    assert record.dataset == f"shapes:{subset}"
    assert (record.meta["seed"], record.meta["index"]) == (7, 3)
    assert record.meta["novel"] is False


@pytest.mark.parametrize("subset", shapes.SUBSETS)
def test_records_survive_a_manifest(subset, tmp_path):
    made = records(subset, 4)
    path = tmp_path / "m.jsonl"
    path.write_bytes(manifest_bytes(made))
    assert [record.dump() for record in read_manifest(path)] == [one.dump() for one in made]
    assert manifest_bytes(records(subset, 4)) == path.read_bytes()


@pytest.mark.parametrize("subset", ["clips", "recall"])
def test_clips_last_two_to_four_seconds(subset):
    durations = [record.duration for record in records(subset, 300)]
    assert (min(durations), max(durations)) == (2.0, 4.0)


def test_the_slots_of_a_clip_stand_in_its_meta():
    for scene, record in zip(scenes("clips", 20), records("clips", 20), strict=True):
        act = scene.acts[0]
        slots = {name: record.meta[name] for name in ("colour", "shape", "size", "action")}
        assert slots == {
            "colour": act.thing.colour,
            "shape": act.thing.shape,
            "size": act.size,
            "action": act.action,
        }
        assert record.meta["background"] == scene.background


def test_a_still_is_one_frame_that_says_where_the_object_is():
    third = {"left": 0, "top": 0, "right": 2, "bottom": 2}
    for scene, record in zip(scenes("frames", 200), records("frames", 200), strict=True):
        assert scene.num_frames == 1
        pose, words = scene.acts[0].poses[0], record.meta["position"].split()
        rows = [third[word] for word in words if word in ("top", "bottom")]
        columns = [third[word] for word in words if word in ("left", "right")]
        assert (int(pose.y // 32), int(pose.x // 32)) == ((rows or [1])[0], (columns or [1])[0])
        for value in (pose.x, pose.y):
            assert min(abs(value - 32), abs(value - 64)) > 3


def test_all_nine_places_of_a_still_are_as_frequent():
    counts = Counter(record.meta["position"] for record in records("frames", 1800))
    assert len(counts) == 9
    assert 150 < min(counts.values()) < max(counts.values()) < 250


def test_stories_have_three_to_six_events_with_gaps_in_12_to_30_seconds():
    found = scenes("stories", 300)
    assert set(Counter(len(scene.acts) for scene in found)) == {3, 4, 5, 6}
    for scene in found:
        assert 12 <= scene.duration <= 30
        times = [0.0, *(time for act in scene.acts for time in (act.start, act.end))]
        gaps = np.diff([*times, scene.duration])[::2]
        assert (gaps >= 0.5).all()
        looks = [(act.thing.colour, act.thing.shape) for act in scene.acts]
        assert len(set(looks)) == len(looks)


def test_story_captions_carry_the_times_of_their_events():
    for scene, record in zip(scenes("stories", 20), records("stories", 20), strict=True):
        times = [(act.start, act.end) for act in scene.acts]
        assert [(caption.start, caption.end) for caption in record.captions] == times
        assert [(event["start"], event["end"]) for event in record.meta["events"]] == times
        assert record.meta["paragraph"] == " ".join(f"{c.text}." for c in record.captions)


def test_story_events_happen_at_any_time():
    firsts = [scene.acts[0].start / scene.duration for scene in scenes("stories", 300)]
    assert min(firsts) < 0.05
    assert max(firsts) > 0.4


def test_answers_follow_from_the_events():
    for record in records("stories", 60):
        events = record.meta["events"]
        named = [f"{event['colour']} {event['shape']}" for event in events]
        asked = {question.question: question.answer for question in record.qa}
        assert len(asked) == len(record.qa) >= 5
        assert (
            asked["how many objects appear?"] == ("three", "four", "five", "six")[len(events) - 3]
        )
        assert asked["which object comes first?"] == named[0]
        assert asked["which object comes last?"] == named[-1]
        for text, answer in asked.items():
            if text.startswith("which object comes right after the "):
                before = text.removeprefix("which object comes right after the ").rstrip("?")
                assert answer == named[named.index(before) + 1]
            if text.startswith("what does"):
                assert answer in {event["action"] for event in events}
            if text.startswith("what colour"):
                assert answer in COLOURS


def test_recall_clips_are_grouped_into_videos_of_three_to_six():
    found = records("recall", 2 * sum(LENGTHS))
    videos = Counter(record.video_id for record in found)
    assert list(videos.values()) == [3, 4, 5, 6, 3, 4, 5, 6]
    for video in videos:
        orders = [record.order for record in found if record.video_id == video]
        assert orders == list(range(len(orders)))
    assert place(7) == (2, 0, 5)


def test_an_object_returns_only_if_an_earlier_clip_showed_it():
    seen = {}
    for record in records("recall", 500):
        known = seen.setdefault(record.video_id, set())
        look = (record.meta["colour"], record.meta["shape"])
        assert record.meta["status"] == ("returns" if look in known else "new")
        known.add(look)


def test_from_the_second_clip_on_new_and_returning_are_as_frequent_at_every_place():
    counts = {}
    for scene in scenes("recall", 5400):
        counts.setdefault(scene.video[1], Counter())[scene.acts[0].status] += 1
    assert set(counts[0]) == {"new"}
    for order in range(1, 6):
        total = counts[order].total()
        assert abs(counts[order]["new"] / total - 0.5) < 1.5 / total**0.5


LOOKS = {
    "colour": lambda scene: scene.acts[0].thing.colour,
    "shape": lambda scene: scene.acts[0].thing.shape,
    "action": lambda scene: scene.acts[0].action,
    "background": lambda scene: scene.background,
}


def test_nothing_in_a_recall_clip_itself_tells_whether_it_returns():
    later = [scene for scene in scenes("recall", 5000) if scene.video[1]]
    for look in LOOKS.values():
        shares = {"new": Counter(), "returns": Counter()}
        for scene in later:
            shares[scene.acts[0].status][look(scene)] += 1
        for value in shares["new"]:
            one, other = (shares[s][value] / shares[s].total() for s in ("new", "returns"))
            assert abs(one - other) < 0.04


def test_the_clips_of_a_video_share_their_ground():
    first, second = scenes("recall", 2)
    assert first.background == second.background
    assert first.ground_dice().whole(0, 10**6) == second.ground_dice().whole(0, 10**6)


def test_a_needle_is_in_two_to_four_of_64_frames_at_any_time():
    acts = [scene.acts[0] for scene in scenes("needles", 400)]
    assert {len(act.poses) for act in acts} == {2, 3, 4}
    counts, _ = np.histogram([act.first for act in acts], bins=6, range=(0, 61))
    assert counts.min() > 40
    assert min(act.first for act in acts) < 3
    assert max(act.first for act in acts) > 57


def test_needles_have_one_caption_that_says_what_appears_where():
    for record in records("needles", 30):
        (caption,) = record.captions
        slots = shapes.captions.parse_slots(caption.text)
        named = {name: record.meta[name] for name in ("colour", "shape", "size", "position")}
        assert slots == {**named, "action": "appears"}
        assert record.duration == 8.0
        assert 0.25 <= record.meta["end"] - record.meta["start"] <= 0.5


def test_clutter_is_grey_and_in_every_frame_and_the_needle_is_not():
    scene = shapes.describe(0, "needles", "train", 5)
    act = scene.acts[0]
    frames = shapes.draw(scene).astype(int)
    vivid = ((frames.max(axis=3) - frames.min(axis=3)) > 60).sum(axis=(1, 2))
    shown = np.arange(act.first, act.first + len(act.poses))
    assert act.thing.colour != "white"
    assert set(np.flatnonzero(vivid > 20)) == set(shown)
    assert len(scene.clutter) == 10
    assert all(len(piece.poses) == 64 for piece in scene.clutter)


def test_dumped_records_are_plain_json():
    for subset in shapes.SUBSETS:
        dumped = shapes.record(shapes.describe(0, subset, "test", 2), "x.mp4").dump()
        assert json.loads(json.dumps(dumped)) == dumped
