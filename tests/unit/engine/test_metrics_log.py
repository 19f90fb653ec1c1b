"""The log of a training."""

import json
from pathlib import Path

import pytest

from vcap.engine.metrics_log import MetricsLog, size_of
from vcap.errors import OutputError


def test_lines_after_the_place_where_a_run_goes_on_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, size_of(path))
    log.write({"step": 1})
    kept = log.sync()
    log.write({"step": 2})
    log.close()
    assert size_of(path) > kept
    again = MetricsLog(path, kept)
    again.write({"step": 2, "loss": 0.5})
    again.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": 1}, {"step": 2, "loss": 0.5}]


def test_a_log_that_cannot_be_opened_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"metrics\.jsonl"):
        MetricsLog(tmp_path / "metrics.jsonl", 0)
