"""WordNet is found where it lies, refused where it is another, and gives nltk's numbers."""

from pathlib import Path
from typing import Any

import pytest

from vcap.engine.evaluation.wordnet import (
    NOUN_FILES,
    VARIABLE,
    find_wordnet,
    open_wordnet,
    wu_palmer,
)
from vcap.errors import UnavailableError

LICENCE = "  1 WordNet {} Copyright 2006 by Princeton University.\n"


def write(folder: Path, version: str) -> Path:
    """A folder that looks like WordNet of this version."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NOUN_FILES:
        (folder / name).write_text(LICENCE.format(version))
    return folder


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The similarity of words, where WordNet is installed."""
    monkeypatch.delenv(VARIABLE, raising=False)
    try:
        return open_wordnet()
    except UnavailableError as error:
        pytest.skip(error.message)


class Sense:
    """A sense of a made-up taxonomy."""

    def __init__(self, name: str, *above: "Sense") -> None:
        self.name, self.above = name, above

    def __lt__(self, other: "Sense") -> bool:
        return self.name < other.name

    def hypernyms(self) -> list["Sense"]:
        return list(self.above)

    def min_depth(self) -> int:
        return min((1 + sense.min_depth() for sense in self.above), default=0)

    def max_depth(self) -> int:
        return max((1 + sense.max_depth() for sense in self.above), default=0)


def steps_up(sense: Sense) -> dict[Any, int]:
    """A sense and what is above it, by the fewest steps."""
    found = {sense: 0}
    for above in sense.above:
        for each, steps in steps_up(above).items():
            found[each] = min(steps + 1, found.get(each, steps + 1))
    return found


ROOT = Sense("root")
ANIMAL = Sense("animal", ROOT)
DOG, CAT = Sense("dog", ANIMAL), Sense("cat", ANIMAL)


def test_similarity_falls_with_the_way_to_what_both_are() -> None:
    assert wu_palmer(DOG, DOG, steps_up) == 1
    assert wu_palmer(DOG, CAT, steps_up) == pytest.approx(2 * 2 / (3 + 3))
    assert wu_palmer(DOG, ANIMAL, steps_up) == pytest.approx(2 * 2 / (3 + 2))
    assert wu_palmer(DOG, ROOT, steps_up) == pytest.approx(2 / (3 + 1))


def test_senses_with_nothing_in_common_are_not_similar() -> None:
    assert wu_palmer(DOG, Sense("other root"), steps_up) == 0


def test_the_folder_that_is_named_is_taken_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(write(tmp_path / "own", "3.0")))
    assert find_wordnet() == tmp_path / "own"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(UnavailableError, match=r"no WordNet 3\.0 .*wordnet-base"):
        find_wordnet()


def test_another_version_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(write(tmp_path, "3.1")))
    with pytest.raises(UnavailableError, match=r"not WordNet 3\.0"):
        find_wordnet()


def test_data_of_nltk_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("vcap.engine.evaluation.wordnet.SYSTEM", tmp_path / "absent")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    folder = write(tmp_path / "corpora" / "wordnet", "3.0")
    assert find_wordnet() == folder


def test_a_damaged_wordnet_is_told_and_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(write(tmp_path, "3.0")))
    with pytest.raises(UnavailableError, match="cannot be read"):
        open_wordnet()


def test_case_and_number_of_a_word_do_not_matter(real: Any) -> None:
    assert real("DOG", "dogs") == 1
    assert real("dog", "cat") == real("Cats", "dog") > 0.8


def test_words_that_are_no_nouns_are_similar_to_nothing(real: Any) -> None:
    assert real("take a photo", "dog") == 0
    assert real("qwzx", "qwzx") == 0


def test_the_numbers_are_those_of_nltk(real: Any) -> None:
    from vcap.engine.evaluation.wordnet import _opened

    reader = _opened(str(find_wordnet()))
    words = ("dog", "man", "red", "2", "chef", "fireman", "guitar", "beach", "yes", "basketball")
    for first in words:
        for second in words:
            wanted = max(
                (
                    one.wup_similarity(other) or 0.0
                    for one in reader.synsets(first, pos="n")
                    for other in reader.synsets(second, pos="n")
                ),
                default=0.0,
            )
            assert real(first, second) == wanted, (first, second)
