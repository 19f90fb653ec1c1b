"""Measure two or more ways in turns (A B A B ...) in one run, and print medians side by side.

Every benchmark of the project uses this file, so that all tables read alike. Ratios are between
things measured in the same run on the same machine; absolute times only show where they come from.
"""

import json
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Timing:
    """Medians of one way over all rounds, in seconds."""

    name: str
    wall_seconds: float
    cpu_seconds: float
    rounds: int


def cpu_seconds() -> float:
    """User and system time of this process and of its finished children."""
    usages = (
        resource.getrusage(resource.RUSAGE_SELF),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def compare(ways: Mapping[str, Callable[[], object]], *, rounds: int = 5) -> list[Timing]:
    """Run every way once per round, in turns, after one unmeasured round."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            started, used = time.perf_counter(), cpu_seconds()
            way()
            if turn:
                wall[name].append(time.perf_counter() - started)
                cpu[name].append(cpu_seconds() - used)
    return [
        Timing(name, statistics.median(wall[name]), statistics.median(cpu[name]), rounds)
        for name in ways
    ]


def machine() -> dict[str, str | int]:
    """What the figures were measured on, without its name."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        )
        if Path("/proc/cpuinfo").exists()
        else iter(()),
        platform.processor(),
    )
    import os

    return {"processor": model, "cores": os.cpu_count() or 0, "python": platform.python_version()}


def report(timings: list[Timing], *, against: str, json_path: Path | None = None) -> str:
    """A table with the ratio of each way's wall time to the one named `against`."""
    reference = next(timing for timing in timings if timing.name == against)
    lines = ["| way | wall ms | CPU ms | ratio |", "| --- | ---: | ---: | ---: |"]
    for timing in timings:
        lines.append(
            f"| {timing.name} | {timing.wall_seconds * 1e3:.0f} | {timing.cpu_seconds * 1e3:.0f} "
            f"| {timing.wall_seconds / reference.wall_seconds:.2f} |"
        )
    if json_path:
        facts = {"machine": machine(), "timings": [asdict(timing) for timing in timings]}
        json_path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return "\n".join([*lines, "", f"machine: {machine()}"])
