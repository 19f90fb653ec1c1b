"""A killed `download` or `extract` goes on to the same bytes as one that was never killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vcap.engine.sample import sample_path

DOWNLOAD = ["download", "shapes:clips", "--split", "val", "--limit", "12", "--workers", "1"]


def run(words: list[str], folder: Path) -> None:
    """Run to the end."""
    command = [sys.executable, "-m", "vcap", *words, "-o", str(folder), "--quiet"]
    subprocess.run(command, check=True, capture_output=True)


def run_and_kill(words: list[str], folder: Path, journal: Path, lines: int) -> None:
    """Run until the journal has so many lines, then SIGKILL."""
    command = [sys.executable, "-m", "vcap", *words, "-o", str(folder), "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    assert process.wait(60) == -signal.SIGKILL, "the run ended before it could be killed"


def content(folder: Path) -> dict[str, bytes]:
    """Every file by its path, but for what is private to vcap."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".vcap" not in path.relative_to(folder).parts
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a download leaves that nobody disturbs."""
    folder = tmp_path_factory.mktemp("unbroken")
    run(DOWNLOAD, folder)
    return content(folder)


@pytest.mark.parametrize("lines", [1, 5])
def test_a_killed_download_goes_on_to_the_same_bytes(
    tmp_path: Path, unbroken: dict[str, bytes], lines: int
) -> None:
    journal = tmp_path / "shapes-clips" / ".vcap" / "journal.jsonl"
    run_and_kill(DOWNLOAD, tmp_path, journal, lines)
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.mp4")}
    assert len(kept) >= lines
    assert "shapes-clips.jsonl" not in content(tmp_path), "the manifest appears at the end"
    run(DOWNLOAD, tmp_path)
    assert content(tmp_path) == unbroken
    journalled = sum(p.stat().st_mtime_ns == time for p, time in kept.items())
    assert journalled >= lines, "what was journalled is not made again"


def test_a_killed_extract_goes_on_to_the_same_folders(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(8):
        (videos / f"{number}.mp4").write_bytes(sample_path().read_bytes())
    words = ["extract", str(videos), "--fps", "8", "--workers", "1"]
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    run_and_kill(words, broken, broken / ".vcap" / "journal.jsonl", 2)
    assert all(len(list(folder.glob("*.jpg"))) == 31 for folder in broken.glob("[0-9]*"))
    run(words, broken)
    run(words, whole)
    assert content(broken) == content(whole)
    assert not list(broken.glob(".vcap-*"))
