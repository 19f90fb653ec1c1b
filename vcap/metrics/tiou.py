"""How much two segments overlap, as the ActivityNet Captions evaluation counts it."""

import numpy as np
import numpy.typing as npt

Segments = npt.ArrayLike  # [N, 2] seconds
_EPSILON = 1e-8  # pushes an exact half just under 0.5, and keeps two empty segments apart


def tiou_matrix(first: Segments, second: Segments) -> npt.NDArray[np.float64]:
    """Temporal intersection over union of each with each, [N, M].

    Ends in the wrong order are used as they are: such a segment meets nothing. So does one with an
    end that is not a number.

    Args:
        first: [N, 2] starts and ends in seconds.
        second: [M, 2], likewise.
    """
    start, end = _ends(first)
    other_start, other_end = (ends.T for ends in _ends(second))
    with np.errstate(invalid="ignore", divide="ignore"):
        overlap = np.maximum(0.0, np.minimum(end, other_end) - np.maximum(start, other_start))
        hull = np.maximum(end, other_end) - np.minimum(start, other_start)
        union = np.minimum(hull, (end - start) + (other_end - other_start))
        value = overlap / (union + _EPSILON)
    return np.where(value > 0, value, 0.0)


def _ends(segments: Segments) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Starts and ends as columns, [N, 1] each.

    Raises:
        ValueError: the array is not [N, 2].
    """
    array = np.asarray(segments, dtype=np.float64)
    if array.size == 0:
        array = array.reshape(0, 2)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"want segments [N, 2], got {[*array.shape]}")
    return array[:, :1], array[:, 1:]
