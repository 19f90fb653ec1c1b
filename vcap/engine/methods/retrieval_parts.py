"""What a retrieval model is put together from: the encoder's towers, and a policy with its CNN.

Shapes: U texts, L tokens, D feature width.
"""

import sys
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vcap.engine.encoders import ClipEncoder, Preprocess, load_encoder
from vcap.engine.fingerprint import refuse_other_encoder, weights_digest
from vcap.engine.methods.freezing import freeze_towers
from vcap.engine.methods.pairs import ReadTexts
from vcap.engine.methods.retrieval_export import refuse_other_kinds
from vcap.engine.methods.retrieval_options import RetrievalOptions
from vcap.engine.number_types import recorded_dtype
from vcap.engine.reporter import Reporter
from vcap.engine.weights import read_weights
from vcap.errors import CheckpointError, ConfigError, UnavailableError
from vcap.features.store import FeatureStore
from vcap.models.aggregation import TransformerHeader, start_from_text
from vcap.models.mobilenet import build_mobilenet
from vcap.models.policy import Policy
from vcap.models.retrieval import RetrievalConfig, RetrievalModel
from vcap.models.words import cut_tokens, end_of_text

IMAGENET = "imagenet"
TEXT_PARTS = ("token_embedding", "positional_embedding", "transformer", "ln_final",
              "text_projection", "attn_mask")  # fmt: skip


@dataclass(frozen=True)
class Encoding:
    """The encoder of a training.

    Attributes:
        fingerprint: of the encoder as it is before the training.
        preprocess: of its pictures.
        width: D.
        clip: what of it goes into the model; None where vectors of texts are all that is needed.
        read: texts -> vectors [U, D] float32, or tokens [U, L] int64 where there is a `clip`.
        text: what reads texts, under CLIP's names where it is of CLIP's kind.
    """

    fingerprint: Mapping[str, Any]
    preprocess: Preprocess
    width: int
    clip: nn.Module | None
    read: ReadTexts
    text: nn.Module


def open_encoder(
    name: str, store: FeatureStore | None, options: RetrievalOptions, words: bool, device: Any
) -> Encoding:
    """The encoder that made the features, or else the one that is named.

    Args:
        words: whether words are aggregated, which takes the text tower.

    Raises:
        FeatureError: the store's encoder is another one by now.
        ConfigError: its towers cannot be trained, or give no words.
    """
    made_by = {} if store is None else store.fingerprint["encoder"]
    name = str(made_by.get("name", name))
    has_towers = words or options.towers != "none"
    dtype = "fp32" if has_towers else recorded_dtype(made_by, device)
    encoder = load_encoder(name, device=device, dtype=dtype)
    if store is not None:
        refuse_other_encoder(made_by, encoder.fingerprint, store.folder, "texts would be")
    told = made_by or encoder.fingerprint
    text: nn.Module = getattr(encoder.towers, "text", encoder.towers)
    if not has_towers:
        return Encoding(told, encoder.preprocess, encoder.width, None, encoder.encode_text, text)
    clip = _towers(name, encoder, options)

    def read(texts: Any) -> Any:
        return cut_tokens(clip, encoder.tokens(texts), options.max_tokens).cpu().long().numpy()

    return Encoding(told, encoder.preprocess, encoder.width, clip, read, text)


def start_header(model: RetrievalModel, encoding: Encoding, reporter: Reporter) -> tuple[int, int]:
    """Start a header of blocks as those of the text tower, and warn where it has too few.

    Returns:
        How many blocks begin so, and how many there are; zeros for a header without blocks.
    """
    header = model.matcher.header
    if not isinstance(header, TransformerHeader):
        return 0, 0
    wanted = ("transformer.resblocks.", "positional_embedding")
    tower = {k: v for k, v in encoding.text.state_dict().items() if k.startswith(wanted)}
    started, count = start_from_text(header, tower), len(header.blocks)
    if started < count:
        reporter.warn(
            f"model.header: {started} of {count} blocks of {model.config.header} start as text "
            f"blocks of {encoding.fingerprint['name']}, which has no more of this kind; the others "
            "are random"
        )
    return started, count


