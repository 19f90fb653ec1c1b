"""The text tools start late, ask once, and say what they cannot do."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.fake_java import fake_java, starts
from tests.unit.engine.evaluation.test_paraphrases import write_table
from vcap.engine.evaluation import meteor, tools
from vcap.engine.evaluation.tools import open_tools
from vcap.errors import UnavailableError

PAIRS = [("a boy", ("one child",)), ("zebra", ("horse", "a horse")), ("a boy", ("one child",))]


@pytest.fixture
def scoring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for Java on this machine; gives the folder where it notes its starts."""
    java, table = fake_java(tmp_path, "scoring"), write_table(tmp_path / "table.gz")
    monkeypatch.setattr(tools, "find_java", lambda: java)
    monkeypatch.setattr(meteor, "require_program", lambda name: table)
    return tmp_path


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Java."""
    monkeypatch.setattr(tools, "find_java", lambda: None)


def test_nothing_starts_before_it_is_asked(scoring: Path) -> None:
    with open_tools(cache_dir=scoring / "cache") as opened:
        assert "METEOR" not in opened.unavailable
    assert starts(scoring) == []


def test_a_pair_is_asked_about_once(scoring: Path) -> None:
    with open_tools(cache_dir=scoring / "cache") as opened:
        rows = opened.meteor(PAIRS)
        again = opened.meteor([*reversed(PAIRS), ("new", ("words",))])
    assert rows.shape == (3, 23) and again.shape == (4, 23)
    assert rows[0].tolist() == rows[2].tolist()
    assert again[1].tolist() == rows[1].tolist()
    assert len(starts(scoring)) == 1


def test_no_pairs_give_no_rows_and_start_nothing(scoring: Path) -> None:
    with open_tools(cache_dir=scoring / "cache") as opened:
        assert opened.meteor([]).shape == (0, 23)
    assert starts(scoring) == []


def test_expected_sentences_start_meteor_early(scoring: Path) -> None:
    with open_tools(cache_dir=scoring / "cache") as opened:
        opened.expect(sentence for sentence in ["a boy", "one child", "zebra", "horse", "a horse"])
        assert opened.meteor(PAIRS)[0, 1] == 2  # entries of the table
    assert len(starts(scoring)) == 1


def test_what_is_announced_is_tokenised_and_expected_with_the_first_texts(scoring: Path) -> None:
    fake_java(scoring, "both")
    with open_tools(cache_dir=scoring / "cache") as opened:
        opened.announce(["zebra , horse", "a\nhorse"])
        opened.expect(opened.tokenize(["a boy", "one child"]))
        assert opened.tokenize(["zebra , horse", "a\nhorse"]) == ["zebra horse", "a horse"]
        first = opened.meteor(PAIRS[:1])
        second = opened.meteor(PAIRS[1:])
    assert first[0, 1] == second[0, 1] == 2  # entries of the one table
    assert ["-a" in start for start in starts(scoring)] == [False, True]


def test_what_is_announced_counts_as_it_stands_where_nothing_is_tokenised(scoring: Path) -> None:
    with open_tools(cache_dir=scoring / "cache") as opened:
        opened.announce(["zebra", "horse"])
        opened.expect(["a boy", "one child"])
        opened.meteor(PAIRS[:1])
        opened.meteor([("zebra", ("horse",))])
    assert len(starts(scoring)) == 1


def test_what_is_announced_starts_nothing_by_itself(scoring: Path) -> None:
    with open_tools(cache_dir=scoring / "cache") as opened:
        opened.announce(["zebra", "horse"])
    assert starts(scoring) == []


def test_an_interrupt_ends_what_was_started(scoring: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_tools(cache_dir=scoring / "cache") as opened:
        opened.meteor(PAIRS)
        process = opened._meteor._processes[0] if opened._meteor else None
        raise KeyboardInterrupt
    assert process is not None and process._process.returncode is not None


def test_the_whole_table_is_used_where_asked(scoring: Path) -> None:
    with open_tools(cache_dir=scoring / "cache", full_paraphrase_table=True) as opened:
        assert opened.meteor(PAIRS)[0, 1] == 10
        assert opened.stamp()["paraphrase_table"] == "full"


def test_the_tokenizer_runs_once_for_what_is_new(scoring: Path) -> None:
    fake_java(scoring, "echo")
    with open_tools(cache_dir=scoring / "cache") as opened:
        assert opened.tokenize(["a .", "b", "a ."]) == ["a", "b", "a"]
        assert opened.tokenize(["b", "a ."]) == ["b", "a"]
        assert opened.tokenize([]) == []
        assert len(starts(scoring)) == 1
        assert opened.tokenize(["c", "b"]) == ["c", "b"]
    assert len(starts(scoring)) == 2


@pytest.mark.parametrize("character", ["\n", "\r", "\v", "\f", "\u2028", "\u2029", "\ud83d"])
def test_no_character_parts_a_caption(scoring: Path, character: str) -> None:
    fake_java(scoring, "echo")
    with open_tools(cache_dir=scoring / "cache") as opened:
        assert opened.tokenize([f"a{character}b", "c"]) == ["a b", "c"]


def test_without_java_the_tokenizer_stays_and_the_others_say_why(no_java: None) -> None:
    with open_tools() as opened:
        assert opened.tokenize(["A man can't walk.", ""]) == ["a man ca n't walk", ""]
        assert opened.unavailable == {
            "METEOR": "METEOR needs Java, which is not installed.",
            "SPICE": "SPICE needs Java, which is not installed.",
        }
        opened.expect(["a man"])
        for ask in (opened.meteor, opened.spice):
            with pytest.raises(UnavailableError, match="needs Java"):
                ask(PAIRS)


def test_java_can_be_left_out(scoring: Path) -> None:
    with open_tools(java=False) as opened:
        assert "not to be used" in opened.unavailable["METEOR"]
        assert opened.stamp()["tokenizer"] == "PTB 3.4.1 (Python)"


def test_java_that_is_asked_for_must_be_there(no_java: None) -> None:
    with pytest.raises(UnavailableError, match="no Java") as caught, open_tools(java=True):
        pass
    assert "apt-get" in (caught.value.hint or "")


def test_a_missing_table_makes_meteor_unavailable(
    scoring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tools, "program_path", lambda name: None if name.endswith("gz") else scoring
    )
    with open_tools() as opened:
        assert "paraphrase-en.gz" in opened.unavailable["METEOR"]
        assert opened.stamp()["METEOR"] is None


def test_without_the_jar_the_python_tokenizer_is_taken(
    scoring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "program_path", lambda name: None)
    with open_tools() as opened:
        assert opened.tokenize(["A man."]) == ["a man"]
        assert opened.stamp()["tokenizer"] == "PTB 3.4.1 (Python)"
    assert starts(scoring) == ["-version"]


def test_the_stamp_names_every_version() -> None:
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    with open_tools() as opened:
        stamp = opened.stamp()
    assert stamp["tokenizer"] == "PTB 3.4.1 (Java)"
    assert (stamp["METEOR"], stamp["paraphrase_table"]) == ("1.5", "filtered")
    assert stamp["pycocoevalcap"] == "1.2"
    assert (stamp["java"] or "").split(".")[0].isdigit()


def test_spice_scores_are_asked_for_once(scoring: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def scores(java: str, pairs: list[object]) -> np.ndarray:
        asked.append(len(pairs))
        return np.arange(float(len(pairs)))

    monkeypatch.setattr(tools, "spice_absence", lambda: None)
    monkeypatch.setattr(tools, "spice_scores", scores)
    with open_tools(cache_dir=scoring / "cache") as opened:
        assert opened.spice(PAIRS).tolist() == [0, 1, 0]
        assert opened.spice(PAIRS[:1]).tolist() == [0]
        assert opened.stamp()["SPICE"] == "1.0"
    assert asked[0] == 2 and sum(asked) == 2
