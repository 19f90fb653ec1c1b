"""SODA tells a story in its order: the sums, what is asked of METEOR, and the edges."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.plain_tools import PlainTools
from vcap.metrics.meteor import meteor_scores
from vcap.metrics.outcome import Outcome
from vcap.metrics.soda import best_totals, best_totals_through, matched_cells, score_soda
from vcap.metrics.tiou import tiou_matrix
from vcap.types import Event, Segment

CAT, DOG, MAN = "a cat sits", "a dog runs", "one man plays the guitar"
SHAPES = st.tuples(st.integers(0, 5), st.integers(0, 5))
WORTH = arrays(np.float64, SHAPES, elements=st.sampled_from([0.0, 0.0, 0.125, 0.25, 0.5, 1.0]))
TIME = st.integers(0, 12)
EVENT = st.builds(
    lambda start, length, caption: Event(Segment(start, start + length), caption),
    TIME,
    TIME,
    st.sampled_from([CAT, DOG, MAN, "a cat", "", "the dog plays"]),
)
VIDEOS = st.dictionaries(st.sampled_from("uvwx"), st.lists(EVENT, max_size=5), max_size=4)


def event(start: float, end: float, caption: str) -> Event:
    """A captioned segment."""
    return Event(Segment(start, end), caption)


def score(made: Any, *truths: Any, tools: PlainTools | None = None, **settings: Any) -> Outcome:
    """The outcome with plain tools."""
    return score_soda(made, truths, tools or PlainTools(), **settings)


def sums_by_trying(worth: np.ndarray[Any, Any]) -> float:
    """The greatest sum over all ways to match in order."""
    num_rows, num_columns = worth.shape
    best = 0.0
    for size in range(1, min(num_rows, num_columns) + 1):
        for rows in itertools.combinations(range(num_rows), size):
            for columns in itertools.combinations(range(num_columns), size):
                best = max(best, float(worth[list(rows), list(columns)].sum()))
    return best


def plain_soda_c(made: Sequence[Event], truth: Sequence[Event]) -> list[float]:
    """Precision, recall and F1 of one video by the definition, every pair put to METEOR."""
    made, truth = (sorted(told, key=lambda e: e.segment.start) for told in (made, truth))
    if not made:
        return [0.0, 0.0, 0.0]
    tiou = tiou_matrix([e.segment for e in truth], [e.segment for e in made])
    pairs = [(t.caption.lower(), (m.caption.lower(),)) for t in truth for m in made]
    total = sums_by_trying(tiou * meteor_scores(PlainTools().meteor(pairs)).reshape(tiou.shape))
    precision, recall = total / len(made), total / len(truth)
    return [precision, recall, 2 * precision * recall / (precision + recall) if total else 0.0]


@given(WORTH)
def test_the_greatest_sum_is_that_of_trying_everything(worth: np.ndarray[Any, Any]) -> None:
    assert best_totals(worth) == pytest.approx(sums_by_trying(worth))


@given(WORTH)
def test_the_sum_through_a_cell_is_the_greatest_that_takes_it(
    worth: np.ndarray[Any, Any],
) -> None:
    through = best_totals_through(worth)
    assert through.shape == worth.shape
    for row, column in np.ndindex(*worth.shape):
        before = sums_by_trying(worth[:row, :column])
        after = sums_by_trying(worth[row + 1 :, column + 1 :])
        assert through[row, column] == pytest.approx(before + worth[row, column] + after)


@given(st.lists(arrays(np.float64, (3, 4), elements=st.floats(0, 1)), min_size=1, max_size=4))
def test_many_tables_at_once_give_what_each_gives_alone(
    tables: list[np.ndarray[Any, Any]],
) -> None:
    together = best_totals(np.stack(tables))
    assert together.tolist() == [float(best_totals(table)) for table in tables]


@given(WORTH)
def test_matched_cells_cross_nowhere_and_keep_their_rows(worth: np.ndarray[Any, Any]) -> None:
    rows, columns = np.nonzero(matched_cells(worth))
    assert (np.diff(rows) > 0).all()
    assert (np.diff(columns) > 0).all()
    assert (rows.size > 0) == (worth.size > 0)


def test_the_walk_back_takes_the_first_cell_where_nothing_overlaps() -> None:
    assert np.argwhere(matched_cells(np.zeros((2, 3)))).tolist() == [[0, 0]]


def test_the_walk_back_takes_the_last_cell_that_gained_in_a_row() -> None:
    worth = np.array([[0.0, 0.9], [0.1, 0.0]])  # the best sum is 0.9, the walk finds 0.1
    assert np.argwhere(matched_cells(worth)).tolist() == [[1, 0]]


@given(VIDEOS, VIDEOS)
def test_soda_c_is_its_definition_though_few_pairs_are_put_to_meteor(
    made: dict[str, list[Event]], truth: dict[str, list[Event]]
) -> None:
    outcome = score(made, truth)
    rows = [
        plain_soda_c(made[video], truth[video])
        for video in truth
        if made.keys() >= {video} and truth[video]
    ]
    expected = np.mean(rows, axis=0).tolist() if rows else [0.0, 0.0, 0.0]
    told = outcome.details["SODA_c"]
    assert [told[name] for name in ("precision", "recall", "F1")] == pytest.approx(expected)
    assert outcome.scores == {"SODA_c": told["F1"]}


@given(VIDEOS, VIDEOS, st.randoms(use_true_random=False))
def test_the_order_of_videos_changes_nothing(
    made: dict[str, list[Event]], truth: dict[str, list[Event]], chance: Any
) -> None:
    shuffled = [*truth]
    chance.shuffle(shuffled)
    before = score(made, truth).scores
    assert score(made, {video: truth[video] for video in shuffled}).scores == pytest.approx(before)


TRUTH = {"v": [event(0, 10, CAT), event(10, 20, DOG)], "w": [event(0, 5, MAN)]}


def test_perfect_predictions_in_any_order_score_one_and_in_swapped_roles_less() -> None:
    shuffled = {"v": TRUTH["v"][::-1], "w": TRUTH["w"]}
    same = {video: [Event(e.segment, "word") for e in told] for video, told in TRUTH.items()}
    assert score(same, same).scores["SODA_c"] == pytest.approx(1, abs=1e-8)
    assert score(shuffled, TRUTH).scores == score(TRUTH, TRUTH).scores
    swapped = {"v": [event(0, 10, DOG), event(10, 20, CAT)], "w": TRUTH["w"]}
    assert score(swapped, TRUTH).scores["SODA_c"] < score(TRUTH, TRUTH).scores["SODA_c"]


def test_the_caption_of_the_event_is_the_candidate_and_the_prediction_the_reference() -> None:
    tools = PlainTools()
    score({"v": [event(0, 10, "Told")]}, {"v": [event(0, 10, "True")]}, tools=tools)
    assert tools.asked == [("true", ("told",))]
    assert set(tools.expected) == {"true", "told"}


def test_a_pair_is_asked_once_and_not_at_all_where_segments_are_apart() -> None:
    tools = PlainTools()
    twice = {name: [event(0, 10, CAT), event(50, 60, DOG)] for name in "vw"}
    score(twice, twice, tools=tools)
    assert sorted(tools.asked) == [(CAT, (CAT,)), (DOG, (DOG,))]


def test_a_pair_that_cannot_add_to_the_sum_is_not_asked() -> None:
    tools = PlainTools()
    near = {"v": [event(0, 10, CAT), event(9, 20, DOG)]}  # neighbours have a tIoU of 0.05
    score(near, near, tools=tools)
    assert set(tools.asked) == {(CAT, (CAT,)), (DOG, (DOG,))}
    poor = PlainTools()
    score({"v": [event(0, 10, MAN), event(9, 20, MAN)]}, near, tools=poor)
    assert set(poor.asked) == {(CAT, (MAN,)), (DOG, (MAN,))}


def test_a_missing_video_is_left_out_and_an_empty_list_counts_zero() -> None:
    whole = score({"w": TRUTH["w"]}, TRUTH)
    assert whole.items[0] == {"id": "v", "scores": {}}
    assert whole.scores["SODA_c"] == whole.items[1]["scores"]["SODA_c"] > 0.3
    half = score({"w": TRUTH["w"], "v": [], "unknown": TRUTH["v"]}, TRUTH)
    assert half.items[0]["scores"]["SODA_c"] == 0
    assert half.scores["SODA_c"] == whole.scores["SODA_c"] / 2


def test_a_reference_video_without_an_event_is_left_out() -> None:
    outcome = score(TRUTH, {**TRUTH, "v": []})
    assert outcome.items[0]["scores"] == {}
    assert outcome.scores == score({"w": TRUTH["w"]}, TRUTH).scores


def test_no_common_video_is_zero_and_said() -> None:
    outcome = score({"other": TRUTH["v"]}, TRUTH)
    assert outcome.scores == {"SODA_c": 0.0}
    assert "no video" in outcome.warnings[0]
    assert score({}, {}).scores == {"SODA_c": 0.0}


def test_times_that_are_no_number_or_in_the_wrong_order_meet_nothing() -> None:
    odd = {"w": [event(float("nan"), 5, MAN), event(5, 0, MAN)]}
    assert score(odd, TRUTH).scores == {"SODA_c": 0.0}
    assert score({"w": [*odd["w"], event(0, 5, MAN)]}, TRUTH).scores["SODA_c"] > 0.1


def test_several_files_are_averaged_merged_or_the_best_taken() -> None:
    other = {"v": [event(0, 10, CAT)], "only here": [event(0, 1, CAT)]}
    made = {**TRUTH, "only here": [event(0, 1, MAN)]}
    first, second = (score(made, file).scores["SODA_c"] for file in (TRUTH, other))
    mean = score(made, TRUTH, other)
    assert mean.units == ("v", "w", "only here")
    assert mean.scores["SODA_c"] == pytest.approx((first + second) / 2)
    assert [file["F1"] for file in mean.details["SODA_c"]["per_file"]] == [first, second]
    merged = score(made, TRUTH, other, files="merged")
    together = {"v": [*TRUTH["v"], *other["v"]], "w": TRUTH["w"], "only here": other["only here"]}
    assert merged.scores == score(made, together).scores
    best = score(made, TRUTH, other, files="best")
    alone = [score(made, file).items for file in (TRUTH, other)]
    assert best.items[0]["scores"]["SODA_c"] == max(items[0]["scores"]["SODA_c"] for items in alone)
    assert len(best.details["SODA_c"]["per_file"]) == 1


def test_resampling_weighs_each_video_within_its_file() -> None:
    made = {"v": TRUTH["v"], "w": [event(0, 5, CAT)]}
    outcome = score(made, TRUTH, {"v": TRUTH["v"]})
    good, bad = (item["scores"]["SODA_c"] for item in outcome.items)
    assert bad == 0 < good
    drawn = outcome.rescore(np.array([1.0, 3.0]))["SODA_c"]
    assert drawn == pytest.approx((good / 4 + good) / 2)
    # no video of the second file is drawn, so there is no mean over the files
    assert np.isnan(outcome.rescore(np.array([0.0, 2.0]))["SODA_c"])
    assert outcome.rescore(np.ones(2)) == outcome.scores


def test_variant_d_needs_no_text_tool_and_the_others_say_why_they_are_absent() -> None:
    tools = PlainTools({"METEOR": "there is no Java"})
    outcome = score(TRUTH, TRUTH, tools=tools)
    assert outcome.scores == outcome.rescore(np.ones(2)) == {}
    assert outcome.unavailable == {"SODA_c": "there is no Java"}
    assert score(TRUTH, TRUTH, tools=tools, variant="d").scores["SODA_d"] == pytest.approx(1)
    assert "SODA_c (CIDEr)" in score(TRUTH, TRUTH, tools=tools, scorer="CIDEr").scores


def test_variants_a_and_b_sum_the_text_scores_of_what_overlaps_most() -> None:
    made = {"w": [event(0, 2.5, "the guitar"), event(2, 5, MAN)]}  # tIoU 0.5 and 0.6
    exact = float(meteor_scores(PlainTools().meteor([(MAN, (MAN,))]))[0])
    b = score(made, TRUTH, variant="b").details["SODA_b"]
    assert b["recall"] == pytest.approx(exact)
    assert b["precision"] == pytest.approx(exact / 2)
    first = float(meteor_scores(PlainTools().meteor([(MAN, ("the guitar",))]))[0])
    a = score(made, TRUTH, variant="a").details["SODA_a"]  # nothing is left at 0.7 and 0.9
    assert a["recall"] == pytest.approx((2 * exact + 2 * first) / 4)


def test_characters_beyond_ascii_are_blanks_before_the_tokenizer() -> None:
    tools = PlainTools()
    score({"w": [event(0, 5, "caf\u00e9 \u2014 bar")]}, TRUTH, tools=tools)
    assert "caf    bar" in tools.tokenized


def test_a_file_that_shares_no_video_with_the_predictions_counts_0_in_each_draw() -> None:
    outcome = score({"v": TRUTH["v"]}, TRUTH, {"z": TRUTH["v"]})
    alone = score({"v": TRUTH["v"]}, TRUTH).scores["SODA_c"]
    assert outcome.scores["SODA_c"] == pytest.approx(alone / 2)
    assert outcome.rescore(np.ones(len(outcome.units))) == outcome.scores
