"""Proposals and queries come out the same from every layout; what is odd is counted."""

import json
from typing import Any

import pytest

from vcap.engine.evaluate import EvaluateSettings
from vcap.engine.evaluation.grounding import evaluate_grounding, read_proposals, read_queries
from vcap.engine.evaluation.inputs import Given
from vcap.engine.evaluation.problems import Problems
from vcap.errors import AnnotationError, InputError, UsageError
from vcap.metrics.outcome import Outcome

ANET = {"v_a": {"timestamps": [[0, 10], [5, 15]], "duration": 15, "sentences": ["one", "two"]}}
CHARADES = {
    "annotations": [
        {"id": 6, "image_id": "v_a", "caption": "one", "timestamp": [0, 10]},
        {"id": 9, "image_id": "v_b", "caption": "two", "timestamp": [5, 15]},
    ]
}
RECORDS = [
    {
        "id": "v_a",
        "duration": 15,
        "captions": [
            {"text": "one", "start": 0, "end": 10},
            {"text": "two", "start": 5, "end": 15},
        ],
    }
]


def given(value: Any) -> Given:
    """A file with this value in it."""
    many = isinstance(value, list)
    lines = map(json.dumps, value) if many else [json.dumps(value)]
    return Given("file", data="\n".join(lines).encode())


def proposed(*pairs: tuple[float, float]) -> list[dict[str, Any]]:
    """Proposals with falling scores."""
    return [{"timestamp": list(pair), "score": -n} for n, pair in enumerate(pairs)]


def scored(
    predictions: Any, references: Any = ANET, problems: Problems | None = None, **settings: Any
) -> Outcome:
    """The outcome of some proposals."""
    chosen, found = EvaluateSettings(**settings), problems or Problems()
    return evaluate_grounding(given(predictions), [given(references)], chosen, found, None)  # type: ignore[arg-type]


def test_queries_are_numbered_within_their_video() -> None:
    outcome = scored({"v_a-0": proposed((0, 10)), "v_a-1": proposed((5, 15))})
    assert outcome.units == ("v_a-0", "v_a-1")
    assert outcome.scores["R@1 tIoU=0.7"] == 1
    assert [item["video"] for item in outcome.items] == ["v_a", "v_a"]
    assert [item["query"] for item in outcome.items] == ["one", "two"]


def test_records_and_the_official_layout_hold_the_same_queries() -> None:
    problems = Problems()
    ours, theirs = (read_queries([given(v)], None, problems) for v in (RECORDS, ANET))
    assert ours == theirs
    assert problems.counts == {}


def test_a_caption_with_an_id_is_a_query_of_that_name() -> None:
    captions = [{"text": "one", "start": 0, "end": 10, "id": "q7"}]
    records = [{"id": "clip", "video_id": "film", "captions": captions}]
    queries = read_queries([given(records)], None, Problems())
    assert (queries.segments, queries.videos) == ({"q7": (0, 10)}, {"q7": "film"})


def test_annotations_with_ids_are_charades_and_scored_so() -> None:
    predictions = {"6": {"timestamp": [[0, 10], [3, 4]]}, "9": {"timestamp": []}}
    problems = Problems()
    outcome = scored(predictions, CHARADES, problems)
    assert outcome.protocol["form"] == "charades"
    assert outcome.scores["R@1 tIoU=0.7"] == 0.5
    assert [item["video"] for item in outcome.items] == ["v_a", "v_b"]
    assert problems.examples["empty"] == ["file: 9"]


def test_the_form_may_be_named_against_the_look_of_the_file() -> None:
    predictions = {"6": {"timestamp": [[0, 10]]}}
    outcome = scored(predictions, CHARADES, grounding="activitynet", tiou=(0.5,))
    assert list(outcome.scores) == ["R@1 tIoU=0.5", "R@5 tIoU=0.5", "mIoU"]


@pytest.mark.parametrize(
    "predictions",
    [
        {"v_a-0": proposed((0, 10), (1, 2))},
        {"results": {"v_a-0": proposed((0, 10), (1, 2))}},
        {"v_a-0": proposed((0, 10), (1, 2))[::-1]},
        {"v_a-0": [[0, 10], [1, 2]]},
        {"v_a-0": {"timestamp": [[0, 10], [1, 2]]}},
        [{"id": "v_a-0", "captions": [{"start": 0, "end": 10}, {"start": 1, "end": 2}]}],
    ],
)
def test_the_surest_proposal_comes_first_from_every_layout(predictions: Any) -> None:
    queries = read_queries([given(ANET)], None, Problems())
    found = read_proposals(given(predictions), queries, Problems())
    assert found == {"v_a-0": [(0, 10), (1, 2)]}


def test_equal_scores_keep_the_order_of_the_file() -> None:
    same = [{"timestamp": [n, n + 1], "score": 0.5} for n in (3, 1, 2)]
    queries = read_queries([given(ANET)], None, Problems())
    assert read_proposals(given({"v_a-0": same}), queries, Problems())["v_a-0"][0] == (3, 4)


def test_one_bare_pair_of_times_is_one_proposal() -> None:
    assert scored({"v_a-0": [0, 10]}).items[0]["prediction"] == "0-10 s"


