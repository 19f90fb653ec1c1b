import random
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from vcap.engine.lock import hold
from vcap.engine.reporter import Silent
from vcap.engine.run import choose_device, choose_dtype, listen, open_run, seed_everything
from vcap.errors import DeviceError, OutputError, UsageError


@dataclass(frozen=True)
class Settings:
    steps: int = 3
    betas: tuple[float, float] = (0.9, 0.999)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch):
    def pretend(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


@pytest.mark.parametrize(("count", "device"), [(0, "cpu"), (2, "cuda")])
def test_what_auto_chose_is_told(gpus, count: int, device: str) -> None:
    gpus(count)
    reporter = Silent()
    assert choose_device("auto", reporter) == torch.device(device)
    assert reporter.lines == [f"device: {device}"]


def test_a_device_that_was_named_is_taken_without_a_word(gpus) -> None:
    gpus(2)
    reporter = Silent()
    names = ["cpu", "cuda", "cuda:1"]
    assert [str(choose_device(name, reporter)) for name in names] == names
    assert reporter.lines == []


@pytest.mark.parametrize(
    ("count", "name", "words"),
    [(0, "cuda", "no usable GPU"), (0, "cuda:0", "no usable GPU"), (1, "cuda:1", "there are 1")],
)
def test_a_device_that_is_not_there_is_refused_with_a_way_out(
    gpus, count: int, name: str, words: str
) -> None:
    gpus(count)
    with pytest.raises(DeviceError, match=words) as caught:
        choose_device(name)
    assert caught.value.hint == "--device cpu" and caught.value.exit_code == 6


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "", "cpu:0"])
def test_what_is_no_device_is_wrong_usage(gpus, name: str) -> None:
    gpus(8)
    with pytest.raises(UsageError, match="there are auto, cpu, cuda and cuda:N"):
        choose_device(name)


def test_number_types_have_short_names_and_auto_is_the_same_everywhere() -> None:
    assert choose_dtype("auto", "cpu") == choose_dtype("auto", "cuda") == torch.float32
    assert choose_dtype("bf16") == torch.bfloat16
    assert choose_dtype("fp16", "cuda:0") == torch.float16
    with pytest.raises(UsageError, match="fp32, bf16, fp16"):
        choose_dtype("int8")
    with pytest.raises(DeviceError, match="bf16"):
        choose_dtype("fp16", "cpu")


def test_one_seed_sets_every_source_of_chance() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(2**40 + 8)
    assert draw() != first


def test_a_run_locks_its_folder_and_writes_down_its_settings(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with open_run(folder, Settings(), reporter=Silent(), device="cpu", seed=3) as run:
        assert (run.device, run.seed, run.settings) == (torch.device("cpu"), 3, Settings())
        assert (folder / "config.yaml").read_text() == "steps: 3\nbetas:\n- 0.9\n- 0.999\n"
        with pytest.raises(OutputError, match="in use"), hold(folder):
            pass
    with hold(folder):
        pass


def test_a_run_listens_and_says_that_it_heard(tmp_path: Path) -> None:
    reporter = Silent()
    with open_run(tmp_path, None, reporter=reporter, device="cpu") as run:
        signal.raise_signal(signal.SIGINT)
        assert run.stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert reporter.lines[0].startswith("warning: stopping after what is in flight")


def test_a_run_can_share_the_request_of_its_caller(tmp_path: Path) -> None:
    with (
        listen(Silent()) as stop,
        open_run(tmp_path, None, reporter=Silent(), device="cpu", stop=stop) as run,
    ):
        assert run.stop is stop
