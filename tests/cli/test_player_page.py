"""The pages of `vcap caption -f html` and of search, opened in a real browser without a screen."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Tab, open_tab
from tests.small_videos import ColourCaptioner, make_video
from vcap.engine import caption as caption_module
from vcap.engine.inputs import MEDIA_SUFFIXES
from vcap.reports.gallery import Hit, QueryHits, gallery_page
from vcap.reports.player import player_page
from vcap.types import Segment

EVIL = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
TEXTS = "[...document.querySelectorAll('.captions .now .text')].map(each => each.textContent)"
CLICK = "document.querySelectorAll('{}')[{}].dispatchEvent(new MouseEvent('click', {}))"
MARKED = "[...document.querySelectorAll('[data-start]')].map(e => e.classList.contains('now'))"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A browser for all tests here."""
    with open_tab(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Three seconds, with a name that is hard to link."""
    return make_video(tmp_path / "videos" / "a #1 50%.mp4", 1)


@pytest.fixture
def player(tab: Tab, vcap: Any, video: Path, monkeypatch: pytest.MonkeyPatch) -> Tab:
    """The page that the command makes of a video with three captions, opened."""
    monkeypatch.setattr(caption_module, "open_captioner", lambda *_: ColourCaptioner())
    result = vcap("caption", video, "--every", "1s", "-f", "html", "--beside")
    assert result.exit_code == 0, result.stderr
    tab.open(video.with_suffix(".html"))
    tab.wait("video.readyState >= 1")
    return tab


def click(tab: Tab, selector: str, number: int, **how: bool) -> None:
    """Click a thing on the page."""
    event = {"bubbles": True, "cancelable": True, **how}
    tab.ask(CLICK.format(selector, number, json.dumps(event)))


def test_the_video_is_there_with_its_captions(player: Tab) -> None:
    assert player.ask("[video.duration, video.videoWidth, video.videoHeight]") == [3, 64, 48]
    assert player.ask("document.querySelectorAll('.captions .text').length") == 3
    assert player.ask("document.querySelector('.trouble').checkVisibility()") is False


def test_clicking_a_caption_seeks_and_marks_it(player: Tab) -> None:
    said = player.ask("[...document.querySelectorAll('.text')].map(each => each.textContent)")
    for number in (2, 0, 1):
        click(player, ".captions a", number)
        player.wait("!video.seeking")
        assert player.ask("video.currentTime") == number
        assert player.ask(TEXTS) == [said[number]]
    assert player.ask("video.paused") is True


def test_clicking_the_time_line_seeks_too_and_the_head_moves(player: Tab) -> None:
    click(player, "svg a", 2)
    player.wait("!video.seeking")
    assert player.ask("video.currentTime") == 2
    assert player.ask(MARKED) == [False, False, True] * 2
    place = player.ask("document.querySelector('.head').getAttribute('transform')")
    assert float(place.removeprefix("translate(").split()[0]) == pytest.approx(1000 * 2 / 3)


def test_playing_moves_the_mark(player: Tab) -> None:
    player.ask("video.muted = true; video.currentTime = 1.9; video.play()")
    player.wait(f"{MARKED}.lastIndexOf(true) === 5")
    assert player.ask("video.currentTime") >= 2


def test_a_click_that_asks_for_another_tab_is_left_to_the_browser(player: Tab) -> None:
    player.ask("document.addEventListener('click', event => { window.kept = !event."
               "defaultPrevented; event.preventDefault(); })")  # fmt: skip
    click(player, ".captions a", 2, ctrlKey=True)
    assert player.ask("[window.kept, video.currentTime]") == [True, 0]


def test_the_link_of_a_caption_opens_the_video_at_its_place(player: Tab) -> None:
    link = player.ask("document.querySelectorAll('.captions a')[2].href")
    assert link.endswith("#t=2,3")
    player.call("Page.navigate", url=link)
    player.wait("document.querySelector('video')?.currentTime >= 2")


def test_a_video_that_is_gone_is_told_on_the_page_and_no_click_leaves_it(
    tab: Tab, tmp_path: Path
) -> None:
    caption = {"text": "a dog", "start": 0.0, "end": 1.0}
    record = {"id": "v", "path": str(tmp_path / "gone.mp4"), "captions": [caption]}
    page = tmp_path / "page.html"
    page.write_text(player_page(record, tmp_path), encoding="utf-8")
    tab.open(page)
    tab.wait("!document.querySelector('.trouble').hidden")
    click(tab, ".captions a", 0)
    assert tab.ask("[location.href, document.readyState]") == [page.as_uri(), "complete"]


def test_a_script_in_a_caption_stays_text(tab: Tab, video: Path) -> None:
    record = {"id": EVIL, "path": str(video), "model": EVIL, "duration": 3.0}
    record["captions"] = [{"text": EVIL}]
    page = video.with_name("page.html")
    page.write_text(player_page(record, page.parent), encoding="utf-8")
    tab.open(page)
    tab.wait("video.readyState >= 1")
    assert tab.ask("document.title") == EVIL
    assert tab.ask("[document.images.length, document.scripts.length]") == [0, 1]
    assert tab.ask(TEXTS) == [EVIL]


def test_no_other_script_runs_in_the_page(tab: Tab, video: Path) -> None:
    page = video.with_name("page.html")
    text = player_page({"id": "v", "path": str(video), "captions": []}, page.parent)
    evil = "<script>document.title = 'owned'</script>"
    page.write_text(text.replace("</body>", f"{evil}</body>"), encoding="utf-8")
    tab.open(page)
    assert tab.ask("[document.title, document.scripts.length]") == ["v", 2]


def test_an_image_is_shown(tab: Tab, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    page = tmp_path / "out" / "page.html"
    page.parent.mkdir()
    record = {"id": "a", "path": str(tmp_path / "a.png"), "captions": [{"text": "black"}]}
    page.write_text(player_page(record, page.parent), encoding="utf-8")
    tab.open(page)
    assert tab.ask("[document.images[0].naturalWidth, document.images[0].naturalHeight]") == [
        64,
        48,
    ]


@pytest.fixture
def gallery(tab: Tab, video: Path, tmp_path: Path) -> Tab:
    """The page of two hits of a query that would take the page over if it could, opened."""
    moment = Hit("v", 1, 0.75, video, Segment(1.0, 2.5), (2.0, 1.25))
    hits = [moment, Hit(EVIL, 2, 0.5, video, text=EVIL)]
    page = tmp_path / "gallery.html"
    page.write_text(gallery_page([QueryHits(EVIL, hits)], page.parent), encoding="utf-8")
    tab.open(page)
    return tab


def test_thumbnails_load(gallery: Tab) -> None:
    sizes = "[...document.images].map(each => [each.naturalWidth, each.naturalHeight])"
    assert gallery.ask(sizes) == [[160, 120]] * 3


def test_the_moment_and_the_times_of_its_frames_are_right(gallery: Tab) -> None:
    times = "[...document.querySelectorAll('li:first-child time')].map(each => each.textContent)"
    assert gallery.ask(times) == ["00:01.000", "00:02.500", "00:01.250", "00:02.000"]


def test_the_player_of_a_hit_begins_at_its_moment(gallery: Tab) -> None:
    gallery.ask("video = document.querySelector('video'); video.preload = 'auto'; video.load()")
    gallery.wait("video.currentTime > 0 || video.error")
    assert gallery.ask("[video.currentTime, video.duration]") == [1, 3]


def test_a_script_in_a_query_or_a_hit_stays_text(gallery: Tab) -> None:
    assert gallery.ask("[document.title, document.scripts.length]") == ["vcap retrieve", 0]
    assert gallery.ask("document.querySelector('h2').textContent") == EVIL
    assert gallery.ask("document.querySelector('.text').textContent") == EVIL


@pytest.mark.media
def test_real_videos_have_thumbnails_that_load(tab: Tab, media_root: Path, tmp_path: Path) -> None:
    videos = sorted(path for path in media_root.iterdir() if path.suffix in MEDIA_SUFFIXES)
    assert videos
    hits = [Hit(path.name, rank, 0.5, path) for rank, path in enumerate(videos, start=1)]
    page = tmp_path / "gallery.html"
    page.write_text(gallery_page([QueryHits("all", hits)]), encoding="utf-8")
    tab.open(page)
    loaded = "[...document.images].filter(each => each.complete && each.naturalWidth).length"
    assert tab.ask(loaded) == len(videos)
    assert tab.ask("document.querySelectorAll('.note').length") == 0
