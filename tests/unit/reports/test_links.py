"""Addresses of videos, and of places in them."""

from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from vcap.reports.links import is_still, media_link
from vcap.types import Segment


@pytest.mark.parametrize(
    ("place", "end"),
    [
        (None, ""),
        (0.0, "#t=0"),
        (12.5, "#t=12.5"),
        (-0.04, "#t=0"),
        (1 / 3, "#t=0.333"),
        (Segment(60.0, 90.25), "#t=60,90.25"),
        (Segment(0.0, 100.0), "#t=0,100"),
        (1e6, "#t=1000000"),
    ],
)
def test_the_place_is_written_as_players_read_it(place: Segment | float | None, end: str) -> None:
    assert media_link(Path("/v/a.mp4"), None, place) == f"file:///v/a.mp4{end}"


def test_a_video_below_the_page_is_linked_from_there() -> None:
    assert media_link(Path("/v/x/a.mp4"), Path("/v")) == "./x/a.mp4"
    assert media_link(Path("/v/x/a.mp4"), Path("/v/x"), 2.0) == "./a.mp4#t=2"


def test_a_video_elsewhere_has_its_whole_path() -> None:
    assert media_link(Path("/v/a.mp4"), Path("/out")) == "file:///v/a.mp4"
    assert media_link(Path("/vv/a.mp4"), Path("/v")) == "file:///vv/a.mp4"


def test_paths_are_taken_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert media_link(Path("x/../a.mp4"), Path()) == "./a.mp4"
    assert media_link(Path("a.mp4")) == (tmp_path / "a.mp4").as_uri()


@pytest.mark.parametrize("name", ["a b.mp4", "a#t=9.mp4", "50%.mp4", "é?.mp4", 'a"<b>.mp4', "a:b"])
def test_odd_names_stay_one_file(name: str) -> None:
    for link in (media_link(Path("/v") / name), media_link(Path("/v") / name, Path("/v"))):
        parts = urlparse(link)
        assert Path(unquote(parts.path)).name == name
        assert (parts.query, parts.fragment) == ("", "")
        assert not set(link) & set(' "<>')


def test_a_name_that_is_no_text_can_be_linked() -> None:
    assert media_link(Path("/v/\udcff.mp4")) == "file:///v/%FF.mp4"


def test_pictures_are_told_from_videos_by_their_name() -> None:
    assert is_still(Path("a.JPG"))
    assert is_still(Path("a.gif"))  # no player of a browser takes it, but every page shows it
    assert not is_still(Path("a.mp4"))
