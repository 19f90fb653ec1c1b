"""All captions of a video are one text, judged by its words alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plain_tools import PlainTools
from vcap.errors import UsageError
from vcap.metrics.caption import caption_scores
from vcap.metrics.paragraph import (
    PARAGRAPH_METRICS,
    paragraph_of,
    score_paragraphs,
    with_prefix,
)

CAPTIONS = st.lists(st.sampled_from(["A man walks", "he sits, then", "2 dogs", "", "..."]))
TRUTH = [
    {"v_a": "A man walks a dog. They sit.", "v_b": "It rains 24 hours."},
    {"v_a": "Someone walks.", "v_c": "A girl sings."},
]
MADE = {"v_a": ["A man walks", "He sits."], "v_b": ["it rains"], "v_z": ["not asked for"]}


def test_the_videos_of_all_files_count_in_their_order() -> None:
    outcome = score_paragraphs(MADE, TRUTH, PlainTools())
    assert outcome.units == ("v_a", "v_b", "v_c")
    assert tuple(outcome.scores) == PARAGRAPH_METRICS
    assert outcome.items[0] == {
        "id": "v_a",
        "scores": outcome.items[0]["scores"],
        "prediction": "A man walks. He sits..",
        "references": ["A man walks a dog. They sit.", "Someone walks."],
        "length": 5,
    }
    assert outcome.items[2]["prediction"] == ""
    assert outcome.items[2]["references"] == ["A girl sings."]


def test_only_ascii_letters_count_and_no_tokenizer_is_asked() -> None:
    tools = PlainTools()
    outcome = score_paragraphs(MADE, TRUTH, tools)
    pairs = [
        ("a man walks he sits", ("a man walks a dog they sit", "someone walks")),
        ("it rains", ("it rains hours",)),
        ("", ("a girl sings",)),
    ]
    assert tools.tokenized == []
    assert outcome.scores == caption_scores(pairs, PlainTools(), PARAGRAPH_METRICS).scores


def test_a_missing_video_is_an_empty_paragraph_and_lowers_the_score() -> None:
    without = score_paragraphs({"v_a": MADE["v_a"]}, TRUTH, PlainTools())
    empty = score_paragraphs({"v_a": MADE["v_a"], "v_b": [], "v_c": [""]}, TRUTH, PlainTools())
    assert without.scores == pytest.approx(empty.scores)
    assert without.scores["ROUGE-L"] < score_paragraphs(MADE, TRUTH, PlainTools()).scores["ROUGE-L"]


def test_ids_without_the_prefix_meet_those_with_it() -> None:
    bare = {video.removeprefix("v_"): told for video, told in MADE.items()}
    files = [{video.removeprefix("v_"): text for video, text in TRUTH[0].items()}, TRUTH[1]]
    outcome = score_paragraphs(bare, files, PlainTools())
    assert outcome.units == ("v_a", "v_b", "v_c")
    assert outcome.scores == score_paragraphs(MADE, TRUTH, PlainTools()).scores


def test_the_first_id_alone_decides_on_the_prefix() -> None:
    assert with_prefix({"v_a": 1, "b": 2}) == {"v_a": 1, "b": 2}
    assert with_prefix({"b": 2, "v_a": 1}) == {"v_b": 2, "v_v_a": 1}
    assert with_prefix({}) == {}


def test_only_the_metrics_that_are_asked_for_are_computed() -> None:
    tools = PlainTools()
    outcome = score_paragraphs(MADE, TRUTH, tools, metrics=["cider", "BLEU"])
    assert [*outcome.scores] == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "CIDEr"]
    assert tools.asked == []
    with pytest.raises(UsageError, match="WER"):
        score_paragraphs(MADE, TRUTH, tools, metrics=["WER"])


def test_meteor_that_cannot_be_had_is_named_and_not_zero() -> None:
    outcome = score_paragraphs(MADE, TRUTH, PlainTools({"METEOR": "there is no Java"}))
    assert "METEOR" not in outcome.scores
    assert outcome.unavailable == {"METEOR": "there is no Java"}
    assert outcome.scores["CIDEr"] > 0


def test_resampling_with_every_video_once_is_the_score_itself() -> None:
    outcome = score_paragraphs(MADE, TRUTH, PlainTools())
    assert outcome.rescore(np.ones(3)) == pytest.approx(outcome.scores)
    twice = outcome.rescore(np.array([2.0, 0.0, 0.0]))
    assert twice["ROUGE-L"] == pytest.approx(outcome.items[0]["scores"]["ROUGE-L"])


def test_a_paragraph_that_says_the_reference_scores_what_the_metrics_give_it() -> None:
    same = {video: [text] for video, text in TRUTH[0].items()}
    scores = score_paragraphs(same, TRUTH[:1], PlainTools()).scores
    assert scores["BLEU-1"] == pytest.approx(1)
    assert scores["ROUGE-L"] == pytest.approx(1)


def test_captions_follow_each_other_with_a_full_stop() -> None:
    assert paragraph_of(["a man", "sits."]) == "a man. sits.. "
    assert paragraph_of([]) == ""


@given(st.dictionaries(st.sampled_from(["v_a", "v_b", "v_c"]), CAPTIONS), st.permutations(range(3)))
def test_the_order_of_videos_changes_nothing(made: dict[str, list[str]], order: list[int]) -> None:
    truth = {"v_a": "A man walks a dog.", "v_b": "Two dogs play", "v_c": "he sits"}
    turned = {video: truth[video] for video in (("v_a", "v_b", "v_c")[row] for row in order)}
    before = score_paragraphs(made, [truth], PlainTools()).scores
    assert score_paragraphs(made, [turned], PlainTools()).scores == pytest.approx(before, abs=1e-12)


def test_a_video_without_prediction_is_an_empty_text_or_left_out_and_the_protocol_says_which() -> (
    None
):
    whole = score_paragraphs(MADE, TRUTH, PlainTools())
    assert "a missing video is an empty text" in whole.protocol["paragraph"]
    left = score_paragraphs(MADE, TRUTH, PlainTools(), missing="skip")
    assert left.units == ("v_a", "v_b")
    assert "a missing video is left out" in left.protocol["paragraph"]
    assert left.scores["ROUGE-L"] > whole.scores["ROUGE-L"]
