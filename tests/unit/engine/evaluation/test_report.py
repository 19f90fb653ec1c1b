"""A report tells scores with how they came about, and knows which units are one video."""

import json
from typing import Any

import jsonschema
import numpy as np
import pytest

from docs.make_schemas import SCORES, schema
from vcap.engine.evaluation.problems import Problems
from vcap.engine.evaluation.report import Report, Scores, groups_of
from vcap.metrics.outcome import Outcome


@pytest.fixture
def report() -> Report:
    """Three clips, two of them of one video."""
    items: list[dict[str, Any]] = [
        {"id": "a/1", "video": "a", "scores": {"CIDEr": 0.0}},
        {"id": "b", "scores": {"CIDEr": 1.0}},
        {"id": "a/2", "video": "a", "scores": {"CIDEr": 2.0}},
    ]
    units = tuple(item["id"] for item in items)
    outcome = Outcome(
        units,
        {"CIDEr": 1.0},
        lambda weights: {"CIDEr": float(np.mean(weights))},
        items,
        unavailable={"SPICE": "no models"},
        warnings=("odd",),
    )
    problems = Problems()
    problems.add("missing", "c")
    return Report("caption", outcome, problems, {"num_videos": 2}, groups_of(outcome))


def test_units_are_grouped_by_their_video(report: Report) -> None:
    assert report.groups == ("a", "b", "a")
    assert report.group_numbers().tolist() == [0, 1, 0]


def test_an_item_names_its_video_where_that_is_another_id(report: Report) -> None:
    assert [item.get("video") for item in report.items()] == ["a", None, "a"]
    assert [item["id"] for item in report.items()] == ["a/1", "b", "a/2"]


def test_what_is_told_fits_the_schema(report: Report) -> None:
    told = json.loads(json.dumps(report.as_dict()))
    jsonschema.validate(told, json.loads(SCORES.read_text(encoding="utf-8")))
    assert told["scores"] == {"CIDEr": 1.0}
    assert told["unavailable"] == {"SPICE": "no models"}
    assert told["problems"] == {"missing": {"count": 1, "examples": ["c"]}}
    assert told["warnings"] == ["odd"]
    told["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told, json.loads(SCORES.read_text(encoding="utf-8")))


def test_the_schema_of_scores_is_current() -> None:
    assert SCORES.read_text(encoding="utf-8") == schema(Scores), "run: python docs/make_schemas.py"
