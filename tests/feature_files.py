"""Feature files as the original systems wrote them."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch

COMMAND = "mkdir"


def notebook_file(path: Path, ids: list[str], width: int = 512, **changes: Any) -> Path:
    """The notebook's HDF5: one data set [28, 512] of half precision a video.

    Keyword arguments put other arrays under the ids that they name.
    """
    with h5py.File(path, "w") as file:
        for name in ids:
            file.create_dataset(name, data=changes.get(name, features_of(name, width)))
    return path


def features_of(name: str, width: int = 512, num_frames: int = 28) -> npt.NDArray[np.float16]:
    """Stand-in features [T, D] of a video."""
    draws = np.random.default_rng(list(name.encode()))
    return draws.normal(size=(num_frames, width)).astype(np.float16)


def clipcap_content(num_pictures: int = 3, width: int = 512, each: int = 2) -> dict[str, Any]:
    """What ClipCap's script pickled: a row a caption, several captions a picture."""
    torch.manual_seed(0)
    vectors = torch.randn(num_pictures, width).half()
    captions = []
    for row in range(num_pictures * each):
        picture = row // each
        caption = {"image_id": f"{picture:012d}", "id": row, "caption": f"a picture é {row}."}
        captions.append({**caption, "clip_embedding": row})
    return {"clip_embedding": vectors.repeat_interleave(each, 0), "captions": captions}


def clipcap_file(path: Path, content: Any = None, protocol: int = pickle.DEFAULT_PROTOCOL) -> Path:
    """ClipCap's pickle, of that content or of three pictures with two captions each."""
    with path.open("wb") as file:
        pickle.dump(clipcap_content() if content is None else content, file, protocol=protocol)
    return path


class Bomb:
    """Makes a folder when it is unpickled, in one of several ways."""

    def __init__(self, path: Path, way: str = "reduce") -> None:
        self.path, self.way = path, way

    def __reduce__(self) -> tuple[Any, ...]:
        call: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
            "reduce": (os.mkdir, (str(self.path),)),
            "system": (os.system, (f"{COMMAND} '{self.path}'",)),
            "eval": (eval, (f"__import__('os').mkdir({str(self.path)!r})",)),
            "exec": (exec, (f"import os; os.mkdir({str(self.path)!r})",)),
            "getattr": (getattr, ("text", "upper")),
        }
        state: tuple[Any, ...] = (Bomb, (self.path,), {"path": self.path})
        return call.get(self.way, state)

    def __setstate__(self, state: dict[str, Path]) -> None:
        os.mkdir(state["path"])
