"""Java is found and named, and what its programs do wrong is told in one line."""

import shutil
from pathlib import Path

import pytest

from tests.fake_java import fake_java, starts
from vcap.engine.evaluation import java
from vcap.engine.evaluation.java import (
    find_java,
    java_error,
    java_version,
    judged_by_next,
    program_path,
    programs_version,
    require_program,
    run_java,
    tokenize_java,
    tokenize_lines,
)
from vcap.errors import DeviceError, UnavailableError
from vcap.metrics.ptb import tokenize_python

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="Java is not installed")


def test_java_home_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    program = fake_java(tmp_path / "bin", "echo")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() == program


def test_a_java_home_without_java_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake_java(tmp_path, "echo")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "removed"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java() == program


def test_no_java_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java() is None


def test_the_version_stands_beside_the_program(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "release").write_text('IMAGE="x"\nJAVA_VERSION="17.0.15"\n', encoding="utf-8")
    assert java_version(fake_java(tmp_path / "bin", "silent")) == "17.0.15"


def test_else_the_program_says_its_version(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'openjdk version \"21.0.2\" 2024-01-16' >&2\n")
    program.chmod(0o755)
    assert java_version(str(program)) == "21.0.2"


def test_a_program_that_says_nothing_has_an_unknown_version(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    assert java_version(fake_java(tmp_path / "bin", "echo")) == "unknown"


def test_a_java_that_does_not_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="does not run"):
        java_version(str(tmp_path / "bin" / "java"))


def test_the_programs_of_the_package_are_found() -> None:
    jar = program_path("meteor/meteor-1.5.jar")
    assert jar is not None and jar.is_file()
    assert program_path("meteor/no-such.jar") is None
    assert programs_version() == "1.2"


def test_a_missing_program_is_told_with_the_command_that_mends_it() -> None:
    with pytest.raises(UnavailableError, match=r"no file meteor/no-such\.jar") as caught:
        require_program("meteor/no-such.jar")
    assert "pip install" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "said",
    [
        "Exception in thread main\njava.lang.OutOfMemoryError: Java heap space\n\tat x.y",
        "Error occurred during initialization of VM\nCould not reserve enough space for heap",
    ],
)
def test_used_up_memory_is_an_error_of_its_own(said: str) -> None:
    assert isinstance(java_error("METEOR", 1, said), DeviceError)


def test_the_line_with_the_exception_is_told_not_the_trace() -> None:
    said = "WARNING: something\nException in thread main: no such table\n\tat a.b.c(D.java:1)"
    message = java_error("METEOR", 1, said).message
    assert message == "METEOR (Java) ended with 1: Exception in thread main: no such table"


def test_a_signal_is_told_by_its_number() -> None:
    assert java_error("SPICE", -9, "").message == "SPICE (Java) was killed by signal 9"


def test_what_a_program_writes_comes_back(tmp_path: Path) -> None:
    out, told = run_java("it", [fake_java(tmp_path, "echo"), "-x"], "grüße".encode())
    assert (out.decode(), told) == ("grüße", "")
    assert starts(tmp_path) == ["-x"]


def test_a_program_that_cannot_start_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot start"):
        run_java("it", [str(tmp_path / "nothing")])


def test_a_tokenizer_that_loses_lines_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="gave 3 lines for 2 captions"):
        tokenize_java(fake_java(tmp_path, "chatty"), ["a", "b"])


def test_punctuation_tokens_are_dropped_and_brackets_stay(tmp_path: Path) -> None:
    given = ["a , b -- c . !? -lrb- -LRB-", "", "'' ` don't ..."]
    assert tokenize_java(fake_java(tmp_path, "echo"), given) == ["a b c !? -lrb-", "", "don't"]


@needs_java
def test_the_tokenizer_gives_a_line_a_caption() -> None:
    captions = ["A man (who can't) walk.", "", "Mr. X's café -- 3:30pm!", "\U0001f600", ""]
    found = find_java()
    assert found is not None
    assert tokenize_java(found, captions) == [
        "a man -lrb- who ca n't -rrb- walk",
        "",
        "mr. x 's café 3:30 pm",
        "",
        "",
    ]


NEIGHBOURS = [  # in this order, each of the first is read otherwise than by itself
    "The man has vitamin C.",
    "the man has vitamin C.",
    "He sees a T. ",
    "5 times he says no.",
    "she says no.",
    "5 times he says no. ",
    "3 pieces of art.",
    "a work of ancient Asian ART.",
    "He works at AT&Tx.",
    "5 men, see figs.",
    "Now X.",
    "the dog of Mr.",
    "The cat sleeps.",
    "",
]


@needs_java
@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1), slice(1, None, 2)])
def test_the_captions_beside_one_and_their_order_change_nothing(order: slice) -> None:
    found = find_java()
    assert found is not None
    assert tokenize_java(found, NEIGHBOURS[order]) == tokenize_python(NEIGHBOURS[order])


@needs_java
def test_without_its_copy_a_caption_is_read_by_what_comes_next() -> None:
    found = find_java()
    assert found is not None
    given = ["the man has vitamin C.", "The dog runs", "she says no.", "5 dogs run"]
    assert tokenize_lines(found, given)[::2] == ["the man has vitamin c", "she says no."]
    assert tokenize_java(found, given)[::2] == ["the man has vitamin c.", "she says no"]


@pytest.mark.parametrize(
    "caption",
    ["vitamin C.", "a T.  ", "X.", "AT&Tx.", "says no.", "Figs.", "the ART.", "...", "2."],
)
def test_a_last_stop_after_a_letter_or_a_word_before_numbers_is_judged_by_what_follows(
    caption: str,
) -> None:
    assert judged_by_next(caption)


@pytest.mark.parametrize("caption", ["", "a man runs.", "a man runs", "no", "go. ", "vitamin C!"])
def test_other_captions_are_sent_once(tmp_path: Path, caption: str) -> None:
    assert not judged_by_next(caption)
    assert tokenize_java(fake_java(tmp_path, "echo"), [caption, "x"])[1] == "x"


@needs_java
def test_no_captions_are_no_failure() -> None:
    found = find_java()
    assert found is not None and tokenize_java(found, []) == []


def test_java_is_asked_to_start_quickly(tmp_path: Path) -> None:
    tokenize_java(fake_java(tmp_path, "echo"), ["a"])
    assert all(option in starts(tmp_path)[0] for option in java.QUICK_START)
