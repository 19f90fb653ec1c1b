"""Sine and cosine that are the same bytes on every machine.

The C library's own differ in the last bit from one system to the next. These come from a table
that one rotation, given in digits, fills with products and sums only.
"""

import math

import numpy as np
import numpy.typing as npt

STEPS = 1440  # to the turn
_COSINE_STEP = 0.9999904807207345  # of a 1440th of a turn
_SINE_STEP = 0.004363309284746571


def _fill() -> npt.NDArray[np.float64]:
    rows = [(1.0, 0.0)]
    for _ in range(STEPS // 4 - 1):
        along, across = rows[-1]
        rows.append(
            (
                along * _COSINE_STEP - across * _SINE_STEP,
                across * _COSINE_STEP + along * _SINE_STEP,
            )
        )
    for quarter in range(3):  # exact quarter turns keep the table symmetric
        rows.extend(
            (-across, along) for along, across in rows[quarter * STEPS // 4 :][: STEPS // 4]
        )
    return np.array(rows)


_TABLE = _fill()


def _steps(turns: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.floor(turns * STEPS + 0.5).astype(np.int64) % STEPS


def rotations(turns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """turns [T] -> cosine and sine [T, 2], to the nearest 1440th of a turn."""
    return _TABLE[_steps(turns)]


def cosine(turn: float) -> float:
    """Cosine of an angle in turns."""
    return float(_TABLE[math.floor(turn * STEPS + 0.5) % STEPS, 0])


def sine(turn: float) -> float:
    """Sine of an angle in turns."""
    return float(_TABLE[math.floor(turn * STEPS + 0.5) % STEPS, 1])
