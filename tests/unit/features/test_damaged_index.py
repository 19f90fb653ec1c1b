"""Damage in an index that keeps every size: the file is named, and no hit is made up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.index_tools import features_of, make_index, make_store
from vcap.engine.index import index
from vcap.errors import FeatureError
from vcap.features.index import Index
from vcap.features.index_files import NPY_HEADER_BYTES

MANY = [f"v{number:04}" for number in range(900)]


def spoil(folder: Path, name: str, change: Callable[[Any], None]) -> None:
    """Change the numbers in one file of an index, and nothing else."""
    path = folder / "generation-000001" / name
    array = np.load(path)
    change(array)
    path.write_bytes(path.read_bytes()[:NPY_HEADER_BYTES] + array.tobytes())


def rewrite(folder: Path, name: str, old: bytes, new: bytes) -> None:
    """Change the first line of `ids.jsonl`, and the size that is written down."""
    path, header = folder / "generation-000001" / name, folder / "index.json"
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    said = json.loads(header.read_text())
    said["sizes"][name] = path.stat().st_size
    header.write_text(json.dumps(said))


def put(number: float, *where: Any) -> Callable[[Any], None]:
    """What sets some numbers of an array."""

    def change(array: Any) -> None:
        array[where] = number

    return change


@pytest.mark.parametrize("change", [put(10**15, 2), put(-4, 2), put(0, 2), put(1, 0), put(11, -1)])
def test_offsets_that_do_not_rise_to_the_end_are_named_by_every_command(
    vcap: Any, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    folder = make_index(tmp_path).folder
    spoil(folder, "offsets.npy", change)
    for words in (
        ("retrieve", "--like", "a", "--index", folder),
        ("index", "-o", folder, "--remove", "a"),
    ):
        result = vcap(*words)
        assert result.exit_code == 4
        assert "offsets.npy: this file of the index is damaged" in result.stderr
    assert len(list(folder.glob("generation-*"))) == 1


@pytest.mark.parametrize("ids", [MANY[:9], MANY])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_one_vector_that_is_no_number_is_told_and_not_passed_over(
    tmp_path: Path, ids: list[str], number: float
) -> None:
    found = make_index(tmp_path, ids)
    query = found.vector(ids[2])[None].copy()
    for row in (3, len(ids) - 1):
        spoil(found.folder, "vectors.npy", put(number, row))
        with pytest.raises(FeatureError, match=r"vectors\.npy: .* damaged: .* not finite"):
            Index.open(found.folder).search(query, 2)
        with pytest.raises(FeatureError, match=r"vectors\.npy: .* damaged: .* not finite"):
            Index.open(found.folder).vector(ids[row])
        spoil(found.folder, "vectors.npy", put(0, row))
    assert Index.open(found.folder).search(query, 1)[1].tolist() == [[2]]


@pytest.mark.parametrize("name", ["vectors.npy", "offsets.npy"])
@pytest.mark.parametrize("at", [0, 6, 8, 12, 40, 127])
def test_a_head_that_is_spoilt_anywhere_is_named(tmp_path: Path, name: str, at: int) -> None:
    folder = make_index(tmp_path).folder
    path = folder / "generation-000001" / name
    whole = bytearray(path.read_bytes())
    whole[at] ^= 128
    path.write_bytes(whole)
    with pytest.raises(FeatureError, match=f"{name}: .* damaged: it does not begin"):
        Index.open(folder)


def test_a_query_that_is_no_number_does_not_accuse_the_index(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="a query has numbers that are not finite"):
        make_index(tmp_path).search(np.full((1, 16), np.nan), 1)


def test_frames_that_are_no_numbers_are_never_printed(vcap: Any, tmp_path: Path) -> None:
    folder = make_index(tmp_path).folder
    spoil(folder, "parts.npy", put(np.nan, 4))
    result = vcap("retrieve", "--like", "a", "--index", folder, "--json", "--moments")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "parts.npy: this file of the index is damaged" in result.stderr


@pytest.mark.parametrize("level", ["video", "frame"])
def test_times_that_are_no_numbers_are_never_printed(vcap: Any, tmp_path: Path, level: str) -> None:
    folder = make_index(tmp_path, level=level).folder
    spoil(folder, "times.npy", put(np.nan, slice(None)))
    words = ["--moments"] if level == "video" else []
    result = vcap("retrieve", "--like", "a", "--index", folder, "--json", *words)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "times.npy: this file of the index is damaged" in result.stderr


@pytest.mark.parametrize(
    "record",
    ['"path": 123', '"segment": ["a"]', '"segment": [1]', '"duration": "x"', '"captions": [1]'],
)
def test_a_record_of_wrong_types_is_named(vcap: Any, tmp_path: Path, record: str) -> None:
    folder = make_index(tmp_path).folder
    rewrite(folder, "ids.jsonl", b'"record": {', b'"record": {%s, "was": {' % record.encode())
    rewrite(folder, "ids.jsonl", b"}]}}", b"}]}}}")
    for words in ((), ("--moments",), ("--where", "folder=x")):
        result = vcap("retrieve", "--like", "b", "--index", folder, *words)
        assert result.exit_code == 4
        assert "ids.jsonl: this file of the index is damaged: line 1" in result.stderr


def test_a_number_that_json_does_not_know_is_null(tmp_path: Path) -> None:
    folder = make_index(tmp_path).folder
    rewrite(folder, "ids.jsonl", b'"record": {', b'"record": {"duration": NaN, ')
    assert Index.open(folder).record_of(0)["duration"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"recall": {}},
        {"recall": {"recall@10": "x"}},
        {"wanted": {}},
        {"wanted": {"kind": "tree", "recall": 0.9}},
        {"stores": [1]},
        {"sizes": {"vectors.npy": "x"}},
        {"sizes": {"../index.json": 1}},
        {"search": {"nprobe": 4}},
        {"shards": {"/s": [1, 2]}},
        {"num_vectors": 3},
        {"num_labels": 10**30},
        {"fingerprint": {"encoder": 5}},
    ],
)
def test_what_is_inside_of_the_fields_of_a_header_is_looked_at(
    vcap: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    path = make_index(tmp_path).folder / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    for words in (("-o", path.parent, "--sync"), (tmp_path / "store", "-o", path.parent)):
        result = vcap("index", *words)
        assert result.exit_code == 4
        assert "index.json: this file of the index is damaged" in result.stderr
        assert next(iter(change)) in result.stderr
    assert vcap("index", tmp_path / "store", "-o", path.parent, "--force").exit_code == 0


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of a kind that faiss searches."""
    folder = tmp_path_factory.mktemp("coded")
    return make_index(folder, MANY[:256], kind="hnsw").folder


