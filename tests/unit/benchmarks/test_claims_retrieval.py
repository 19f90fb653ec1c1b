"""Claims of retrieval: variants are what their names say, and scores are of what was found."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import claims_retrieval as retrieval
from benchmarks.claims import with_settings
from vcap.engine.methods.retrieval import RetrievalOptions
from vcap.engine.settings import fill
from vcap.models.matching import RetrievalConfig

VIDEOS = {
    "a": {"colour": "red", "shape": "star", "size": "small", "position": "left"},
    "b": {"colour": "red", "shape": "star", "size": "small", "position": "left"},
    "c": {"colour": "red", "shape": "ring", "size": "small", "position": "top"},
}
TEXTS = {
    "a": "a small red star appears on the left",
    "b": "on the left a little red star is seen",
    "c": "a small red ring appears at the top",
}
SLOTS = retrieval.SLOTS["needles"]


def rows() -> list[dict[str, Any]]:
    return [
        {"id": name, "meta": meta, "captions": [{"text": TEXTS[name]}]}
        for name, meta in VIDEOS.items()
    ]


@pytest.mark.parametrize("variant", retrieval.VARIANTS, ids=lambda one: one.name)
def test_every_variant_is_a_config_that_the_method_takes_and_keeps_what_its_name_says(
    variant: Any,
) -> None:
    config = with_settings(
        {**retrieval.RETRIEVAL}, {"model.num_frames": retrieval.FRAMES[variant.data]}
    )
    config = with_settings(config, variant.settings)
    sizes = {"num_kept": config["model"]["num_frames"], **config["model"]}
    model = fill(RetrievalConfig, {**sizes, "feature_width": 128}, "model")
    options = fill(RetrievalOptions, config["options"], "options")
    assert model.frame_aggregation == ("mlp" if variant.name.endswith("mlp") else "mean")
    if variant.data == "needles":
        count = int(variant.name.split(",")[0].split()[1])
        chosen = variant.name.startswith("chosen")
        assert model.num_kept == count
        assert model.num_frames == (64 if chosen else count)
        assert (options.policy is not None) == chosen
    learns = (
        options.policy is not None or model.frame_aggregation == "mlp" or "in time" in variant.name
    )
    assert variant.learns == learns


def test_a_caption_finds_the_right_slots_where_another_video_shows_the_same() -> None:
    hits = [
        (TEXTS["a"], "b"),
        (TEXTS["a"], "a"),
        (TEXTS["b"], "c"),
        (TEXTS["b"], "a"),
        (TEXTS["c"], "a"),
    ]
    found = retrieval.slot_scores(rows(), hits, SLOTS)
    assert found == {
        retrieval.FIRST: pytest.approx(1 / 3),
        "right slots in 5": pytest.approx(2 / 3),
    }


def test_nobody_can_tell_videos_of_the_same_slots_apart() -> None:
    assert retrieval.ceiling(rows()) == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    vague = [{**row, "captions": [{"text": "something red"}]} for row in rows()]
    assert retrieval.ceiling(vague) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("kept", "share"), [([8, 9, 10], 1.0), ([7, 8], 1 / 3), ([10, 11], 1 / 3), ([1], 0.0)]
)
def test_frames_of_the_event_are_counted_from_its_start_up_to_its_end(
    kept: list[int], share: float
) -> None:
    meta = {"start": 1.0, "end": 1.375}
    assert retrieval.share_kept(meta, kept) == pytest.approx(share)


def test_scores_come_from_the_index_made_with_the_model_and_from_its_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def vcap(*words: object, given: str | None = None) -> str:
        asked.append((words[0], given))
        if words[0] == "retrieve":
            hits = [{"query": text, "id": name} for name, text in TEXTS.items()]
            return "".join(json.dumps(hit) + "\n" for hit in hits)
        return json.dumps({"scores": {"R@1": 50.0, "R@5": 75.0}})

    truth = tmp_path / "truth.jsonl"
    truth.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    monkeypatch.setattr(retrieval, "vcap", vcap)
    monkeypatch.setattr(retrieval, "truth", lambda work, subset: truth)
    monkeypatch.setattr(retrieval, "event_kept", lambda rows, store, model: 0.25)
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores.json").write_text('{"scores": {"test/video-to-text R@1": 40.0}}')
    variant = retrieval.VARIANTS[0]
    found = retrieval.score(tmp_path, variant, "one", tmp_path / "model")
    assert found == {
        "R@1 text to video": 0.5,
        "R@5 text to video": 0.75,
        "R@1 video to text": 0.4,
        "right slots first": 1.0,
        "right slots in 5": 1.0,
        "event frames kept": 0.25,
    }
    assert [name for name, _ in asked] == ["index", "retrieve", "evaluate"]
    assert asked[1][1] == "".join(f"{text}\n" for text in TEXTS.values())
    clip = retrieval.VARIANTS[-1]
    monkeypatch.setitem(retrieval.SLOTS, "clips", SLOTS)
    assert "event frames kept" not in retrieval.score(tmp_path, clip, "two", tmp_path / "model")


def test_the_page_has_a_table_for_each_kind_of_video_with_the_most_that_can_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = tmp_path / "truth.jsonl"
    truth.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    monkeypatch.setattr(retrieval, "truth", lambda work, subset: truth)
    values = dict.fromkeys(retrieval.COLUMNS["needles"], 0.5)
    found = {one.name: [values] * 3 for one in retrieval.VARIANTS}
    text = retrieval.page(tmp_path, found)
    assert "needles: 3 videos, R@1 text to video at most 0.667" in text
    assert text.count("| variant |") == len(retrieval.LIMITS)
    assert all(text.count(f"\n| {one.name} |") == 1 for one in retrieval.VARIANTS)
    assert text.count("**does not hold**") == len(retrieval.CLAIMS)
