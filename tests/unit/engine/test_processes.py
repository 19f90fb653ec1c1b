"""Several processes of one training: which is which, how to start them, and how they end."""

import os
import signal

import pytest
import torch

from vcap.engine.interrupt import StopRequest, ending_at_once
from vcap.engine.processes import (
    is_helper,
    launcher,
    num_started,
    own_device,
    refuse_other_number,
    telling_lost_processes,
)
from vcap.errors import ConfigError, DeviceError

CLOSED = "gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:12503"


def test_a_process_alone_is_no_helper_and_needs_no_launcher() -> None:
    assert (is_helper(), num_started(), launcher()) == (False, 1, "")


def test_the_second_of_two_is_a_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert is_helper()
    assert launcher() == "torchrun --nproc-per-node 2 -m "


def test_each_of_several_processes_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, processor = torch.device("cuda"), torch.device("cpu")
    assert own_device(gpu) == gpu
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert own_device(gpu) == torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="process 2 has no GPU of its own: 1 on this machine"):
        own_device(gpu)
    assert own_device(processor) == processor


def test_a_run_of_two_processes_names_the_command_that_goes_on_with_two() -> None:
    refuse_other_number(2, 2, "vcap train lm -o run --resume")
    with pytest.raises(ConfigError, match="begun by 2 processes, here is 1") as caught:
        refuse_other_number(2, 1, "vcap train lm -o run --resume")
    assert caught.value.hint == "torchrun --nproc-per-node 2 -m vcap train lm -o run --resume"
    with pytest.raises(ConfigError, match="begun by 1 process, here are 3") as caught:
        refuse_other_number(1, 3, "vcap train lm -o run --resume")
    assert caught.value.hint == "vcap train lm -o run --resume"


def test_a_closed_connection_is_told_as_a_process_that_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(DeviceError, match="another process") as caught,
        telling_lost_processes("vcap train lm --resume"),
    ):
        raise RuntimeError(CLOSED)
    assert caught.value.hint == "vcap train lm --resume"


@pytest.mark.parametrize(("processes", "text"), [("1", CLOSED), ("2", "a shape is wrong")])
def test_other_failures_stay_what_they_are(
    monkeypatch: pytest.MonkeyPatch, processes: str, text: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", processes)
    with pytest.raises(RuntimeError, match=r"closed|wrong"), telling_lost_processes("again"):
        raise RuntimeError(text)


def test_while_nobody_listens_the_signal_has_its_plain_effect_and_then_its_own_again() -> None:
    with StopRequest() as stop:
        with ending_at_once():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        with ending_at_once(unless=True):
            os.kill(os.getpid(), signal.SIGTERM)
    assert stop.requested
    assert stop.exit_code == 143
