"""Several processes that train one model, as torchrun starts them; the first owns the folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vcap.engine.interrupt import ending_at_once
from vcap.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    import torch

    from vcap.engine.run import Run
    from vcap.engine.schedule import TrainSettings

LOST = ("gloo", "NCCL", "c10d")  # what errors of a connection between processes name


def is_helper() -> bool:
    """Whether torchrun started this process beside the first one, which owns the folder."""
    return int(os.environ.get("RANK", "0")) > 0


def num_started() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_device(device: "torch.device") -> "torch.device":
    """The GPU of this process where several train, one each; any other device as it is.

    Raises:
        DeviceError: there are fewer GPUs than processes.
    """
    import torch

    if "LOCAL_RANK" not in os.environ or device.type != "cuda":
        return device
    rank, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if rank >= count:
        raise DeviceError(
            f"process {rank + 1} has no GPU of its own: {count} on this machine",
            hint="--device cpu",
        )
    return torch.device("cuda", rank)


def refuse_other_number(theirs: int, ours: int, again: str) -> None:
    """Go on with as many processes as before, as a batch's place in the data depends on them.

    Raises:
        ConfigError: there are more or fewer.
    """
    if theirs != ours:
        raise ConfigError(
            f"the run was begun by {theirs} process{'es' if theirs > 1 else ''}, here "
            f"{'are' if ours > 1 else 'is'} {ours}",
            hint=launcher(theirs) + again,
        )


def launcher(count: int | None = None) -> str:
    """What stands before `vcap` in a command for so many processes; by default as many as now."""
    count = num_started() if count is None else count
    return f"torchrun --nproc-per-node {count} -m " if count > 1 else ""


def make_accelerator(settings: "TrainSettings", run: "Run") -> Any:
    """Accelerate for one device, or for as many as torchrun started.

    Several processes wait here until all of them have come, and end at once when they are told to:
    torchrun does so where one of them has failed before.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    device = run.device
    is_alone = "LOCAL_RANK" not in os.environ
    if is_alone:
        AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run's, in one process
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if device.type == "cuda" and device.index is not None and is_alone:
        torch.cuda.set_device(device)
    with ending_at_once(unless=is_alone):
        if run.stop.requested and not is_alone:
            raise SystemExit(run.stop.exit_code)
        return Accelerator(
            cpu=device.type == "cpu",
            mixed_precision="bf16" if settings.precision == "bf16" else "no",
            gradient_accumulation_steps=settings.accumulation,
        )


@contextmanager
def telling_lost_processes(again: str) -> Iterator[None]:
    """Tell a connection that broke because another process ended as what it is.

    Args:
        again: the command that goes on.

    Raises:
        DeviceError: another process ended; why, it has said itself.
    """
    try:
        yield
    except RuntimeError as error:
        if num_started() == 1 or not any(word in str(error) for word in LOST):
            raise
        raise DeviceError(
            "another process of this training ended, and this one with it", hint=again
        ) from error
