"""The page with a video beside its captions."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.reports.pages import Page
from tests.unit.reports.test_html import EVIL
from vcap.reports.player import WIDTH, lanes_of, player_page, script_digest, stretches_of
from vcap.types import Segment

TIMED = [
    {"text": "a dog", "start": 0.0, "end": 4.0},
    {"text": "a dog runs", "start": 0.0, "end": 4.0},
    {"text": "a cat", "start": 3.0, "end": 6.5},
]


def record(*captions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A prediction for a video that need not exist."""
    return {"id": "v", "path": "/videos/v.mp4", "duration": 8.0, "captions": [*captions], **more}


def page_of(*captions: dict[str, Any], **more: Any) -> Page:
    """The page of a record."""
    return Page(player_page(record(*captions, **more)))


def test_captions_stand_beside_the_player_with_their_times() -> None:
    page = page_of(*TIMED)
    assert [each.values["src"] for each in page.all("video")] == ["file:///videos/v.mp4"]
    assert page.texts("li") == [
        "00:00.000 to 00:04.000 a dog a dog runs",
        "00:03.000 to 00:06.500 a cat",
    ]
    assert page.texts("h1") == ["v"]


def test_every_caption_links_its_place_without_the_script() -> None:
    page = page_of(*TIMED)
    links = [each.values for each in page.all("a") if "data-start" in each.values]
    assert [each["href"] for each in links] == 2 * [
        "file:///videos/v.mp4#t=0,4",
        "file:///videos/v.mp4#t=3,6.5",
    ]
    assert [(each["data-start"], each["data-end"]) for each in links[:2]] == [
        ("0.0", "4.0"),
        ("3.0", "6.5"),
    ]


def test_a_video_in_the_folder_of_the_page_is_linked_from_there() -> None:
    page = Page(player_page(record(*TIMED), Path("/videos")))
    assert [each.values["src"] for each in page.all("video")] == ["./v.mp4"]


def test_the_time_line_has_a_bar_a_stretch_as_long_as_it_lasts() -> None:
    page = page_of(*TIMED)
    bars = [
        {key: float(each.values[key]) for key in ("x", "y", "width")} for each in page.all("bar")
    ]
    assert [bar["x"] for bar in bars] == [0, 375]
    assert [bar["width"] for bar in bars] == [499, 436.5]  # a gap of one to the next
    assert bars[0]["y"] < bars[1]["y"]  # they overlap in time, so not on the line
    titles = [each.text for each in page.all("title") if "svg" in each.parents]
    assert titles == ["a dog; a dog runs", "a cat"]


@pytest.mark.parametrize(
    ("seconds", "first", "last"),
    [
        (0.4, "00:00.000", "00:00.400"),
        (8, "00:00", "00:08"),
        (61.5, "00:00", "01:00"),
        (7200, "00:00", "02:00:00"),
        (10_000_000, "00:00", "2777:46:40"),
    ],
)
def test_the_time_line_has_a_few_round_times(seconds: float, first: str, last: str) -> None:
    page = page_of({"text": "a dog"}, duration=seconds)
    marks = [each.text for each in page.all("text") if "svg" in each.parents]
    assert (marks[0], marks[-1]) == (first, last)
    assert 2 <= len(marks) <= 9


def test_the_time_line_of_a_segment_is_that_of_its_file() -> None:
    page = page_of({"text": "a dog"}, segment=[10.0, 14.0], duration=4.0)
    [line] = page.all("line")
    assert (line.values["data-first"], line.values["data-last"]) == ("10.0", "14.0")
    assert page.texts("li") == ["00:10.000 to 00:14.000 a dog"]
    assert page.all("video")[0].values["src"].endswith("#t=10,14")
    marks = [each.text for each in page.all("text") if "svg" in each.parents]
    assert marks == ["00:10.000", "00:10.500", "00:11.000", "00:11.500", "00:12.000", "00:12.500",
                     "00:13.000", "00:13.500", "00:14.000"]  # fmt: skip


def test_a_caption_beyond_the_end_is_on_the_line_too() -> None:
    page = page_of({"text": "a dog", "start": 6.0, "end": 16.0})
    [bar] = page.all("bar")
    assert float(bar.values["x"]) + float(bar.values["width"]) == WIDTH - 1


def test_captions_stand_in_order_of_time_and_those_of_a_stretch_best_first() -> None:
    found = stretches_of(record(TIMED[2], TIMED[1], TIMED[0]))
    assert [(each.segment.start, each.texts) for each in found] == [
        (0.0, ["a dog runs", "a dog"]),
        (3.0, ["a cat"]),
    ]


def test_an_image_is_shown_without_time() -> None:
    for more in ({"path": "/videos/a.png"}, {"media": "image"}):
        page = page_of({"text": "a dog"}, duration=None, **more)
        assert len(page.all("img")) == 1
        assert page.texts("li") == ["a dog"]
        assert page.all("video") == page.all("svg") == page.all("script") == page.all("a") == []


def test_a_folder_of_frames_is_linked(tmp_path: Path) -> None:
    page = page_of(*TIMED, path=str(tmp_path))
    assert [each.values["href"] for each in page.all("a")] == [tmp_path.as_uri()]
    assert len(page.texts("li")) == 2
    assert page.all("video") == page.all("script") == []


def test_a_record_without_captions_or_length_has_a_page() -> None:
    page = page_of(duration=None)
    assert page.texts("li") == ["no captions"]
    assert page_of({"text": "a dog"}, duration=None).texts("li") == ["00:00.000 to 00:01.000 a dog"]


def test_the_page_says_which_model_spoke() -> None:
    assert "captions: tiny" in page_of(model="tiny").texts("note")
    assert not any("captions:" in text for text in page_of().texts("note"))


def test_only_the_script_of_the_page_may_run_and_no_word_gets_into_it() -> None:
    page = page_of({"text": EVIL, "start": 0.0, "end": 1.0}, id=EVIL, model=EVIL)
    [script] = page.all("script")
    assert page.policy()["script-src"] == f"'{script_digest(script.text)}'"
    assert script.text == page_of().all("script")[0].text
    assert page.policy()["default-src"] == "'none'"
    assert page.texts("h1") == page.texts("text")[:1] == [EVIL]
    assert page.all("img") == []


def test_the_digest_is_written_as_browsers_want_it() -> None:
    # the example of the standard: W3C, Content Security Policy Level 3
    assert (
        script_digest("alert('Hello, world.');")
        == "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
    )


segments = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 10)).map(
        lambda pair: Segment(float(pair[0]), float(pair[0] + pair[1]))
    )
).map(sorted)


@given(segments)
def test_no_two_bars_of_a_lane_overlap_and_no_lane_is_wasted(parts: list[Segment]) -> None:
    lanes = lanes_of(parts)
    for number, (part, lane) in enumerate(zip(parts, lanes, strict=True)):
        before = list(zip(parts[:number], lanes, strict=False))
        assert all(other.end <= part.start for other, own in before if own == lane)
        for lower in range(lane):
            assert any(other.end > part.start for other, own in before if own == lower)
