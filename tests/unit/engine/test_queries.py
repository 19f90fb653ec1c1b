"""Queries: what is a sentence, what a file, and what comes on stdin."""

from pathlib import Path

import pytest

from vcap.engine.queries import as_query, parse_queries, read_index_name
from vcap.engine.summary import Failure
from vcap.errors import InputError, UsageError


def test_words_are_a_sentence_and_files_are_files(small_videos: Path) -> None:
    video = str(small_videos / "0.mp4")
    words, film = parse_queries([" a red circle ", video])
    assert (words.name, words.is_text, words.path) == ("a red circle", True, None)
    assert (film.name, film.is_text, film.path) == (video, False, small_videos / "0.mp4")


@pytest.mark.parametrize(
    "text", ["cats", "a dog.", "v1.5 of it", "either/or", "3.5 s", "no/such/place", "a" * 5000]
)
def test_a_sentence_that_looks_a_little_like_a_path_is_still_a_sentence(text: str) -> None:
    assert as_query(text).is_text


def test_a_word_that_is_also_a_folder_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cats").mkdir()
    monkeypatch.chdir(tmp_path)
    assert as_query("cats").is_text


@pytest.mark.parametrize("name", ["gone.mp4", "gone/picture.JPG"])
def test_a_file_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(InputError, match="no such file") as caught:
        as_query(name)
    assert name in str(caught.value)


def test_a_folder_of_videos_is_no_query(small_videos: Path) -> None:
    with pytest.raises(UsageError, match="names 7 videos"):
        as_query(f"{small_videos}/")


def test_the_clip_that_ships_with_vcap_has_a_name() -> None:
    path = as_query("sample").path
    assert path is not None and path.is_file()


def test_stdin_brings_a_query_a_line_in_their_places(small_videos: Path) -> None:
    film = str(small_videos / "1.mp4")
    lines = ["\ufeffa red circle\n", "\n", f"{film}\n", '{"query": "b.mp4"}\n']
    lines += ['{"text": "a dog", "path": "x"}\n', f'{{"path": "{film}", "id": "1"}}\n']
    found = parse_queries(["first", "-", "last"], ["some id"], lines)
    assert [query.name for query in found] == [
        "first",
        "a red circle",
        film,
        "b.mp4",
        "a dog",
        film,
        "last",
        "some id",
    ]
    assert [query.is_text for query in found] == [True, True, False, True, True, False, True, False]
    assert [query.is_stored for query in found] == [False] * 7 + [True]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "nothing on stdin"),
        (["\n", "  \n"], "nothing on stdin"),
        (["fine\n", '{"query": \n'], "stdin:2: not JSON"),
        (["fine\n", '{"query":' + "[" * 100_000 + "\n"], "stdin:2: not JSON"),
        (["fine\n", "gone.mp4\n"], "stdin:2: gone.mp4: no such file"),
        (["b\udcff\n"], "stdin:1: .*not valid UTF-8"),
        (['{"id": "x"}\n'], "stdin:1: want one of query, text, path"),
    ],
)
def test_what_stdin_lacks_is_told_with_its_line(lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_queries(["-"], (), lines)


def test_lines_that_are_no_queries_cost_only_themselves() -> None:
    lines = ["a\n", "gone.mp4\n", "\n", "{\n", '{"path": "b\udcff/"}\n', "b\udcff\n", "b\n"]
    bad: list[Failure] = []
    assert [query.name for query in parse_queries(["-"], (), lines, bad.append)] == ["a", "b"]
    assert [failure.key for failure in bad] == [f"stdin:{number}" for number in (2, 4, 5, 6)]
    assert bad[0].reason == "gone.mp4: no such file"
    bad.clear()
    assert parse_queries(["-"], (), ["{\n"], bad.append) == [] and len(bad) == 1


def test_a_hint_can_be_pasted_where_names_have_blanks() -> None:
    with pytest.raises(InputError) as caught:
        as_query("my clips/gone.mp4")
    assert caught.value.hint == "ls 'my clips'"


@pytest.mark.parametrize("words", [[], ["-", "-"], [""], ["  "]])
def test_queries_that_make_no_sense_are_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_queries(words, (), ["x\n"])


def test_an_index_is_named_by_a_path_or_by_the_command_before_in_the_pipe() -> None:
    assert read_index_name("some/idx", []) == Path("some/idx")
    assert read_index_name("-", ["some/idx\n"]) == Path("some/idx")
    assert read_index_name("-", ['{"index": "/some/idx", "videos": 3}\n']) == Path("/some/idx")


@pytest.mark.parametrize(
    "lines", [[], ["\n"], ['{"videos": 3}\n'], ["{\n"], ['{"index": 3}\n'], ['{"a":' * 100_000]]
)
def test_a_pipe_that_names_no_index_is_told(lines: list[str]) -> None:
    with pytest.raises(InputError, match="stdin"):
        read_index_name("-", lines)


def test_no_name_is_not_the_current_folder() -> None:
    with pytest.raises(UsageError, match="--index names no folder"):
        read_index_name("", [])


def test_queries_and_index_cannot_both_be_on_stdin() -> None:
    with pytest.raises(UsageError, match="cannot both come from stdin"):
        read_index_name("-", ["x\n"], ["a", "-"])
