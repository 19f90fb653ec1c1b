"""A pickle with code in it is refused before any of it runs, however the code is hidden."""

import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.feature_files import Bomb, clipcap_content, clipcap_file
from vcap.errors import FeatureError
from vcap.features.clipcap import read_clipcap

WAYS = ["reduce", "system", "eval", "exec", "getattr", "setstate"]
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def refuse(path: Path, trace: Path, told: str = "nothing in it was run") -> None:
    """The file is refused, and its code left no trace."""
    with pytest.raises(FeatureError, match=told) as caught:
        read_clipcap(path)
    assert str(path) in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_code_in_a_pickle_never_runs_whatever_the_way(
    tmp_path: Path, way: str, protocol: int
) -> None:
    trace = tmp_path / "it-ran"
    content = {**clipcap_content(), "note": Bomb(trace, way)}
    refuse(clipcap_file(tmp_path / "a.pkl", content, protocol), trace)


def test_the_bombs_of_these_tests_do_go_off(tmp_path: Path) -> None:
    for way in ("reduce", "system", "eval", "exec", "setstate"):
        trace = tmp_path / way
        pickle.loads(pickle.dumps(Bomb(trace, way)))
        assert trace.is_dir(), way


@pytest.mark.parametrize("place", ["caption", "key", "deep", "first", "last", "embedding"])
def test_code_is_found_wherever_it_stands(tmp_path: Path, place: str) -> None:
    trace = tmp_path / "it-ran"
    bomb: Any = Bomb(trace)
    content: Any = clipcap_content()
    if place == "caption":
        content["captions"][-1]["caption"] = bomb
    elif place == "deep":
        for _ in range(200):
            bomb = [(bomb,)]
        content["captions"][0]["extra"] = bomb
    elif place == "embedding":
        content["clip_embedding"] = bomb
    else:
        pair = {(bomb if place == "key" else place): bomb}
        content = {**content, **pair} if place == "last" else {**pair, **content}
    refuse(clipcap_file(tmp_path / "a.pkl", content), trace)


def test_the_error_names_what_the_file_wanted_to_run(tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    path = clipcap_file(tmp_path / "a.pkl", {"x": Bomb(trace, "eval")})
    refuse(path, trace, r"it holds the name builtins\.eval, which no file of features needs")


def nested(data: bytes) -> bytes:
    """A pickle of a tensor whose storage is said to lie in these bytes."""
    blob = b"B" + struct.pack("<I", len(data)) + data
    storage = b"ctorch.storage\n_load_from_bytes\n(" + blob + b"tR"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00K\x01\x85K\x01\x85\x89NtR."


def text(value: str) -> bytes:
    """The instruction that makes a text."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def storage_bytes(**changes: Any) -> bytes:
    """A storage of three numbers as PyTorch wrote it, with parts of it replaced."""
    system = {"protocol_version": 1001, "little_endian": True}
    parts = {"magic": 0x1950A86A20F9469CFC6C, "protocol": 1001, "system": system, **changes}
    head = b"".join(pickle.dumps(parts[name], 2) for name in ("magic", "protocol", "system"))
    kind = parts.get("kind", b"ctorch\nFloatStorage\n")
    count = struct.pack("<i", parts.get("count", 3))
    told = b"\x80\x02(" + text("storage") + kind + text("0") + text("cpu") + b"J" + count + b"NtQ."
    written = struct.pack("<q", parts.get("written", 3))
    return head + told + pickle.dumps(["0"], 2) + written + parts.get("data", b"\x00" * 12)


def test_the_storages_of_these_tests_are_such_as_pytorch_reads() -> None:
    found = torch.load(io.BytesIO(storage_bytes()), weights_only=True)
    assert found._untyped_storage.nbytes() == 12


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": b"cos\nsystem\n"},
        {"kind": b"cos\nsystem\n(Vtrue\ntR"},
        {"kind": b"ctorch\nload\n"},
        {"magic": 1},
        {"magic": ["deep", ["list"]]},
        {"protocol": 1002},
        {"system": {"little_endian": False}},
        {"system": 3},
        {"count": 2**31 - 1},
        {"count": 2**31 - 1, "written": 2**31 - 1},
        {"count": -3, "written": -3},
        {"written": 2**62},
        {"data": b"\x00" * 3},
    ],
)
def test_a_storage_inside_that_is_hostile_or_damaged_is_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    path, trace = tmp_path / "a.pkl", tmp_path / "it-ran"
    path.write_bytes(nested(storage_bytes(**changes)))
    refuse(path, trace, r"a\.pkl")


def test_code_inside_the_bytes_of_a_storage_never_runs(tmp_path: Path) -> None:
    path, trace = tmp_path / "a.pkl", tmp_path / "it-ran"
    path.write_bytes(nested(pickle.dumps(Bomb(trace))))
    refuse(path, trace)
    archive = io.BytesIO()
    torch.save({"x": Bomb(trace)}, archive)
    path.write_bytes(nested(archive.getvalue()))
    refuse(path, trace)


@pytest.mark.parametrize("sizes", [(2**40,), (2**62, 2**62), (-1,), (3, -1), (4,)])
def test_a_tensor_larger_than_its_file_is_refused_before_it_takes_memory(
    tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    path = tmp_path / "a.pkl"
    size = pickle.dumps(sizes, 2)[2:-1]
    whole = nested(storage_bytes())
    path.write_bytes(whole.replace(b"K\x01\x85K\x01\x85", size + size))
    refuse(path, tmp_path / "it-ran", r"a\.pkl: cannot be read as a pickle \(a tensor")


def test_things_nested_a_million_deep_end_in_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    for deep in (b"]" * 10**6 + b"a" * (10**6 - 1), b")" + b"\x85" * 10**6):
        path.write_bytes(deep + b".")
        with pytest.raises(FeatureError, match="want an object with clip_embedding"):
            read_clipcap(path)
        path.write_bytes(b"}" + deep + b"Va\ns.")
        with pytest.raises(FeatureError, match="keys of a dict"):
            read_clipcap(path)


def test_a_small_file_cannot_ask_for_the_same_bytes_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    call = b"c_codecs\nencode\n(h\x00Vlatin1\ntR"
    path.write_bytes(b"(V" + b"x" * 1000 + b"\nq\x00" + call * 1000 + b"l.")
    refuse(path, tmp_path / "it-ran", "more than 16 calls")


def test_text_stands_for_bytes_in_one_encoding_only(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"c_codecs\nencode\n(Vabc\nVidna\ntR.")
    refuse(path, tmp_path / "it-ran", "another encoding")


def test_a_name_that_python_would_have_to_import_is_not_imported(tmp_path: Path) -> None:
    module = tmp_path / "evil_module.py"
    module.write_text(f"import os\nos.mkdir({str(tmp_path / 'it-ran')!r})\n")
    (tmp_path / "a.pkl").write_bytes(b"cevil_module\nthing\n.")
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        refuse(tmp_path / "a.pkl", tmp_path / "it-ran")
    finally:
        os.chdir(here)
