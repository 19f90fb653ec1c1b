"""`vcap encode --import` as a user meets it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.feature_files import Bomb, clipcap_content, clipcap_file, notebook_file
from vcap.features.store import FeatureStore


@pytest.mark.parametrize("kind", ["hdf5", "pickle"])
def test_a_feature_file_becomes_a_store_and_stdout_says_where(
    vcap: Any, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "features"
    if kind == "hdf5":
        notebook_file(path, ["video0", "video1", "video2"])
    else:
        clipcap_file(path)
    result = vcap("encode", "--import", path, "-o", tmp_path / "store")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'store'}\n")
    assert "taken to be of the encoder ViT-B-32:openai" in result.stderr
    assert "videos: 3 done" in result.stderr
    assert len(FeatureStore(tmp_path / "store")) == 3


def test_json_has_an_object_a_video(vcap: Any, tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", ["video0", "video1"])
    result = vcap("encode", "--import", path, "-o", tmp_path / "store", "--json", "-q")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    place = {"path": str(path), "frames": 28, "store": str(tmp_path / "store")}
    assert told == [{"id": "video0", **place}, {"id": "video1", **place}]


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(vcap: Any, tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", ["video0", "video1"])
    result = vcap("encode", "--import", path, "-o", tmp_path / "store", "-n", "--json")
    told = json.loads(result.stdout)
    assert (told["model"], told["sampler"]) == ("ViT-B-32:openai", "msrvtt-notebook 28")
    assert told["inputs"] == 2
    assert not (tmp_path / "store").exists()


def test_a_pickle_with_code_ends_with_4_and_its_code_did_not_run(vcap: Any, tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    path = clipcap_file(tmp_path / "a.pkl", {**clipcap_content(), "x": Bomb(trace, "system")})
    result = vcap("encode", "--import", path, "-o", tmp_path / "store")
    assert result.exit_code == 4
    assert "system, which no file of features needs; nothing in it was run" in result.stderr
    assert not trace.exists()
    assert not (tmp_path / "store").exists()


def test_the_encoder_that_is_named_must_give_features_of_that_width(
    vcap: Any, tmp_path: Path
) -> None:
    path = notebook_file(tmp_path / "a.hdf5", ["video0"])
    result = vcap("encode", "--import", path, "-o", tmp_path / "store", "--model", "RN50x4:openai")
    assert result.exit_code == 4
    assert "512 wide are not of the encoder RN50x4:openai, which gives 640" in result.stderr


@pytest.mark.parametrize(
    "flag",
    [
        *("--text", "--fast-frames", "--exact-pixels", "--include=a*", "--exclude=a*"),
        *("--device=cpu", "--dtype=bf16", "--batch-size=8", "--workers=2"),
    ],
)
def test_flags_that_are_for_encoding_are_refused(vcap: Any, tmp_path: Path, flag: str) -> None:
    path = notebook_file(tmp_path / "a.hdf5", ["video0"])
    result = vcap("encode", "--import", path, "-o", tmp_path / "store", flag)
    assert result.exit_code == 2
    assert flag.partition("=")[0] in result.stderr


def test_a_device_that_the_environment_names_for_encoding_is_no_reason_to_refuse(
    vcap: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCAP_SET__encode__device", "cpu")
    path = notebook_file(tmp_path / "a.hdf5", ["video0"])
    assert vcap("encode", "--import", path, "-o", tmp_path / "store").exit_code == 0
