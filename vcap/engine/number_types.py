"""Which number type an encoder is fastest in here: measured once, then remembered.

Whether bf16 pays depends on the processor: with instructions for it, it takes about half the time
of float32; without them it is slower. What was measured stands in the user's cache folder.
"""

import json
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcap.engine.files import ensure_folder, write_atomic
from vcap.errors import OutputError

if TYPE_CHECKING:
    import torch

ROWS, WIDTH, REPEATS = 800, 768, 5  # a small batch through one layer of a usual tower
PAYS = 1.2  # times as fast; below that, float32 is the safer choice


def fastest_dtype(device: "torch.device | str" = "cpu") -> "torch.dtype":
    """The number type for weights: bf16 where the device gains by it, float32 otherwise."""
    import torch

    place = torch.device(device)
    key = f"{device_name(place)}, torch {torch.__version__}"
    known = _remembered()
    if key not in known:
        known = {**known, key: round(bf16_gain(place), 3)}
        with suppress(OutputError, OSError):  # it is measured again the next time
            ensure_folder(cache_path().parent)
            write_atomic(cache_path(), json.dumps(known, indent=1, sort_keys=True).encode())
    return torch.bfloat16 if known[key] >= PAYS else torch.float32


def recorded_dtype(fingerprint: Mapping[str, Any], device: "torch.device | str") -> str | None:
    """The name of the number type that a fingerprint tells; None where the device lacks it."""
    import torch

    from vcap.engine.run import DTYPES

    names = {long: short for short, long in DTYPES.items()}
    name = names.get(str(fingerprint.get("dtype")))
    return None if name == "fp16" and torch.device(device).type == "cpu" else name


def cache_path() -> Path:
    """The file that remembers, in the user's cache folder."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = given if given.is_absolute() else Path("~/.cache").expanduser()
    return folder / "vcap" / "number-types.json"


def device_name(device: "torch.device") -> str:
    """What the processor or the GPU calls itself."""
    if device.type == "cuda":
        import torch

        return str(torch.cuda.get_device_name(device))
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def bf16_gain(device: "torch.device") -> float:
    """How many times as fast as in float32 a product of matrices is in bf16."""
    import torch

    return _seconds(device, torch.float32) / _seconds(device, torch.bfloat16)


def _seconds(device: "torch.device", dtype: "torch.dtype") -> float:
    """The shortest of some products; the first one, which sets things up, does not count."""
    import torch

    rows = torch.ones(ROWS, WIDTH, device=device, dtype=dtype)  # [N, D]
    weights = torch.ones(WIDTH, WIDTH, device=device, dtype=dtype)  # [D, D]
    taken = []
    with torch.inference_mode():
        for _ in range(REPEATS + 1):
            begin = time.perf_counter()
            torch.mm(rows, weights)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - begin)
    return max(min(taken[1:]), 1e-9)


def _remembered() -> dict[str, Any]:
    """What was measured before; nothing where the file is absent or damaged."""
    try:
        found = json.loads(cache_path().read_bytes())
    except (OSError, ValueError, RuntimeError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, int | float)}
