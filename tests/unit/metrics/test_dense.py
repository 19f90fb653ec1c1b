"""Dense captioning: what is averaged over what, and what happens at the edges."""

import json
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.plain_tools import PlainTools
from vcap.metrics.dense import LANGUAGE, SCORES, START_SECONDS, DenseProtocol, score_dense
from vcap.metrics.outcome import Outcome, Pair
from vcap.types import Event, Segment

CAT, DOG, MAN = "a cat sits on a mat", "a dog runs in the park", "a man plays the guitar"


def event(start: float, end: float, caption: str) -> Event:
    """A captioned segment."""
    return Event(Segment(start, end), caption)


TRUTH = {
    "first": [event(0, 10, CAT), event(20, 30, DOG)],
    "second": [event(0, 50, MAN)],
}
MADE = {
    "first": [event(0, 10, CAT), event(60, 70, MAN)],
    "second": [event(0, 50, MAN)],
}


def score(made: Any = MADE, *truths: Any, **settings: Any) -> Outcome:
    """The outcome with plain tools."""
    metrics = settings.pop("metrics", None)
    tools = settings.pop("tools", None) or PlainTools()
    protocol = DenseProtocol(**settings)
    return score_dense(made, truths or [TRUTH], tools, protocol, metrics=metrics)


def test_all_figures_come_under_their_names_in_order() -> None:
    outcome = score()
    assert tuple(outcome.scores) == SCORES
    assert [*outcome.details["per_tiou"]] == [*LANGUAGE, "recall", "precision", "F1"]
    assert all(len(values) == 4 for values in outcome.details["per_tiou"].values())
    assert outcome.units == ("first", "second")


