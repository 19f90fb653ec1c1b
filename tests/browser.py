"""A browser without a screen, asked over a pipe what became of a page."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--no-first-run"),
)
MAX_SECONDS = 60
# The browser reads from 3 and writes to 4, whatever numbers the pipes have here.
START = """
import os, sys
for number, end in enumerate(sys.argv[1:3]):
    os.dup2(int(end), 100 + number)
os.dup2(100, 3), os.dup2(101, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str:
    """A browser that can open a page without a screen; without any the test is skipped."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    return found


class Tab:
    """One page in a browser; answers are JSON."""

    def __init__(self, asked: int, told: int) -> None:
        """Speak over two pipes with whoever holds their other ends."""
        self._asked, self._told = asked, told
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self._loaded: set[str] = set()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        answer = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = answer["sessionId"]
        self.call("Page.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Tell the browser to do something, and wait for what it says of it."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": values}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._asked, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._told, 1 << 20)
            assert data, "the browser is gone"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        values = message.get("params", {})
        if message.get("method") == "Page.lifecycleEvent" and values["name"] == "load":
            self._loaded.add(values["loaderId"])
        return message

    def open(self, path: Path) -> None:
        """Show a page that lies on the disk, and wait until all of it is there."""
        loader = self.call("Page.navigate", url=path.as_uri())["loaderId"]
        while loader not in self._loaded:
            self._read()

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page; its policy does not bind who looks at it."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Go on when the expression is true."""
        last = time.monotonic() + MAX_SECONDS
        while not self.ask(expression):
            assert time.monotonic() < last, f"never true: {expression}"
            time.sleep(0.02)


@contextmanager
def open_tab(profile: Path) -> Iterator[Tab]:
    """A browser of one's own, ended afterwards."""
    their_in, asked = os.pipe()
    told, their_out = os.pipe()
    ours = (their_in, their_out)
    words = [find_browser(), *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    start = [sys.executable, "-c", START, str(their_in), str(their_out), *words]
    with subprocess.Popen(start, pass_fds=ours, stderr=subprocess.DEVNULL) as browser:
        for end in ours:
            os.close(end)
        try:
            yield Tab(asked, told)
        finally:
            browser.kill()
            for end in (asked, told):
                os.close(end)
