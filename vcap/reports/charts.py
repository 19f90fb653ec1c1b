"""Charts as SVG text that stands in a page by itself: no script, no font, no file.

Every word passes through Markup.format, which escapes it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

WIDTH, HEIGHT = 320, 180
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 10, 34
NUM_BARS = 20
NUM_POINTS = 1500
NUM_PARTS = 10

_FRAME = Markup(
    '<svg viewBox="0 0 {width} {height}" role="img"><title>{title}</title>{inside}'
    '<path class="axis" d="M{left} {top}V{bottom}H{right}"/>{words}</svg>'
)
_BAR = Markup('<rect class="bar" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>')
_DOT = Markup('<circle class="dot" cx="{}" cy="{}" r="2"/>')
_LINE = Markup('<polyline class="mean" points="{}"/>')
_WORD = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')


def histogram(values: Sequence[float], title: str) -> Markup:
    """How many items have which score.

    Args:
        values: at least one, all finite.
        title: the name of the score.
    """
    low, high = min(values), max(values)
    counts, edges = np.histogram(values, bins=NUM_BARS if high > low else 1)
    across, up = _Scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT), _up(0.0, counts.max())
    bars = Markup("").join(
        _BAR.format(
            _round(across(left)),
            _round(up(count)),
            _round(across(right) - across(left) - 1),
            _round(HEIGHT - BOTTOM - up(count)),
            f"{count} from {left:.4g} to {right:.4g}",
        )
        for count, left, right in zip(counts, edges, edges[1:], strict=False)
    )
    mean = f"{title}, mean {np.mean(values):.4g}"
    return _frame(title, bars, (low, high), (0, counts.max()), mean)


def scatter(lengths: Sequence[float], values: Sequence[float], title: str, unit: str) -> Markup:
    """A score by length: a dot an item, and a line through the means of ten equal parts.

    Args:
        lengths: one an item, at least one, all finite.
        values: the score of each, finite.
        title: the name of the score.
        unit: what the length counts.
    """
    order = np.argsort(np.array(lengths, dtype=float), kind="stable")
    x, y = np.array(lengths, dtype=float)[order], np.array(values, dtype=float)[order]
    across, up = _Scale(x[0], x[-1], LEFT + 4, WIDTH - RIGHT - 4), _up(y.min(), y.max())
    kept = np.linspace(0, len(x) - 1, min(NUM_POINTS, len(x))).astype(int)
    dots = Markup("").join(_DOT.format(_round(across(x[i])), _round(up(y[i]))) for i in kept)
    means = " ".join(f"{_round(across(a))},{_round(up(b))}" for a, b in _means(x, y))
    label = f"{title} by {unit}, {len(x)} items"
    inside = dots + _LINE.format(means)
    return _frame(label, inside, (x[0], x[-1]), (y.min(), y.max()), label)


def _means(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> list[tuple[np.float64, np.float64]]:
    """Middle of x and of y in each of ten parts with as many items; equal lengths stay together."""
    cuts = np.searchsorted(x, np.quantile(x, np.linspace(0, 1, NUM_PARTS + 1))[1:-1])
    parts = zip(np.split(x, cuts), np.split(y, cuts), strict=True)
    return [(lengths.mean(), scores.mean()) for lengths, scores in parts if len(lengths)]


def _frame(
    title: str,
    inside: Markup,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    label: str,
) -> Markup:
    floor, middle = HEIGHT - BOTTOM, (LEFT + WIDTH - RIGHT) / 2
    words = [
        _WORD.format(LEFT, floor + 13, "start", _mark(x_range[0], x_range)),
        _WORD.format(WIDTH - RIGHT, floor + 13, "end", _mark(x_range[1], x_range)),
        _WORD.format(middle, HEIGHT - 6, "middle", label),
        _WORD.format(LEFT - 4, TOP + 8, "end", _mark(y_range[1], y_range)),
        _WORD.format(LEFT - 4, floor, "end", _mark(y_range[0], y_range)),
    ]
    sides = {"left": LEFT, "top": TOP, "bottom": floor, "right": WIDTH - RIGHT}
    size = {"width": WIDTH, "height": HEIGHT}
    return _FRAME.format(title=title, inside=inside, words=Markup("").join(words), **size, **sides)


def _mark(value: float, ends: tuple[float, float]) -> str:
    """A number on an axis: as short as the length of the axis allows."""
    if abs(value) < 1e-6 * (ends[1] - ends[0]):
        return "0"
    return str(int(value)) if float(value).is_integer() else f"{value:.3g}"


class _Scale:
    """Values from low to high become places from start to end; one value alone, the middle."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.start = low, start
        self.step = (end - start) / (high - low) if high > low else 0.0
        self.offset = 0.0 if high > low else (end - start) / 2

    def __call__(self, value: float) -> float:
        return float(self.start + self.offset + (value - self.low) * self.step)


def _up(low: float, high: float) -> _Scale:
    """Places of heights: SVG counts downward."""
    return _Scale(low, high, HEIGHT - BOTTOM, TOP)


def _round(value: float) -> str:
    return f"{value:.1f}"
