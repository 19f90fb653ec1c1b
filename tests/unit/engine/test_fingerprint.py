import os
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from vcap.engine.fingerprint import differences, digest, file_identity, weights_digest


@dataclass(frozen=True)
class Size:
    width: int = 2


class Sampler(BaseModel):
    name: str = "fps"


def test_the_order_of_keys_does_not_count_and_values_do() -> None:
    assert digest({"a": 1, "b": 2}) == digest(OrderedDict(b=2, a=1))
    assert digest({"a": 1}) != digest({"a": 2}) != digest({"a": "2"})
    assert len(digest({})) == 16


def test_values_of_the_house_have_a_digest() -> None:
    plain = {"p": "a/b", "s": {"width": 2}, "m": {"name": "fps"}, "n": 3, "t": [1, 2], "u": ["x"]}
    ours = {"p": Path("a/b"), "s": Size(), "m": Sampler(), "n": np.int64(3), "t": (1, 2)}
    assert digest(plain) == digest(ours | {"u": {"x"}})


def test_a_value_without_a_lasting_form_is_refused() -> None:
    with pytest.raises(TypeError, match="no digest of a object"):
        digest({"a": object()})


def test_a_digest_is_the_same_in_another_process() -> None:
    code = "from vcap.engine.fingerprint import digest; print(digest({'a': {'x', 'y'}}))"
    seeded = os.environ | {"PYTHONHASHSEED": "7"}
    other = subprocess.check_output([sys.executable, "-c", code], text=True, env=seeded)
    assert other.strip() == digest({"a": {"x", "y"}})


def test_a_refusal_can_name_both_sides() -> None:
    ours = {"sampler": "uniform 16", "encoder": "tiny", "size": 96}
    theirs = {"sampler": "fps 1", "encoder": "tiny"}
    assert differences(ours, theirs) == [
        'sampler: "uniform 16" here, "fps 1" there',
        "size: 96 here, absent there",
    ]
    assert differences(ours, ours) == []


def test_a_file_is_another_input_when_its_size_or_time_changes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = file_identity(path)
    assert file_identity(path) == first
    os.utime(path, ns=(1, 1))
    assert file_identity(path) != first
    assert file_identity(path) == {"size": 3, "mtime_ns": 1}


def test_a_checksum_looks_at_the_content_and_not_at_the_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = file_identity(path, checksum=True)
    os.utime(path, ns=(1, 1))
    assert file_identity(path, checksum=True) == first
    path.write_bytes(b"two")
    assert file_identity(path, checksum=True) != first


def test_a_file_that_comes_later_is_another_input_than_its_absence(tmp_path: Path) -> None:
    absent = file_identity(tmp_path / "a")
    (tmp_path / "a").touch()
    assert file_identity(tmp_path / "a") != absent == {"size": None}


def test_weights_have_one_digest_whatever_holds_them(tmp_path: Path) -> None:
    numbers = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    first = weights_digest({"b": numbers, "a": torch.tensor(1)})
    assert weights_digest({"a": torch.tensor(1), "b": numbers.clone()}) == first
    assert weights_digest({"a": np.int64(1), "b": numbers.numpy()}) == first
    assert weights_digest({"b": numbers.t().contiguous().t(), "a": torch.tensor(1)}) == first
    (tmp_path / "w").write_bytes(b"weights")
    assert weights_digest(tmp_path / "w") == weights_digest(b"weights")


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.ones(4).bfloat16()},
        {"a": torch.ones(2, 2)},
        {"b": torch.ones(4)},
        {"a": torch.tensor([1.0, 1.0, 1.0, 1.0000001])},
    ],
)
def test_other_weights_names_shapes_or_types_have_another_digest(other: dict) -> None:
    assert weights_digest(other) != weights_digest({"a": torch.ones(4)})
