"""Loss curves of a run, drawn without a screen."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def read_curves(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    """metrics.jsonl -> name of a number -> its steps and values; a torn last line is left out."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        values = json.loads(line)
        step = values.pop("step")
        for name, value in values.items():
            steps, heights = curves.setdefault(name, ([], []))
            steps.append(step)
            heights.append(float(value))
    return curves


def loss_plot(curves: dict[str, tuple[list[int], list[float]]]) -> bytes:
    """Losses, and validation scores below them where there are any, as PNG bytes."""
    losses = {name: curve for name, curve in curves.items() if "loss" in name}
    scores = {
        name: curve
        for name, curve in curves.items()
        if name.startswith("val/") and name not in losses
    }
    panels = [part for part in (losses, scores) if part]
    figure = Figure(figsize=(8, 4 * max(1, len(panels))), layout="constrained")
    FigureCanvasAgg(figure)
    for number, part in enumerate(panels, start=1):
        _draw(figure.add_subplot(len(panels), 1, number), part, "loss" if part is losses else "")
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=100, metadata={"Software": None})
    return stream.getvalue()


def _draw(axes: Any, curves: dict[str, tuple[list[int], list[float]]], label: str) -> None:
    for name, (steps, heights) in sorted(curves.items()):
        marker = "o" if len(steps) < 30 else None
        axes.plot(steps, heights, label=name, marker=marker, markersize=3, linewidth=1)
    axes.set(xlabel="step", ylabel=label or "score")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
