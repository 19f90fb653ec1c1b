"""SPICE runs only where its parser is on disk, and is never guessed."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from vcap.engine.evaluation import spice
from vcap.engine.evaluation.spice import spice_absence, spice_scores
from vcap.errors import UnavailableError

PROGRAM = """#!{python} -SE
import json, sys
cases = json.load(open(sys.argv[4]))
answer = sys.argv[sys.argv.index("-out") + 1]
def score(case):
    f = [None, float("nan"), 0.25, 1.0][min(len(case["refs"]), 3)]
    return {{"image_id": case["image_id"], "scores": {{"All": {{"f": f}}}}}}
json.dump([score(case) for case in reversed(cases)], open(answer, "w"))
{end}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SPICE's folder with its parser, of empty files."""
    (tmp_path / "lib").mkdir()
    for name in ("spice-1.0.jar", *(f"lib/{name}" for name in spice.PARSER)):
        (tmp_path / name).touch()
    monkeypatch.setattr(spice, "program_path", lambda name: tmp_path / Path(name).name)
    return tmp_path


def program(folder: Path, end: str = "") -> str:
    """A stand-in for Java that scores by the number of references."""
    path = folder / "java"
    path.write_text(PROGRAM.format(python=sys.executable, end=end), encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_scores_come_back_in_the_order_of_the_pairs(folder: Path) -> None:
    pairs = [("a", ("b", "c")), ("d", ("e", "f", "g")), ("h", ("i", "j"))]
    assert spice_scores(program(folder), pairs).tolist() == [0.25, 1.0, 0.25]


def test_a_pair_that_says_nothing_scores_nothing(folder: Path) -> None:
    assert spice_scores(program(folder), [("a", ()), ("b", ("c",))]).tolist() == [0.0, 0.0]


def test_no_pairs_start_nothing(folder: Path) -> None:
    assert spice_scores(str(folder / "nothing"), []).shape == (0,)


def test_a_missing_parser_is_named_with_where_it_belongs(folder: Path) -> None:
    (folder / "lib" / spice.PARSER[1]).unlink()
    reason = spice_absence()
    assert reason is not None and spice.PARSER[0] not in reason
    assert spice.PARSER[1] in reason and str(folder / "lib") in reason
    with pytest.raises(UnavailableError, match="CoreNLP"):
        spice_scores(program(folder), [("a", ("b",))])


def test_a_missing_program_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spice, "program_path", lambda name: None)
    assert "pycocoevalcap" in (spice_absence() or "")


def test_everything_there_is_no_absence(folder: Path) -> None:
    assert spice_absence() is None


def test_a_failed_program_is_told(folder: Path) -> None:
    with pytest.raises(UnavailableError, match=r"SPICE .* ended with 1: Exception: no models"):
        spice_scores(program(folder, "sys.exit('Exception: no models')"), [("a", ("b",))])


@pytest.mark.parametrize("text", ["", "[]", '[{"image_id": 0}]', '{"a": 1}'])
def test_an_answer_that_is_none_is_told(folder: Path, text: str) -> None:
    end = f"open(answer, 'w').write({text!r})"
    with pytest.raises(UnavailableError, match="no scores that can be read"):
        spice_scores(program(folder, end), [("a", ("b",))])


def test_nothing_is_left_in_the_temporary_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    assert np.isfinite(spice_scores(program(folder), [('a\n"b"', ("ü", "c"))])).all()
    assert [*place.iterdir()] == []


def test_the_pairs_are_handed_over_as_they_are(folder: Path) -> None:
    copy = folder / "given.json"
    end = f"open({str(copy)!r}, 'w').write(open(sys.argv[4]).read())"
    spice_scores(program(folder, end), [('a "b"', ("ü", "c"))])
    assert json.loads(copy.read_text()) == [{"image_id": 0, "test": 'a "b"', "refs": ["ü", "c"]}]
