"""METEOR's process: asked in bulk, started again when its table grows, and ended in every case."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fake_java import fake_java, starts
from tests.unit.engine.evaluation.test_paraphrases import write_table
from vcap.engine.evaluation import meteor
from vcap.engine.evaluation.meteor import Meteor, MeteorProcess, clean_candidate, score_line
from vcap.engine.evaluation.paraphrases import index_path
from vcap.engine.reporter import Silent
from vcap.errors import DeviceError, UnavailableError, VcapError
from vcap.metrics.outcome import Pair

CANDIDATE_WORDS, TABLE_ENTRIES, PROCESS_ID = 0, 1, 2  # what the scoring stand-in answers


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small table in the place of METEOR's own."""
    path = write_table(tmp_path / "table.gz")
    monkeypatch.setattr(meteor, "require_program", lambda name: path)
    return path


@pytest.fixture
def scoring(tmp_path: Path, table: Path) -> Iterator[Meteor]:
    """A METEOR whose answers say how many entries its table has."""
    running = Meteor(fake_java(tmp_path, "scoring"), False, tmp_path / "cache", Silent())
    yield running
    running.close()


def pair(candidate: str, *references: str) -> Pair:
    """A candidate with its references."""
    return candidate, references


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("dying", UnavailableError, "METEOR .* ended with 1: Exception: broken"),
        ("killed", UnavailableError, "was killed by signal 9"),
        ("full", DeviceError, "METEOR used up its memory: .*Java heap space"),
        ("talking", UnavailableError, "answered 'Error: specify SCORE or EVAL'"),
        ("short", UnavailableError, "where 23 numbers were expected"),
        ("unbounded", UnavailableError, "where 23 numbers were expected"),
        ("silent", UnavailableError, r"gave no answer for 0\.2 seconds"),
    ],
)
def test_a_process_that_fails_is_told_in_one_error(
    tmp_path: Path, table: Path, kind: str, error: type[VcapError], message: str
) -> None:
    limit = 0.2 if kind == "silent" else 60.0
    process = MeteorProcess(fake_java(tmp_path, kind), table, limit)
    with pytest.raises(error, match=message) as caught:
        process.statistics(["a ||| b"] * 3)
    process.close()
    assert caught.value.hint


def test_more_answers_than_questions_are_no_numbers(tmp_path: Path, table: Path) -> None:
    process = MeteorProcess(fake_java(tmp_path, "twice"), table)
    with pytest.raises(UnavailableError, match="answered"):
        process.statistics(["a ||| b"])
    process.close()