def _towers(name: str, encoder: ClipEncoder, options: RetrievalOptions) -> nn.Module:
    """The encoder's towers, as far as they are needed, ready to train as far as they may."""
    clip: nn.Module = encoder.towers
    key = "model.word_aggregation" if options.towers == "none" else "options.towers"
    lacking = [part for part in TEXT_PARTS if not hasattr(clip, part)]
    if lacking:
        raise ConfigError(f"{key}: the text tower of {name} is of another kind than CLIP's own")
    try:
        end_of_text(clip, torch.ones(1, 1, dtype=torch.int64))
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from error
    if options.towers != "none":
        refuse_other_kinds(name)
    if options.towers != "both":
        del clip.visual
    if options.towers == "none":
        clip.requires_grad_(False)
        scale: Any = clip.logit_scale
        scale.data.fill_(options.logit_scale)
        scale.requires_grad_(True)
    else:
        freeze_towers(clip, options.freeze_layers)
    return clip


def build_policy(
    options: RetrievalOptions, sizes: RetrievalConfig, seed: int, reporter: Reporter
) -> Policy | None:
    """The policy of the options with the sizes of the model; None where all frames are kept.

    Raises:
        CheckpointError: weights of the CNN that are not its own.
        UnavailableError: they have to be fetched and cannot be.
    """
    if options.policy is None:
        return None
    wanted: dict[str, Any] = {"num_frames": sizes.num_frames, "feature_width": sizes.feature_width}
    config = replace(options.policy, **wanted)
    if not config.uses_cnn:
        return Policy(config)
    if options.policy_weights is None and config.freeze_cnn:
        reporter.warn(
            f"options.policy_weights: the frozen {config.encoder} keeps random weights; for "
            f"published ones: --set options.policy_weights={IMAGENET}"
        )
    return Policy(config, build_cnn(config.encoder, options.policy_weights, seed))


def frozen_cnn_digest(policy: Policy | None) -> str | None:
    """Digest of the weights of a CNN that does not train, which no checkpoint holds."""
    if policy is None or policy.cnn is None or not policy.config.freeze_cnn:
        return None
    return weights_digest(dict(policy.cnn.named_parameters()))


def build_cnn(name: Any, weights: str | None, seed: int) -> nn.Module:
    """A CNN from a file, from torchvision's published weights, or random: by the seed alone.

    Raises:
        CheckpointError: weights of another network.
        UnavailableError: the published weights cannot be fetched.
    """
    if weights is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_mobilenet(name)
    state = _published(name) if weights == IMAGENET else _of_file(weights)
    try:
        return build_mobilenet(name, state)
    except RuntimeError as error:
        told = " ".join(str(error).split())[:300]
        raise CheckpointError(f"options.policy_weights: {weights}: {told}") from error


def _of_file(weights: str) -> Mapping[str, Tensor]:
    """Named tensors of a file; what is wrong with it is told under the option's name."""
    try:
        return read_weights(Path(weights).expanduser())
    except CheckpointError as error:
        raise CheckpointError(f"options.policy_weights: {error}", hint=error.hint) from error


def _published(name: str) -> Mapping[str, Tensor]:
    """The weights that torchvision first published for a network, fetched once."""
    from torchvision.models import get_weight

    kinds = {"mobilenet_v3_large": "MobileNet_V3_Large", "mobilenet_v2": "MobileNet_V2"}
    weights: Any = get_weight(f"{kinds[name]}_Weights.IMAGENET1K_V1")
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):  # hub tells what it fetches
            warnings.simplefilter("ignore")
            found: Mapping[str, Tensor] = weights.get_state_dict(
                progress=False, check_hash=True, weights_only=True
            )
    except (OSError, RuntimeError) as error:
        raise UnavailableError(
            f"options.policy_weights: the published weights of {name} are not on this machine and "
            f"cannot be fetched ({error})",
            hint="--set options.policy_weights=FILE, a state dict of torchvision's",
        ) from error
    return found
