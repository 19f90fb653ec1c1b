"""`vcap index` as a user meets it: what it prints, what it leaves, and its exit codes."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.index_tools import make_index, make_store
from vcap.engine.index import index
from vcap.features.index import Index

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "index.json"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of three videos."""
    return make_store(tmp_path / "store", ["a", "b", "c"])


def test_it_prints_the_index_and_tells_the_rest_on_stderr(
    vcap: Any, tmp_path: Path, store: Path
) -> None:
    result = vcap("index", store, "-o", tmp_path / "index")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'index'}\n")
    assert result.stderr == "videos: 3 added; 3 in the index (Flat, exact)\n"
    assert vcap("index", store, "-o", tmp_path / "index", "-q").stderr == ""


def test_a_second_run_finds_nothing_to_do(vcap: Any, tmp_path: Path, store: Path) -> None:
    vcap("index", store, "-o", tmp_path / "index")
    before = (tmp_path / "index" / "index.json").stat().st_mtime_ns
    again = vcap("index", store, "-o", tmp_path / "index")
    assert "nothing to do" in again.stderr
    assert (tmp_path / "index" / "index.json").stat().st_mtime_ns == before


def test_what_json_prints_fits_its_schema(vcap: Any, tmp_path: Path, store: Path) -> None:
    result = vcap("index", store, "-o", tmp_path / "index", "--json")
    told = json.loads(result.stdout)
    jsonschema.validate(told, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert (told["videos"], told["added"], told["kind"]) == (3, 3, "flat")


def test_it_follows_encode_in_a_pipe(vcap: Any, tmp_path: Path) -> None:
    encoded = vcap("encode", "sample", "-o", tmp_path / "f", "--frames", 2, "--json")
    result = vcap("index", "-", "-o", tmp_path / "index", stdin=encoded.stdout)
    assert result.exit_code == 0
    hit = Index.open(tmp_path / "index").record_of(0)
    assert Path(hit["path"]).is_absolute() and Path(hit["path"]).exists()


@pytest.mark.parametrize("lines", ["", "\n\n", '{"id": "a"}\n', "{broken\n"])
def test_a_stdin_that_names_no_store_is_refused(vcap: Any, tmp_path: Path, lines: str) -> None:
    result = vcap("index", "-", "-o", tmp_path / "index", stdin=lines)
    assert result.exit_code == 4
    assert "stdin" in result.stderr
    assert not (tmp_path / "index").exists()


def test_videos_are_added_and_removed_by_flags(vcap: Any, tmp_path: Path, store: Path) -> None:
    folder = tmp_path / "index"
    vcap("index", store, "-o", folder)
    make_store(store, ["d"], first=9, shard=1)
    assert "1 added; 4 in the index" in vcap("index", store, "-o", folder, "--add").stderr
    assert "2 removed; 2 in" in vcap("index", "-o", folder, "--remove", "a", "--remove=b").stderr
    assert Index.open(folder).ids == ["c", "d"]


def test_a_video_that_is_not_there_cannot_be_removed(
    vcap: Any, tmp_path: Path, store: Path
) -> None:
    vcap("index", store, "-o", tmp_path / "index")
    result = vcap("index", "-o", tmp_path / "index", "--remove", "a", "--remove", "bb")
    assert result.exit_code == 4
    assert "no video 'bb'" in result.stderr
    assert len(Index.open(tmp_path / "index")) == 3


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "no store is named"),
        (("--add", "--sync"), 2, "--add and --sync contradict each other"),
        (("--add",), 2, "no store is named"),
        (("--sync",), 4, "no index here"),
        (("--remove", "a"), 4, "no index here"),
        (("STORE", "--recall", "2"), 2, "recall"),
        (("STORE", "--kind", "tree"), 2, "--kind"),
        (("STORE", "--level", "text"), 4, "--level video"),
        (("STORE", "--level", "frame", "--aggregate", "m"), 2, "--aggregate is for --level video"),
        (("STORE", "--kind", "ivfpq"), 4, "256 vectors at least; there are 3"),
        (("nothing",), 4, "nothing: no feature store here"),
        (("nothing", "-n"), 4, "nothing: no feature store here"),
        (("--remove", "a", "-n"), 4, "no index here"),
        (("",), 2, "an empty name is no store"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_is_told_in_one_line(
    vcap: Any, tmp_path: Path, store: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    given = [store if word == "STORE" else word for word in words]
    result = vcap("index", *given, "-o", tmp_path / "index")
    assert result.exit_code == code
    assert told in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "index" / "index.json").exists()


def test_an_index_of_another_encoder_is_kept(vcap: Any, tmp_path: Path, store: Path) -> None:
    vcap("index", store, "-o", tmp_path / "index")
    other = make_store(tmp_path / "other", ["x"], encoder={"name": "other", "weights": "89"})
    for flags in ((), ("--add",)):
        result = vcap("index", other, "-o", tmp_path / "index", *flags)
        assert result.exit_code == 4
        assert "toy" in result.stderr and "other" in result.stderr and "--force" in result.stderr
    assert vcap("index", other, "-o", tmp_path / "index", "--force").exit_code == 0
    assert Index.open(tmp_path / "index").ids == ["x"]


def test_a_damaged_index_is_named_and_can_be_built_anew(
    vcap: Any, tmp_path: Path, store: Path
) -> None:
    folder = tmp_path / "index"
    vcap("index", store, "-o", folder)
    (folder / "generation-000001" / "vectors.npy").write_bytes(b"")
    result = vcap("index", store, "-o", folder, "--sync")
    assert result.exit_code == 4
    assert "vectors.npy" in result.stderr and f"-o {folder} --force" in result.stderr
    assert vcap("index", store, "-o", folder, "--force").exit_code == 0
    assert len(Index.open(folder)) == 3


def test_an_empty_store_is_named(vcap: Any, tmp_path: Path, store: Path) -> None:
    (store / "shard-00000.safetensors").unlink()
    result = vcap("index", store, "-o", tmp_path / "index")
    assert result.exit_code == 4
    assert f"{store}: empty" in result.stderr


def test_a_dry_run_tells_what_would_be_done_and_makes_nothing(
    vcap: Any, tmp_path: Path, store: Path
) -> None:
    folder = tmp_path / "index"
    result = vcap("index", store, "-o", folder, "-n", "--json")
    told = json.loads(result.stdout)
    assert (told["kind"], told["added"], told["removed"]) == ("auto", 3, 0)
    assert not folder.exists()
    vcap("index", store, "-o", folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    make_store(store, ["d"], first=9, shard=1)
    for words, line in (
        ((store, "--add"), "added: 1"),
        (("--sync",), "added: 1"),
        (("--remove", "a", "--remove", "b"), "removed: 2"),
        ((store, "--force"), "added: 4"),
    ):
        result = vcap("index", *words, "-o", folder, "-n")
        assert result.exit_code == 0, result.stderr
        assert line in result.stdout.splitlines()
    refused = vcap("index", "-o", folder, "--remove", "nope", "-n")
    assert (refused.exit_code, "no video 'nope'" in refused.stderr) == (4, True)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize(
    "words",
    [
        ("STORE", "--add", "--kind", "hnsw"),
        ("STORE", "--sync", "--recall", "0.5"),
        ("--remove", "a", "--kind", "hnsw"),
        ("--remove", "a", "--level", "video"),
        ("--remove", "a", "--aggregate", "mean"),
        ("STORE", "--remove", "a"),
    ],
    ids=" ".join,
)
def test_a_flag_that_would_do_nothing_is_refused(
    vcap: Any, tmp_path: Path, store: Path, words: tuple[str, ...]
) -> None:
    folder = tmp_path / "my index"
    vcap("index", store, "-o", folder)
    given = [store if word == "STORE" else word for word in words]
    for dry in ((), ("-n",)):
        result = vcap("index", *given, "-o", folder, *dry)
        assert result.exit_code == 2
        assert "--remove" in result.stderr or words[2] in result.stderr
        assert f"-o '{folder}'" in result.stderr
    assert len(Index.open(folder)) == 3


def test_a_default_of_the_environment_that_would_do_nothing_is_no_mistake(
    vcap: Any, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCAP_SET__index__kind", "hnsw")
    monkeypatch.setenv("VCAP_SET__index__recall", "0.9")
    vcap("index", store, "-o", tmp_path / "index", "--kind", "flat")
    assert vcap("index", "-o", tmp_path / "index", "--sync").exit_code == 0
    assert vcap("index", "-o", tmp_path / "index", "--remove", "a").exit_code == 0
    assert Index.open(tmp_path / "index").header.kind == "flat"


def test_a_folder_whose_name_has_blanks_is_named_so_that_it_can_be_pasted(
    vcap: Any, tmp_path: Path, store: Path
) -> None:
    folder = tmp_path / "my index"
    for words in (("--sync",), ("--remove", "a"), ()):
        assert f"vcap index STORE -o '{folder}'" in vcap("index", *words, "-o", folder).stderr
    vcap("index", store, "-o", folder)
    (folder / "index.json").write_text("{")
    result = vcap("index", "-o", folder, "--sync")
    assert f"vcap index STORE -o '{folder}' --force" in result.stderr


def test_the_environment_holds_defaults(
    vcap: Any, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCAP_SET__index__level", "frame")
    vcap("index", store, "-o", tmp_path / "index")
    assert Index.open(tmp_path / "index").level == "frame"
    vcap("index", store, "-o", tmp_path / "flagged", "--level", "video")
    assert Index.open(tmp_path / "flagged").level == "video"


def test_the_environment_may_name_the_model_that_aggregates(
    vcap: Any, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCAP_SET__index__aggregate", str(tmp_path / "no-such-model"))
    refused = vcap("index", store, "-o", tmp_path / "index")
    assert "no-such-model" in refused.stderr
    assert refused.exit_code != 0
    done = vcap("index", store, "-o", tmp_path / "index", "--aggregate", "mean")
    assert done.exit_code == 0, done.stderr


def test_a_setting_that_an_index_has_not_is_refused_by_the_name_of_its_variable(
    vcap: Any, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCAP_SET__index__agregate", "mean")
    refused = vcap("index", store, "-o", tmp_path / "index")
    assert refused.exit_code == 2
    assert "VCAP_SET__index__agregate" in refused.stderr
    assert "did you mean aggregate?" in refused.stderr


def test_an_index_in_use_is_not_changed(vcap: Any, tmp_path: Path, store: Path) -> None:
    from vcap.engine.lock import hold

    index([store], tmp_path / "index")
    with hold(tmp_path / "index"):
        result = vcap("index", store, "-o", tmp_path / "index", "--force")
    assert result.exit_code == 7
    assert "in use" in result.stderr


def test_a_copied_or_moved_index_is_an_index(tmp_path: Path) -> None:
    folder = make_index(tmp_path).folder
    shutil.copytree(folder, tmp_path / "copy")  # links become files
    shutil.rmtree(folder)
    assert Index.open(tmp_path / "copy").search(Index.open(tmp_path / "copy").vector("b")[None], 1)[
        1
    ].tolist() == [[1]]


def test_building_needs_no_torch(tmp_path: Path, store: Path) -> None:
    import subprocess

    code = (
        "import sys; from vcap.cli.app import app; "
        "app(sys.argv[1:], standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    words = ["index", str(store), "-o", str(tmp_path / "index")]
    assert subprocess.run([sys.executable, "-c", code, *words], check=False).returncode == 0