def test_a_program_that_is_not_there_is_told(tmp_path: Path, table: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot start"):
        MeteorProcess(str(tmp_path / "nothing"), table)


def test_a_failed_process_stays_a_failure(tmp_path: Path, table: Path) -> None:
    process = MeteorProcess(fake_java(tmp_path, "dying"), table)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            process.statistics(["a ||| b"] * 2)
    process.close()


def test_more_than_the_pipes_hold_goes_through(tmp_path: Path, table: Path) -> None:
    process = MeteorProcess(fake_java(tmp_path, "scoring"), table)
    lines = [f"reference ||| {'word ' * (number % 50)}" for number in range(5000)]
    rows = process.statistics(lines)
    process.close()
    assert rows.shape == (5000, 23)
    assert rows[:, CANDIDATE_WORDS].tolist() == [number % 50 for number in range(5000)]


def test_nothing_asked_needs_no_answer(tmp_path: Path, table: Path) -> None:
    process = MeteorProcess(fake_java(tmp_path, "silent"), table)
    assert process.statistics([]).shape == (0, 23)
    process.close()


def test_a_closed_process_is_gone(tmp_path: Path, table: Path) -> None:
    process = MeteorProcess(fake_java(tmp_path, "silent"), table)
    process.close()
    assert process._process.returncode is not None
    process.close()  # once more does no harm


def test_the_candidate_is_cleaned_and_the_references_are_not() -> None:
    assert clean_candidate("a ||| b   c") == "a b  c"
    assert score_line("a b", ["x  |||y", "z"]) == "x  |||y ||| z ||| a b"


def test_a_line_break_ends_no_question() -> None:
    assert score_line("a\nb", ["c\rd"]) == "c d ||| a b"


def test_the_table_has_what_the_sentences_need(scoring: Meteor) -> None:
    rows = scoring.statistics([pair("a boy", "one child", "a kid"), pair("x", "y")])
    assert rows[:, TABLE_ENTRIES].tolist() == [2, 2]  # boy: child, kid
    assert rows[:, CANDIDATE_WORDS].tolist() == [2, 1]


def test_nothing_is_started_before_it_is_needed(scoring: Meteor, tmp_path: Path) -> None:
    assert starts(tmp_path) == []


def test_expected_sentences_start_it_once(scoring: Meteor, tmp_path: Path) -> None:
    scoring.expect(["a boy", "one child"])
    for _ in range(3):
        assert scoring.statistics([pair("a boy", "one child")])[0, TABLE_ENTRIES] == 1
    assert len(starts(tmp_path)) == 1


def test_new_words_start_it_again_with_more_of_the_table(scoring: Meteor, tmp_path: Path) -> None:
    scoring.expect(["a boy", "one child"])
    first = scoring.statistics([pair("a boy", "one child")])
    second = scoring.statistics([pair("zebra", "horse")])
    assert (first[0, TABLE_ENTRIES], second[0, TABLE_ENTRIES]) == (1, 2)
    assert len(starts(tmp_path)) == 2


def test_new_words_that_the_table_has_nothing_for_start_nothing(
    scoring: Meteor, tmp_path: Path
) -> None:
    scoring.statistics([pair("a boy", "one child")])
    scoring.statistics([pair("somebody else", "abc123!@#")])
    scoring.expect(["nobody"])
    scoring.statistics([pair("a boy", "nobody")])
    assert len(starts(tmp_path)) == 1


def test_words_said_while_it_starts_are_not_lost(scoring: Meteor) -> None:
    for sentence in ("a boy", "one child", "a kid", "zebra", "horse"):
        scoring.expect([sentence])
    assert scoring.statistics([pair("zebra", "horse")])[0, TABLE_ENTRIES] == 3


def test_a_cleaned_candidate_needs_the_words_that_it_then_has(scoring: Meteor) -> None:
    assert scoring.statistics([pair("a b|||oy", "one child")])[0, TABLE_ENTRIES] == 1


def test_the_whole_table_is_given_where_asked(tmp_path: Path, table: Path) -> None:
    running = Meteor(fake_java(tmp_path, "scoring"), True, tmp_path / "cache", Silent())
    assert running.statistics([pair("x", "y")])[0, TABLE_ENTRIES] == 10
    running.close()
    assert f"-a {table}" in starts(tmp_path)[0]
    assert not (tmp_path / "cache").exists()


def test_many_questions_are_shared_and_answered_in_order(
    scoring: Meteor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meteor, "LEAST_WORK", 10)
    monkeypatch.setattr(meteor, "num_cores", lambda: 3)
    pairs = [pair("word " * number, "reference") for number in range(35)]
    rows = scoring.statistics(pairs)
    assert rows[:, CANDIDATE_WORDS].tolist() == [*range(35)]
    assert len(set(rows[:, PROCESS_ID])) == len(starts(tmp_path)) == 3
    assert scoring.statistics(pairs[:5])[:, CANDIDATE_WORDS].tolist() == [*range(5)]
    assert len(starts(tmp_path)) == 3


def test_many_expected_sentences_start_processes_early(
    scoring: Meteor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meteor, "LEAST_WORK", 10)
    monkeypatch.setattr(meteor, "num_cores", lambda: 2)
    scoring.expect(f"sentence {number}" for number in range(50))
    scoring.statistics([pair("sentence 1", "sentence 2")])
    assert len(scoring._processes) == 2


def test_the_whole_table_is_read_by_one_process_only(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meteor, "LEAST_WORK", 1)
    running = Meteor(fake_java(tmp_path, "scoring"), True, tmp_path / "cache", Silent())
    rows = running.statistics([pair("word " * number, "reference") for number in range(30)])
    running.close()
    assert rows[:, CANDIDATE_WORDS].tolist() == [*range(30)]
    assert len(starts(tmp_path)) == 1


def test_a_later_run_reads_the_index_and_not_the_table(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java, heard = fake_java(tmp_path, "scoring"), Silent()
    heard.verbose = True
    for _ in range(2):
        running = Meteor(java, False, tmp_path / "cache", heard)
        assert running.statistics([pair("boy", "kid")])[0, TABLE_ENTRIES] == 1
        running.close()
    assert sum("reading METEOR's paraphrase table" in line for line in heard.lines) == 1


@pytest.mark.parametrize("place", [3, -40])
def test_a_damaged_index_is_made_again(tmp_path: Path, table: Path, place: int) -> None:
    java, path = fake_java(tmp_path, "scoring"), index_path(table, tmp_path / "cache")
    for _ in range(2):
        running = Meteor(java, False, tmp_path / "cache", Silent())
        question = pair("a boy a zebra", "the kid the horse a car the car vehicles")
        assert running.statistics([question])[0, TABLE_ENTRIES] == 6
        running.close()
        good = bytearray(path.read_bytes())
        good[place] ^= 0xFF
        path.write_bytes(good)


def test_a_cache_that_cannot_be_written_stops_no_run(tmp_path: Path, table: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    heard = Silent()
    heard.verbose = True
    running = Meteor(fake_java(tmp_path, "scoring"), False, tmp_path / "file" / "cache", heard)
    assert running.statistics([pair("boy", "kid")])[0, TABLE_ENTRIES] == 1
    running.close()
    assert any("was not kept" in line for line in heard.lines)


def test_a_damaged_table_is_told_to_whoever_asks(tmp_path: Path, table: Path) -> None:
    table.write_bytes(b"nonsense")
    running = Meteor(fake_java(tmp_path, "scoring"), False, tmp_path / "cache", Silent())
    running.expect(["a boy"])
    with pytest.raises(UnavailableError, match="cannot be read"):
        running.statistics([pair("a boy", "a kid")])
    running.close()


def test_a_run_that_ends_early_ends_everything(tmp_path: Path, table: Path) -> None:
    running = Meteor(fake_java(tmp_path, "silent"), False, tmp_path / "cache", Silent())
    running.expect(["a boy"])
    caught: list[VcapError] = []

    def ask() -> None:
        try:
            running.statistics([pair("a", "b")])
        except VcapError as error:
            caught.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not running._processes:
        asking.join(0.01)
    process = running._processes[0]
    running.close(cancel=True)
    asking.join()
    assert len(caught) == 1
    assert process._process.returncode is not None


OWNER = """
import sys, time
from vcap.engine.evaluation.meteor import MeteorProcess
process = MeteorProcess(sys.argv[1], sys.argv[2])
process.statistics(["a ||| b"])
print(process._process.pid, flush=True)
time.sleep(60)
"""


def test_the_program_ends_with_a_run_that_was_killed(tmp_path: Path) -> None:
    table = write_table(tmp_path / "table.gz")
    java = fake_java(tmp_path, "scoring")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, java, str(table)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        child = Path("/proc", owner.stdout.readline().strip(), "cmdline")
        if not child.exists():
            owner.kill()
            pytest.skip("this system has no /proc")
        owner.kill()
    ended = threading.Event()
    while child.exists() and child.read_bytes():  # it reads the end of its input and ends
        ended.wait(0.01)


def test_a_start_removes_what_a_killed_run_left(
    scoring: Meteor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    (place / "vcap-meteor-killed").mkdir(parents=True)
    (place / "vcap-meteor-killed" / "lock").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    scoring.statistics([pair("a boy", "one child")])
    (made,) = place.iterdir()
    assert made.name != "vcap-meteor-killed"
    scoring.close()
    assert [*place.iterdir()] == []


def test_answers_are_numbers_of_their_own(scoring: Meteor) -> None:
    rows = scoring.statistics([pair("a b c", "d")])
    assert rows.dtype == np.float64 and rows.shape == (1, 23)
