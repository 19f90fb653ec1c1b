"""Write the schemas that follow from models: of records, and of what `vcap evaluate` tells.

python docs/make_schemas.py
"""

import json
from pathlib import Path

from pydantic import BaseModel

from vcap.data.records import Record
from vcap.engine.evaluation.report import Scores

FOLDER = Path(__file__).with_name("schemas")
TARGET = FOLDER / "record.json"
SCORES = FOLDER / "scores.json"


def schema(kind: type[BaseModel] = Record) -> str:
    """The JSON schema of a model as it is kept."""
    return json.dumps(kind.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(schema(), encoding="utf-8")
    SCORES.write_text(schema(Scores), encoding="utf-8")
