"""HDF5 feature file of the original MSR-VTT system: at the root one data set [T, D] a video.

The file is opened to be read, and nothing outside it is: links and data kept elsewhere are refused.
Shapes: T frames, D feature width.
"""

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from vcap.errors import FeatureError

MOST_BYTES = 2**30  # of one video; a damaged file can announce any number
UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError)


def is_hdf5(path: Path) -> bool:
    """Whether the file begins as HDF5 does; False for one that cannot be read."""
    return bool(h5py.is_hdf5(path))


class Hdf5Features:
    """Features of videos by id, `video2` before `video10`.

    Raises:
        FeatureError: the file cannot be read, or holds nothing at its root.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r", locking="best-effort")
            self.ids = sorted(self._file, key=_natural)
        except UNREADABLE as error:
            raise FeatureError(f"{path}: cannot be read as HDF5 ({error})") from error
        if not self.ids:
            raise FeatureError(f"{path}: no data set at its root")

    @property
    def kind(self) -> tuple[int, str]:
        """D and the number type of the first video's features.

        Raises:
            FeatureError: they are no features.
        """
        first = self._find(self.ids[0])
        return int(first.shape[-1]), str(first.dtype)

    def read(self, video_id: str) -> npt.NDArray[Any]:
        """Features [T, D] of a video; a single vector [D] counts as one frame.

        Raises:
            FeatureError: they are no features, or damaged.
        """
        found = self._find(video_id)
        try:
            features: npt.NDArray[Any] = np.asarray(found[()])  # [T, D]
        except UNREADABLE as error:
            raise FeatureError(f"{self.path}: {video_id}: cannot be read ({error})") from error
        return features[None] if features.ndim == 1 else features  # [T, D]

    def _find(self, video_id: str) -> Any:
        """The data set of a video, its sizes checked."""
        where = f"{self.path}: {video_id}"
        try:
            if not isinstance(self._file.get(video_id, getlink=True), h5py.HardLink):
                raise FeatureError(f"{where}: a link to elsewhere, which is not followed")
            found = self._file[video_id]
            if not isinstance(found, h5py.Dataset):
                raise FeatureError(f"{where}: want a data set [T, D], got a group")
            if found.is_virtual or found.external:
                raise FeatureError(f"{where}: its data lie in another file, which is not opened")
            kind, shape, size = found.dtype, found.shape, found.nbytes
        except UNREADABLE as error:
            raise FeatureError(f"{where}: cannot be read ({error})") from error
        if kind.kind != "f" or len(shape or ()) not in (1, 2) or 0 in shape:
            raise FeatureError(f"{where}: want floats [T, D], got {kind} {[*(shape or ())]}")
        if size > MOST_BYTES:
            raise FeatureError(f"{where}: features of {size} bytes are not those of one video")
        return found


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in a name count as numbers."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
