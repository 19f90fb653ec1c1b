"""Samplers: which times and which frames they want."""

import numpy as np
import pytest

from tests.small_videos import make_video
from vcap.errors import UsageError, VideoError
from vcap.types import Segment
from vcap.video.decode import read_frames
from vcap.video.sample import (
    Sampler,
    choose_frames,
    frames_at,
    is_centred,
    parse_sampler,
    wanted_times,
)

TIMES = np.array([0.0, 0.1, 0.2, 0.5, 0.9])
KEYS = np.array([True, False, False, True, False])


def chosen(text, segment=None, end_time=1.0):
    """Indices that a sampler chooses on the small time line."""
    return choose_frames(parse_sampler(text), TIMES, KEYS, end_time, segment)


@pytest.mark.parametrize(
    "text",
    [
        *("fps 5", "fps 0.5", "fps 29.97", "uniform 16", "all", "keyframes", "msrvtt-notebook 28"),
        *("adaclip-linspace 16", "adaclip-segments 16"),
    ],
)
def test_a_sampler_is_written_as_it_is_read(text):
    assert str(parse_sampler(text)) == text
    assert parse_sampler(str(parse_sampler(text))) == parse_sampler(text)


@pytest.mark.parametrize("text", ["fps 29.970029970029973", "fps 1e-3", "fps 12.000000000000002"])
def test_a_rate_keeps_every_digit(text):
    assert parse_sampler(str(parse_sampler(text))).value == parse_sampler(text).value


def test_a_whole_rate_has_one_spelling():
    assert str(Sampler("fps", 5.0)) == str(Sampler("fps", 5)) == str(parse_sampler("fps  5.0"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "fps", "fps 0", "fps -1", "fps nan", "fps inf", "fps five", "fps 5 6", "fps 100000"),
        *("uniform", "uniform 0", "uniform 2.5", "uniform 1000000"),
        *("all 3", "keyframes 1", "every 3"),
        *("msrvtt-notebook 0", "msrvtt-notebook 2.5", "msrvtt-notebook 28 keyframes-only"),
        *("adaclip-linspace", "adaclip-segments 0", "adaclip-linspace 16 keyframes-only"),
    ],
)
def test_a_sampler_that_makes_no_sense_is_refused(text):
    with pytest.raises(UsageError):
        parse_sampler(text)


def test_an_unknown_sampler_is_answered_with_the_known_ones():
    with pytest.raises(UsageError, match="no sampler 'random'; there are fps, uniform, times"):
        parse_sampler("random")


def test_fps_is_a_grid_from_the_first_time():
    assert wanted_times(Sampler("fps", 4), 1.0, 2.0) == [1.0, 1.25, 1.5, 1.75]


def test_a_grid_does_not_reach_the_end():
    assert wanted_times(Sampler("fps", 5), 0.0, 1.0)[-1] == pytest.approx(0.8)
    assert len(wanted_times(Sampler("fps", 30), 0.0, 1001 / 30000 * 300)) == 301


def test_uniform_takes_the_middles_of_equal_parts():
    assert wanted_times(Sampler("uniform", 4), 2.0, 4.0) == [2.25, 2.75, 3.25, 3.75]


def test_a_video_of_no_length_still_has_one_time():
    assert wanted_times(Sampler("fps", 5), 3.0, 3.0) == [3.0]
    assert wanted_times(Sampler("uniform", 2), 3.0, 3.0) == [3.0, 3.0]


def test_the_samplers_that_go_by_frames_have_no_times():
    with pytest.raises(ValueError, match="no times"):
        wanted_times(Sampler("all"), 0.0, 1.0)


def test_centuries_of_time_stamps_are_refused_before_they_fill_the_memory():
    with pytest.raises(VideoError, match="span 10000000000 s"):
        wanted_times(Sampler("fps", 5), 0.0, 1e10)


def test_the_frame_at_a_time_is_the_last_one_not_after_it():
    assert frames_at(TIMES, [0.0, 0.05, 0.1, 0.49, 0.5, 5.0]) == [0, 0, 1, 2, 3, 4]


def test_before_the_first_frame_there_is_the_first_frame():
    assert frames_at(TIMES + 1, [0.0, 0.99, 1.0]) == [0, 0, 0]


def test_a_time_that_only_rounding_puts_before_a_frame_gets_that_frame():
    times = np.arange(300) * 1001 / 30000
    grid = [float(np.nextafter(time, 0)) for time in times]
    assert frames_at(times, grid) == list(range(300))


def test_uneven_frames_are_repeated_and_left_out_by_a_grid():
    assert chosen("fps 5") == [0, 2, 2, 3, 3]


def test_uniform_gives_its_number_even_from_fewer_frames():
    assert chosen("uniform 8") == [0, 1, 2, 2, 3, 3, 3, 4]


def test_all_and_keyframes_go_by_frames():
    assert chosen("all") == [0, 1, 2, 3, 4]
    assert chosen("keyframes") == [0, 3]


def test_a_segment_is_half_open():
    assert chosen("all", Segment(0.1, 0.5)) == [1, 2]


