"""The arithmetic of the benchmarks, and a run of one on videos of two seconds."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmarks import harness, memory, videos
from benchmarks.harness import Comparison, Timing, compare, faster, goals, report, total
from tests.conftest import REPOSITORY

SLOW = Timing("slow", wall_seconds=6.0, cpu_seconds=9.0, rounds=3, count=12)
FAST = Timing("fast", wall_seconds=2.0, cpu_seconds=4.5, rounds=3, count=12)
SCALE = videos.Scale("test", seconds=1, clip_seconds=1, num_clips=2)


def row(ratio: float | None, goal: float = 2.0, **changes: Any) -> Comparison:
    """A comparison of no particular things."""
    return Comparison("work", "theirs", "ours", "CPU", ratio, goal, **changes)


def test_the_ways_take_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []

    def way(name: str) -> Callable[[], object]:
        return lambda: calls.append(name)

    timings = compare({"a": way("a"), "b": way("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert [(timing.name, timing.rounds) for timing in timings] == [("a", 2), ("b", 2)]


def test_ways_that_are_warm_are_run_no_more_often_than_they_are_measured() -> None:
    calls: list[str] = []
    way = {"a": lambda: calls.append("a")}
    [timing] = compare(way, rounds=1, warm_up=False)
    assert (calls, timing.rounds) == (["a"], 1)


def test_the_median_round_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = iter([100.0, 1.0, 9.0, 2.0])  # the first is not measured
    now = 0.0

    def way() -> None:
        nonlocal now
        now += next(lengths)

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(harness, "cpu_seconds", lambda: 2 * now)
    [timing] = compare({"way": way}, rounds=3)
    assert (timing.wall_seconds, timing.cpu_seconds) == (2.0, 4.0)


def test_a_way_may_tell_how_many_things_it_did() -> None:
    timings = compare({"counts": lambda: 7, "says nothing": lambda: None}, rounds=1)
    assert [timing.count for timing in timings] == [7, None]


def test_processor_time_counts_children_that_ended() -> None:
    before = harness.cpu_seconds()
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    assert harness.cpu_seconds() > before


@pytest.mark.parametrize(("of", "ratio"), [("wall", 3.0), ("CPU", 2.0)])
def test_a_ratio_is_the_baseline_by_ours_in_the_time_that_the_goal_names(
    of: str, ratio: float
) -> None:
    found = faster("work", SLOW, FAST, of=of, goal=2.5)
    assert (found.baseline, found.ours, found.unit) == ("slow", "fast", of)
    assert found.ratio == ratio
    assert (found.verdict == "met") == (ratio >= 2.5)


def test_ways_that_follow_one_another_add_up() -> None:
    both = total("both", [SLOW, FAST])
    assert (both.wall_seconds, both.cpu_seconds, both.count) == (8.0, 13.5, 12)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (row(2.0), "met"),
        (row(1.99), "**not met**"),
        (row(1.1, goal=1.1, at_least=False), "met"),
        (row(1.2, goal=1.1, at_least=False), "**not met**"),
        (row(None, note="not installed"), "not installed"),
    ],
)
def test_a_goal_is_met_missed_or_not_measured(found: Comparison, verdict: str) -> None:
    assert found.verdict == verdict


def test_the_table_of_goals_has_a_line_for_each() -> None:
    absent = harness.missing("work", "peer", "ours", of="CPU", goal=1.3, why="not installed")
    lines = goals([row(2.5), row(1.0, goal=1.1, at_least=False), absent]).splitlines()
    assert lines[2] == "| work | theirs | ours | CPU | 2.50 | >= 2 | met |"
    assert lines[3] == "| work | theirs | ours | CPU | 1.00 | <= 1.1 | met |"
    assert lines[4] == "| work | peer | ours | CPU |  | >= 1.3 | not installed |"
    assert {line.count("|") for line in lines} == {8}


def test_the_table_of_ways_has_rates_or_ratios() -> None:
    assert "| fast | 2000 | 4500 | 6 |" in report([SLOW, FAST])
    assert "| fast | 2000 | 4500 | 0.33 |" in report([SLOW, FAST], against="slow")
    slower = Timing("slower", wall_seconds=48.0, cpu_seconds=48.0, rounds=1, count=12)
    assert "| slower | 48000 | 48000 | 0.25 |" in report([slower])


def test_json_holds_the_machine_the_timings_and_the_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "new" / "all.json"
    harness.save(path, [SLOW, FAST], [row(1.0)], device="cpu")
    facts = json.loads(path.read_text())
    assert facts["machine"]["cores"] == os.cpu_count()
    assert [timing["count"] for timing in facts["timings"]] == [12, 12]
    assert facts["comparisons"][0]["verdict"] == "**not met**"
    assert facts["device"] == "cpu"


def frames_of(path: Path) -> list[int]:
    """Time stamps of all frames, decoded."""
    with av.open(str(path)) as container:
        return [frame.pts for frame in container.decode(video=0)]


@pytest.mark.media
def test_the_videos_are_made_once_and_as_long_as_asked(media_root: Path, tmp_path: Path) -> None:
    path = videos.looped(media_root, tmp_path, "240p", SCALE)
    made = path.stat().st_mtime_ns
    assert videos.looped(media_root, tmp_path, "240p", SCALE) == path
    assert path.stat().st_mtime_ns == made
    assert len(frames_of(path)) == SCALE.seconds * videos.RATE


@pytest.mark.media
def test_the_long_video_goes_on_without_a_gap(media_root: Path, tmp_path: Path) -> None:
    times = frames_of(videos.repeated(media_root, tmp_path, "240p", SCALE))
    assert len(times) == videos.NUM_JOINED * SCALE.seconds * videos.RATE
    assert len(set(np.diff(times).tolist())) == 1


@pytest.mark.media
def test_half_of_the_clips_are_small_and_none_is_like_another(
    media_root: Path, tmp_path: Path
) -> None:
    scale = videos.Scale("test", seconds=1, clip_seconds=1, num_clips=4)
    paths = videos.clips(media_root, tmp_path, scale)
    assert [path.stem[-4:] for path in paths] == ["240p", "240p", "360p", "360p"]
    assert len({path.read_bytes() for path in paths}) == 4


def test_rendered_clips_are_kept(tmp_path: Path) -> None:
    first = videos.rendered(tmp_path, 2)
    made = [path.stat().st_mtime_ns for path in first]
    assert videos.rendered(tmp_path, 3)[:2] == first
    assert [path.stat().st_mtime_ns for path in first] == made


def test_the_peak_of_memory_is_no_less_than_what_is_held_now() -> None:
    assert 0 < memory.resident_bytes() <= memory.resident_bytes("VmHWM")


def test_done_clips_are_counted_from_whole_lines_of_the_journal(tmp_path: Path) -> None:
    assert memory.num_done(tmp_path) == 0
    (tmp_path / ".vcap").mkdir()
    lines = '{"status": "done"}\n{"status": "failed"}\n{"status": "done"}\n{"stat'
    (tmp_path / ".vcap" / "journal.jsonl").write_text(lines)
    assert memory.num_done(tmp_path) == 2


@pytest.mark.media
def test_the_benchmark_of_decoding_says_for_every_goal_whether_it_is_met(
    media_root: Path, tmp_path: Path
) -> None:
    json_path = tmp_path / "all.json"
    script = REPOSITORY / "benchmarks" / "decode.py"
    words = [sys.executable, script, "--quick", "--work", tmp_path, "--json", json_path]
    run = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, "VCAP_MEDIA": str(media_root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    rows = json.loads(json_path.read_text())["comparisons"]
    assert sorted({found["goal"] for found in rows}) == [1, 1.3, 2, 3, 25]
    assert all(f"| {found['what']} | {found['baseline']} |" in run.stdout for found in rows)
    pixels = next(found for found in rows if found["what"] == "the same pixels")
    assert pixels["ratio"] == 1
