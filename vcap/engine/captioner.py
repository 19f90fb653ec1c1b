"""A captioner by name: encoder, sampler, weights, tokenizer and what it knows, in one object.

A model folder holds `config.json` (`PrefixConfig`, `LmConfig`, the encoder's name and fingerprint,
the sampler, the distance threshold), `model.safetensors`, `tokenizer.json` and, for the warning
about unknown footage, `domain.safetensors`. Shapes: B clips, T frames, D feature width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vcap.engine import registry
from vcap.engine.domain import Domain, load_domain
from vcap.engine.encoders import ClipEncoder, load_encoder, torch_dtype
from vcap.engine.fingerprint import ENCODER_KEYS, differences, refuse_other_encoder
from vcap.engine.number_types import recorded_dtype
from vcap.engine.settings import fill
from vcap.engine.tokenizers import Tokenizer, load_tokenizer
from vcap.engine.weights import (
    asset_folder,
    load_weights,
    model_folder,
    read_config,
    read_weights,
)
from vcap.errors import CheckpointError, ConfigError, FeatureError, UnavailableError, UsageError
from vcap.features.store import FeatureStore
from vcap.models.generation import GenerationSettings, generate
from vcap.models.lm import LmConfig, build_lm
from vcap.models.packed import pack
from vcap.models.prefix import PrefixCaptioner, PrefixConfig
from vcap.types import FrameFeatures
from vcap.video.sample import Sampler, parse_sampler

if TYPE_CHECKING:
    import torch

    from vcap.data.records import Caption

__all__ = ["Candidate", "Captioner", "FrameFeatures", "Speech", "load_model"]

GROUP = 16  # clips decoded together


@dataclass(frozen=True)
class Candidate:
    """A caption that was made, and its mean log-probability a token."""

    text: str
    score: float


@dataclass(frozen=True)
class Speech:
    """How words come out: the tokenizer, the token that ends a caption, and the settings."""

    tokenizer: Tokenizer
    stop_id: int
    settings: GenerationSettings


class Captioner:
    """Captions videos.

    Attributes:
        name: as it was asked for.
        encoder: makes the features.
        sampler: says which frames are taken of a clip.
        num_frames: how many the model was made for.
        settings: of generation, where a call gives none.
        batch_size: clips that are captioned at once.
        threshold: distance beyond which footage is unlike what the model knows; None: not known.
    """

    def __init__(
        self,
        name: str,
        model: PrefixCaptioner,
        encoder: ClipEncoder,
        speech: Speech,
        *,
        sampler: Sampler,
        domain: Domain | None = None,
    ) -> None:
        self.name = name
        self.model = model.eval().requires_grad_(False)
        pack(self.model.lm)
        self.encoder = encoder
        self.sampler = sampler
        self.num_frames = model.config.clip_length
        self.settings = speech.settings
        self.batch_size = GROUP
        self.threshold = None if domain is None else domain.threshold
        self._speech = speech
        self._domain = domain

    def caption(
        self,
        video: str | Path,
        every: float | str | None = None,
        scenes: bool = False,
        **words: Any,
    ) -> "list[Caption]":
        """Caption a video, best first; or each part of it.

        Args:
            video: path.
            every: length of the parts, in seconds or as `10s`.
            scenes: parts are the video's shots.
            words: how captions are worded, such as `num_captions=5`; see `WordSettings`.
        """
        from vcap.engine.caption import caption_video

        return caption_video(self, video, every=every, scenes=scenes, **words)

    def generate(
        self, clips: Sequence[FrameFeatures], settings: GenerationSettings | None = None
    ) -> list[list[Candidate]]:
        """For each clip its captions, best first; what else is in the list changes nothing.

        Raises:
            FeatureError: features of another width, of no frame, or not finite.
        """
        for number, clip in enumerate(clips):
            self._check(number, clip)
        found = []
        for start in range(0, len(clips), self.batch_size):
            some = clips[start : start + self.batch_size]
            found += self._generate(some, settings or self.settings)
        return found

    def caption_features(
        self,
        folder: str | Path,
        ids: Sequence[str] = (),
        settings: GenerationSettings | None = None,
    ) -> dict[str, list[Candidate]]:
        """Caption what a feature store holds, or the videos named, each as a whole, best first.

        Raises:
            FeatureError: the folder is no store, lacks a video, or another encoder made it.
        """
        store = FeatureStore(Path(folder))
        made_by = store.fingerprint.get("encoder") or {}
        refuse_other_encoder(made_by, self.encoder.fingerprint, folder, f"{self.name} wants")
        names = list(ids) or list(store)
        clips = [FrameFeatures(store.features(name), store.times(name)) for name in names]
        return dict(zip(names, self.generate(clips, settings), strict=True))

    def _check(self, number: int, clip: FrameFeatures) -> None:
        wanted, shape = self.model.config.feature_width, clip.features.shape
        if len(shape) != 2 or shape[1] != wanted or clip.times.shape != shape[:1]:
            raise FeatureError(
                f"clip {number}: {self.name} wants features [T, {wanted}] and times [T], "
                f"got {[*shape]} and {[*clip.times.shape]}"
            )
        if not len(clip.features) or not np.isfinite(clip.features).all():
            raise FeatureError(f"clip {number}: features of no frame, or not finite")

    def _generate(
        self, clips: Sequence[FrameFeatures], settings: GenerationSettings
    ) -> list[list[Candidate]]:
        import torch

        weight = next(self.model.parameters())
        features, times, mask = _padded(clips)
        with torch.inference_mode():
            prefix = self.model.prefix(
                features.to(weight), times.to(weight.device), mask.to(weight.device)
            )
            made = generate(self.model.reader(), prefix, [self._speech.stop_id], settings)
        decode = self._speech.tokenizer.decode
        return [
            [Candidate(decode(words.ids).strip(), round(words.score, 4)) for words in each]
            for each in made
        ]

    def distance(self, features: npt.NDArray[np.floating]) -> float:
        """How far a clip's features [T, D] lie from the training footage; about 1 is usual.

        A model that does not know its training footage says 0.
        """
        return 0.0 if self._domain is None else self._domain.distance(features)


def _padded(clips: Sequence[FrameFeatures]) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Features [B, T, D], times [B, T] and mask [B, T] of clips of any length."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    # Stores keep half precision: from a video or from a store, the numbers are the same.
    rows = [torch.from_numpy(clip.features.astype(np.float16).astype(np.float32)) for clip in clips]
    times = [torch.from_numpy(clip.times.astype(np.float32)) for clip in clips]
    mask = [torch.ones(len(row), dtype=torch.bool) for row in rows]
    padded = [pad_sequence(each, batch_first=True) for each in (rows, times, mask)]
    return padded[0], padded[1], padded[2]


def load_model(
    name: str = "tiny", *, device: str = "auto", dtype: "torch.dtype | str | None" = None
) -> Captioner:
    """Load a captioner.

    Args:
        name: `tiny`, a model folder or that of a run, a checkpoint file of the original MSR-VTT
            prefix captioner, `hf:ORG/NAME`, or a preset.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        dtype: auto (fp32; for the encoder what it had when the captioner was trained), fp32, bf16
            or fp16.

    Raises:
        UsageError: no model is named so.
        UnavailableError: a part of it is not on this machine and cannot be fetched.
        CheckpointError: it is damaged, or its encoder is not the one it was trained with.
    """
    from vcap.engine.run import choose_device

    place = choose_device(device)
    entry = registry.MODELS.get(name)
    path = Path(name).expanduser()
    if entry:
        return _from_folder(name, asset_folder(entry.source), place, dtype)
    if name.startswith("hf:"):
        return _from_folder(name, _fetched(name), place, dtype)
    if path.is_dir():
        return _from_folder(name, model_folder(path), place, dtype)
    if path.is_file():
        return _from_original(name, path, place, dtype)
    if path.suffix or len(path.parts) > 1:
        raise CheckpointError(f"no such model folder or checkpoint file: {name}")
    raise UsageError(
        f"no model named {name}; {registry.nearest(name, registry.MODELS)}",
        hint="vcap caption --list-models",
    )


def _fetched(name: str) -> Path:
    """A vcap model folder from the model hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    repository = name.removeprefix("hf:")
    try:
        folder = snapshot_download(repository, allow_patterns=["*.json", "*.safetensors", "*.md"])
    except HFValidationError as error:
        raise UsageError(f"{name}: want hf:ORG/NAME") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise UnavailableError(
            f"{name} is not on this machine and cannot be fetched",
            hint=f"hf download {repository}",
        ) from error
    return Path(folder)