def test_localisation_is_counted_by_hand() -> None:
    scores = score().scores
    assert scores["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert scores["precision"] == pytest.approx((1 / 2 + 1) / 2)
    assert scores["F1"] == scores["F1 of means"] == pytest.approx(0.75)


def test_perfect_captions_score_what_the_protocol_gives_them() -> None:
    outcome = score(TRUTH)
    for name in ("BLEU-1", "BLEU-4", "ROUGE-L", "recall", "precision", "F1"):
        assert outcome.scores[name] == pytest.approx(1, abs=1e-6), name
    first, second = (item["scores"]["CIDEr"] for item in outcome.items)
    assert first > 5
    assert second == 0.0  # one pair: every word is in every document


def test_rouge_is_a_mean_over_pairs_then_videos_then_thresholds() -> None:
    outcome = score()
    matched, lost = 1.0, 0.0  # ROUGE-L of the same sentence, and of one against the constant
    assert outcome.items[0]["scores"]["ROUGE-L"] == pytest.approx((matched + lost) / 2)
    assert outcome.scores["ROUGE-L"] == pytest.approx(((matched + lost) / 2 + matched) / 2)
    made = {"first": [event(0, 10, CAT)], "second": [event(0, 20, MAN)]}  # 0.4 of it
    assert score(made).details["per_tiou"]["ROUGE-L"] == pytest.approx([1, 0.5, 0.5, 0.5])


def test_meteor_adds_the_pairs_of_a_video_before_its_formula() -> None:
    truth = {"only": [event(0, 10, "a b c d"), event(20, 30, "x")]}
    made = {"only": [event(0, 10, "a b c d"), event(20, 30, "y")]}
    found = score(made, truth, metrics=["METEOR"]).scores["METEOR"]
    fraction = 4 / 5  # four of five words match, each in its own chunk
    assert found == pytest.approx(fraction * (1 - 0.6 * 1.0**0.2))


def test_the_years_differ_in_meteor_alone_and_only_where_something_is_unmatched() -> None:
    class Cutting(PlainTools):
        """Takes the constant of 2018 for four words, as METEOR does."""

        def meteor(self, pairs: Sequence[Pair]) -> np.ndarray:
            rows = super().meteor(pairs)
            rows[[given == "abc123!@#" for _, (given,) in pairs], 1] = 4
            return rows

    old, new = (score(year=year, tools=Cutting()).scores for year in (2018, 2021))
    assert {name for name in SCORES if old[name] != new[name]} == {"METEOR"}
    assert old["METEOR"] < new["METEOR"]
    old, new = (score(TRUTH, year=year, tools=Cutting()).scores for year in (2018, 2021))
    assert old == new


def test_a_video_without_prediction_counts_0_and_halves_the_mean() -> None:
    outcome = score({"second": TRUTH["second"]})
    assert outcome.scores["recall"] == outcome.scores["ROUGE-L"] == pytest.approx(0.5)
    assert outcome.items[0]["scores"] == dict.fromkeys(SCORES, 0.0)


def test_a_video_without_prediction_can_be_left_out() -> None:
    outcome = score({"second": TRUTH["second"]}, skip_missing=True)
    assert outcome.units == ("first", "second")  # so that it can be merged with other metrics
    assert outcome.scores["recall"] == outcome.scores["ROUGE-L"] == pytest.approx(1)
    assert outcome.items[0]["scores"] == outcome.items[0]["per_tiou"] == {}
    assert outcome.details["num_videos_counted"] == 1
    assert outcome.rescore(np.array([5.0, 1.0])) == outcome.scores
    assert np.isnan([*outcome.rescore(np.array([5.0, 0.0])).values()]).all()  # a mean of none


def test_an_empty_list_is_a_prediction_that_scores_0() -> None:
    made = {"first": [], "second": TRUTH["second"]}
    kept, zero = score(made, skip_missing=True), score(made)
    assert kept.scores == zero.scores
    assert kept.details["num_videos_counted"] == 2
    assert kept.scores["precision"] == pytest.approx(0.5)


def test_nothing_predicted_gives_0_with_a_warning_only_where_it_is_left_out() -> None:
    left_out, counted = score({}, skip_missing=True), score({})
    assert set(left_out.scores.values()) == set(counted.scores.values()) == {0.0}
    assert "No video of the references is predicted" in left_out.warnings[0]
    assert counted.warnings == ()
    assert left_out.details["starts"]["F1"] == [0.0] * len(START_SECONDS)


def test_predictions_for_other_videos_are_ignored() -> None:
    assert score({**MADE, "other": TRUTH["first"]}).scores == score().scores


def test_only_the_first_proposals_of_a_video_count() -> None:
    outcome = score(max_proposals=1)
    assert outcome.details["num_proposals"] == 2
    assert outcome.scores["precision"] == 1.0
    assert outcome.details["beyond_max_proposals"] == {"first": 1}
    assert score(max_proposals=2).details["beyond_max_proposals"] == {}


def test_videos_of_all_files_count_and_the_better_file_gives_recall() -> None:
    other = {"first": [event(60, 70, MAN)], "third": [event(0, 1, CAT)]}
    outcome = score(MADE, TRUTH, other)
    assert outcome.units == ("first", "second", "third")
    assert outcome.items[0]["scores"]["recall"] == 1.0  # one event in the second file, covered
    assert len(outcome.items[0]["references"]) == 2


def test_cider_can_take_its_documents_from_all_videos_of_a_threshold() -> None:
    truth = {str(n): [event(0, 10, text)] for n, text in enumerate((CAT, DOG, MAN))}
    alone, together = score(truth, truth), score(truth, truth, cider="corpus")
    assert alone.scores["CIDEr"] == 0.0
    assert together.scores["CIDEr"] == pytest.approx(10)
    assert together.protocol["cider_documents"] == "pairs of one threshold"
    made = {**truth, "0": [event(0, 10, DOG)] * 3}
    outcome = score(made, truth, cider="corpus", metrics=["CIDEr"])
    wrong = outcome.items[0]["scores"]["CIDEr"]
    right = [item["scores"]["CIDEr"] for item in outcome.items[1:]]
    assert outcome.scores["CIDEr"] == pytest.approx((3 * wrong + sum(right)) / 5)


def test_asked_metrics_alone_are_computed() -> None:
    tools = PlainTools()
    outcome = score(metrics=["recall", "F1"], tools=tools)
    assert [*outcome.scores] == ["recall", "F1"]
    assert tools.tokenized == tools.asked == []
    assert [*score(metrics=["CIDEr", "BLEU-4"]).scores] == ["BLEU-4", "CIDEr"]
    assert [*score(metrics=["CIDEr", "BLEU-4"]).items[0]["per_tiou"]] == ["BLEU-4", "CIDEr"]


def test_an_unknown_metric_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"want names among BLEU-1, .*; got SPICE"):
        score(metrics=["recall", "SPICE"])