@pytest.mark.parametrize(
    "search",
    [
        {"ef": "x"},
        {"ef": -5},
        {"ef": 0},
        {"ef": 10**30},
        {"ef": True},
        {"ef": 16, "rerank": "a"},
        {"ef": 16, "rerank": -9},
        {"nprobe": 3},
        {},
    ],
)
def test_a_way_to_search_that_makes_no_sense_finds_nothing(
    coded: Path, search: dict[str, Any]
) -> None:
    path = coded / "index.json"
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), "search": search}))
    with pytest.raises(FeatureError, match=r"index\.json: .* damaged: search"):
        Index.open(coded)
    path.write_text(before)
    assert len(Index.open(coded)) == 256


@pytest.mark.parametrize("change", [put(10**14, -1), put(-1, 0), put(0, 7)])
def test_labels_that_do_not_rise_are_named(coded: Path, change: Callable[[Any], None]) -> None:
    path = coded / "generation-000001" / "labels.npy"
    before = path.read_bytes()
    spoil(coded, "labels.npy", change)
    with pytest.raises(FeatureError, match=r"labels\.npy: .* damaged"):
        Index.open(coded).search(features_of(1), 3)
    path.write_bytes(before)


def test_features_that_are_no_numbers_make_no_index(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", ["a", "b", "c"])
    path = store / "shard-00000.safetensors"
    whole = path.read_bytes()
    own = features_of(1).tobytes()
    assert own in whole
    path.write_bytes(whole.replace(own, b"\x00\x7e" + own[2:]))  # a float16 that is no number
    with pytest.raises(FeatureError, match="'b' are not finite") as told:
        index([store], tmp_path / "index")
    assert told.value.hint == f"vcap encode VIDEOS -o {store} --force"
    assert not (tmp_path / "index" / "index.json").exists()
