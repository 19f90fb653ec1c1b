"""SPICE's Java program, where the parser that it needs is on disk; nothing is ever fetched."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vcap.engine.evaluation.java import program_path, require_program, run_java
from vcap.engine.files import output_errors
from vcap.errors import UnavailableError
from vcap.metrics.outcome import Pair

JAR = "spice/spice-1.0.jar"
PARSER = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
OPTIONS = ("-subset", "-silent")


def spice_absence() -> str | None:
    """Why SPICE cannot be had, and how to get it; None where all its files are there."""
    jar = program_path(JAR)
    if jar is None:
        return "SPICE needs the program of pycocoevalcap, which is not installed."
    folder = jar.parent / "lib"
    missing = [name for name in PARSER if not (folder / name).is_file()]
    if not missing:
        return None
    return (
        f"SPICE needs {' and '.join(missing)} in {folder}: "
        "take them from stanford-corenlp-full-2015-12-09.zip of Stanford CoreNLP 3.6.0."
    )


def spice_scores(java: str, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
    """The F-score of each pair, [N]; 0 where neither side says anything that SPICE understands.

    Raises:
        VcapError: a file is missing, or the program failed.
    """
    reason = spice_absence()
    if reason is not None:
        raise UnavailableError(reason)
    if not pairs:
        return np.zeros(0)
    cases = [
        {"image_id": number, "test": candidate, "refs": list(references)}
        for number, (candidate, references) in enumerate(pairs)
    ]
    place = Path(tempfile.gettempdir())
    with output_errors(place), tempfile.TemporaryDirectory(prefix="vcap-spice-") as folder:
        given, answer = Path(folder, "pairs.json"), Path(folder, "scores.json")
        given.write_text(json.dumps(cases), encoding="utf-8")
        command = [java, "-Xmx8G", "-jar", str(require_program(JAR)), str(given)]
        run_java("SPICE", [*command, "-out", str(answer), *OPTIONS])
        return _read(answer, len(pairs))


def _read(path: Path, num_pairs: int) -> npt.NDArray[np.float64]:
    try:
        found = json.loads(path.read_bytes())
        scores = {item["image_id"]: _number(item["scores"]["All"]["f"]) for item in found}
        return np.array([scores[number] for number in range(num_pairs)])
    except (OSError, ValueError, LookupError, TypeError) as error:
        message = f"SPICE (Java) left no scores that can be read: {error!r}"
        raise UnavailableError(message, hint="vcap doctor") from error


def _number(value: Any) -> float:
    number = float("nan") if value is None else float(value)
    return number if np.isfinite(number) else 0.0
