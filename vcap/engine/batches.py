"""Frames of many videos in full batches through one encoder.

Shapes: T frames, H W pixels, D feature width.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vcap.engine.encoders import ClipEncoder

BATCHES = 4  # full ones that go to the encoder together


class FullBatches:
    """Frames of many videos on their way through the encoder, a few full batches at a time.

    A video may be longer than memory is large: no more frames wait here than fill the batches.
    """

    def __init__(self, encoder: "ClipEncoder") -> None:
        self._encoder = encoder
        self._waiting: list[npt.NDArray[np.uint8]] = []
        self._num_waiting = 0
        self._done: list[npt.NDArray[np.float16]] = []
        self._counts: list[int] = []  # frames of each video

    def begin(self) -> None:
        """What comes now is of another video."""
        self._counts.append(0)

    def add(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Take frames [T, H, W, 3] of the video that was begun last."""
        self._counts[-1] += len(pixels)
        self._waiting.append(pixels)
        self._num_waiting += len(pixels)
        if self._num_waiting >= BATCHES * self._encoder.batch_size:
            self._encode(self._num_waiting // self._encoder.batch_size * self._encoder.batch_size)

    def finish(self) -> list[npt.NDArray[np.float16]]:
        """Encode what is left; gives the features [T, D] of each video."""
        self._encode(self._num_waiting)
        return np.split(np.concatenate(self._done), np.cumsum(self._counts)[:-1])

    def _encode(self, num_frames: int) -> None:
        if not num_frames:
            return
        pixels = np.concatenate(self._waiting)  # [N, H, W, 3]
        features = self._encoder.encode_frames(pixels[:num_frames])  # [N, D]
        with np.errstate(over="ignore"):
            self._done.append(features.astype(np.float16))  # [N, D]
        self._waiting = [pixels[num_frames:].copy()]
        self._num_waiting -= num_frames
