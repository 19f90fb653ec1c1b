"""The log of a training: lines of JSON that a run which goes on takes up where it stopped."""

import json
import os
from pathlib import Path
from typing import Any

from vcap.engine.files import output_errors


class MetricsLog:
    """metrics.jsonl: appended to, cut back to the checkpoint when a run goes on."""

    def __init__(self, path: Path, num_bytes: int) -> None:
        self.path = path
        with output_errors(path):
            self._stream = path.open("ab")
            self._stream.truncate(num_bytes)

    def write(self, values: dict[str, Any]) -> None:
        """Append one line."""
        with output_errors(self.path):
            self._stream.write(json.dumps(values).encode() + b"\n")
            self._stream.flush()

    def sync(self) -> int:
        """Make all lines durable; gives their number of bytes."""
        os.fsync(self._stream.fileno())
        return self._stream.tell()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def size_of(path: Path) -> int:
    """Bytes of a log; 0 where there is none yet."""
    return path.stat().st_size if path.is_file() else 0