def test_meteor_that_is_not_there_is_named_and_never_0() -> None:
    tools = PlainTools({"METEOR": "there is no Java", "SPICE": "no models"})
    outcome = score(tools=tools)
    assert "METEOR" not in outcome.scores
    assert "METEOR" not in outcome.items[0]["scores"]
    assert outcome.unavailable == {"METEOR": "there is no Java"}
    assert tools.asked == tools.expected == []
    assert score(tools=tools, metrics=["recall"]).unavailable == {}


def test_each_distinct_pair_is_put_to_meteor_once() -> None:
    tools = PlainTools()
    score({"first": [event(0, 10, CAT)] * 50, "second": [event(0, 50, CAT)]}, tools=tools)
    assert sorted(tools.asked) == [(CAT, (CAT,)), (CAT, (MAN,))]
    assert {CAT, DOG, MAN} <= set(tools.expected)
    assert len(tools.tokenized) == len(set(tools.tokenized))


def test_a_failure_of_meteor_is_told_and_leaves_no_thread() -> None:
    class Broken(PlainTools):
        def meteor(self, pairs: Sequence[Pair]) -> np.ndarray:
            raise OSError("METEOR ended")

    before = threading.active_count()
    with pytest.raises(OSError, match="METEOR ended"):
        score(tools=Broken())
    assert threading.active_count() == before


def test_resampling_with_ones_gives_the_scores_and_with_twos_too() -> None:
    for settings in ({}, {"cider": "corpus"}, {"skip_missing": True}):
        outcome = score(**settings)
        assert outcome.rescore(np.ones(2)) == outcome.scores
        again = outcome.rescore(np.full(2, 2.0))
        assert again == pytest.approx(outcome.scores, abs=1e-12)


def test_a_video_drawn_alone_gives_its_own_figures() -> None:
    outcome = score()
    for row, item in enumerate(outcome.items):
        weights = np.zeros(2)
        weights[row] = 3.0
        assert outcome.rescore(weights) == pytest.approx(item["scores"], abs=1e-12)


def test_an_item_shows_what_was_said_and_what_is_true() -> None:
    item = score().items[0]
    assert item["id"] == "first"
    assert item["prediction"] == f"0-10 s: {CAT}\n60-70 s: {MAN}"
    assert item["references"] == [f"0-10 s: {CAT}\n20-30 s: {DOG}"]
    assert item["length"] == 11
    assert item["per_tiou"]["recall"] == [0.5] * 4


def test_everything_but_the_resampling_is_json() -> None:
    outcome = score(skip_missing=True)
    for part in (outcome.items, outcome.details, outcome.protocol, outcome.scores):
        assert json.loads(json.dumps(part, allow_nan=False)) == part


def test_start_points_are_reported_where_missing_videos_are_left_out() -> None:
    made = {"first": [event(2, 3, CAT), event(24, 25, DOG)]}
    starts = score(made, skip_missing=True).details["starts"]
    assert starts["seconds"] == [1, 3, 5, 10, 30, 60]
    assert starts["recall"] == [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]
    assert starts["precision"] == [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]
    assert "starts" not in score(made).details


def test_times_that_are_no_numbers_meet_nothing() -> None:
    made = {"first": [event(float("nan"), 10, CAT), event(0, float("nan"), CAT)]}
    outcome = score(made, skip_missing=True)
    assert outcome.scores["recall"] == outcome.scores["ROUGE-L"] == 0.0


def test_a_reference_video_without_events_is_told() -> None:
    outcome = score(MADE, {**TRUTH, "second": []})
    assert outcome.warnings == ("1 reference video(s) have no event and count 0 for localisation.",)
    assert outcome.items[1]["scores"]["recall"] == 0.0


def test_the_protocol_is_named_with_its_settings() -> None:
    protocol = score(year=2021, max_proposals=7, tious=[0.5], skip_missing=True).protocol
    assert protocol["dense"] == "ActivityNet Captions 2021"
    assert (protocol["tious"], protocol["max_proposals_per_video"]) == ([0.5], 7)
    assert protocol["videos_without_entry"] == "left out"
    assert score().protocol["dense"] == "ActivityNet Captions 2018"


@pytest.mark.parametrize("wrong", [{"year": 2019}, {"tious": ()}, {"max_proposals": 0}])
def test_a_protocol_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="want"):
        DenseProtocol(**wrong)
