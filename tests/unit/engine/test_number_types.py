"""The number type that suits a machine: measured once, remembered, and never in the way."""

import json
from pathlib import Path

import pytest
import torch

from vcap.engine import number_types
from vcap.engine.number_types import (
    bf16_gain,
    cache_path,
    device_name,
    fastest_dtype,
    recorded_dtype,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def gains(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What measurements will find, one after the other."""
    found: list[float] = []
    monkeypatch.setattr(number_types, "bf16_gain", lambda device: found.pop(0))
    return found


@pytest.mark.parametrize(
    ("gain", "wanted"),
    [(2.0, torch.bfloat16), (1.2, torch.bfloat16), (1.1, torch.float32), (0.3, torch.float32)],
)
def test_bf16_is_used_only_where_it_is_clearly_faster(
    gains: list[float], gain: float, wanted: torch.dtype
) -> None:
    gains.append(gain)
    assert fastest_dtype("cpu") == wanted


def test_a_machine_is_measured_once(gains: list[float], cache: Path) -> None:
    gains += [2.0, 0.5]
    assert fastest_dtype() == fastest_dtype() == torch.bfloat16
    assert gains == [0.5]
    [(key, gain)] = json.loads((cache / "vcap" / "number-types.json").read_text()).items()
    assert device_name(torch.device("cpu")) in key and torch.__version__ in key and gain == 2.0


def test_another_processor_is_measured_anew(
    gains: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    gains += [2.0, 0.5]
    fastest_dtype()
    monkeypatch.setattr(number_types, "device_name", lambda device: "another processor")
    assert fastest_dtype() == torch.float32
    assert len(json.loads(cache_path().read_text())) == 2


def test_a_cache_that_cannot_be_written_only_costs_a_measurement(
    gains: list[float], cache: Path
) -> None:
    cache.write_text("a file in the place of the folder")
    gains += [2.0, 2.0]
    assert fastest_dtype() == fastest_dtype() == torch.bfloat16
    assert gains == []


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": "fast"}', "\0\0"])
def test_a_damaged_cache_is_made_anew(gains: list[float], content: str) -> None:
    cache_path().parent.mkdir(parents=True)
    cache_path().write_text(content)
    gains.append(2.0)
    assert fastest_dtype() == torch.bfloat16
    assert list(json.loads(cache_path().read_text()).values()) == [2.0]


@pytest.mark.parametrize("given", ["", "relative/folder"])
def test_a_cache_folder_that_is_not_absolute_is_not_used(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_path() == tmp_path / ".cache" / "vcap" / "number-types.json"


def test_the_measurement_gives_a_ratio_on_any_processor() -> None:
    assert 0 < bf16_gain(torch.device("cpu")) < 1000


def test_a_recorded_type_is_given_by_its_short_name_where_the_device_has_it() -> None:
    assert recorded_dtype({"dtype": "bfloat16"}, "cpu") == "bf16"
    assert recorded_dtype({"dtype": "float16"}, "cuda") == "fp16"
    assert recorded_dtype({"dtype": "float16"}, "cpu") is None
    assert recorded_dtype({}, "cpu") is None
