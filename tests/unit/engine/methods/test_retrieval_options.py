"""What a training of a retrieval model may be asked for, and what is refused before any work."""

from typing import Any

import pytest

from vcap.engine.methods.retrieval import RetrievalMethod
from vcap.engine.methods.retrieval_options import (
    RetrievalOptions,
    checked_options,
    departures,
    with_frames,
)
from vcap.engine.schedule import TrainConfig
from vcap.errors import ConfigError
from vcap.models.policy import PolicyConfig
from vcap.models.retrieval import RetrievalConfig

CNN = {"encoder": "mobilenet_v3_large"}
WORDS = {"word_aggregation": "mlp", "frame_aggregation": "mean"}
FEW_PLACES = {"header": "seqTransf", "num_positions": 4}
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("options.warmup_epochs", {"model": {"header": "transformer"}, "warmup_epochs": 2}),
    ("options.max_tokens", {"max_tokens": 20}),
    ("max_tokens", {"max_tokens": 1, "towers": "text"}),
    ("options.num_used", {"model": {"num_frames": 8, "num_kept": 2}, "num_used": 9}),
    ("options.num_used", {"model": {"num_kept": 4}, "num_used": 3}),
    ("options.exact_pixels", {"exact_pixels": True, "towers": "text"}),
    ("policy_weights", {"policy_weights": "imagenet"}),
    ("policy_weights", {"policy_weights": "imagenet", "policy": None}),
    ("policy_weights", {"policy_weights": "x.pth", "policy": {"encoder": "raw"}}),
    ("data.features", {"data": {"features": ["store"]}, "towers": "both"}),
    ("features: retrieval", {"features": "grid"}),
    ("options.start_temperature", {"start_temperature": 3.0, "policy": None}),
    ("options.end_temperature", {"end_temperature": 0.1, "policy": None}),
    ("options.warmup_epochs", {"warmup_epochs": 0, "policy": None}),
    ("model.reuse_scores", {"model": {"reuse_scores": True}, "policy": None}),
    ("word_aggregation", {"model": {"word_aggregation": "mlp"}}),
    ("num_kept", {"model": {"num_kept": 0}}),
    ("num_positions", {"model": {**FEW_PLACES, "num_kept": 5}}),
    ("model.num_positions", {"model": {**FEW_PLACES, "num_frames": 5}, "policy": None}),
    ("model.num_positions", {"model": {**FEW_PLACES, "num_frames": 6}, "warmup_epochs": 2}),
    ("model.num_positions", {"model": FEW_PLACES, "num_used": 5, "policy": None}),
    ("freeze_layers", {"freeze_layers": -2}),
    ("towers", {"towers": "image"}),
    ("tower_rate", {"tower_rate": -1.0}),
    ("unknown setting max_words", {"max_words": 3}),
]
PARTS = {"model", "data", "features"}


def config(wishes: dict[str, Any]) -> TrainConfig:
    """A config of some options, and of other parts by their names."""
    parts = {name: value for name, value in wishes.items() if name in PARTS}
    options = {name: value for name, value in wishes.items() if name not in PARTS}
    return TrainConfig.model_validate({"method": "retrieval", "options": options, **parts})


@pytest.mark.parametrize(
    ("key", "wishes"), WRONG, ids=[f"{n}-{k}" for n, (k, _) in enumerate(WRONG)]
)
def test_wishes_that_do_not_go_together_are_refused_by_a_key(
    key: str, wishes: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        RetrievalMethod.reads_features(config(wishes))


@pytest.mark.parametrize(
    ("reads", "wishes"),
    [
        (True, {}),
        (True, {"towers": "text", "max_tokens": 20}),
        (True, {"policy": CNN, "policy_weights": "imagenet"}),
        (True, {"model": WORDS, "max_tokens": 20}),
        (True, {"model": {"num_heads": 3, "num_kept": 200}}),
        (False, {"towers": "both", "exact_pixels": True}),
        (False, {"towers": "both", "policy": CNN, "freeze_layers": 11}),
        (False, {"towers": "both", "policy": None, "model": {"num_frames": 12}, "num_used": 6}),
    ],
)
def test_stored_features_are_wanted_unless_both_towers_train(
    reads: bool, wishes: dict[str, Any]
) -> None:
    assert RetrievalMethod.reads_features(config(wishes)) is reads


@pytest.mark.parametrize(
    ("asked", "num_used", "found"),
    [
        ({}, 0, (16, 8)),
        ({"num_kept": 4}, 0, (16, 4)),
        ({"num_frames": 6}, 0, (6, 3)),
        ({"num_frames": 12, "num_kept": 4}, 6, (6, 4)),
        ({}, 5, (5, 2)),
        ({"num_frames": 1}, 0, (1, 1)),
    ],
)
def test_numbers_of_frames_follow_from_the_data_where_they_are_not_asked_for(
    asked: dict[str, Any], num_used: int, found: tuple[int, int]
) -> None:
    sizes = with_frames(asked, 16, RetrievalOptions(num_used=num_used))
    assert (sizes["num_frames"], sizes["num_kept"]) == found


def test_a_policy_looks_at_pictures_unless_it_reads_features() -> None:
    assert not RetrievalOptions().reads_pictures
    assert not RetrievalOptions(policy=None).reads_pictures
    assert RetrievalOptions(policy=PolicyConfig(encoder="raw")).reads_pictures


def test_a_card_tells_what_is_not_as_published_and_nothing_else() -> None:
    sizes = RetrievalConfig()
    usual = departures(checked_options(config({})), sizes)
    assert "the policy reads the encoder's features" in usual
    assert "the encoder stays as it is" in usual
    published = {
        "towers": "both",
        "policy": {**CNN, "batch_statistics": True},
        "decay_all": True,
        "positives": "pair",
    }
    assert departures(checked_options(config(published)), sizes) == []
    sane = departures(checked_options(config({**published, "policy": CNN})), sizes)
    assert sane == ["the policy's CNN keeps its statistics"]


@pytest.mark.parametrize(
    ("options", "most"), [({}, 99), ({"policy": None}, 4), ({"warmup_epochs": 1}, 5)]
)
def test_as_many_frames_are_taken_as_the_header_has_places_for(
    options: dict[str, Any], most: int
) -> None:
    asked = {**FEW_PLACES, "num_kept": 2}
    wanted = checked_options(config({"model": asked, **options}))
    assert with_frames(asked, most, wanted)["num_frames"] == most
    if options:
        with pytest.raises(ConfigError, match=r"model\.num_positions: want at least 5 .*, got 4"):
            with_frames(asked, most + 1, wanted)
