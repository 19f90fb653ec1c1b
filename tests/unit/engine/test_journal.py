import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vcap.engine.journal import Entry, Journal
from vcap.errors import OutputError


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal.open(tmp_path)
    yield journal
    journal.close()


def reopened(folder: Path) -> Journal:
    journal = Journal.open(folder)
    journal.close()
    return journal


def test_what_was_appended_is_there_after_opening_again(journal: Journal, tmp_path: Path) -> None:
    done = Entry("a", "done", {"size": 1, "segment": [0.0, 1.5]}, "f", time=12.5, files=("a.txt",))
    journal.append([done, Entry("b", "failed", reason="no frames", error="VideoError")])
    again = reopened(tmp_path)
    assert again.entry("a") == done
    assert again.done("a", {"segment": (0.0, 1.5), "size": 1}, "f")
    assert [entry.key for entry in again.failed()] == ["b"]
    assert again.entry("c") is None and not again.done("c", {}, "")


@pytest.mark.parametrize(
    ("identity", "fingerprint"), [({"size": 2}, "f"), ({"size": 1}, "g"), ({}, "f")]
)
def test_another_input_or_other_settings_are_not_done(
    journal: Journal, identity: dict[str, int], fingerprint: str
) -> None:
    journal.append([Entry("a", "done", {"size": 1}, "f")])
    assert not journal.done("a", identity, fingerprint)


def test_the_last_line_of_a_key_counts(journal: Journal, tmp_path: Path) -> None:
    journal.append([Entry("a", "done"), Entry("a", "failed"), Entry("b", "bug")])
    journal.append([Entry("b", "done")])
    again = reopened(tmp_path)
    assert not again.done("a", {}, "") and again.done("b", {}, "")
    assert [(entry.key, entry.status) for entry in again.entries()] == [
        ("a", "failed"),
        ("b", "done"),
    ]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_cut_off_and_the_rest_goes_on(
    journal: Journal, tmp_path: Path, cut: int
) -> None:
    journal.append([Entry("a", "done"), Entry("b", "done")])
    data = journal.path.read_bytes()
    journal.path.write_bytes(data[:-cut])
    again = Journal.open(tmp_path)
    assert again.done("a", {}, "") and not again.done("b", {}, "") and again.damaged == 0
    again.append([Entry("b", "done")])
    again.close()
    assert len(again.path.read_bytes().splitlines()) == 2
    assert reopened(tmp_path).done("b", {}, "")


@pytest.mark.parametrize("line", ["rubbish", "[]", '{"key": "a"}', '{"status": "done"}', "\\xff"])
def test_a_damaged_line_costs_its_item_only(journal: Journal, tmp_path: Path, line: str) -> None:
    journal.append([Entry("a", "done")])
    with journal.path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    journal.append([Entry("b", "done")])
    again = reopened(tmp_path)
    assert again.damaged == 1 and again.done("a", {}, "") and again.done("b", {}, "")


def test_fields_of_a_later_version_are_passed_over(journal: Journal, tmp_path: Path) -> None:
    line = {"key": "a", "status": "done", "mood": "good"}
    journal.path.write_text(json.dumps(line) + "\n")
    assert reopened(tmp_path).done("a", {}, "")


def test_reading_leaves_the_folder_alone(tmp_path: Path) -> None:
    assert Journal.read(tmp_path / "absent").failed() == []
    assert not (tmp_path / "absent").exists()
    journal = reopened(tmp_path)
    journal.path.write_bytes(b'{"key": "a", "status": "done"}\n{"ke')
    reader = Journal.read(tmp_path)
    assert reader.done("a", {}, "") and journal.path.read_bytes().endswith(b'{"ke')
    with pytest.raises(ValueError, match="opened for reading"):
        reader.append([Entry("b", "done")])


def test_a_full_disk_leaves_no_half_line(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.append([Entry("a", "done")])
    before, real_write = journal.path.read_bytes(), os.write

    def write_ten_bytes_then_fail(handle: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(handle, data[: max(10, len(data) - 50)])

    monkeypatch.setattr(os, "write", write_ten_bytes_then_fail)
    with pytest.raises(OutputError, match="disk is full"):
        journal.append([Entry("b", "done")])
    monkeypatch.undo()
    assert journal.path.read_bytes() == before and not journal.done("b", {}, "")
    journal.append([Entry("c", "done")])
    assert journal.done("c", {}, "")


def test_odd_keys_survive(journal: Journal, tmp_path: Path) -> None:
    keys = ["a\nb", "猫", "\udcff", "", "a\u2028b", "a\x1cb"]
    journal.append([Entry(key, "done") for key in keys])
    again = reopened(tmp_path)
    assert all(again.done(key, {}, "") for key in keys) and again.damaged == 0
