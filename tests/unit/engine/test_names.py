from pathlib import Path

import pytest

from vcap.engine.names import MAX_BYTES, safe_name


@pytest.mark.parametrize("name", ["video7012", "a.avi", "v_-x9Q", "a clip (2).mp4", "Ähre", "猫"])
def test_ordinary_ids_stay_as_they_are(name: str) -> None:
    assert safe_name(name) in {name, name.removeprefix("-")}


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ("", "%"),
        (".", "%2E"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("-rf", "%2Drf"),
        ("a/b.mp4", "a%2Fb.mp4"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("100%", "100%25"),
        (" a ", "%20a%20"),
        (" ", "%20"),
        ("a\\b:c*d?", "a%5Cb%3Ac%2Ad%3F"),
        ("a\x00b\n", "a%00b%0A"),
        ("a~b", "a%7Eb"),
    ],
)
def test_what_is_not_safe_is_escaped(identity: str, name: str) -> None:
    assert safe_name(identity) == name


def test_two_files_that_differ_in_their_suffix_are_two() -> None:
    assert safe_name("a.avi") != safe_name("a.webm")


def test_an_id_that_looks_escaped_is_not_the_id_it_looks_like() -> None:
    assert safe_name("a%2Fb") != safe_name("a/b")


def test_composed_and_decomposed_accents_are_two_names_on_every_file_system() -> None:
    composed, decomposed = safe_name("\u00e9"), safe_name("e\u0301")
    assert composed == "\u00e9" and decomposed.isascii()


def test_names_that_are_not_valid_text_have_a_name_too() -> None:
    assert safe_name("a\udcff").isascii()


def test_long_ids_are_cut_to_what_file_systems_take_and_stay_apart(tmp_path: Path) -> None:
    long = ["猫" * 300, "猫" * 301, "x" * 201, "x" * 202]
    names = [safe_name(identity) for identity in long]
    assert len(set(names)) == len(long)
    for name in names:
        assert len(name.encode()) <= MAX_BYTES and name[0] in "猫x"
        (tmp_path / f"{name}.json").touch()


def test_a_short_id_cannot_take_the_name_of_a_long_one() -> None:
    assert safe_name(safe_name("x" * 300)) != safe_name("x" * 300)
