"""Write docs/schemas/record.json, the schema of manifests and predictions, from the record model.

python docs/make_schemas.py
"""

import json
from pathlib import Path

from vcap.data.records import Record

TARGET = Path(__file__).with_name("schemas") / "record.json"


def schema() -> str:
    """The JSON schema as it is kept."""
    return json.dumps(Record.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(schema(), encoding="utf-8")
