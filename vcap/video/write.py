"""Frames to an MP4 file."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

# One thread and no encoder's name in the file, so that the same frames give the same bytes on one
# machine. Without the macroblock tree and B-frames, whose look-ahead differs between calls.
_OPTIONS = {
    "preset": "veryfast",
    "threads": "1",
    "x264-params": "threads=1:lookahead-threads=1:bframes=0:mbtree=0",
}


def write_mp4(
    path: Path, frames: npt.NDArray[np.uint8], *, frames_per_second: int, crf: int = 18
) -> None:
    """Write frames [T, H, W, 3] uint8 RGB as H.264 (libx264, yuv420p) to exactly that path.

    Raises:
        ValueError: the frames have another shape or type, an odd side, or there are none.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"want [T, H, W, 3] uint8, got {[*frames.shape]} {frames.dtype}")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"want even sides for yuv420p, got {width}x{height}")
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(str(path), "w", format="mp4", container_options=options) as container:
        stream = container.add_stream("libx264", rate=frames_per_second)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {**_OPTIONS, "crf": str(crf), "flags": "+bitexact"}
        for pixels in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
