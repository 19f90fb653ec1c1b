"""Ranks, recalls and ties on matrices that can be worked by hand."""

from typing import Any

import numpy as np
import pytest

from vcap.metrics.retrieval import (
    BACK,
    RankRange,
    padded_ranks,
    score_ranks,
    score_retrieval,
    text_ranks,
    video_ranks,
)

NAMES = ("R@1", "R@5", "R@10", "R@50", "MdR", "MnR")


def matrix(rows: list[list[float]]) -> Any:
    return np.array(rows, dtype=np.float32)


def random_case(seed: int, texts: int = 14, videos: int = 6) -> tuple[Any, Any]:
    """Similarities with many ties, and a video for each text; every video has one."""
    draw = np.random.default_rng(seed)
    target = np.concatenate([np.arange(videos), draw.integers(videos, size=texts - videos)])
    return draw.integers(5, size=(texts, videos)).astype(np.float32), target


def test_a_perfect_model_has_rank_one_everywhere() -> None:
    scores = score_retrieval(np.eye(7, dtype=np.float32), range(7)).scores
    assert [scores[name] for name in NAMES] == [100, 100, 100, 100, 1, 1]
    assert [scores[BACK + name] for name in NAMES] == [100, 100, 100, 100, 1, 1]


def test_recall_is_the_share_of_texts_within_the_first_k() -> None:
    similarity = -np.arange(12, dtype=np.float32)[None, :].repeat(12, axis=0)
    scores = score_retrieval(similarity, range(12)).scores  # ranks 1 .. 12
    assert scores["R@1"] == pytest.approx(100 / 12)
    assert scores["R@5"] == pytest.approx(500 / 12)
    assert scores["R@10"] == pytest.approx(1000 / 12)
    assert (scores["MdR"], scores["MnR"]) == (6.5, 6.5)


def test_ties_count_against_the_model() -> None:
    ranks = text_ranks(matrix([[0.9, 0.1, 0.9], [0.2, 0.8, 0.1]]), np.array([0, 1]))
    assert ranks.worst.tolist() == [2, 1]
    assert ranks.best.tolist() == [1, 1]
    assert ranks.num_tied == 1


def test_a_model_that_says_the_same_of_all_is_last_unless_asked_otherwise() -> None:
    flat = np.zeros((4, 4), dtype=np.float32)
    assert score_retrieval(flat, range(4)).scores["MnR"] == 4
    assert score_retrieval(flat, range(4), ties="best").scores["MnR"] == 1


def test_the_warning_tells_how_many_ties_there_are_and_whom_they_serve() -> None:
    flat = np.zeros((2, 2), dtype=np.float32)
    (against,) = score_retrieval(flat, range(2)).warnings
    (serving,) = score_retrieval(flat, range(2), ties="best").warnings
    assert "4 queries" in against and "against the model" in against
    assert "for the model" in serving


def test_both_rules_for_ties_are_told_with_the_figures() -> None:
    ties = score_retrieval(matrix([[1, 1], [0, 1]]), [0, 1]).details["ties"]
    assert ties["text-to-video queries"] == 1
    assert ties["text-to-video"]["best"]["R@1"] == 100
    assert ties["text-to-video"]["worst"]["R@1"] == 50
    assert ties["video-to-text queries"] == 1


def test_an_unknown_rule_for_ties_is_refused() -> None:
    with pytest.raises(ValueError, match="worst or best"):
        score_retrieval(np.eye(2, dtype=np.float32), range(2), ties="mean")


def test_a_video_is_as_good_as_its_best_text() -> None:
    similarity = matrix([[0.1, 0.9], [0.8, 0.0], [0.5, 0.4]])  # texts 0, 1 are of video 0
    ranks = video_ranks(similarity, np.array([0, 0, 1]))
    assert ranks.worst.tolist() == [1, 2]


def test_texts_of_one_video_do_not_spoil_each_others_rank() -> None:
    ranks = video_ranks(matrix([[1, 0], [1, 0], [0, 1]]), np.array([0, 0, 1]))
    assert ranks.worst.tolist() == [1, 1]
    assert ranks.num_tied == 0


def test_a_text_of_another_video_that_ties_does_count() -> None:
    ranks = video_ranks(matrix([[1, 0], [1, 0], [1, 1]]), np.array([0, 0, 1]))
    assert (ranks.best[0], ranks.worst[0]) == (1, 2)


def test_ranking_against_one_score_a_video_is_easier() -> None:
    similarity = matrix([[0.5, 0.6], [0.4, 0.7], [0.9, 0.8]])  # text 2 is of video 1
    target = np.array([0, 0, 1])
    assert video_ranks(similarity, target).worst.tolist() == [2, 1]
    assert padded_ranks(similarity, target).worst.tolist() == [2, 1]
    similarity[1, 0] = 0.95
    assert padded_ranks(similarity, target).worst.tolist() == [1, 1]


def test_the_median_of_that_variant_is_the_lower_middle_one() -> None:
    similarity = matrix([[0, 1], [0, 1], [0, 1]])
    outcome = score_retrieval(similarity, [0, 0, 1])
    variant = outcome.details["video-to-text among one score a video"]
    assert (variant["MdR"], variant["MnR"]) == (2.0, 2.0)
    assert "video-to-text among one score a video" not in score_retrieval(np.eye(2), [0, 1]).details


