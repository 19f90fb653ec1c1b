"""Features that a training is given, against those that its config asks for by name."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vcap.engine.fingerprint import ENCODER_KEYS, differences
from vcap.engine.schedule import TrainConfig
from vcap.engine.weights import own_encoder_folder
from vcap.errors import ConfigError, FeatureError
from vcap.features.store import read_fingerprint
from vcap.video.sample import parse_sampler

ASKED = ("encoder", "features", "sampler")  # settings that say how features are made
NEW_STORE = "NEW-STORE"


def refuse_other_features(settings: TrainConfig) -> None:
    """Refuse a store that was made in another way than the config says; a default says nothing.

    Raises:
        ConfigError: both are named, and how to go on with either.
        FeatureError: there is no such store, it is damaged, or it holds frames that a model has
            chosen, and retrieval learns to choose.
    """
    if not settings.data.features:
        return
    folder = Path(settings.data.features[0])
    made_by = read_fingerprint(folder)
    if settings.method == "retrieval" and made_by.get("selection") is not None:
        raise _of_chosen_frames(settings, folder, made_by)
    here = _asked(settings)
    there = {name: value for name, value in _made(made_by).items() if name in here}
    unlike = [name for name in here if name in there and here[name] != there[name]]
    if "encoder" in unlike and _is_same(settings, made_by["encoder"]):
        unlike.remove("encoder")
    if unlike:
        wanted = ", ".join(f"{name} {here[name]}" for name in unlike)
        found = ", ".join(f"{name} {there[name]}" for name in unlike)
        accept = " ".join(f"--set {shlex.quote(f'{name}={there[name]}')}" for name in unlike)
        raise ConfigError(
            f"the config asks for {wanted}; {folder} was made with {found}: take it as it is with "
            f"{accept}, or make another for --features {NEW_STORE}",
            hint=_encode(settings),
        )


def _of_chosen_frames(
    settings: TrainConfig, folder: Path, made_by: Mapping[str, Any]
) -> FeatureError:
    """A store of the few frames that a model kept, where a training wants all candidates."""
    made = _made(made_by)
    said = settings.model_fields_set
    unsaid: dict[str, Any] = {
        name: made[name] for name in ("encoder", "sampler") if name in made and name not in said
    }
    return FeatureError(
        f"{folder} holds frames that a model has chosen; a training wants all candidate frames",
        hint=_encode(settings.model_copy(update=unsaid)),
    )


def _asked(settings: TrainConfig) -> dict[str, str]:
    """What the file, the environment or the command line say, in the order of `ASKED`."""
    said = {
        name: str(getattr(settings, name)) for name in ASKED if name in settings.model_fields_set
    }
    if "sampler" in said:
        said["sampler"] = str(parse_sampler(said["sampler"]))
    return said


def _made(fingerprint: Mapping[str, Any]) -> dict[str, str]:
    """The same of a store, as far as it tells."""
    encoder = fingerprint.get("encoder", {})
    made = {
        "encoder": encoder.get("name"),
        "features": encoder.get("features"),
        "sampler": fingerprint.get("sampler"),
    }
    return {name: str(value) for name, value in made.items() if value is not None}


def _is_same(settings: TrainConfig, made_by: Mapping[str, Any]) -> bool:
    """Whether an encoder of vcap's own is the one that made the features, under another name."""
    if own_encoder_folder(settings.encoder) is None or "weights" not in made_by:
        return False
    from vcap.engine.encoders import load_encoder

    ours = load_encoder(settings.encoder).fingerprint
    keys = [key for key in ENCODER_KEYS if key != "features"]
    return not differences(
        {key: ours.get(key) for key in keys}, {key: made_by.get(key) for key in keys}
    )


def _encode(settings: TrainConfig) -> str:
    """The command that makes features as the config says."""
    videos = settings.data.train[0] if settings.data.train else "VIDEOS"
    words = ["vcap", "encode", videos, "-o", NEW_STORE, "--model", settings.encoder]
    words += ["--sampler", settings.sampler]
    if settings.features != TrainConfig.model_fields["features"].default:
        words += ["--features", settings.features]
    return shlex.join(words)