def test_the_grid_of_a_segment_starts_at_its_first_frame():
    assert chosen("fps 5", Segment(0.15, 0.95)) == [2, 2, 3, 3]


def test_a_segment_between_two_frames_has_the_picture_that_is_shown_then():
    assert chosen("all", Segment(0.6, 0.7)) == [3]
    assert chosen("fps 5", Segment(0.6, 0.7)) == [3]
    assert chosen("uniform 2", Segment(0.6, 0.7)) == [3, 3]
    assert chosen("keyframes", Segment(0.6, 0.7)) == [3]


def test_a_segment_without_keyframes_gives_its_first_frame():
    assert chosen("keyframes", Segment(0.1, 0.4)) == [1]


def test_a_segment_that_reaches_over_the_end_is_cut_there():
    assert chosen("uniform 2", Segment(0.5, 9.0)) == [3, 3]
    assert chosen("all", Segment(-5.0, 9.0)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("segment", [(1.0, 2.0), (7, 8), (-2, 0)])
def test_a_segment_outside_the_video_is_refused_with_both_ranges(segment):
    with pytest.raises(VideoError, match="outside the video, which has pictures from 0 to 1 s"):
        chosen("all", Segment(*segment))


@pytest.mark.parametrize("segment", [(0.5, 0.5), (0.7, 0.3), (float("nan"), 1.0)])
def test_a_reversed_segment_is_refused(segment):
    with pytest.raises(VideoError, match="empty or reversed"):
        chosen("fps 1", Segment(*segment))


def notebook(num_frames, text="msrvtt-notebook", segment=None):
    """Indices that the original's rule chooses of so many frames, ten a second."""
    times = np.arange(num_frames) / 10
    keys = np.arange(num_frames) == 0
    return choose_frames(parse_sampler(text), times, keys, num_frames / 10, segment)


def test_the_notebooks_rule_takes_28_frames_unless_told_otherwise():
    assert str(parse_sampler("msrvtt-notebook")) == "msrvtt-notebook 28"


@pytest.mark.parametrize("num_frames", [28, 29, 55, 56, 299, 300, 900])
def test_the_notebooks_rule_steps_by_the_whole_part_of_a_28th(num_frames):
    step = num_frames // 28
    assert notebook(num_frames) == [place * step for place in range(28)]


def test_the_notebooks_rule_never_sees_the_tail():
    assert notebook(300)[-1] == 270
    assert notebook(300, "msrvtt-notebook 7")[-1] == 252


@pytest.mark.parametrize("num_frames", [1, 5, 27])
def test_a_video_too_short_for_the_notebooks_rule_has_every_frame_and_some_again(num_frames):
    found = notebook(num_frames)
    assert len(found) == 28
    assert found == sorted(found)
    assert set(found) == set(range(num_frames))


def test_the_notebooks_rule_counts_the_frames_of_a_segment_alone():
    assert notebook(100, "msrvtt-notebook 4", Segment(2.0, 4.0)) == [20, 25, 30, 35]


def test_adaclips_rules_take_the_first_or_the_middle_frame_of_each_part():
    assert notebook(12, "adaclip-linspace 4") == [0, 3, 6, 9]
    assert notebook(12, "adaclip-segments 4") == [1, 4, 7, 10]
    assert notebook(100, "adaclip-linspace 4", Segment(2.0, 4.0)) == [20, 25, 30, 35]


@pytest.mark.parametrize("name", ["adaclip-linspace", "adaclip-segments"])
def test_adaclips_rules_repeat_frames_of_a_video_that_is_too_short(name):
    assert notebook(3, f"{name} 6") == [0, 0, 1, 1, 2, 2]


def test_the_notebooks_rule_has_no_times_of_its_own():
    with pytest.raises(ValueError, match="no times"):
        wanted_times(parse_sampler("msrvtt-notebook"), 0.0, 1.0)


@pytest.mark.parametrize(("num_frames", "numbers"), [(60, range(0, 56, 2)), (12, range(12))])
def test_the_notebooks_frames_are_decoded_as_often_as_they_are_wanted(
    tmp_path, num_frames, numbers
):
    make_video(tmp_path / "a.mp4", 0, num_frames)
    found = read_frames(tmp_path / "a.mp4", parse_sampler("msrvtt-notebook"))
    assert found.pixels.shape[0] == 28
    assert sorted(set((found.times * 4).round().astype(int))) == list(numbers)


@pytest.mark.parametrize("text", ["uniform 6", "adaclip-segments 6", "fps 2", "adaclip-linspace 6"])
def test_a_rule_is_centred_if_its_frames_lie_as_far_from_the_start_as_from_the_end(text):
    times = np.arange(300) / 100
    chosen = choose_frames(parse_sampler(text), times, np.ones(300, bool), 3.0)
    before, after = times[chosen[0]], 3.0 - times[chosen[-1]]
    assert is_centred(text) == (abs(before - after) < 0.05)


def test_keyframes_before_middles_are_no_middles():
    assert not is_centred("uniform 6 keyframes-only") and not is_centred("text")
