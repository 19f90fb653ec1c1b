"""The table of scores that a terminal shows."""

import pytest

from vcap.reports.table import (
    SCALE_NOTE,
    Sheet,
    is_better_low,
    rows,
    scale_of,
    score_table,
    shown,
    stamp_rows,
)


def full_sheet() -> Sheet:
    """One of everything."""
    return Sheet(
        task="caption",
        scores={"BLEU-1": 0.62314, "CIDEr": 1.05},
        intervals={"BLEU-1": (0.6, 0.65), "CIDEr": (0.9, 1.2)},
        level=0.9,
        comparison={"CIDEr": {"difference": -0.01, "low": -0.03, "high": 0.02, "p": 0.4}},
        other="old.json",
        stamp={"num_videos": 3, "protocol": {"raw": False, "tious": [0.3, 0.5]}},
        problems={"missing": {"count": 5, "examples": ["a", "b", "c", "d"]}},
        unavailable={"METEOR": "no java here"},
        warnings=("two captions are equal",),
    )


def test_fractions_are_shown_as_percent_and_the_table_says_so() -> None:
    text = score_table(Sheet("caption", {"BLEU-1": 0.62314, "CIDEr": 1.05}))
    assert text.splitlines() == [
        "metric   score",
        "BLEU-1   62.31",
        "CIDEr   105.00",
        "",
        SCALE_NOTE,
    ]


def test_percent_and_ranks_are_shown_as_they_are() -> None:
    sheet = Sheet("retrieval", {"R@1": 41.5, "MdR": 2.0})
    assert score_table(sheet) == "metric  score\nR@1     41.50\nMdR      2.00"
    assert scale_of("qa", "WUPS@0.9") == scale_of("caption", "rank") == 1
    assert scale_of("qa", "accuracy") == 100


def test_recall_of_grounding_is_a_fraction() -> None:
    assert scale_of("grounding", "R@1 tIoU=0.5") == 100


def test_intervals_and_a_comparison_have_columns_of_their_own() -> None:
    head, bleu, cider = score_table(full_sheet()).splitlines()[:3]
    assert head.split() == [
        *("metric", "score", "90", "%", "interval"),
        *("against", "old.json", "p"),
    ]
    assert bleu.split() == ["BLEU-1", "62.31", "60.00", "to", "65.00"]
    assert "105.00  90.00 to 120.00  -1.00 (-3.00 to +2.00)  0.400" in cider


def test_columns_end_below_each_other() -> None:
    lines = score_table(full_sheet()).splitlines()
    assert len(lines[0]) == len(lines[2])
    assert lines[0].index("interval") + len("interval") == lines[1].index("65.00") + 5


def test_everything_that_matters_for_trust_is_below_the_table() -> None:
    text = score_table(full_sheet())
    assert "METEOR: not available: no java here\n" in text
    assert "warning: two captions are equal\n" in text
    assert "missing: 5 (a, b, c, ...)\n" in text
    assert "num videos: 3\n" in text
    assert "protocol, tious: 0.3, 0.5\n" in text


def test_an_absent_metric_is_never_a_zero() -> None:
    assert "METEOR" not in [row.name for row in rows(full_sheet())]


def test_scores_at_thresholds_have_a_column_each() -> None:
    sheet = Sheet("dense", {"METEOR": 0.1}, thresholds={"METEOR": {"0.3": 0.12, "0.5": 0.08}})
    assert "metric    0.3   0.5\nMETEOR  12.00  8.00" in score_table(sheet)


def test_a_threshold_that_a_score_does_not_have_is_said_to_be_none() -> None:
    thresholds = {"METEOR": {"0.3": 0.12}, "recall": {"0.3": 0.5, "0.5": 0.4}}
    assert "METEOR  12.00   none" in score_table(Sheet("dense", {}, thresholds=thresholds))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "12.35"), (float("nan"), "none"), (None, "none"), (-1e-9, "0.00")],
)
def test_a_number_is_shown_with_two_decimals(value: float | None, text: str) -> None:
    assert shown(value, 100) == text


def test_a_comparison_without_a_value_is_said_to_be_none() -> None:
    nan = float("nan")
    compared = {"F1": {"difference": nan, "low": nan, "high": nan, "p": nan}}
    (row,) = rows(Sheet("dense", {"F1": nan}, comparison=compared, other="b.json"))
    assert (row.score, row.difference, row.p) == ("none", "none (none to none)", "none")


def test_a_stamp_is_told_in_words() -> None:
    stamp = {"java": True, "SODA_c": None, "epsilon": 1e-8, "files": ["a.json", "b.json"]}
    assert stamp_rows(stamp) == [
        ("java", "yes"),
        ("SODA_c", "none"),
        ("epsilon", "1e-08"),
        ("files", "a.json, b.json"),
    ]


@pytest.mark.parametrize(
    ("name", "low"),
    [("rank", True), ("MdR", True), ("video-to-text MnR", True), ("R@1", False), ("RE@4", True)],
)
def test_ranks_and_repetition_are_better_when_low(name: str, low: bool) -> None:
    assert is_better_low(name) is low
