"""An empty name, as of a shell variable that is not set, is no folder: least of all this one."""

from pathlib import Path
from typing import Any

import pytest

from tests.index_tools import make_store


@pytest.mark.parametrize("flag", ["-o", "--output"])
@pytest.mark.parametrize(
    "words",
    [
        ("index", "STORE"),
        ("encode", "sample"),
        ("extract", "sample"),
        ("caption", "sample"),
        ("download", "x"),
        ("train", "prefix"),
        ("retrieve", "a", "--index", "x"),
        ("evaluate", "caption", "x", "--references", "y"),
    ],
    ids=lambda words: words[0],
)
def test_no_command_takes_an_empty_name_for_the_current_folder(
    vcap: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], flag: str
) -> None:
    store = make_store(tmp_path / "store", ["a"])
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    given = [str(store) if word == "STORE" else word for word in words]
    result = vcap(*given, flag, "")
    assert result.exit_code == 2
    assert "'--output' / '-o': the name is empty" in result.stderr
    assert not list(here.iterdir())


def test_the_current_folder_can_be_named(
    vcap: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(tmp_path / "store", ["a"])
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert vcap("index", store, "-o", ".").exit_code == 0
    assert (here / "index.json").exists()


def test_clips_are_not_cut_into_a_folder_without_a_name(vcap: Any, tmp_path: Path) -> None:
    result = vcap("retrieve", "a", "--index", tmp_path, "--cut", "")
    assert result.exit_code == 2
    assert "'--cut': the name is empty" in result.stderr
