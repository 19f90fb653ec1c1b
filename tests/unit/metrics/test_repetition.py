"""Captions that say the same again are found out, in the way the field counts it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcap.metrics.repetition import NAMES, score_repetition, words_of
from vcap.types import Event, Segment

CAPTION = st.text(alphabet="ab ,._", max_size=12)


def events(number: int) -> list[Event]:
    """That many events of one second."""
    return [Event(Segment(i, i + 1.0), "something happens") for i in range(number)]


def test_a_caption_said_twice_repeats_half_of_everything() -> None:
    scores = score_repetition({"v": ["a b c d e", "a b c d e"]}, [{"v": events(2)}]).scores
    assert scores == {
        "R@1": 0.5,
        "R@2": 0.5,
        "R@3": 0.5,
        "R@4": 0.5,
        "Div@1": 0.5,
        "Div@2": 0.4,
        "RE@4": 0.5,
    }


def test_captions_without_a_common_word_repeat_nothing() -> None:
    scores = score_repetition({"v": ["a b c d", "e f g h"]}, [{"v": events(2)}]).scores
    assert [scores[name] for name in NAMES[:4]] == [0, 0, 0, 0]
    assert scores["Div@1"] == 1
    assert scores["Div@2"] == 6 / 8


def test_diversity_looks_at_as_many_captions_as_there_are_events() -> None:
    told = {"v": ["a b c d", "a b c d"]}
    assert score_repetition(told, [{"v": events(1)}]).scores["Div@1"] == 1
    assert score_repetition(told, [{"v": events(1)}]).scores["RE@4"] == 0
    assert score_repetition(told, [{"v": events(1)}]).scores["R@4"] == 0.5
    assert score_repetition(told, [{"v": events(2)}]).scores["Div@1"] == 0.5


def test_the_first_file_that_holds_a_video_says_how_many_events_it_has() -> None:
    told = {"v": ["a b", "a b"]}
    assert score_repetition(told, [{"v": events(1)}, {"v": events(2)}]).scores["Div@1"] == 1
    assert score_repetition(told, [{}, {"v": events(2)}]).scores["Div@1"] == 0.5


def test_videos_that_are_missing_or_unknown_do_not_count() -> None:
    told = {"v": ["a a"], "unknown": ["b b b b"]}
    outcome = score_repetition(told, [{"v": events(1), "missing": events(1)}])
    assert outcome.units == ("v", "missing")
    assert outcome.scores["R@1"] == 0.5
    assert outcome.items[1] == {"id": "missing", "scores": {}}
    assert outcome.details["repetition"] == {"num_predicted": 2, "num_videos": 1}


def test_a_video_without_a_word_or_a_long_ngram_counts_zero() -> None:
    told = {"silent": ["", "  ", "."], "short": ["a a"]}
    outcome = score_repetition(told, [{"silent": events(3), "short": events(1)}])
    assert set(outcome.items[0]["scores"].values()) == {0.0}
    assert outcome.items[1]["scores"]["R@1"] == 0.5
    assert outcome.items[1]["scores"]["R@4"] == 0
    assert outcome.scores["R@1"] == 0.25


def test_nothing_predicted_is_said_and_not_praised() -> None:
    outcome = score_repetition({}, [{"v": events(1)}])
    assert set(outcome.scores.values()) == {0.0}
    assert "no reference video is predicted" in outcome.warnings[0]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A man walks.", ["A", "man", "walks"]),
        ("a man , walks  .", ["a", "man", "walks"]),
        ("mr. x", ["mr.", "x"]),
        ("end..", ["end."]),
        (" a", ["", "a"]),
        ("tab\tstays", ["tab\tstays"]),
        ("", []),
        (" .", []),
    ],
)
def test_words_stand_between_single_blanks(caption: str, words: list[str]) -> None:
    assert words_of(caption) == words


def test_events_and_plain_captions_are_the_same_prediction() -> None:
    reference = [{"v": events(2)}]
    plain = score_repetition({"v": ["something happens"] * 2}, reference)
    assert score_repetition({"v": events(2)}, reference).scores == plain.scores


def test_resampling_weighs_each_video() -> None:
    outcome = score_repetition(
        {"x": ["a a"], "y": ["a b"]}, [{"x": events(1), "y": events(1), "z": events(1)}]
    )
    assert outcome.rescore(np.array([3.0, 1.0, 5.0]))["R@1"] == 0.375
    assert outcome.rescore(np.ones(3)) == outcome.scores
    drawn = outcome.rescore(np.array([0.0, 0.0, 5.0]))
    assert np.isnan([*drawn.values()]).all()  # only a video that is not predicted


@given(st.dictionaries(st.sampled_from("uvw"), st.lists(CAPTION, max_size=4), min_size=1))
def test_every_figure_is_a_share_and_the_order_of_captions_does_not_matter(
    told: dict[str, list[str]],
) -> None:
    reference = [{video: events(9) for video in told}]
    outcome = score_repetition(told, reference)
    turned = score_repetition({video: told[video][::-1] for video in told}, reference)
    assert all(0 <= value <= 1 for value in outcome.scores.values())
    assert turned.scores == pytest.approx(outcome.scores, abs=1e-12)
    for item in outcome.items:
        scores = item["scores"]
        if told[item["id"]] and any(words_of(caption) for caption in told[item["id"]]):
            assert scores["Div@1"] == pytest.approx(1 - scores["R@1"])
        assert scores["RE@4"] == scores["R@4"]
