"""Pictures as bytes of an image file."""

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vcap.errors import UsageError

FORMATS = ("jpg", "png", "webp")


def encode_image(pixels: npt.NDArray[np.uint8], format: str = "jpg", quality: int = 90) -> bytes:
    """The whole image file for a picture; the same picture gives the same bytes.

    Args:
        pixels: [H, W, 3] uint8 RGB.
        format: `jpg`, `png` (which loses nothing) or `webp`.
        quality: 1 to 100, for jpg and webp.

    Raises:
        UsageError: the format or the quality does not exist.
        ValueError: the array is no picture.
    """
    if format not in FORMATS:
        raise UsageError(f"no image format {format!r}; there are {', '.join(FORMATS)}")
    if not 1 <= quality <= 100:
        raise UsageError(f"the quality of an image goes from 1 to 100, got {quality}")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"want [H, W, 3] uint8, got {[*pixels.shape]} {pixels.dtype}")
    options: dict[str, Any] = {} if format == "png" else {"quality": quality}
    kind = "JPEG" if format == "jpg" else format.upper()
    out = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, format=kind, **options)
    return out.getvalue()