def test_missing_queries_count_zero_or_are_left_out() -> None:
    problems = Problems()
    predictions = {"v_a-0": proposed((0, 10)), "v_z-0": proposed((0, 1))}
    assert scored(predictions, ANET, problems).scores["R@1 tIoU=0.5"] == 0.5
    assert problems.examples["missing"] == ["v_a-1"]
    assert problems.examples["extra"] == ["v_z-0"]
    left = scored(predictions, missing="skip")
    assert left.scores["R@1 tIoU=0.5"] == 1
    assert left.protocol["denominator"] == "predicted queries"


def test_odd_times_are_counted_and_used_as_they_are() -> None:
    problems = Problems()
    odd = [[8, 2], [0, 99], [float("nan"), 3], ["0", 3], [1], [4, 4]]
    found = scored({"v_a-0": odd, "v_a-1": proposed((5, 15))}, ANET, problems)
    assert problems.counts["reversed times"] == 1
    assert problems.counts["past the end"] == 1
    assert problems.counts["not a number"] == 3
    assert problems.counts["no length"] == 1
    assert found.items[0]["scores"]["R@5 tIoU=0.1"] == 1  # the one past the end covers it a little
    assert found.items[0]["scores"]["mIoU"] == 0


def test_a_score_that_is_no_number_is_counted_and_comes_last() -> None:
    problems = Problems()
    wrong = [{"timestamp": [0, 10], "score": float("nan")}, {"timestamp": [90, 99], "score": 0.1}]
    outcome = scored({"v_a-0": wrong}, ANET, problems)
    assert outcome.items[0]["prediction"] == "90-99 s"
    assert "score" in problems.examples["not a number"][0]


def test_a_true_segment_that_is_no_number_is_counted_and_never_hit() -> None:
    problems = Problems()
    broken = {"v_a": {"timestamps": [[None, 3], [0, 10]]}}
    outcome = scored({"v_a-0": proposed((0, 3)), "v_a-1": proposed((0, 10))}, broken, problems)
    assert outcome.scores["R@1 tIoU=0.3"] == 0.5
    assert problems.counts["not a number"] == 1


def test_what_is_no_query_or_no_proposal_is_counted() -> None:
    problems = Problems()
    references = {**ANET, "v_x": [1, 2]}
    scored({"v_a-0": proposed((0, 10)), "v_a-1": "soon"}, references, problems)
    assert problems.examples["unusable record"] == ["file: v_x", "file: v_a-1"]
    annotations = {"annotations": [*CHARADES["annotations"], {"image_id": "v_c"}, 5]}
    problems = Problems()
    scored({"6": {"timestamp": [[0, 10]]}}, annotations, problems)
    assert problems.counts["unusable record"] == 2


def test_a_query_that_comes_twice_is_counted_and_the_first_holds() -> None:
    problems = Problems()
    queries = read_queries([given(ANET), given({"v_a": {"timestamps": [[7, 8]]}})], None, problems)
    assert queries.segments["v_a-0"] == (0, 10)
    assert problems.counts["duplicate"] == 1


def test_files_without_queries_or_proposals_are_refused() -> None:
    for nothing in ({"v_a": {"duration": 3}}, {"annotations": []}, 7):
        with pytest.raises(AnnotationError, match="no queries in it"):
            read_queries([given(nothing)], None, Problems())
    with pytest.raises(AnnotationError, match="want"):
        scored([[1, 2]])
    with pytest.raises(InputError, match="no query id in common"):
        scored({"v_z-0": proposed((0, 1))})


def test_a_split_of_the_records_may_be_chosen() -> None:
    records = [{**RECORDS[0], "split": "val"}, {**RECORDS[0], "id": "v_b", "split": "test"}]
    assert set(read_queries([given(records)], "test", Problems()).videos.values()) == {"v_b"}
    with pytest.raises(UsageError, match="no split test; it has none"):
        read_queries([given(ANET)], "test", Problems())


def test_all_splits_together_are_told() -> None:
    records = [{**RECORDS[0], "split": "val"}, {**RECORDS[0], "id": "v_b", "split": "test"}]
    told = "file holds the splits test, val; all are scored"
    assert told in scored({"v_a-0": proposed((0, 10))}, records).warnings


def test_a_score_or_time_too_large_for_a_number_is_none() -> None:
    problems = Problems()
    wrong = [
        {"timestamp": [0, 10], "score": 10**400},
        {"timestamp": [0, 10**400], "score": 2},
        {"timestamp": [8, 10], "score": 1},
    ]
    outcome = scored({"v_a-0": wrong, "v_a-1": proposed((5, 15))}, ANET, problems)
    assert outcome.scores["R@1 tIoU=0.7"] == 0.5
    assert problems.counts == {"not a number": 2}


def test_numbers_are_ids_too() -> None:
    record = {**RECORDS[0], "id": 3, "video_id": 9}
    outcome = scored({"3-0": proposed((0, 10))}, [record])
    assert outcome.units == ("3-0", "3-1")
    assert {item["video"] for item in outcome.items} == {"9"}
