"""A trained retrieval model by its name: loads what `Retriever` makes vectors with.

The name is `tiny`, that of a folder that `vcap train retrieval` made
(`engine.methods.retrieval_export` says what is in it), or of the original's `trained_model.pth`.
"""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from vcap.engine import registry
from vcap.engine.encoders import GPU_BATCH, LARGE_BATCH, ClipEncoder, load_encoder, torch_dtype
from vcap.engine.methods.retrieval_export import IMAGES, TEXT, TEXT_KEY
from vcap.engine.original_retrieval import is_original_retrieval, read_original_retrieval
from vcap.engine.retrieval_vectors import Company, Retriever, refuse_changed
from vcap.engine.run import choose_device
from vcap.engine.settings import fill
from vcap.engine.weights import (
    asset_folder,
    load_weights,
    model_folder,
    read_config,
    read_weights,
)
from vcap.errors import CheckpointError, ConfigError, UsageError
from vcap.models.policy import Policy, PolicyConfig
from vcap.models.retrieval import RetrievalConfig, RetrievalModel
from vcap.video.sample import parse_sampler

__all__ = ["Retriever", "build_policy", "load_retriever"]

SHOWN = 60  # characters of a wrong value in a message


def load_retriever(name: str, *, device: str = "auto", dtype: str = "auto") -> Retriever:
    """Load a retrieval model.

    Args:
        name: `tiny`, a model folder, that of the run that made it, or the original's
            `trained_model.pth`.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        dtype: that its encoder of frames computes in; `auto` for the one it was trained with.

    Raises:
        CheckpointError: it is absent, damaged, or of another kind.
        UsageError: with this model a video has no vector of its own.
    """
    path, place = Path(name).expanduser(), choose_device(device)
    if is_original_retrieval(name):
        return _original(name, path, place, dtype)
    folder = _folder(name, path)
    config = read_config(folder, "retrieval")
    try:
        company = _company(folder, config)
        sizes = fill(RetrievalConfig, config["model"], "model")
        told = config["policy"]
        policy = None if told is None else build_policy(fill(PolicyConfig, told, "policy"))
        _refuse_query_dependent(name, sizes)
        words = _word_reader(name, sizes, company, place)
        model = RetrievalModel(sizes, policy, words.towers if words else None)
    except KeyError as error:
        raise CheckpointError(f"{folder / 'config.json'} does not tell {error}") from error
    except (TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error
    where = folder / "model.safetensors"
    load_weights(model, _with_scale(model, read_weights(where)), where)
    loaded = {company.text_encoder[0]: words} if words and dtype in ("auto", "fp32") else {}
    return Retriever(name, model.to(place), company, dtype, loaded)


def _folder(name: str, path: Path) -> Path:
    """The folder of a model: of the package where the name is in the registry."""
    if entry := registry.RETRIEVERS.get(name):
        return asset_folder(entry.source)
    if path.is_dir():
        return model_folder(path)
    known = "" if len(path.parts) > 1 else f"; {registry.nearest(name, registry.RETRIEVERS)}"
    raise CheckpointError(
        f"no such model folder: {name}{known}", hint="vcap train retrieval -o RUN"
    )


def build_policy(config: PolicyConfig) -> Policy:
    """A policy of these sizes with random weights, its CNN included."""
    if not config.uses_cnn:
        return Policy(config)
    from vcap.models.mobilenet import build_mobilenet

    encoder: Any = config.encoder
    return Policy(config, build_mobilenet(encoder))


def _company(folder: Path, config: Mapping[str, Any]) -> Company:
    """What `config.json` says of encoders and inputs."""
    frames = _named(folder, "encoder", config["encoder"])
    told, most = config.get(TEXT_KEY), config.get("max_tokens")
    texts = frames if told is None else _named(folder, TEXT_KEY, told)
    if most is not None and (not isinstance(most, int) or most < 1):
        raise ValueError(f"max_tokens: want a number above 0, got {most!r}")
    try:
        sampler = str(parse_sampler(str(config["sampler"])))
    except UsageError as error:
        raise ValueError(f"sampler: {error}") from error
    return Company(frames, texts, sampler, most, config.get("pixels") == "exact")


def _named(folder: Path, key: str, told: Any) -> tuple[str, Mapping[str, Any]]:
    """An encoder's name, a path where it is bundled, and its fingerprint."""
    known = told if isinstance(told, Mapping) else {}
    name, fingerprint = known.get("name"), known.get("fingerprint")
    if not isinstance(name, str) or not isinstance(fingerprint, Mapping):
        raise ValueError(f"{key}: want a name and a fingerprint, got {str(told)[:SHOWN]}")
    if (folder / name).is_dir():
        return str(folder / name), dict(fingerprint)
    if name in (IMAGES, TEXT):
        raise CheckpointError(f"{folder / name} is missing, the {key} that config.json names")
    return name, dict(fingerprint)


def _word_reader(
    name: str, sizes: RetrievalConfig, company: Company, place: torch.device
) -> ClipEncoder | None:
    """What reads texts, in float32, where their words are wanted; None where they are not."""
    if sizes.word_aggregation == "none":
        return None
    encoder = load_encoder(company.text_encoder[0], device=place, dtype="fp32")
    refuse_changed(encoder, company.text_encoder[1], name)
    return encoder


def _with_scale(
    model: RetrievalModel, weights: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The weights under the names that they have here; those of towers lie in their own folder."""
    found = dict(weights)
    known = [found.pop(key) for key in ("own_scale", "clip.logit_scale") if key in found]
    key = "own_scale" if model.clip is None else "clip.logit_scale"
    towers = {k: v for k, v in model.state_dict().items() if k.startswith("clip.") and k != key}
    return {**towers, **found, **({key: known[0]} if known else {})}


def _original(name: str, path: Path, place: torch.device, dtype: str) -> Retriever:
    """The model in the original's file, with its CLIP as the encoder."""
    held = read_original_retrieval(path)
    _refuse_query_dependent(name, held.model.config)
    model, number = held.model.to(place), torch_dtype(None if dtype == "auto" else dtype, place)
    towers = model.clip if number == torch.float32 else deepcopy(model.clip)
    batch = GPU_BATCH if place.type == "cuda" else LARGE_BATCH
    made: dict[str, Any] = {"device": place, "dtype": number, "batch_size": batch}
    encoder = ClipEncoder(str(path), towers, held.preprocess, held.tokenize, **made)
    both = (encoder.name, encoder.fingerprint)
    company = Company(both, both, held.sampler, held.max_tokens, exact=True)
    return Retriever(name, model, company, dtype, {encoder.name: encoder})


def _refuse_query_dependent(name: str, sizes: RetrievalConfig) -> None:
    if sizes.is_query_dependent:
        raise UsageError(
            f"{name} weighs frames by what is asked (qscore): a video has no vector of its own",
            hint="vcap train retrieval --set model.frame_aggregation=mlp",
        )
