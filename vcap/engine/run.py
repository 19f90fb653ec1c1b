"""A run: its folder, settings, device, seed, and who listens to it."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcap.engine.files import ensure_folder, sweep, write_atomic
from vcap.engine.interrupt import StopRequest
from vcap.engine.lock import hold
from vcap.engine.reporter import Reporter, Silent
from vcap.engine.settings import dump_yaml
from vcap.errors import DeviceError, UsageError

if TYPE_CHECKING:
    import torch

STOPPING = "stopping after what is in flight; a second Ctrl-C stops at once"
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass
class Run:
    """One execution of a command that is not a loop over items.

    Attributes:
        folder: where its results go.
        settings: as resolved; written to `config.yaml` in the folder.
        stop: asked now and then whether to stop.
    """

    folder: Path
    settings: Any = None
    reporter: Reporter = field(default_factory=Silent)
    device: Any = "cpu"
    seed: int = 0
    stop: StopRequest = field(default_factory=StopRequest)


@contextmanager
def open_run(
    folder: Path,
    settings: Any,
    *,
    reporter: Reporter,
    device: str = "auto",
    seed: int = 0,
    stop: StopRequest | None = None,
) -> Iterator[Run]:
    """Choose the device, set the seeds, lock the folder and listen to Ctrl-C.

    Raises:
        DeviceError: there is no such device.
        OutputError: the folder cannot be written, or another run is at work in it.
    """
    chosen = choose_device(device, reporter)
    seed_everything(seed)
    with ExitStack() as stack:
        stack.enter_context(hold(ensure_folder(folder)))
        sweep(folder)
        if settings is not None:
            write_atomic(folder / "config.yaml", dump_yaml(settings).encode())
        if stop is None:
            stop = stack.enter_context(listen(reporter))
        yield Run(folder, settings, reporter, chosen, seed, stop)


def listen(reporter: Reporter) -> StopRequest:
    """A stop request that says so on stderr when it is made."""
    return StopRequest(lambda: reporter.warn(STOPPING))


def choose_device(name: str = "auto", reporter: Reporter | None = None) -> "torch.device":
    """The device of a name: auto, cpu, cuda or cuda:N; what auto chose is told.

    Raises:
        DeviceError: there is no such device on this machine.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        device = torch.device("cuda" if count else "cpu")
        if reporter is not None:
            reporter.info(f"device: {device}")
        return device
    kind, _, number = name.partition(":")
    if name != "cpu" and (kind != "cuda" or not (number.isdecimal() or name == "cuda")):
        raise UsageError(f"no device {name!r}; there are auto, cpu, cuda and cuda:N")
    if kind == "cuda" and int(number or 0) >= count:
        found = f"there are {count}" if count else "there is no usable GPU"
        raise DeviceError(f"no device {name} on this machine: {found}", hint="--device cpu")
    return torch.device(name)


def choose_dtype(name: str = "auto", device: Any = "cpu") -> "torch.dtype":
    """The number type that models compute in; auto is float32, so that results agree everywhere.

    Raises:
        UsageError: the name is not one of auto, fp32, bf16, fp16.
        DeviceError: the device cannot compute in it.
    """
    import torch

    if name not in {"auto", *DTYPES}:
        raise UsageError(f"no number type {name!r}; there are auto, {', '.join(DTYPES)}")
    kind = torch.device(device).type
    if name == "fp16" and kind == "cpu":
        raise DeviceError("fp16 is for GPUs; the processor has fp32 and bf16", hint="--dtype bf16")
    dtype: torch.dtype = getattr(torch, DTYPES.get(name, "float32"))
    return dtype


def seed_everything(seed: int) -> None:
    """Set the seeds of Python, numpy and torch, on every device."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # numpy takes 32 bits
    torch.manual_seed(seed)


def is_memory_full(error: BaseException) -> bool:
    """Whether it says that memory is used up, the machine's or the device's."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def free_memory() -> None:
    """Give back memory that nothing needs, the device's too where one is in use."""
    import gc
    import sys

    gc.collect()
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        sys.modules["torch"].cuda.empty_cache()
