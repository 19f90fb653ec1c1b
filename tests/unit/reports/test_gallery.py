"""The page of what a search found."""

from pathlib import Path

import pytest

from tests.small_videos import make_video
from tests.unit.reports.pages import Page
from tests.unit.reports.test_html import EVIL
from vcap.reports.gallery import MAX_FRAMES, Hit, QueryHits, gallery_page
from vcap.types import Segment


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds, four frames each."""
    return make_video(tmp_path_factory.mktemp("gallery") / "v.mp4", 1)


def page_of(*hits: Hit, folder: Path | None = None, **more: object) -> Page:
    """The page of one query."""
    return Page(gallery_page([QueryHits("a dog", hits, **more)], folder))  # type: ignore[arg-type]


def test_hits_are_shown_in_their_order_with_rank_and_score() -> None:
    page = page_of(Hit("b", 1, 0.51234, text="one"), Hit("a", 2, -0.25, text="two"))
    assert page.texts("h2") == ["a dog"]
    assert page.texts("h3") == ["1. b 0.5123", "2. a -0.2500"]
    assert page.texts("text") == ["one", "two"]


def test_each_query_has_its_own_part() -> None:
    queries = [QueryHits("first", [Hit("a", 1, 1.0)]), QueryHits("second", [])]
    page = Page(gallery_page(queries))
    assert page.texts("h2") == ["first", "second"]
    assert [text.count("nothing found") for text in page.texts("section")] == [0, 1]
    assert Page(gallery_page([])).texts("note") == ["no query"]


def test_a_moment_has_its_times_and_its_links_begin_there(video: Path) -> None:
    page = page_of(Hit("v", 1, 0.5, video, Segment(0.5, 2.25), (1.75, 0.75)))
    assert page.texts("moment") == ["00:00.500 to 00:02.250"]
    [name] = page.all("id")
    assert name.values["href"] == f"{video.as_uri()}#t=0.5,2.25"
    [film] = page.all("video")
    assert film.values["src"] == name.values["href"]
    assert film.values["preload"] == "none"  # a page of a hundred hits must not load them all


def test_each_frame_has_its_time_and_a_link_to_it(video: Path) -> None:
    page = page_of(Hit("v", 1, 0.5, video, Segment(0.5, 2.25), (1.75, 0.8)))
    assert page.texts("figcaption") == ["00:00.750", "00:01.750"]
    links = [each.values["href"] for each in page.all("a") if "figure" in each.parents]
    assert links == [f"{video.as_uri()}#t=0.75", f"{video.as_uri()}#t=1.75"]
    pictures = page.all("img")
    assert [each.values["alt"] for each in pictures] == [
        "frame of v at 00:00.750",
        "frame of v at 00:01.750",
    ]
    assert all(each.values["src"].startswith("data:image/jpeg;base64,") for each in pictures)


def test_without_times_the_middle_of_the_segment_is_shown(video: Path) -> None:
    assert page_of(Hit("v", 1, 0.5, video)).texts("figcaption") == ["00:01.500"]
    half = page_of(Hit("v", 1, 0.5, video, Segment(2.0, 3.0)))
    assert half.texts("figcaption") == ["00:02.500"]


def test_a_hit_shows_the_best_of_many_frames(video: Path) -> None:
    times = tuple(number / 4 for number in reversed(range(12)))
    found = page_of(Hit("v", 1, 0.5, video, None, times)).texts("figcaption")
    assert len(found) == MAX_FRAMES
    assert (found[0], found[-1]) == ("00:01.000", "00:02.750")


def test_videos_in_the_folder_of_the_page_are_linked_from_there(video: Path) -> None:
    page = page_of(Hit("v", 1, 0.5, video), folder=video.parent)
    assert {each.values["href"] for each in page.all("a")} == {"./v.mp4", "./v.mp4#t=1.5"}


def test_a_video_that_is_gone_costs_a_note_and_not_the_page(video: Path) -> None:
    gone = video.with_name("gone.mp4")
    page = page_of(Hit("gone", 1, 0.9, gone), Hit("v", 2, 0.5, video))
    assert page.texts("note") == [f"{gone}: no such file"]
    assert len(page.all("video")) == len(page.all("img")) == 1


def test_an_image_has_no_player_and_no_time(video: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    page = page_of(Hit("a", 1, 0.5, tmp_path / "a.png"), path=video)
    assert (page.all("video"), page.texts("figcaption")) == ([], [])
    assert [each.values["href"] for each in page.all("a")] == [(tmp_path / "a.png").as_uri()] * 2
    assert [each.values["alt"] for each in page.all("img")][:1] == ["the query"]


def test_a_text_that_was_found_has_no_link() -> None:
    page = page_of(Hit("c1", 1, 0.5, text="a dog runs"))
    assert (page.all("a"), page.texts("text")) == ([], ["a dog runs"])


def test_what_was_unwanted_is_told() -> None:
    assert page_of(unwanted=("cat", "mouse")).texts("note")[:2] == ["not: cat", "not: mouse"]


def test_words_of_the_data_stay_words(tmp_path: Path) -> None:
    hits = [Hit(EVIL, 1, 0.5, tmp_path / EVIL.replace("/", "%"), text=EVIL)]
    page = Page(gallery_page([QueryHits(EVIL, hits, unwanted=(EVIL,))]))
    assert (page.all("script"), page.all("img")) == ([], [])
    assert page.texts("h2") == [EVIL]
    assert page.texts("text") == [EVIL]


def test_the_page_runs_nothing_and_asks_nobody(video: Path) -> None:
    page = page_of(Hit("v", 1, 0.5, video))
    assert page.policy()["default-src"] == "'none'"
    assert page.policy()["img-src"] == "data:"
    assert "script-src" not in page.policy()
    assert page.all("script") == page.all("link") == []


def test_the_same_hits_give_the_same_page(video: Path) -> None:
    queries = [QueryHits("a dog", [Hit("v", 1, 0.5, video)])]
    assert gallery_page(queries) == gallery_page(queries)
