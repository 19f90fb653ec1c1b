"""Digests that say whether two results were made the same way from the same input."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vcap.errors import FeatureError
from vcap.types import TIMES_FILE

LENGTH = 16  # hexadecimal digits
ENCODER_KEYS = ("weights", "quick_gelu", "preprocess", "features")  # what features depend on


def digest(settings: Mapping[str, Any]) -> str:
    """Digest of everything that changes a result; the order of the keys does not count.

    Raises:
        TypeError: a value has no form that is the same in every run.
    """
    return hashlib.sha256(canonical(settings).encode()).hexdigest()[:LENGTH]


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "model_dump"):  # a pydantic model
        return value.model_dump(mode="json")
    if hasattr(value, "item") and getattr(value, "size", 0) == 1:  # a number of numpy
        return value.item()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"no digest of a {type(value).__name__}: {value!r}")


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What two sets of settings disagree in, one line a key, both sides named."""
    return [
        f"{key}: {_shown(ours, key)} here, {_shown(theirs, key)} there"
        for key in sorted({*ours, *theirs})
        if _shown(ours, key) != _shown(theirs, key)
    ]


def refuse_other_encoder(
    features: Mapping[str, Any], wanted: Mapping[str, Any], where: object, reader: str
) -> None:
    """Refuse features that another encoder made than the one wanted, in what they depend on.

    Where one of them tells no weights, as of features that were imported, the names count.

    Args:
        features: the encoder's part of a store's fingerprint.
        wanted: that of the encoder they are wanted of.
        where: the store.
        reader: who wants them.

    Raises:
        FeatureError: they differ; both are named.
    """
    keys = [key for key in ENCODER_KEYS if key in features and key in wanted]
    keys = keys if "weights" in keys else ["name", *keys]
    unlike = differences({k: features.get(k) for k in keys}, {k: wanted.get(k) for k in keys})
    if unlike:
        raise FeatureError(
            f"{where} holds features of {features.get('name')}, {reader} those of "
            f"{wanted.get('name')}: {'; '.join(unlike)}"
        )


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return canonical(settings[key]) if key in settings else "absent"


def file_identity(path: Path, checksum: bool = False) -> dict[str, Any]:
    """What "the same input" means for a file: size and time, or size and content.

    A file that is absent has the identity of nothing, so that it is looked at again when it comes.
    """
    try:
        if (path / TIMES_FILE).is_file():
            return _folder_identity(path, checksum)
        found = path.stat()
        if not checksum:
            return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        return {"size": found.st_size, "sha256": content}
    except OSError:
        return {"size": None}


def _folder_identity(folder: Path, checksum: bool) -> dict[str, Any]:
    """The same for frames that `vcap extract` wrote: their times and how many, or all content."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    if not checksum:
        return file_identity(folder / TIMES_FILE) | {"files": len(paths)}
    return {"files": digest({path.name: file_identity(path, True) for path in paths})}


def weights_digest(weights: bytes | Path | Mapping[str, Any]) -> str:
    """Digest of weights: of bytes, of a file, or of named tensors in the order of their names."""
    if isinstance(weights, bytes):
        return hashlib.sha256(weights).hexdigest()[:LENGTH]
    if isinstance(weights, Path):
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:LENGTH]
    total = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        kind = str(tensor.dtype).removeprefix("torch.")
        total.update(f"{name} {kind} {[*tensor.shape]}\n".encode())
        total.update(_tensor_bytes(tensor))
    return total.hexdigest()[:LENGTH]


def _tensor_bytes(tensor: Any) -> bytes:
    if hasattr(tensor, "tobytes"):
        data: bytes = tensor.tobytes()
        return data
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)  # [N]
    return bytes(flat.view(torch.uint8).numpy().data)  # bfloat16 has no numpy type of its own
