"""Weights that are mapped are the weights that are read, and a damaged file is refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vcap.engine import mapped_weights
from vcap.engine.fingerprint import weights_digest
from vcap.engine.mapped_weights import digest_of, map_weights
from vcap.errors import CheckpointError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vcap" / "weights.json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    whole = {
        "matrix": torch.randn(3, 5),
        "half": torch.randn(7).half(),
        "brain": torch.randn(2, 2).bfloat16(),
        "double": torch.randn(3).double(),
        "number": torch.tensor(4.5),
        "count": torch.tensor(12),
        "nothing": torch.zeros(0, 4),
        "flags": torch.tensor([True, False]),
    }
    save_file(whole, tmp_path / "weights.safetensors", {"format": "pt"})
    return tmp_path / "weights.safetensors"


def test_every_type_has_the_numbers_that_torch_reads(path: Path) -> None:
    from safetensors.torch import load_file

    found, wanted = map_weights(path), load_file(path)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        same = tensor.float() if tensor.is_floating_point() else tensor
        np.testing.assert_array_equal(found[name], same.numpy())
        assert found[name].dtype == same.numpy().dtype


def test_numbers_in_float32_are_not_copied_and_cannot_be_changed(path: Path) -> None:
    matrix = map_weights(path)["matrix"]
    assert not matrix.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        matrix[0] = 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x05",
        b"\xff" * 20,
        b"\x02\0\0\0\0\0\0\0[]",
        b"\x03\0\0\0\0\0\0\0{a}",
        *(
            len(text).to_bytes(8, "little") + text + bytes(8)
            for text in (
                b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}}',
                b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}',
                b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[8,0]}}',
                b'{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}}',
                b'{"a":{"shape":[2]}}',
                b'{"a":3}',
            )
        ),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged\.safetensors cannot be read"):
        map_weights(path)


def test_a_file_that_is_cut_short_or_missing_is_refused(path: Path, tmp_path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])
    for where in (path, tmp_path / "none.safetensors"):
        with pytest.raises(CheckpointError, match="cannot be read"):
            map_weights(where)


def test_the_digest_is_that_of_the_model_and_is_computed_once(
    path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = map_weights(path)
    model = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    wanted = weights_digest(model)
    assert digest_of(path, arrays) == wanted
    assert json.loads(cache.read_text())[str(path)]["weights"] == wanted
    monkeypatch.setattr(mapped_weights, "weights_digest", lambda weights: "again")
    assert digest_of(path, arrays) == wanted
    os.utime(path, ns=(1, 1))
    assert digest_of(path, arrays) == "again"


@pytest.mark.parametrize("content", ["", "[]", '{"X": 3}', "\x00", '{"X": {"file": 1}}'])
def test_a_damaged_memory_is_written_anew(path: Path, cache: Path, content: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(content.replace("X", str(path)))
    arrays = map_weights(path)
    assert digest_of(path, arrays) == weights_digest(arrays)
    assert json.loads(cache.read_text())[str(path)]["weights"] == weights_digest(arrays)


def test_a_cache_folder_that_cannot_be_written_costs_nothing_but_time(
    path: Path, cache: Path
) -> None:
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file where the folder should be")
    arrays = map_weights(path)
    assert digest_of(path, arrays) == weights_digest(arrays)
