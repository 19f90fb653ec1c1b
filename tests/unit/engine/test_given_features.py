"""A training's config, and features that were made in another way than it says."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engine.captioned import captions, store
from vcap.engine.given_features import refuse_other_features
from vcap.engine.schedule import TrainConfig
from vcap.engine.weights import own_encoder_folder
from vcap.errors import ConfigError, FeatureError

RECIPE = {"encoder": "ViT-B-32:openai", "sampler": "adaclip-linspace 32"}


def config(folder: Path, **said: Any) -> TrainConfig:
    """A config that names a store of `made-up` features, `uniform 4`, and what is said."""
    data = {"train": str(folder / "captions.jsonl"), "features": str(store(folder / "store", 6))}
    return TrainConfig(method="prefix", data=data, **said)


def made_by_tiny(folder: Path) -> None:
    """Let the store say that the embedded encoder made it."""
    from vcap.engine.encoders import load_encoder

    path = folder / "store" / "store.json"
    header = json.loads(path.read_text())
    header["fingerprint"]["encoder"] = load_encoder("tiny").fingerprint
    path.write_text(json.dumps(header))


def test_defaults_that_nobody_named_do_not_conflict(tmp_path: Path) -> None:
    settings = config(tmp_path)
    assert settings.encoder == "tiny"
    refuse_other_features(settings)


def test_what_is_named_and_so_agrees_whatever_its_spelling(tmp_path: Path) -> None:
    said = {"encoder": "made-up", "sampler": " uniform  4", "features": "embedding"}
    refuse_other_features(config(tmp_path, **said))


def test_both_ways_are_named_with_what_accepts_the_store_and_what_makes_another(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_other_features(config(tmp_path, **RECIPE))
    text = str(caught.value)
    assert "\n" not in text
    assert "asks for encoder ViT-B-32:openai, sampler adaclip-linspace 32" in text
    assert f"{tmp_path / 'store'} was made with encoder made-up, sampler uniform 4" in text
    assert "--set encoder=made-up --set 'sampler=uniform 4'" in text
    assert shlex.split(str(caught.value.hint)) == [
        *("vcap", "encode", str(tmp_path / "captions.jsonl"), "-o", "NEW-STORE"),
        *("--model", "ViT-B-32:openai", "--sampler", "adaclip-linspace 32"),
    ]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"sampler": "uniform 16"}, "sampler uniform 16"),  # a default, but said
        ({"features": "grid"}, "features grid"),
        ({"encoder": "tiny"}, "encoder tiny"),
    ],
)
def test_each_setting_counts_where_it_was_named(
    tmp_path: Path, said: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigError, match=f"asks for {named}; ") as caught:
        refuse_other_features(config(tmp_path, **said))
    assert ("--features grid" in str(caught.value.hint)) == ("features" in said)


def test_one_encoder_may_have_two_names(tmp_path: Path) -> None:
    settings = config(tmp_path, encoder=str(own_encoder_folder("tiny")))
    made_by_tiny(tmp_path)
    refuse_other_features(settings)


def test_without_a_store_there_is_nothing_to_refuse() -> None:
    refuse_other_features(TrainConfig(method="prefix", encoder="ViT-B-32:openai"))


def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="no feature store here"):
        refuse_other_features(TrainConfig(method="prefix", data={"features": str(tmp_path)}))


@pytest.mark.parametrize("method", ["prefix", "retrieval"])
@pytest.mark.parametrize("more", [[], ["-n"]])
def test_every_method_that_reads_features_refuses_them_and_a_dry_run_too(
    tmp_path: Path, vcap: Any, method: str, more: list[str]
) -> None:
    features, run = store(tmp_path / "store"), tmp_path / "run"
    words = ["train", method, "--data", captions(tmp_path), "--features", features, "-o", run]
    refused = vcap(*words, "--set", "encoder=tiny", "--device", "cpu", *more)
    assert refused.exit_code == 2, refused.stderr
    assert "--set encoder=made-up" in refused.stderr
    assert "try: vcap encode" in refused.stderr
    assert not (run / "metrics.jsonl").exists()


def test_the_environment_names_a_setting_too(
    tmp_path: Path, vcap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCAP_SET__sampler", "fps 2")
    features, run = store(tmp_path / "store"), tmp_path / "run"
    refused = vcap(
        "train", "prefix", "--data", captions(tmp_path), "--features", features, "-o", run
    )
    assert refused.exit_code == 2
    assert "sampler fps 2" in refused.stderr


def test_a_store_of_frames_that_a_model_has_chosen_is_refused_with_what_makes_another(
    tmp_path: Path,
) -> None:
    settings = config(tmp_path)
    path = tmp_path / "store" / "store.json"
    header = json.loads(path.read_text())
    header["fingerprint"]["selection"] = "0" * 16
    path.write_text(json.dumps(header))
    refuse_other_features(settings)  # a captioner may well read a few frames
    with pytest.raises(FeatureError, match="store holds frames that a model has chosen") as caught:
        refuse_other_features(settings.model_copy(update={"method": "retrieval"}))
    assert shlex.split(str(caught.value.hint)) == [
        *("vcap", "encode", str(tmp_path / "captions.jsonl"), "-o", "NEW-STORE"),
        *("--model", "made-up", "--sampler", "uniform 4"),
    ]
