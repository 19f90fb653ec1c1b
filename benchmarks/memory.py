"""How much memory `encode` takes, and what is left of it when it is killed, on rendered clips.

    python benchmarks/memory.py WORK_FOLDER NUM_CLIPS STORE

encodes that many clips, two frames of each, and prints its memory as JSON; `benchmarks/encode.py`
runs it in processes of its own, since the peak of a process never goes down.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.harness import Comparison
from benchmarks.videos import rendered

REPOSITORY = Path(__file__).resolve().parents[1]
FEW, MANY, LONG = 50, 1000, 2000
EACH = 100  # clips between two points of the curve
MEBI = 2**20
POLL_SECONDS = 0.02
KILL_AT = (0.2, 0.45, 0.8)  # of the clips
KILL_AFTER_SECONDS = 0.3  # so that the kill falls into a file's making, not between two


def resident_bytes(kind: str = "VmRSS") -> int:
    """Memory of this process: `VmRSS` now, `VmHWM` at its peak.

    The peak that `getrusage` tells is also that of the process that started this one.
    """
    path = Path("/proc/self/status")
    if not path.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind))


def encode_clips(work: Path, count: int, store: Path) -> dict[str, Any]:
    """Encode rendered clips with the embedded encoder; memory along the way, in MiB."""
    from vcap.engine.encode import encode

    curve: list[tuple[int, int]] = []
    done = 0

    def note(_: str, __: int) -> None:
        nonlocal done
        done += 1
        if done % EACH == 0:
            curve.append((done, resident_bytes() // MEBI))

    started = time.perf_counter()
    summary = encode(rendered(work, count), store, sampler="uniform 2", on_result=note)
    return {
        "clips": summary.done,
        "failed": len(summary.failed),
        "seconds": round(time.perf_counter() - started, 1),
        "peak_mib": round(resident_bytes("VmHWM") / MEBI, 1),
        "curve": curve,
    }


def start(work: Path, count: int, store: Path) -> subprocess.Popen[str]:
    """Encode rendered clips in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), str(work), str(count), str(store)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)


def finish(run: subprocess.Popen[str]) -> dict[str, Any]:
    """What a process says at its end.

    Raises:
        RuntimeError: it failed.
    """
    out, _ = run.communicate()
    if run.returncode:
        raise RuntimeError(f"encoding the clips ended with code {run.returncode}")
    told: dict[str, Any] = json.loads(out)
    return told


def compare_memory(
    work: Path, folder: Path, few: int = FEW, many: int = MANY
) -> tuple[Comparison, dict[str, Any]]:
    """Peak memory for many clips against that for few, and what both runs said."""
    rendered(work, many)
    told = {count: finish(start(work, count, folder / str(count))) for count in (few, many)}
    ratio = told[many]["peak_mib"] / told[few]["peak_mib"]
    what = "peak memory of `encode`"
    row = Comparison(what, f"{many} clips", f"{few} clips", "memory", ratio, 1.1, at_least=False)
    return row, {str(count): facts for count, facts in told.items()}


def compare_killed(
    work: Path, folder: Path, count: int = LONG
) -> tuple[Comparison, dict[str, Any]]:
    """Whether a run that is killed again and again leaves the bytes of one that is not."""
    rendered(work, count)
    whole = finish(start(work, count, folder / "whole"))
    kills = []
    for share in KILL_AT:
        run = start(work, count, folder / "killed")
        while run.poll() is None and num_done(folder / "killed") < share * count:
            time.sleep(POLL_SECONDS)
        time.sleep(KILL_AFTER_SECONDS)
        if run.poll() is None:
            run.kill()
            kills.append(num_done(folder / "killed"))
        run.communicate()
    rest = finish(start(work, count, folder / "killed"))
    expected, found = contents(folder / "whole"), contents(folder / "killed")
    equal = sum(found.get(name) == data for name, data in expected.items())
    share = 0.0 if found.keys() != expected.keys() else equal / len(expected)
    what = f"files of {count} clips after {len(kills)} SIGKILLs"
    row = Comparison(what, "never killed", "killed and resumed", "equal", share, 1)
    facts = {"whole": whole, "done_when_killed": kills, "last": rest, "files": len(expected)}
    return row, facts


def num_done(store: Path) -> int:
    """How many clips the journal of a store calls done."""
    path = store / ".vcap" / "journal.jsonl"
    data = path.read_bytes() if path.exists() else b""
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    return sum(json.loads(line)["status"] == "done" for line in lines)


def contents(store: Path) -> Mapping[str, bytes]:
    """What readers of a store see."""
    return {path.name: path.read_bytes() for path in store.iterdir() if path.is_file()}


if __name__ == "__main__":
    print(json.dumps(encode_clips(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
