"""Weights and configurations on disk, read so that nothing in them can run.

Shapes follow the model; files are safetensors, or PyTorch archives of plain tensors.
"""

import json
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcap.engine import registry
from vcap.errors import CheckpointError, UnavailableError

if TYPE_CHECKING:
    from torch import Tensor, nn

Called = Callable[[str], str]


def model_folder(folder: Path) -> Path:
    """The model inside the folder of a run, or the folder itself."""
    inside = folder / "model"
    is_run = not (folder / "config.json").is_file() and (inside / "config.json").is_file()
    return inside if is_run else folder


def is_retrieval(name: str) -> bool:
    """Whether a name is that of a retrieval model: a folder, or the original's `.pth`."""
    path = Path(name).expanduser()
    if path.suffix == ".pth":
        return path.is_file()
    try:
        told = json.loads((model_folder(path) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and told.get("method") == "retrieval"


def asset_folder(source: str) -> Path:
    """A folder of weights inside the package.

    Raises:
        UnavailableError: this installation was built without it.
    """
    folder = Path(__file__).parents[1] / "assets" / source
    if not folder.is_dir():
        raise UnavailableError(
            f"the embedded model {source} is not part of this installation",
            hint="pip install --force-reinstall vcap",
        )
    return folder


def own_encoder_folder(name: str) -> Path | None:
    """The folder of an encoder that vcap trained; None where the name is of another kind."""
    entry = registry.ENCODERS.get(name)
    if entry and entry.kind == "vcap":
        return asset_folder(entry.source)
    folder = Path(name).expanduser()
    is_own = folder.is_dir() and not (folder / "open_clip_config.json").is_file()
    return model_folder(folder) if is_own else None


def read_config(folder: Path, method: str) -> dict[str, Any]:
    """`config.json` of a model folder made by `vcap train METHOD`.

    Raises:
        CheckpointError: it is missing, damaged, or of another method.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no model folder: it has no config.json") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    found = config.get("method") if isinstance(config, dict) else None
    if found != method:
        raise CheckpointError(f"{folder} holds a model of kind {found}, want {method}")
    return dict(config)


def read_weights(path: Path) -> "dict[str, Tensor]":
    """Named tensors of a `.safetensors` file or a PyTorch archive.

    An archive is read by a loader that knows tensors and plain containers only: a pickle that
    would run code is refused before it does.

    Raises:
        CheckpointError: missing, damaged, or more than named tensors.
    """
    if path.suffix == ".safetensors":
        from vcap.engine.checkpoint import read_tensors

        return read_tensors(path)
    import torch

    state = read_archive(path)
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CheckpointError(f"{path} holds more than named tensors")
    odd = [str(name) for name, tensor in state.items() if not is_plain(tensor)]
    if odd:
        raise CheckpointError(f"{path}: not a plain tensor but sparse or the like: {_some(odd)}")
    return {str(name): tensor for name, tensor in state.items()}


def is_plain(tensor: "Tensor") -> bool:
    """Whether a tensor holds its numbers side by side, and not sparse, quantised or nowhere."""
    is_strided = str(tensor.layout) == "torch.strided"
    return is_strided and not (tensor.is_quantized or tensor.is_nested or tensor.is_meta)


def read_archive(path: Path, containers: Sequence[Any] = ()) -> Any:
    """What a PyTorch archive holds, where that is tensors and plain containers; never runs code.

    Args:
        containers: more classes that hold values and do nothing, as `torch.serialization` takes
            them: a class, or a class and the name that it stands in for.

    Raises:
        CheckpointError: missing, damaged, or it holds something else.
    """
    import torch

    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([*containers]):
            warnings.simplefilter("ignore")  # of old pickle versions; what matters is raised
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"no such file: {path}") from None
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is no archive of plain tensors (it may hold code, which was not run)"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    except (AttributeError, AssertionError, MemoryError) as error:  # of pickles that make no sense
        raise CheckpointError(f"{path} cannot be read: {type(error).__name__} {error}") from error


def load_weights(
    model: "nn.Module", weights: "Mapping[str, Tensor]", where: Path, called: Called = str
) -> None:
    """Put weights into a model; of tied weights one is enough.

    Args:
        called: gives what a file of another system calls a weight of ours.

    Raises:
        CheckpointError: a tensor is missing, unknown, of another shape, or not finite.
    """
    wanted = model.state_dict()
    present = {wanted[name].data_ptr() for name in weights if name in wanted}
    missing = [
        name
        for name, tensor in wanted.items()
        if name not in weights and not (tensor.numel() and tensor.data_ptr() in present)
    ]
    problems = {
        "missing": [called(name) for name in missing],
        "unknown": [called(name) for name in weights if name not in wanted],
        "of another shape": [
            f"{called(name)} {[*tensor.shape]} for {[*wanted[name].shape]}"
            for name, tensor in weights.items()
            if name in wanted and tensor.shape != wanted[name].shape
        ],
        "not finite": [called(n) for n, t in weights.items() if not bool(t.isfinite().all())],
    }
    told = [f"{what}: {_some(names)}" for what, names in problems.items() if names]
    if told:
        raise CheckpointError(f"{where} does not fit the model; {'; '.join(told)}")
    model.load_state_dict(dict(weights), strict=False)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
