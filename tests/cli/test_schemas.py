"""What commands print with --json is what docs/schemas says."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from docs.make_schemas import TARGET, schema

SCHEMAS = TARGET.parent


def check(name: str, lines: str) -> list[dict[str, Any]]:
    """Each line against the schema; at least one."""
    wanted = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    objects = [json.loads(line) for line in lines.splitlines()]
    assert objects
    for each in objects:
        jsonschema.validate(each, wanted)
    return objects


def test_the_schema_of_records_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == schema(), "run: python docs/make_schemas.py"


def test_downloaded_records_fit_their_schema(vcap: Any, tmp_path: Path) -> None:
    result = vcap("download", "shapes:clips", "-o", tmp_path, "--limit", 1, "--json")
    records = check("record", result.stdout)
    assert len(records) == 3
    assert all(Path(record["path"]).is_absolute() for record in records)


def test_extracted_folders_fit_their_schema(vcap: Any, tmp_path: Path) -> None:
    result = vcap("extract", "sample", "-o", tmp_path, "--frames", 2, "--json")
    assert check("extract", result.stdout)[0]["frames"] == 2


def test_encoded_videos_and_texts_fit_their_schema(vcap: Any, tmp_path: Path) -> None:
    result = vcap("encode", "sample", "-o", tmp_path / "videos", "--frames", 2, "--json")
    assert check("encode", result.stdout)[0]["frames"] == 2
    (tmp_path / "words.txt").write_text("a red circle spins\n", encoding="utf-8")
    words = ("--text", tmp_path / "words.txt")
    result = vcap("encode", *words, "-o", tmp_path / "texts", "--json")
    assert check("encode", result.stdout)[0]["texts"] == 1


@pytest.mark.parametrize("segments", [(), ("--every", "1s")], ids=["whole", "segments"])
def test_predictions_fit_the_schema_of_records(vcap: Any, segments: tuple[str, ...]) -> None:
    result = vcap("caption", "sample", "--json", *segments)
    (prediction,) = check("record", result.stdout)
    assert all("score" in caption for caption in prediction["captions"])
    assert ("start" in prediction["captions"][0]) == bool(segments)


def test_the_checks_of_doctor_fit_their_schema(vcap: Any) -> None:
    assert {"decoder", "model tiny"} <= {
        each["name"] for each in check("doctor", vcap("doctor", "--json").stdout)
    }
