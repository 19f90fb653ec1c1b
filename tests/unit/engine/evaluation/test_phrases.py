"""Phrases by their runs of letters and digits: the same whatever stands between the runs."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcap.engine.evaluation import phrases
from vcap.engine.evaluation.phrases import contained, line_hashes, merged_hashes, phrase_hashes


def hash_of(*lines: str) -> list[int]:
    """The hash of each line."""
    text = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
    return [int(value) for value in line_hashes(np.frombuffer(text, dtype=np.uint8))]


def by_hand(sentences: list[str]) -> set[str]:
    """Every phrase of up to seven runs, and the empty one."""
    found = {""}
    for sentence in sentences:
        runs = re.findall(r"[a-z0-9]+", sentence.lower())
        for length in range(1, 8):
            found |= {" ".join(runs[i : i + length]) for i in range(len(runs) - length + 1)}
    return found


@pytest.mark.parametrize(
    "line", ["the u.s. army", "  The U s, (army)!", "the-u\u2019s\tarmy", "the u s army "]
)
def test_a_phrase_is_known_by_its_runs_alone(line: str) -> None:
    assert hash_of(line) == hash_of("the u s army")


@pytest.mark.parametrize(
    "other", ["theu s army", "the u s", "u s army", "the s u army", "the u s army x"]
)
def test_other_runs_make_another_phrase(other: str) -> None:
    assert hash_of(other) != hash_of("the u s army")


def test_lines_without_any_run_are_the_empty_phrase() -> None:
    assert hash_of("", "???", " \u2026 ", "a") == [0, 0, 0, hash_of("a")[0]]


def test_a_sentence_has_all_its_phrases_and_no_other() -> None:
    sentences = ["A man, who waits, opens 3 doors and leaves again.", "", "...", "caf\u00e9"]
    expected = sorted(hash_of(*by_hand(sentences)))
    assert phrase_hashes(sentences).tolist() == expected


def test_no_phrase_reaches_from_one_sentence_into_the_next() -> None:
    known = phrase_hashes(["a man", "walks away"])
    inside, across = hash_of("walks away", "man walks")
    assert inside in known and across not in known


def test_a_line_break_in_a_sentence_parts_no_phrase() -> None:
    assert hash_of("man walks")[0] in phrase_hashes(["a man\nwalks"])


def test_no_sentences_know_the_empty_phrase() -> None:
    assert phrase_hashes([]).tolist() == phrase_hashes(["", "?"]).tolist() == [0]


def test_half_a_character_is_no_failure() -> None:
    assert hash_of("a b")[0] in phrase_hashes(["a\ud83d b"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab1 .\u00e9\u2028-C\n", max_size=30), max_size=6))
def test_hashes_are_those_of_the_phrases_for_any_text(sentences: list[str]) -> None:
    expected = sorted(set(hash_of(*by_hand(sentences))))
    assert phrase_hashes(sentences).tolist() == expected


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_size_of_the_blocks_changes_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [f"man number {n} walks along the long street no {n * n}" for n in range(9)]
    whole = phrase_hashes(sentences), hash_of(*sentences)
    monkeypatch.setattr(phrases, "BLOCK_BYTES", size)
    assert phrase_hashes(sentences).tolist() == whole[0].tolist()
    assert hash_of(*sentences) == whole[1]


def test_known_values_are_found_and_others_are_not() -> None:
    known = np.array([2, 5, 2**64 - 1], dtype=np.uint64)
    values = np.array([0, 2, 3, 5, 2**64 - 1], dtype=np.uint64)
    assert contained(values, known).tolist() == [False, True, False, True, True]


def test_merged_hashes_are_sorted_and_each_is_there_once() -> None:
    one, other = np.array([1, 9], dtype=np.uint64), np.array([0, 9, 12], dtype=np.uint64)
    assert merged_hashes(one, other).tolist() == [0, 1, 9, 12]
    assert merged_hashes(one[:0], other).tolist() == [0, 9, 12]


def test_a_thousand_phrases_have_a_thousand_hashes() -> None:
    lines = [f"{a} {b} {c}" for a in "abcdefghij" for b in "abcdefghij" for c in range(10)]
    assert len(set(hash_of(*lines))) == 1000
