"""Measure two or more ways in turns (A B A B ...) in one run, and print medians side by side.

Every benchmark of the project uses this file, so that all tables read alike. Ratios are between
things measured in the same run on the same machine; absolute times only show where they come from.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

MEASURED_WITH = (
    *("av", "torch", "torchcodec", "open_clip_torch", "transformers", "pillow", "numpy"),
    "pycocoevalcap",
)


@dataclass(frozen=True)
class Timing:
    """Medians of one way over all rounds, in seconds.

    Attributes:
        count: what the way said it did, such as frames; None where it said nothing.
    """

    name: str
    wall_seconds: float
    cpu_seconds: float
    rounds: int
    count: int | None = None

    def seconds(self, of: str) -> float:
        """The median of `wall` or `CPU` time."""
        return {"wall": self.wall_seconds, "CPU": self.cpu_seconds}[of]


@dataclass(frozen=True)
class Comparison:
    """One ratio with its goal.

    Attributes:
        what: the work that both sides do.
        unit: what is compared: `CPU`, `wall`, `memory`, or what else the number is.
        ratio: None where it could not be measured.
        goal: what the ratio should reach, or stay below.
        at_least: whether more is better.
        note: why there is no ratio.
    """

    what: str
    baseline: str
    ours: str
    unit: str
    ratio: float | None
    goal: float
    at_least: bool = True
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the goal is met, in a word."""
        if self.ratio is None:
            return self.note or "not measured"
        met = self.ratio >= self.goal if self.at_least else self.ratio <= self.goal
        return "met" if met else "**not met**"


def cpu_seconds() -> float:
    """User and system time of this process and of its finished children."""
    usages = (
        resource.getrusage(resource.RUSAGE_SELF),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def compare(
    ways: Mapping[str, Callable[[], object]], *, rounds: int = 5, warm_up: bool = True
) -> list[Timing]:
    """Run every way once per round, in turns, after one unmeasured round if they are to warm up.

    A way that gives back a whole number tells how many things it did.
    """
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    counts: dict[str, int | None] = dict.fromkeys(ways)
    for turn in range(0 if warm_up else 1, rounds + 1):
        for name, way in ways.items():
            started, used = time.perf_counter(), cpu_seconds()
            told = way()
            if turn:
                wall[name].append(time.perf_counter() - started)
                cpu[name].append(cpu_seconds() - used)
            counts[name] = told if isinstance(told, int) else None
    return [
        Timing(
            name,
            statistics.median(wall[name]),
            statistics.median(cpu[name]),
            rounds,
            counts[name],
        )
        for name in ways
    ]


def total(name: str, parts: Sequence[Timing]) -> Timing:
    """Ways that follow one another, as one way."""
    return Timing(
        name,
        sum(part.wall_seconds for part in parts),
        sum(part.cpu_seconds for part in parts),
        min(part.rounds for part in parts),
        parts[-1].count,
    )


def scaled(timing: Timing, count: int) -> Timing:
    """The time of as many things as `count`, from that of fewer."""
    factor = count / (timing.count or count)
    name = f"{timing.name}, scaled to {count}" if factor != 1 else timing.name
    wall, cpu = timing.wall_seconds * factor, timing.cpu_seconds * factor
    return replace(timing, name=name, wall_seconds=wall, cpu_seconds=cpu, count=count)


def faster(
    what: str, baseline: Timing, ours: Timing, *, of: str, goal: float, at_least: bool = True
) -> Comparison:
    """How many times as long the baseline takes, in `wall` or `CPU` time."""
    ratio = baseline.seconds(of) / max(ours.seconds(of), 1e-9)
    return Comparison(what, baseline.name, ours.name, of, ratio, goal, at_least)


def missing(what: str, baseline: str, ours: str, *, of: str, goal: float, why: str) -> Comparison:
    """A row for what cannot be measured here."""
    return Comparison(what, baseline, ours, of, None, goal, note=why)


def machine() -> dict[str, str | int | bool]:
    """What the figures were measured on, without its name."""
    facts = _processor()
    versions = {}
    for name in MEASURED_WITH:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": facts.get("model name", platform.processor()),
        "bf16 instructions": "avx512_bf16" in facts.get("flags", ""),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> dict[str, str]:
    """The lines on the first core, where the system tells."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8").split("\n\n")[0] if path.exists() else ""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def report(
    timings: Sequence[Timing], *, against: str | None = None, json_path: Path | None = None
) -> str:
    """A table of the ways; with the ratio of each one's wall time to that of `against`."""
    reference = next((timing for timing in timings if timing.name == against), None)
    extra = "ratio" if reference else "count a second"
    lines = [f"| way | wall ms | CPU ms | {extra} |", "| --- | ---: | ---: | ---: |"]
    for timing in timings:
        last = _rate(timing.count / timing.wall_seconds) if timing.count else ""
        if reference:
            last = f"{timing.wall_seconds / reference.wall_seconds:.2f}"
        lines.append(
            f"| {timing.name} | {timing.wall_seconds * 1e3:.0f} | {timing.cpu_seconds * 1e3:.0f} "
            f"| {last} |"
        )
    if json_path:
        save(json_path, timings)
    return "\n".join([*lines, "", f"machine: {machine()}"])


def _rate(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 5 else f"{rate:.2g}"


def goals(comparisons: Sequence[Comparison]) -> str:
    """A table of ratios, each with its goal and whether it is met."""
    lines = ["| comparison | baseline | ours | of | ratio | goal | |", "| --- " * 7 + "|"]
    for row in comparisons:
        ratio = "" if row.ratio is None else f"{row.ratio:.{4 if row.unit == 'cosine' else 2}f}"
        sign = ">=" if row.at_least else "<="
        cells = [row.what, row.baseline, row.ours, row.unit, ratio, f"{sign} {row.goal:g}"]
        lines.append(f"| {' | '.join([*cells, row.verdict])} |")
    return "\n".join(lines)


def save(
    path: Path,
    timings: Sequence[Timing],
    comparisons: Sequence[Comparison] = (),
    **more: object,
) -> None:
    """Everything as JSON."""
    facts = {
        "machine": machine(),
        "timings": [asdict(timing) for timing in timings],
        "comparisons": [{**asdict(row), "verdict": row.verdict} for row in comparisons],
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that the benchmarks of videos share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds; the median counts")
    parser.add_argument("--quick", action="store_true", help="short videos, one round: a check")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/benchmarks"),
        metavar="FOLDER",
        help="where the videos are made, once",
    )
    return parser


def conclude(
    timings: Sequence[Timing],
    comparisons: Sequence[Comparison],
    json_path: Path | None = None,
    **more: object,
) -> None:
    """Print both tables; write them where asked."""
    print(goals(comparisons), report(timings), sep="\n\n")
    for name, value in more.items():
        print(f"{name.replace('_', ' ')}: {value}")
    if json_path:
        save(json_path, timings, comparisons, **more)
