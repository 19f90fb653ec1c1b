"""The Python tokenizer against the Java one, on every sentence that was recorded."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vcap.engine.evaluation.java import find_java, tokenize_java, tokenize_lines
from vcap.metrics.ptb import tokenize_python

pytestmark = pytest.mark.parity
BREAKS = str.maketrans("\n\r\u2028\u2029", "    ")
RECORDED = ("golden/evaluate", "golden/cm2/eval", "golden/memory", "golden/prefix", "data/captions")
ENDINGS = (".json", ".json.gz", ".jsonl", ".csv", ".txt", ".md")


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value, but for the keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def texts_of(path: Path) -> Iterator[str]:
    """The texts in a file: of its JSON, or else its lines."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    if ".json" not in path.name or path.suffix == ".jsonl":
        yield from text.split("\n")
    else:
        yield from strings(json.loads(text))


def texts_below(*folders: Path) -> list[str]:
    """All distinct texts of up to 2,000 characters in the files of these folders."""
    paths = [path for folder in folders for path in sorted(folder.rglob("*"))]
    found = {
        text.translate(BREAKS)
        for path in paths
        if path.name.endswith(ENDINGS) and path.is_file()
        for text in texts_of(path)
        if len(text) <= 2000
    }
    return sorted(found)


def assert_same_as_java(captions: list[str]) -> None:
    """The tokenizers agree on each caption, as when Java reads each before a copy of itself."""
    java = find_java()
    if java is None:
        pytest.skip("no Java to compare with")
    expected = tokenize_lines(java, [line for caption in captions for line in (caption, caption)])
    expected = expected[::2]
    assert tokenize_java(java, captions) == expected
    found = tokenize_python(captions)
    different = [rows for rows in zip(captions, expected, found, strict=True) if rows[1] != rows[2]]
    assert not different, f"{len(different)} of {len(captions)}, such as {different[:3]}"


def test_every_recorded_sentence_has_the_tokens_that_java_gives(shared_root: Path) -> None:
    captions = texts_below(*(shared_root / name for name in RECORDED))
    assert len(captions) > 20_000
    assert_same_as_java(captions)


def test_every_annotation_has_the_tokens_that_java_gives(shared_root: Path) -> None:
    captions = texts_below(shared_root / "data" / "annotations")
    assert len(captions) > 20_000
    assert_same_as_java(captions)


def test_the_recorded_tokens_are_met(golden_root: Path) -> None:
    path = golden_root / "evaluate" / "tokenizer" / "expected.json"
    expected = json.loads(path.read_text(encoding="utf-8"))["expected"]
    whole = {text: rows for text, rows in expected.items() if rows[1] == ["sentinel one"]}
    assert len(whole) >= 10
    for text, rows in whole.items():
        assert tokenize_python([text]) == rows[0], text


def recorded_captions(golden_root: Path) -> dict[str, str]:
    """Captions of the recorded sets, each with the tokens that are recorded for it."""
    found = {}
    for path in sorted(golden_root.glob("evaluate/captions/*/expected.json")):
        given = json.loads(path.with_name("captions.json").read_text(encoding="utf-8"))
        recorded = json.loads(path.read_text(encoding="utf-8"))["tokenized_first_20"]
        assert len(recorded) == min(20, len(given["references"]))
        for unit, tokens in recorded.items():
            found[given["predictions"][unit]] = tokens["prediction"]
            found |= dict(zip(given["references"][unit], tokens["references"], strict=True))
    return {text.translate(BREAKS): tokens for text, tokens in found.items()}


def test_the_recorded_captions_have_their_recorded_tokens(golden_root: Path) -> None:
    expected = recorded_captions(golden_root)
    captions = [*expected]
    assert len(captions) > 100
    found = {"Python": tokenize_python(captions)}
    java = find_java()
    if java is not None:
        found["Java"] = tokenize_java(java, captions)
    for tokenizer, texts in found.items():
        assert dict(zip(captions, texts, strict=True)) == expected, tokenizer


def test_a_recorded_caption_that_holds_a_line_break_stays_one_caption(golden_root: Path) -> None:
    path = golden_root / "evaluate" / "tokenizer" / "expected.json"
    expected = json.loads(path.read_text(encoding="utf-8"))["expected"]
    shifted = [text for text, rows in expected.items() if rows[1] != ["sentinel one"]]
    assert shifted
    for text in shifted:
        assert tokenize_python([text]) == tokenize_python([text.translate(BREAKS)])
        assert expected[text][0][0] in tokenize_python([text])[0]
