"""Lengths of time as people write them, and the segments they make."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcap.engine.segments import Cutter, cut_every, parse_seconds
from vcap.errors import UsageError
from vcap.types import Segment


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10.0),
        ("10s", 10.0),
        ("2.5s", 2.5),
        ("1m", 60.0),
        ("1m30s", 90.0),
        ("1m30", 90.0),
        ("1h", 3600.0),
        (" 1H2M3S ", 3723.0),
    ],
)
def test_a_length_of_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "ten", "10 minutes", "-1", "10s1m", "1e3", "0", "0.01"])
def test_what_is_no_length_or_holds_no_frame_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_seconds(text)
    assert caught.value.hint == "--every 10s"


def test_the_last_segment_takes_what_is_left() -> None:
    assert cut_every(0.0, 25.0, 10.0) == [(0, 10), (10, 20), (20, 25)]


def test_a_short_rest_is_joined_to_the_segment_before() -> None:
    assert cut_every(0.0, 20.9, 10.0) == [(0, 10), (10, 20.9)]
    assert cut_every(0.0, 21.1, 10.0) == [(0, 10), (10, 20), (20, 21.1)]


def test_a_video_shorter_than_a_segment_is_one_segment() -> None:
    assert cut_every(0.0, 3.0, 10.0) == [(0, 3)]


@given(
    start=st.floats(-100, 100),
    length=st.floats(0.2, 1000),
    seconds=st.floats(0.1, 300),
)
def test_segments_follow_one_another_from_start_to_end(
    start: float, length: float, seconds: float
) -> None:
    segments = cut_every(start, start + length, seconds)
    assert segments[0].start == pytest.approx(start, abs=1e-6)
    assert segments[-1].end == start + length
    assert all(a.end == b.start for a, b in pairwise(segments))
    assert all(0 < s.end - s.start <= 1.1 * seconds + 1e-5 for s in segments)


def test_without_a_cut_the_whole_video_is_captioned_and_its_length_known() -> None:
    cutter = Cutter(None)
    assert list(cutter(0.07, 6.1)) == [None]
    assert cutter.duration == pytest.approx(6.03)


def test_segments_count_from_zero_though_the_first_frame_comes_a_little_later() -> None:
    assert list(Cutter(None, every=2.0)(0.07, 5.0)) == [(0, 2), (2, 4), (4, 5)]


def test_segments_of_a_video_that_starts_late_start_with_it() -> None:
    assert list(Cutter(None, every=2.0)(30.0, 34.0)) == [(30, 32), (32, 34)]


def test_only_the_part_that_a_record_is_about_is_cut() -> None:
    cutter = Cutter(Segment(3.0, 8.0), every=2.0)
    assert list(cutter(0.0, 100.0)) == [(3, 5), (5, 7), (7, 8)]
    assert cutter.duration == 5.0


def test_a_part_beyond_the_end_stays_as_it_is_for_the_decoder_to_refuse() -> None:
    assert list(Cutter(Segment(30.0, 40.0), every=2.0)(0.0, 5.0)) == [(30, 40)]


def test_a_picture_has_no_length() -> None:
    cutter = Cutter(None, every=2.0)
    assert list(cutter(0.0, 0.0)) == [None]
    assert cutter.duration == 0.0
