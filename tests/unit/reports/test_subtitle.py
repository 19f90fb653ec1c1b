"""Caption files as players and spreadsheets read them."""

import json
from typing import Any

import pytest

from vcap.reports.subtitle import WRITERS, Cue, cues, timed_line, timestamp

RECORD: dict[str, Any] = {
    "id": "clips/a.mp4",
    "path": "/data/clips/a.mp4",
    "duration": 12.5,
    "captions": [
        {"text": "a red circle slides left", "start": 0.0, "end": 10.0, "score": -0.1},
        {"text": "a blue star spins", "start": 10.0, "end": 12.5, "score": -0.2},
    ],
}


def render(kind: str, **changes: Any) -> str:
    return WRITERS[kind].render(RECORD | changes)


def test_text_has_one_caption_a_line_and_no_times() -> None:
    assert render("txt") == "a red circle slides left\na blue star spins\n"


def test_srt_numbers_cues_from_one_and_writes_a_comma_before_milliseconds() -> None:
    assert render("srt") == (
        "1\n00:00:00,000 --> 00:00:10,000\na red circle slides left\n\n"
        "2\n00:00:10,000 --> 00:00:12,500\na blue star spins\n\n"
    )


def test_vtt_starts_with_its_name_and_leaves_out_hours_that_are_zero() -> None:
    assert render("vtt") == (
        "WEBVTT\n\n"
        "00:00.000 --> 00:10.000\na red circle slides left\n\n"
        "00:10.000 --> 00:12.500\na blue star spins\n\n"
    )


def test_tsv_holds_whole_milliseconds() -> None:
    assert render("tsv").splitlines() == [
        "start\tend\ttext",
        "0\t10000\ta red circle slides left",
        "10000\t12500\ta blue star spins",
    ]


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_json_gives_the_record_back_unchanged(kind: str) -> None:
    assert json.loads(render(kind)) == RECORD


def test_jsonl_is_one_line_a_record_whatever_the_text_holds() -> None:
    text = render("jsonl", captions=[{"text": "two\nlines \u2603"}])
    assert text.count("\n") == 1
    assert "\u2603" in text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "00:00.000"),
        (59.9996, "01:00.000"),
        (61.25, "01:01.250"),
        (3600, "01:00:00.000"),
        (360000.5, "100:00:00.500"),
        (-0.2, "00:00.000"),
    ],
)
def test_a_timestamp_is_rounded_to_the_millisecond_and_carries(seconds: float, shown: str) -> None:
    assert timestamp(seconds) == shown


def test_a_caption_without_times_lasts_as_long_as_the_video() -> None:
    record = {"duration": 3.0, "captions": [{"text": "x"}]}
    assert cues(record) == [Cue(0.0, 3.0, "x")]


def test_a_caption_without_times_lasts_as_long_as_the_segment_it_is_about() -> None:
    record = {"duration": 4.0, "segment": [2.0, 6.0], "captions": [{"text": "x"}]}
    assert cues(record) == [Cue(2.0, 6.0, "x")]


def test_a_still_without_a_length_is_shown_for_a_second() -> None:
    assert cues({"captions": [{"text": "x"}]}) == [Cue(0.0, 1.0, "x")]


def test_a_cue_never_ends_before_it_starts() -> None:
    record = {"captions": [{"text": "x", "start": 5.0, "end": 4.0}]}
    assert cues(record) == [Cue(5.0, 5.0, "x")]


def test_a_record_without_captions_gives_a_file_without_cues() -> None:
    assert render("srt", captions=[]) == ""
    assert render("vtt", captions=[]) == "WEBVTT\n\n"


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_text_that_looks_like_times_or_an_empty_line_cannot_break_a_cue(kind: str) -> None:
    text = render(kind, captions=[{"text": "a --> b\n\n2\n", "start": 0, "end": 1}])
    assert "a -> b 2\n" in text
    assert text.count("-->") == 1


def test_vtt_escapes_what_a_browser_would_read_as_markup() -> None:
    assert "a &lt;b> &amp; c" in render("vtt", captions=[{"text": "a <b> & c"}])


SEVERAL = [
    {"text": "best", "start": 0.0, "end": 10.0},
    {"text": "good", "start": 0.0, "end": 10.0},
    {"text": "best of the rest", "start": 10.0, "end": 12.5},
    {"text": "poor", "start": 10.0, "end": 12.5},
]


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_viewers_see_the_best_of_several_captions(kind: str) -> None:
    text = render(kind, captions=SEVERAL)
    assert text == render(kind, captions=SEVERAL[::2])
    whole = render(kind, captions=[{"text": "best"}, {"text": "good"}])
    assert whole == render(kind, captions=[{"text": "best"}])


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_events_that_overlap_are_all_shown(kind: str) -> None:
    events = [{"text": "a", "start": 0, "end": 10}, {"text": "b", "start": 0, "end": 5}]
    assert render(kind, captions=events).count("-->") == 2


def test_text_and_tables_have_all_of_several_captions() -> None:
    assert render("txt", captions=SEVERAL).splitlines() == [each["text"] for each in SEVERAL]
    assert len(render("tsv", captions=SEVERAL).splitlines()) == 5


def test_a_tab_in_the_text_does_not_make_a_column() -> None:
    line = render("tsv", captions=[{"text": "a\tb"}]).splitlines()[1]
    assert line.split("\t") == ["0", "12500", "a b"]


def test_a_timed_line_is_made_for_eyes() -> None:
    assert timed_line(0, 10, " a  star ") == "[00:00.000 --> 00:10.000] a star"
