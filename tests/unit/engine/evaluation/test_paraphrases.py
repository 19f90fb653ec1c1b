"""The paraphrase table: what is kept for a run, and the index that later runs find it by."""

import gzip
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from vcap.engine.evaluation import paraphrases
from vcap.engine.evaluation.paraphrases import (
    Cancelled,
    Index,
    build_index,
    filtered_table,
    index_path,
    open_index,
    save_index,
)
from vcap.engine.evaluation.phrases import phrase_hashes
from vcap.errors import OutputError, UnavailableError

ENTRIES = (
    ("???", "man"),
    ("a car", "the car"),
    ("a car", "vehicles"),
    ("a car ???", "a car"),
    ("boy", "child"),
    ("boy", "kid"),
    ("boy 's", "child 's"),
    ("of the", "the"),
    ("the car", "a car"),
    ("zebra", "horse"),
)


def write_table(path: Path, entries: Sequence[tuple[str, str]] = ENTRIES) -> Path:
    """A table in METEOR's form."""
    text = "".join(f"0.{n}\n{one}\n{other}\n" for n, (one, other) in enumerate(entries))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The small table."""
    return write_table(tmp_path / "table.gz")


def kept(index: Index, *sentences: str) -> list[tuple[str, str]]:
    """The entries that are kept for these sentences."""
    data, number = filtered_table(index, phrase_hashes(sentences))
    lines = gzip.decompress(data).decode().split("\n")
    pairs = [*zip(lines[1::3], lines[2::3], strict=True)]
    assert len(pairs) == number
    return pairs


def test_an_entry_is_kept_where_both_phrases_can_occur(table: Path) -> None:
    index = build_index(table, Event())
    assert kept(index, "a boy sees the car", "one child") == [("boy", "child")]
    assert kept(index, "a car stops", "the car goes") == [
        ("a car", "the car"),
        ("a car ???", "a car"),
        ("the car", "a car"),
    ]


def test_nothing_is_kept_for_sentences_that_have_nothing_to_do_with_it(table: Path) -> None:
    assert kept(build_index(table, Event()), "nobody is here") == []
    assert kept(build_index(table, Event())) == []


def test_words_apart_are_no_phrase(table: Path) -> None:
    assert kept(build_index(table, Event()), "a red car", "the car") == []


def test_punctuation_and_capitals_hide_no_phrase(table: Path) -> None:
    index = build_index(table, Event())
    assert kept(index, "A Boy's hat", 'the "child\'s" hat') == [
        ("boy", "child"),
        ("boy 's", "child 's"),
    ]


def test_phrases_without_letters_are_always_thought_possible(table: Path) -> None:
    assert kept(build_index(table, Event()), "man") == [("???", "man")]


def test_everything_is_kept_in_the_order_of_the_table(table: Path) -> None:
    sentences = [text for entry in reversed(ENTRIES) for text in entry]
    assert kept(build_index(table, Event()), *sentences) == [*ENTRIES]


@pytest.mark.parametrize("size", [1, 5, 40, 100])
def test_the_size_of_the_pieces_that_are_read_changes_nothing(
    table: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_index(table, Event())
    monkeypatch.setattr(paraphrases, "CHUNK_BYTES", size)
    parts = build_index(table, Event())
    assert parts.text == whole.text and parts.starts.tolist() == whole.starts.tolist()
    assert parts.hashes.tolist() == whole.hashes.tolist()


def test_phrases_that_differ_in_punctuation_only_stay_apart(table: Path) -> None:
    assert build_index(table, Event()).text.count(b"a car ???\n") == 1


def test_a_saved_index_says_the_same(table: Path, tmp_path: Path) -> None:
    built, path = build_index(table, Event()), index_path(table, tmp_path / "new" / "cache")
    save_index(built, path, Event())
    opened = open_index(table, tmp_path / "new" / "cache")
    sentences = [text for entry in ENTRIES for text in entry]
    assert opened is not None and kept(opened, *sentences) == [*ENTRIES]
    assert kept(opened, "boy", "kid") == kept(built, "boy", "kid") == [("boy", "kid")]


def test_there_is_no_index_before_the_first_run(table: Path, tmp_path: Path) -> None:
    assert open_index(table, tmp_path / "nowhere") is None


def test_another_table_has_another_index(table: Path, tmp_path: Path) -> None:
    other = write_table(tmp_path / "other.gz", [("zebra", "house"), *ENTRIES[1:]])
    save_index(build_index(table, Event()), index_path(table, tmp_path), Event())
    assert open_index(other, tmp_path) is None


def saved(table: Path, folder: Path) -> Path:
    """The file of the index."""
    path = index_path(table, folder)
    save_index(build_index(table, Event()), path, Event())
    return path


@pytest.mark.parametrize("length", [0, 5, 19, 34, 60, -5, -1])
def test_an_index_that_was_cut_off_is_none(table: Path, tmp_path: Path, length: int) -> None:
    path = saved(table, tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    assert open_index(table, tmp_path) is None


def test_a_changed_byte_anywhere_is_noticed(table: Path, tmp_path: Path) -> None:
    path = saved(table, tmp_path)
    good = path.read_bytes()
    sentences = [text for entry in ENTRIES for text in entry]
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x41]) + good[place + 1 :])
        opened = open_index(table, tmp_path)
        if opened is not None:
            with pytest.raises(ValueError, match="damaged"):
                kept(opened, *sentences)


def test_an_index_that_grew_is_none(table: Path, tmp_path: Path) -> None:
    path = saved(table, tmp_path)
    path.write_bytes(path.read_bytes() + b"x")
    assert open_index(table, tmp_path) is None


def test_runs_that_save_at_the_same_time_leave_one_whole_index(table: Path, tmp_path: Path) -> None:
    built, path = build_index(table, Event()), index_path(table, tmp_path / "cache")
    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(save_index, built, path, Event()) for _ in range(8)]:
            future.result()
    assert open_index(table, tmp_path / "cache") is not None
    assert [*path.parent.iterdir()] == [path]


def test_a_damaged_table_is_told_with_its_path(table: Path) -> None:
    table.write_bytes(table.read_bytes()[:-12])
    with pytest.raises(UnavailableError, match=r"table\.gz cannot be read"):
        build_index(table, Event())


def test_a_table_that_is_no_gzip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "plain.gz"
    path.write_bytes(b"1\na\nb\n")
    with pytest.raises(UnavailableError, match=r"plain\.gz cannot be read"):
        build_index(path, Event())


def test_an_empty_table_keeps_nothing(tmp_path: Path) -> None:
    index = build_index(write_table(tmp_path / "empty.gz", []), Event())
    assert kept(index, "a man") == []


def test_reading_and_saving_stop_when_the_run_ends(table: Path, tmp_path: Path) -> None:
    ended = Event()
    index = build_index(table, ended)
    ended.set()
    with pytest.raises(Cancelled):
        build_index(table, ended)
    with pytest.raises(Cancelled):
        save_index(index, tmp_path / "cache" / "index", ended)
    assert [*(tmp_path / "cache").iterdir()] == []


def test_a_place_that_cannot_be_written_is_told(table: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="taken"):
        save_index(build_index(table, Event()), tmp_path / "taken", Event())
