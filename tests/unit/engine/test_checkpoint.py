"""Checkpoints come back as they were written, or not at all."""

import errno
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vcap.engine.checkpoint import (
    list_checkpoints,
    load_optimizer,
    load_tensors,
    optimizer_tensors,
    prune_checkpoints,
    random_states,
    read_state,
    read_tensors,
    restore_random_states,
    saved_tensors,
    sweep_checkpoints,
    write_checkpoint,
)
from vcap.errors import CheckpointError, OutputError


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(12, 2))


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 2) -> None:
    for step in range(steps):
        model(torch.full((1, 2, 3, 3), step + 1.0)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def names_of(model: nn.Module) -> dict[int, str]:
    return {id(weight): name for name, weight in model.named_parameters()}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_weights_and_moments_come_back_and_go_on_alike(tmp_path: Path, layout: Any) -> None:
    ours = small_model().to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(ours.parameters(), lr=0.1, fused=True)
    trained(ours, optimizer)
    moments = optimizer_tensors(optimizer, names_of(ours))
    path = write_checkpoint(tmp_path, 2, saved_tensors(ours), moments, {})
    theirs = small_model().to(memory_format=layout)  # type: ignore[call-overload]
    other = torch.optim.AdamW(theirs.parameters(), lr=0.1, fused=True)
    load_tensors(theirs, read_tensors(path / "model.safetensors"), path)
    load_optimizer(other, names_of(theirs), read_tensors(path / "optimizer.safetensors"))
    trained(ours, optimizer)
    trained(theirs, other)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name


def test_frozen_weights_are_not_saved_and_tied_ones_once() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2), "c": nn.Linear(2, 2)})
    model["b"].requires_grad_(False)
    model["c"].weight = model["a"].weight  # type: ignore[assignment]
    assert sorted(saved_tensors(model)) == ["a.bias", "a.weight", "c.bias"]
    load_tensors(model, saved_tensors(model), Path("x"))


def test_of_a_frozen_language_model_not_even_the_tied_output_layer_is_saved() -> None:
    from tests.small_models import small_lm

    model = nn.ModuleDict({"lm": small_lm().requires_grad_(False), "mapper": nn.Linear(2, 2)})
    assert "lm.lm_head.weight" in model.state_dict()
    assert sorted(saved_tensors(model)) == ["mapper.bias", "mapper.weight"]


def test_a_checkpoint_of_another_model_is_refused_naming_the_weight(tmp_path: Path) -> None:
    tensors = saved_tensors(nn.Linear(3, 2))
    with pytest.raises(CheckpointError, match=r"does not fit.*weight"):
        load_tensors(nn.Linear(4, 2), tensors, tmp_path)
    with pytest.raises(CheckpointError, match="bias"):
        load_tensors(nn.Linear(3, 2, bias=False), tensors, tmp_path)


def test_every_random_source_goes_on_where_it_was() -> None:
    states = random_states()
    before = (random.random(), np.random.random(), torch.rand(3).tolist())
    restore_random_states(states)
    assert (random.random(), np.random.random(), torch.rand(3).tolist()) == before


def test_the_second_half_of_a_pair_of_normal_numbers_is_not_lost() -> None:
    random.gauss(0, 1), np.random.normal()
    states = random_states()
    before = (random.gauss(0, 1), np.random.normal())
    restore_random_states(states)
    assert (random.gauss(0, 1), np.random.normal()) == before


def write(folder: Path, *steps: int) -> None:
    for step in steps:
        write_checkpoint(folder, step, {"w": torch.ones(1)}, {}, {"note": step})


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    write(tmp_path, 10, 20, 30, 40)
    prune_checkpoints(tmp_path, keep=2, best=10, every=10, total=100)
    assert list(list_checkpoints(tmp_path)) == [10, 30, 40]


def test_a_checkpoint_of_an_interrupt_goes_when_a_regular_one_comes(tmp_path: Path) -> None:
    write(tmp_path, 10, 20, 25)
    prune_checkpoints(tmp_path, keep=2, best=None, every=10, total=100)
    assert list(list_checkpoints(tmp_path)) == [10, 20, 25]
    write(tmp_path, 30)
    prune_checkpoints(tmp_path, keep=2, best=None, every=10, total=100)
    assert list(list_checkpoints(tmp_path)) == [20, 30]


def test_the_last_step_counts_as_regular(tmp_path: Path) -> None:
    write(tmp_path, 10, 20, 23)
    prune_checkpoints(tmp_path, keep=1, best=None, every=10, total=23)
    assert list(list_checkpoints(tmp_path)) == [23]


def test_a_half_written_checkpoint_is_none_and_is_swept_away(tmp_path: Path) -> None:
    half = tmp_path / ".vcap-step-00000050.part"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    write(tmp_path, 40)
    assert list(list_checkpoints(tmp_path)) == [40]
    sweep_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000040"]


def test_a_full_disk_leaves_the_older_checkpoints_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 10)

    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"step-00000020: the disk is full"):
        write(tmp_path, 20)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010"]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    write(tmp_path, 10)
    path = tmp_path / "step-00000010"
    (path / "model.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        read_tensors(path / "model.safetensors")
    (path / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"state\.json cannot be read"):
        read_state(path)


def test_a_checkpoint_of_a_later_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 10)
    path = tmp_path / "step-00000010"
    (path / "state.json").write_text('{"schema": 99}')
    with pytest.raises(CheckpointError, match="format 99"):
        read_state(path)
