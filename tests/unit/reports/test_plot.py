"""Loss plots are pictures, the same for the same log."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from vcap.reports.plot import loss_plot, read_curves

LOG = [
    {"step": 10, "epoch": 0, "loss": 2.0, "loss/caption": 1.5},
    {"step": 20, "epoch": 0, "loss": 1.0, "loss/caption": 0.5},
    {"step": 20, "val/loss": 1.2, "val/mean": 0.7},
]


def write_log(folder: Path, tail: str = "") -> Path:
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LOG) + tail)
    return path


def picture(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def test_every_number_of_the_log_is_a_curve_over_its_steps(tmp_path: Path) -> None:
    curves = read_curves(write_log(tmp_path))
    assert curves["loss"] == ([10, 20], [2.0, 1.0])
    assert curves["val/mean"] == ([20], [0.7])


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    assert read_curves(write_log(tmp_path, '{"step": 3')) == read_curves(write_log(tmp_path))


def test_scores_get_a_panel_of_their_own_below_the_losses(tmp_path: Path) -> None:
    curves = read_curves(write_log(tmp_path))
    both = picture(loss_plot(curves))
    losses = picture(loss_plot({"loss": curves["loss"]}))
    assert both.shape[0] == 2 * losses.shape[0]
    assert (losses != 255).any(), "an empty picture"


def test_the_same_log_gives_the_same_bytes(tmp_path: Path) -> None:
    curves = read_curves(write_log(tmp_path))
    assert loss_plot(curves) == loss_plot(curves)


def test_a_run_without_a_log_line_still_gets_a_picture() -> None:
    assert picture(loss_plot({})).ndim == 3
