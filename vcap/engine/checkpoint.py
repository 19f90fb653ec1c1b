"""Checkpoints of a run: whole folders that appear by rename, so that none is ever half there.

checkpoints/step-000120/
    model.safetensors      weights that train, and buffers
    optimizer.safetensors  moments, by the name of their weight
    state.json             step, best score, log position, random states, the method's own state
"""

import base64
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vcap.engine.files import output_errors, sync
from vcap.errors import CheckpointError

SCHEMA = 1
_FOLDER = re.compile(r"step-(\d{8,})")
_PARTIAL = ".vcap-{name}.part"


def saved_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors a checkpoint holds: what trains and what is buffered, tied weights once."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        frozen = isinstance(tensor, nn.Parameter) and not tensor.requires_grad
        if frozen or (tensor.numel() and tensor.data_ptr() in seen):
            continue
        seen.add(tensor.data_ptr())
        tensors[name] = _packed(tensor)
    return tensors


def _packed(tensor: Tensor) -> Tensor:
    """A copy on the processor in the plain memory layout, which the file format wants."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], where: Path) -> None:
    """Put a checkpoint's tensors into the model they were taken from.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape.
    """
    wanted = saved_tensors(model)
    wrong = sorted(wanted.keys() ^ tensors.keys()) or [
        f"{name} {[*tensors[name].shape]} for {[*wanted[name].shape]}"
        for name in wanted
        if wanted[name].shape != tensors[name].shape
    ]
    if wrong:
        raise CheckpointError(f"{where} does not fit the model of this run: {', '.join(wrong[:5])}")
    model.load_state_dict(tensors, strict=False)


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: dict[int, str]) -> dict[str, Tensor]:
    """The optimiser's moments under `<weight name>/<moment>`; names maps id(weight) to its name."""
    tensors = {}
    for weight, moments in optimizer.state.items():
        for kind, value in moments.items():
            tensors[f"{names[id(weight)]}/{kind}"] = _packed(torch.as_tensor(value))
    return dict(sorted(tensors.items()))


def load_optimizer(
    optimizer: torch.optim.Optimizer, names: dict[int, str], tensors: dict[str, Tensor]
) -> None:
    """Put moments saved by `optimizer_tensors` back."""
    moments: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, kind = key.rsplit("/", 1)
        moments.setdefault(name, {})[kind] = tensor
    for group in optimizer.param_groups:
        for weight in group["params"]:
            saved = moments.get(names[id(weight)])
            if saved:
                optimizer.state[weight] = {
                    kind: _laid_out_as(weight, tensor) for kind, tensor in saved.items()
                }


def _laid_out_as(weight: Tensor, tensor: Tensor) -> Tensor:
    """A moment on the weight's device and in its memory layout; counters as they are."""
    if tensor.shape != weight.shape:
        return tensor.to(weight.device)
    return torch.empty_like(weight, requires_grad=False).copy_(tensor)


def random_states() -> dict[str, Any]:
    """States of every random source that training may draw from, ready for JSON."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": _to_text(torch.get_rng_state()),
        "cuda": [_to_text(state) for state in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_available()
        else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Undo everything drawn since `random_states`."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(_from_text(states["torch"]))
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all([_from_text(state) for state in states["cuda"]])


def _to_text(state: Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode("ascii")


def _from_text(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)


def write_checkpoint(
    folder: Path, step: int, model: dict[str, Tensor], optimizer: dict[str, Tensor], state: Any
) -> Path:
    """Write checkpoints/step-N whole or not at all.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    name = f"step-{step:08d}"
    partial = folder / _PARTIAL.format(name=name)
    try:
        with output_errors(folder / name):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            save_tensors(model, partial / "model.safetensors")
            save_tensors(optimizer, partial / "optimizer.safetensors")
            content = {"schema": SCHEMA, "step": step, **state}
            text = json.dumps(content)  # the order of keys is that of the next log line
            (partial / "state.json").write_text(text, encoding="utf-8")
            for path in (*partial.iterdir(), partial):
                sync(path)
            shutil.rmtree(folder / name, ignore_errors=True)
            partial.rename(folder / name)
            sync(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder / name


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file; a full disk is an OSError as anywhere else."""
    path.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def list_checkpoints(folder: Path) -> dict[int, Path]:
    """Step -> folder of every whole checkpoint, in order of steps."""
    found = {}
    for path in folder.glob("step-*"):
        match = _FOLDER.fullmatch(path.name)
        if match and (path / "state.json").is_file():
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def sweep_checkpoints(folder: Path) -> None:
    """Remove what a killed run left half written."""
    for path in folder.glob(_PARTIAL.format(name="*")):
        shutil.rmtree(path, ignore_errors=True)


def prune_checkpoints(folder: Path, keep: int, best: int | None, every: int, total: int) -> None:
    """Leave the last `keep` checkpoints and the best one.

    A checkpoint at another step than the regular ones (written at an interrupt) stays only while
    it is the newest, so that an interrupted run ends with the same folders as an unbroken one.
    """
    found = list_checkpoints(folder)
    newest = max(found, default=0)
    regular = [step for step in found if step and (step % every == 0 or step == total)]
    wanted = {*regular[-keep:], newest, best}
    for step, path in found.items():
        if step not in wanted:
            doomed = folder / _PARTIAL.format(name=path.name)
            shutil.rmtree(doomed, ignore_errors=True)
            path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def read_state(path: Path) -> dict[str, Any]:
    """state.json of a checkpoint folder.

    Raises:
        CheckpointError: it is damaged or of a later format.
    """
    try:
        state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path / 'state.json'} cannot be read: {error}") from error
    if state.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{path} has format {state.get('schema')}, this version reads {SCHEMA}"
        )
    return state


def read_tensors(path: Path) -> dict[str, Tensor]:
    """A safetensors file as tensors.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    from safetensors import SafetensorError

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return tensors