def test_a_video_without_a_text_is_in_the_way_but_asks_nothing() -> None:
    similarity = matrix([[0.5, 0.9, 0.1], [0.2, 0.9, 0.6]])
    outcome = score_retrieval(similarity, [0, 2], video_ids=["a", "b", "c"])
    assert outcome.units == ("a", "c")
    assert outcome.scores["MnR"] == 2  # b is above both
    assert outcome.scores[BACK + "MnR"] == 1
    assert outcome.details["gallery"] == 3


def test_each_video_is_shown_with_the_ranks_of_its_texts() -> None:
    similarity = matrix([[0.5, 0.9], [0.8, 0.1], [0.2, 0.7]])
    items = score_retrieval(similarity, [0, 0, 1], video_ids=["a", "b"]).items
    assert items[0] == {"id": "a", "scores": {"rank": 1.5, BACK + "rank": 1.0}, "texts": 2}
    assert items[1]["scores"] == {"rank": 1.0, BACK + "rank": 2.0}


@pytest.mark.parametrize(
    ("similarity", "target", "said"),
    [
        (np.zeros(3), [0], "want [Q, V]"),
        (np.zeros((2, 2)), [0], "got [2, 2] and [1]"),
        (np.zeros((2, 2)), [0, 2], "not among the 2 columns"),
        (np.zeros((2, 2)), [0, -1], "not among the 2 columns"),
        (np.array([[0.0, np.nan]]), [0], "NaN"),
    ],
)
def test_what_is_no_similarity_is_refused(similarity: Any, target: Any, said: str) -> None:
    with pytest.raises(ValueError) as raised:
        score_retrieval(similarity, target)
    assert said in str(raised.value)


def test_nothing_to_rank_is_refused() -> None:
    none = np.empty(0, dtype=np.int64)
    with pytest.raises(ValueError, match="no text"):
        score_ranks(RankRange(none, none), none, [])


@pytest.mark.parametrize("seed", range(8))
def test_weights_count_a_video_as_often_as_they_say(seed: int) -> None:
    similarity, target = random_case(seed)
    outcome = score_retrieval(similarity, target)
    weights = np.random.default_rng(seed).integers(3, size=len(outcome.units)) + (seed % 2)
    weights[0] = 1
    ranks = text_ranks(similarity, target).worst
    repeated = np.repeat(ranks, weights[target])
    found = outcome.rescore(weights.astype(np.float64))
    assert found["MnR"] == pytest.approx(repeated.mean())
    assert found["MdR"] == pytest.approx(np.median(repeated))
    assert found["R@1"] == pytest.approx(100 * np.mean(repeated <= 1))
    back = np.repeat(video_ranks(similarity, target).worst, weights)
    assert found[BACK + "MdR"] == pytest.approx(np.median(back))


@pytest.mark.parametrize("seed", range(8))
def test_ranks_are_what_counting_one_by_one_gives(seed: int) -> None:
    similarity, target = random_case(seed)
    there, back = text_ranks(similarity, target), video_ranks(similarity, target)
    for row, own in enumerate(target):
        others = np.delete(similarity[row], own)
        assert there.best[row] == 1 + sum(others > similarity[row, own])
        assert there.worst[row] == 1 + sum(others >= similarity[row, own])
    for video in range(similarity.shape[1]):
        column, mine = similarity[:, video], target == video
        assert back.best[video] == 1 + sum(column[~mine] > column[mine].max())
        assert back.worst[video] == 1 + sum(column[~mine] >= column[mine].max())


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_texts_and_videos_changes_nothing(seed: int) -> None:
    similarity, target = random_case(seed)
    draw = np.random.default_rng(seed + 100)
    rows, columns = draw.permutation(len(target)), draw.permutation(similarity.shape[1])
    moved = score_retrieval(similarity[rows][:, columns], np.argsort(columns)[target[rows]])
    assert moved.scores == pytest.approx(score_retrieval(similarity, target).scores)


def test_many_rows_are_ranked_in_blocks_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    similarity, target = random_case(3, texts=40)
    whole = score_retrieval(similarity, target).scores
    monkeypatch.setattr("vcap.metrics.retrieval.ROWS_AT_ONCE", 7)
    assert score_retrieval(similarity, target).scores == whole


def test_no_video_drawn_is_refused() -> None:
    outcome = score_retrieval(np.eye(2, dtype=np.float32), range(2))
    with pytest.raises(ValueError, match="weights are all 0"):
        outcome.rescore(np.zeros(2))


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.uint8, np.int8])
def test_whole_numbers_rank_as_the_same_floats_do(kind: Any) -> None:
    similarity, target = random_case(3)
    expected = score_retrieval(similarity, target)
    found = score_retrieval(similarity.astype(kind), target)
    assert found.scores == expected.scores
    assert found.details == expected.details
    ranks = video_ranks(similarity.astype(kind), target)
    assert ranks.worst.tolist() == video_ranks(similarity, target).worst.tolist()
