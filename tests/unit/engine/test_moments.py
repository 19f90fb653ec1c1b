"""Moments: the stretch of a video that stands out, with the seconds at which it is shown."""

from itertools import pairwise

import numpy as np
import pytest

from vcap.engine.moments import Shown, find_moments, frame_borders, smooth
from vcap.types import Segment


def step(num_frames: int, *runs: tuple[int, int], high: float = 0.3) -> np.ndarray:
    """Similarities of 0.1 with runs of higher ones."""
    scores = np.full(num_frames, 0.1, np.float32)
    for first, last in runs:
        scores[first:last] = high
    return scores


def seconds(num_frames: int, gap: float = 1.0) -> np.ndarray:
    return np.arange(num_frames, dtype=np.float32) * gap


@pytest.mark.parametrize(("first", "last"), [(0, 4), (5, 9), (16, 20), (7, 8), (2, 18)])
def test_a_stretch_that_matches_is_found_with_its_exact_seconds(first: int, last: int) -> None:
    (moment,) = find_moments(step(20, (first, last)), seconds(20, 0.5))
    assert moment.segment == Segment(first / 2, last / 2)
    assert moment.score == pytest.approx(0.3, abs=1e-6)


def test_a_gap_of_one_frame_does_not_tear_a_stretch_apart() -> None:
    scores = step(30, (10, 20))
    scores[14] = 0.12
    (moment,) = find_moments(scores, seconds(30))
    assert moment.segment == Segment(10, 20)


def test_one_odd_frame_does_not_win_over_a_stretch() -> None:
    scores = step(40, (20, 30))
    scores[5] = 0.42
    (moment,) = find_moments(scores, seconds(40))
    assert moment.segment == Segment(20, 30)


def test_two_stretches_are_two_moments_and_do_not_overlap() -> None:
    found = find_moments(step(40, (5, 10), (25, 35)), seconds(40), count=2)
    assert [moment.segment for moment in found] == [Segment(25, 35), Segment(5, 10)]


@pytest.mark.parametrize("seed", range(10))
def test_moments_never_overlap_and_lie_inside_the_video(seed: int) -> None:
    draws = np.random.default_rng(seed)
    scores, times = draws.random(50), np.sort(draws.random(50)) * 100
    found = sorted(find_moments(scores, times, Shown(end=101.0), count=50), key=lambda m: m.segment)
    assert len(found) > 1
    for before, after in pairwise(found):
        assert before.segment.end <= after.segment.start
    assert all(times[0] - 1e-3 <= each.segment.start < each.segment.end <= 101 for each in found)


@pytest.mark.parametrize("shift", [-0.5, 0.2])
def test_only_differences_of_similarity_decide(shift: float) -> None:
    scores = np.random.default_rng(3).random(30)
    moved = find_moments(scores + shift, seconds(30), count=3)
    still = find_moments(scores, seconds(30), count=3)
    assert [each.segment for each in moved] == [each.segment for each in still]


def test_a_video_that_matches_alike_everywhere_is_one_moment() -> None:
    scores = np.array([0.301, 0.3, 0.302, 0.301])
    (moment,) = find_moments(scores, seconds(4), count=3)
    assert moment.segment == Segment(0, 4)


def test_the_frames_that_match_best_come_best_first() -> None:
    scores = step(20, (5, 10))
    scores[[7, 9, 6]] = 0.5, 0.45, 0.4
    (moment,) = find_moments(scores, seconds(20))
    assert moment.frame_times == (7.0, 9.0, 6.0)


def test_a_single_frame_is_shown_until_the_known_end_or_for_a_second() -> None:
    one = np.array([0.2])
    assert find_moments(one, np.array([3.0]), Shown(end=7.5))[0].segment == Segment(3, 7.5)
    assert find_moments(one, np.array([3.0]))[0].segment == Segment(3, 4)


def test_the_last_frame_is_shown_as_long_as_the_others_where_no_end_is_known() -> None:
    assert frame_borders(np.array([1.0, 3.0, 5.0])).tolist() == [1, 3, 5, 7]
    assert frame_borders(np.array([1.0, 3.0]), Shown(end=2.0)).tolist() == [1, 3, 5]


def test_a_frame_from_the_middle_of_a_part_stands_for_the_whole_part() -> None:
    middles = (np.arange(16) + 0.5) * 30 / 16  # as `uniform 16` takes them of 30 seconds
    for end in (30.0, None):
        (moment,) = find_moments(step(16, (4, 8)), middles, Shown(end=end, in_middle=True))
        assert moment.segment == Segment(7.5, 15)
        (moment,) = find_moments(step(16, (0, 5)), middles, Shown(end=end, in_middle=True))
        assert moment.segment == Segment(0, 9.375)
        (moment,) = find_moments(step(16, (10, 16)), middles, Shown(end=end, in_middle=True))
        assert moment.segment == Segment(18.75, 30)


def test_middles_of_a_part_of_a_video_reach_from_its_start_to_its_end() -> None:
    middles = 60 + (np.arange(8) + 0.5)
    assert frame_borders(middles, Shown(60, 68, True)).tolist() == list(range(60, 69))
    assert frame_borders(middles, Shown(in_middle=True)).tolist() == list(range(60, 69))


def test_a_single_frame_from_the_middle_stands_for_all() -> None:
    one = np.array([2.0])
    assert frame_borders(one, Shown(in_middle=True)).tolist() == [0, 4]
    assert frame_borders(one, Shown(1, 7, True)).tolist() == [1, 7]
    assert frame_borders(np.array([0.0]), Shown(in_middle=True)).tolist() == [0, 1]


@pytest.mark.parametrize("in_middle", [False, True])
def test_a_frame_that_came_twice_gives_no_moment_without_length(in_middle: bool) -> None:
    times = np.repeat(seconds(10), 3)
    found = find_moments(np.repeat(step(10, (4, 5)), 3), times, Shown(0, 10, in_middle), count=9)
    assert found and all(moment.segment.start < moment.segment.end for moment in found)
    assert found[0].segment.start == pytest.approx(4, abs=0.5)


def test_smoothing_leaves_what_is_constant_as_it_is() -> None:
    for length in (1, 2, 3, 10):
        assert smooth(np.full(length, 0.7)).tolist() == pytest.approx([0.7] * length)


def test_frames_and_times_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"want \[T\] and \[T\], got \[2\] and \[3\]"):
        find_moments(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match=r"got \[0\]"):
        find_moments(np.zeros(0), np.zeros(0))