def _from_folder(
    name: str, folder: Path, device: "torch.device", dtype: "torch.dtype | str | None"
) -> Captioner:
    config = read_config(folder, "prefix")
    try:
        sizes = fill(PrefixConfig, config["model"], "model")
        lm = build_lm(fill(LmConfig, config["lm"], "lm"))
        settings = fill(GenerationSettings, config.get("generation", {}), "generation")
        sampler = parse_sampler(config["sampler"])
        model = PrefixCaptioner(sizes, lm)
        room = model.reader().num_positions
        if sizes.prefix_length > room:
            raise ValueError(f"prefix_length: {sizes.prefix_length} of {room} positions")
        config["model"] = asdict(sizes)  # a size that is not told has its default
    except (KeyError, TypeError, AttributeError, ValueError, ConfigError, UsageError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error
    load_weights(model, read_weights(folder / "model.safetensors"), folder / "model.safetensors")
    tokenizer = load_tokenizer(folder)
    stop_id = tokenizer.end_id if sizes.end_token else tokenizer.first_id(".")
    return Captioner(
        name,
        model.to(device=device, dtype=torch_dtype(dtype, device)),
        _encoder(config, folder, device, dtype),
        Speech(tokenizer, stop_id, settings),
        sampler=sampler,
        domain=_domain(config, folder),
    )


def _encoder(
    config: Mapping[str, Any],
    folder: Path,
    device: "torch.device",
    dtype: "torch.dtype | str | None",
) -> ClipEncoder:
    """The encoder that a captioner was trained with; another one is refused."""
    given = config.get("encoder") or {}
    if not isinstance(given, Mapping):
        raise CheckpointError(f"{folder / 'config.json'}: encoder: want an object, got {given!r}")
    recorded = given.get("fingerprint") or given
    if isinstance(recorded.get("encoder"), Mapping):
        recorded = recorded["encoder"]  # what a feature store tells; it tells of frames too
    name = str(given.get("name") or recorded.get("name", "tiny"))
    features = str(given.get("features") or recorded.get("features", "embedding"))
    path = str(folder / name) if (folder / name).is_dir() else name
    if dtype in (None, "auto"):
        dtype = recorded_dtype(recorded, device)
    encoder = load_encoder(path, device=device, dtype=dtype, features=features)
    theirs = {key: recorded[key] for key in ENCODER_KEYS if key in recorded}
    ours = {key: encoder.fingerprint[key] for key in theirs}
    unlike = differences(ours, theirs)
    if unlike or encoder.width != config["model"]["feature_width"]:
        raise CheckpointError(
            f"{folder} was trained with another encoder than {name}: "
            f"{'; '.join(unlike) or 'its features have another width'}"
        )
    return encoder


def _domain(config: Mapping[str, Any], folder: Path) -> Domain | None:
    path = folder / "domain.safetensors"
    if not path.is_file():
        return None
    threshold = (config.get("domain") or {}).get("threshold")
    if not isinstance(threshold, int | float):
        raise CheckpointError(f"{folder / 'config.json'}: domain.threshold is absent or no number")
    domain = load_domain(path, float(threshold))
    if len(domain.mean) != config["model"]["feature_width"]:
        raise CheckpointError(f"{path}: statistics of features {len(domain.mean)} wide")
    return domain


def _from_original(
    name: str, path: Path, device: "torch.device", dtype: "torch.dtype | str | None"
) -> Captioner:
    from vcap.engine.original import read_original
    from vcap.engine.tokenizers import hub_tokenizer

    found = read_original(path)
    tokenizer = hub_tokenizer(found.tokenizer)
    encoder = load_encoder(found.encoder, device=device, dtype=torch_dtype(dtype, device))
    wanted = found.model.config.feature_width
    if encoder.width != wanted:
        raise CheckpointError(
            f"{path} wants features {wanted} wide, {found.encoder} gives {encoder.width}"
        )
    return Captioner(
        name,
        found.model.to(device=device, dtype=torch_dtype(dtype, device)),
        encoder,
        Speech(tokenizer, tokenizer.first_id("."), GenerationSettings()),
        sampler=found.sampler,
    )
