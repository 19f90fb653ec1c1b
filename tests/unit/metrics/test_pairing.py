"""Pairs of predicted and true sentences at each threshold."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from tests.plain_tools import PlainTools
from vcap.metrics.bleu import bleu_statistics
from vcap.metrics.cider import cider
from vcap.metrics.ngrams import Counted
from vcap.metrics.pairing import Rows, Sentences, Video, overlaps, paired
from vcap.types import Event, Segment


def event(start: float, end: float, caption: str) -> Event:
    """A captioned segment."""
    return Event(Segment(start, end), caption)


def video(proposals: Sequence[Event], *files: Sequence[Event], predicted: bool = True) -> Video:
    """A video with its reference files."""
    return Video(proposals, files, predicted)


def rows_of(videos: Sequence[Video], tious: Sequence[float] = (0.5,)) -> Rows:
    """Their pairs, unmatched proposals against `none`."""
    return paired(videos, Sentences.of(videos, "none", PlainTools()), tious)


def listed(rows: Rows) -> Counter[tuple[int, int, str, str]]:
    """Video, threshold, candidate and reference of every row."""
    return Counter(
        (int(owner), int(threshold), rows.pairs[pair][0], rows.pairs[pair][1][0])
        for owner, threshold, pair in zip(rows.video, rows.threshold, rows.pair, strict=True)
    )


def test_a_proposal_is_paired_with_every_event_that_it_overlaps() -> None:
    one = video([event(0, 10, "made")], [event(0, 9, "a"), event(1, 10, "b"), event(50, 60, "c")])
    assert listed(rows_of([one])) == {(0, 0, "made", "a"): 1, (0, 0, "made", "b"): 1}


def test_a_proposal_that_meets_no_event_is_compared_with_the_constant() -> None:
    one = video([event(0, 10, "made"), event(80, 90, "lost")], [event(0, 10, "a")])
    assert listed(rows_of([one])) == {(0, 0, "made", "a"): 1, (0, 0, "lost", "none"): 1}


def test_what_is_matched_at_a_low_threshold_may_be_unmatched_at_a_high_one() -> None:
    one = video([event(0, 10, "made")], [event(0, 20, "a")])
    found = listed(rows_of([one], (0.3, 0.5)))  # an exact half is just under 0.5
    assert found == {(0, 0, "made", "a"): 1, (0, 1, "made", "none"): 1}


def test_events_of_all_files_are_pooled() -> None:
    one = video([event(0, 10, "made")], [event(0, 10, "a")], [event(0, 10, "b"), event(5, 6, "c")])
    assert listed(rows_of([one])) == {(0, 0, "made", "a"): 1, (0, 0, "made", "b"): 1}


def test_repeated_pairs_are_rows_of_their_own_but_one_distinct_pair() -> None:
    proposals = [event(0, 10, "made")] * 3
    rows = rows_of([video(proposals, [event(0, 10, "a")]), video(proposals, [event(0, 10, "a")])])
    assert listed(rows) == {(0, 0, "made", "a"): 3, (1, 0, "made", "a"): 3}
    assert rows.pairs == [("made", ("a",))]


def test_captions_that_tokenise_alike_are_one_sentence() -> None:
    one = video([event(0, 9, "A man"), event(0, 9, "a  MAN")], [event(0, 9, "dog")])
    sentences = Sentences.of([one], "none", PlainTools())
    assert sorted(sentences.tokenised) == ["a man", "dog", "none"]
    assert sentences.numbers["A man"] == sentences.numbers["a  MAN"]


def test_characters_beyond_ascii_are_blanks_before_the_tokenizer_sees_them() -> None:
    tools = PlainTools()
    Sentences.of([video([event(0, 1, "caf\u00e9 \U0001f600!")], [event(0, 1, "x")])], "none", tools)
    assert "caf   !" in tools.tokenized


def test_videos_without_proposals_cost_no_tokenizing_and_give_no_pair() -> None:
    tools = PlainTools()
    empty = [video([], [event(0, 1, "never asked")]), video([], predicted=False)]
    rows = paired(empty, Sentences.of(empty, "none", tools), (0.5,))
    assert tools.tokenized == ["none"]
    assert (len(rows.pair), rows.pairs, rows.shape) == (0, [], (2, 1))
    assert (
        rows.scored(np.zeros(0), lambda values, group, n: np.bincount(group, values, n)).sum() == 0
    )


def test_each_group_is_handed_its_own_rows_and_nothing_else() -> None:
    first = video([event(0, 10, "x"), event(0, 10, "y")], [event(0, 10, "a")])
    second = video([event(0, 10, "x")], [event(0, 20, "a")])
    rows = rows_of([first, second], (0.3, 0.9))
    values = np.array([10.0 ** "xy".index(made) for made, _ in rows.pairs])
    table = rows.scored(values, lambda part, group, size: np.bincount(group, part, size))
    assert table.tolist() == [[11.0, 11.0], [1.0, 1.0]]
    sums = np.bincount(rows.group, values[rows.pair], 4)
    np.testing.assert_array_equal(rows.table(sums), table)


def test_coverage_is_strict_where_pairing_is_not() -> None:
    one = video([event(0, 10, "made")], [event(0, 10, "a")])
    exact = float(one.tious[0, 0])
    assert listed(rows_of([one], (exact,))) == {(0, 0, "made", "a"): 1}
    assert overlaps([one], (exact,))["recall"].tolist() == [[0.0]]
    assert overlaps([one], (0.9,))["recall"].tolist() == [[1.0]]


def test_a_video_without_proposals_covers_nothing() -> None:
    found = overlaps([video([], [event(0, 1, "a")])], (0.3, 0.5))
    assert found["recall"].tolist() == found["precision"].tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("rows", [[0, 1, 1, 0, 2], [2], []])
def test_chosen_rows_score_as_if_they_had_been_given_so(rows: list[int]) -> None:
    given = [("a b c", ("a b d",)), ("a", ("a", "b")), ("c d", ("c d e",))]
    counted = Counted(given)
    bleu_statistics(counted)  # the n-grams are counted by now
    chosen = counted.rows(np.array(rows, dtype=np.int64))
    again = [given[row] for row in rows]
    assert [*chosen] == again
    np.testing.assert_allclose(cider(chosen), cider(again))
    assert len(counted) == 3
