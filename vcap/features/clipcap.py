"""ClipCap's feature file: one pickle with a vector of each caption's picture, and the captions.

`{"clip_embedding": tensor [N, D], "captions": [{"image_id", "caption", "clip_embedding": row}]}`.
It is read as data; of PyTorch's way to pickle a tensor only the plain one on a processor is known.
Shapes: N captions, D feature width.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.errors import FeatureError
from vcap.features.pickles import DAMAGED, Known, Machine, Name, RefusedError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # how PyTorch's files of before 1.6 begin
KINDS = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8"}
STORAGES: Known = {("torch", name): None for name in KINDS}
STORAGE_ID = 6  # parts of the id under which a storage is kept
CLOSE = 0.05  # that a picture's numbers may differ when a GPU made them again


@dataclass(frozen=True)
class PictureFeatures:
    """Vectors of pictures.

    Attributes:
        features: [N, D], a view of the file.
        rows: for each picture the row of its vector, in the order of the file.
    """

    features: npt.NDArray[Any]
    rows: dict[str, int]

    @property
    def ids(self) -> list[str]:
        """The pictures, in the order of the file."""
        return list(self.rows)

    @property
    def kind(self) -> tuple[int, str]:
        """D and the number type of the features."""
        return int(self.features.shape[1]), str(self.features.dtype)

    def read(self, picture: str) -> npt.NDArray[Any]:
        """The vector of a picture as features [1, D]."""
        vector: npt.NDArray[Any] = self.features[self.rows[picture]][None]  # [1, D]
        return vector


def read_clipcap(path: Path) -> PictureFeatures:
    """Read ClipCap's pickle; a picture that has several captions counts once.

    Raises:
        FeatureError: it is damaged, holds anything but data, or something else than features.
    """
    try:
        data = memoryview(np.memmap(path, dtype=np.uint8, mode="r").data)
        content = Machine(data, KNOWN).read()
    except RefusedError as error:
        raise FeatureError(
            f"{path}: it holds {error}, which no file of features needs; nothing in it was run"
        ) from error
    except OSError as error:
        raise FeatureError(f"{path}: cannot be read ({error.strerror})") from error
    except DAMAGED as error:
        raise FeatureError(f"{path}: cannot be read as a pickle ({error})") from error
    return _pictures(content, path)


def _pictures(content: Any, path: Path) -> PictureFeatures:
    if not isinstance(content, dict) or not {"clip_embedding", "captions"} <= set(content):
        raise FeatureError(f"{path}: want an object with clip_embedding and captions")
    features, captions = content["clip_embedding"], content["captions"]
    if not isinstance(features, np.ndarray) or features.ndim != 2 or 0 in features.shape:
        found = [*features.shape] if isinstance(features, np.ndarray) else type(features).__name__
        raise FeatureError(f"{path}: clip_embedding: want a tensor [N, D], got {found}")
    if not isinstance(captions, list) or not captions:
        raise FeatureError(f"{path}: captions: want a list with at least one caption")
    rows: dict[str, int] = {}
    for number, caption in enumerate(captions):
        where = f"{path}: captions[{number}]"
        picture, row = _picture(caption, len(features), where)
        first = rows.setdefault(picture, row)
        if not _same(features[first], features[row]):
            raise FeatureError(f"{where}: picture {picture} has other features than in row {first}")
    return PictureFeatures(features, rows)


def _picture(caption: Any, num_rows: int, where: str) -> tuple[str, int]:
    """Id and row of the picture of one caption."""
    picture = caption.get("image_id") if isinstance(caption, dict) else None
    if type(picture) not in (str, int) or picture == "":
        raise FeatureError(f"{where}: image_id: want text or a number, got {_told(picture)}")
    row = caption.get("clip_embedding")
    if type(row) is not int or not 0 <= row < num_rows:
        raise FeatureError(
            f"{where}: clip_embedding: want a row from 0 to {num_rows - 1}, got {_told(row)}"
        )
    return str(picture), row


def _told(value: Any) -> str:
    return repr(value)[:40] if type(value) in (int, str, float) else type(value).__name__


def _same(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Whether two vectors [D] are of the same picture; not finite ones are told of later."""
    return np.array_equal(one, other) or np.allclose(one, other, CLOSE, CLOSE, equal_nan=True)


def _bytes(text: Any, encoding: Any) -> memoryview:
    """What protocols before 3 write for bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedError("text in another encoding than latin1")
    return memoryview(text.encode("latin1"))


def _empty() -> dict[Any, Any]:
    return {}


def _storage(data: Any) -> npt.NDArray[Any]:
    """The numbers of a storage [n], in PyTorch's form of before 1.6."""
    if not isinstance(data, memoryview):
        raise ValueError("a storage that is no bytes")
    machine = Machine(data, STORAGES, persistent=True)
    begin = machine.read(), machine.read()
    system = machine.read()
    if begin != (MAGIC, PROTOCOL) or not system["little_endian"]:
        raise ValueError("a storage in another form than PyTorch's")
    found = machine.read()
    if type(found) is not tuple or len(found) != STORAGE_ID or type(found[1]) is not Name:
        raise ValueError("a storage that does not say of what it is")
    kind, key, count, part = np.dtype(KINDS[found[1].name]), found[2], found[4], found[5]
    if machine.read() != [key] or part is not None or machine.number("<q") != count:
        raise ValueError("a storage that is not whole")
    return np.frombuffer(machine.take(count * kind.itemsize), kind)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> npt.NDArray[Any]:
    """The tensor of a storage, if it lies in it row by row; how to train it is left out."""
    numbers = [offset, *size, *stride]
    if not isinstance(storage, np.ndarray) or not all(type(n) is int for n in numbers):
        raise ValueError("a tensor whose sizes are no whole numbers")
    steps = [prod(size[place + 1 :]) for place in range(len(size))]
    moved = [own for own, step, n in zip(stride, steps, size, strict=True) if n > 1 and own != step]
    if moved or min(numbers) < 0:
        raise ValueError("a tensor that does not lie row by row")
    if offset + prod(size) > len(storage):
        raise ValueError(f"a tensor {[*size]} of {len(storage)} numbers")
    return storage[offset : offset + prod(size)].reshape(size)


KNOWN: Known = {
    ("collections", "OrderedDict"): _empty,
    ("_codecs", "encode"): _bytes,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
}
