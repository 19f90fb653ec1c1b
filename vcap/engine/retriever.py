"""A trained retrieval model by its folder: vectors of videos and of texts that can be compared.

A model folder holds `config.json` (`RetrievalConfig`, `PolicyConfig`, the encoder's name and
fingerprint, the sampler) and `model.safetensors`. Shapes: V videos, T frames, Q texts, D width.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from vcap.engine.encoders import ClipEncoder, load_encoder
from vcap.engine.fingerprint import refuse_other_encoder
from vcap.engine.methods.pairs import candidate_frames
from vcap.engine.number_types import recorded_dtype
from vcap.engine.run import choose_device
from vcap.engine.settings import fill
from vcap.engine.weights import load_weights, model_folder, read_config, read_weights
from vcap.errors import CheckpointError, ConfigError, FeatureError, UsageError
from vcap.models.policy import Policy, PolicyConfig
from vcap.models.retrieval import RetrievalConfig, RetrievalModel

if TYPE_CHECKING:
    from vcap.features.store import FeatureStore

__all__ = ["Retriever", "load_retriever"]

BLOCK = 64  # videos that are worked on at once
Vectors = npt.NDArray[np.float32]


class Retriever:
    """Makes the vectors that a trained retrieval model compares.

    Attributes:
        name: as it was asked for.
        encoder_fingerprint: of the encoder that it was trained with.
        sampler: which frames of a video it was trained on.
        width: D of what goes in and comes out.
    """

    def __init__(
        self, name: str, folder: Path, model: RetrievalModel, config: Mapping[str, Any]
    ) -> None:
        self.name = name
        self.model = model.eval().requires_grad_(False)
        self.encoder_fingerprint: dict[str, Any] = dict(config["encoder"]["fingerprint"])
        self.sampler = str(config["sampler"])
        self.width = model.config.feature_width
        self._folder, self._encoder_name = folder, str(config["encoder"]["name"])

    @cached_property
    def encoder(self) -> ClipEncoder:
        """The encoder it was trained with; loaded when texts are first read.

        Raises:
            CheckpointError: what is found under its name is another one.
        """
        bundled = self._folder / self._encoder_name
        name = str(bundled) if bundled.is_dir() else self._encoder_name
        device = self.model.logit_scale.device
        recorded = self.encoder_fingerprint
        encoder = load_encoder(name, device=device, dtype=recorded_dtype(recorded, device))
        try:
            refuse_other_encoder(encoder.fingerprint, recorded, name, f"{self.name} wants")
        except FeatureError as error:
            raise CheckpointError(str(error)) from error
        return encoder

    def check(self, store: "FeatureStore") -> None:
        """Refuse features of another encoder than the one it was trained with.

        Raises:
            FeatureError: both are named.
        """
        made_by = store.fingerprint.get("encoder") or {}
        refuse_other_encoder(made_by, self.encoder_fingerprint, store.folder, f"{self.name} wants")

    def video_vectors(self, videos: Sequence[npt.NDArray[np.floating]]) -> Vectors:
        """Features [T, D] of each video -> one unit vector each [V, D].

        Of a video with more frames than the model has places for, evenly spread ones are taken.

        Raises:
            FeatureError: features of another width, of no frame, or not finite.
        """
        for number, one in enumerate(videos):
            self._check_one(number, one)
        found = [np.zeros((0, self.width), np.float32)]
        for start in range(0, len(videos), BLOCK):
            frames, mask = self._padded(videos[start : start + BLOCK])
            with torch.inference_mode():
                found.append(self.model.video_vector(frames, mask).float().cpu().numpy())
        return np.concatenate(found)

    def kept_frames(self, features: npt.NDArray[np.floating]) -> list[int]:
        """Which frames of one video [T, D] make its vector, as numbers of its rows, in order."""
        self._check_one(0, features)
        frames, mask = self._padded([features])
        count = torch.arange(len(features))[None, :, None]  # [1, T, 1]
        real = torch.ones(1, len(features), dtype=torch.bool)  # [1, T]
        rows, _ = candidate_frames(count, real, self.model.config.num_frames)  # [1, N, 1]
        with torch.inference_mode():
            _, chosen, _ = self.model.keep(frames, mask)
        kept = chosen.indices[chosen.mask].cpu()  # [K]
        numbers: list[int] = rows[0, :, 0][kept].sort().values.tolist()
        return numbers

    def text_vectors(self, texts: Sequence[str]) -> Vectors:
        """Sentences -> unit vectors [Q, D]."""
        return self.embedded_texts(self.encoder.encode_text(texts))

    def embedded_texts(self, embeddings: npt.NDArray[np.floating]) -> Vectors:
        """What the encoder says of texts [Q, D] -> unit vectors [Q, D]."""
        device = self.model.logit_scale.device
        given = torch.from_numpy(np.ascontiguousarray(embeddings, dtype=np.float32)).to(device)
        with torch.inference_mode():
            found: Vectors = self.model.text_vector(given).float().cpu().numpy()
        return found

    def _check_one(self, number: int, features: npt.NDArray[np.floating]) -> None:
        if features.ndim != 2 or features.shape[1] != self.width:
            raise FeatureError(
                f"video {number}: {self.name} wants features [T, {self.width}], "
                f"got {[*features.shape]}"
            )
        if not len(features) or not np.isfinite(features).all():
            raise FeatureError(f"video {number}: features of no frame, or not finite")

    def _padded(
        self, videos: Sequence[npt.NDArray[np.floating]]
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Candidate frames [B, N, D] and mask [B, N] of videos of any length."""
        longest = max(len(one) for one in videos)
        frames = np.zeros((len(videos), longest, self.width), np.float32)  # [B, T, D]
        mask = np.zeros((len(videos), longest), np.bool_)  # [B, T]
        for row, one in enumerate(videos):
            frames[row, : len(one)] = one
            mask[row, : len(one)] = True
        device = self.model.logit_scale.device
        return candidate_frames(
            torch.from_numpy(frames).to(device),
            torch.from_numpy(mask).to(device),
            self.model.config.num_frames,
        )


def load_retriever(name: str, *, device: str = "auto") -> Retriever:
    """Load a retrieval model.

    Args:
        name: a model folder, or that of the run that made it.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.

    Raises:
        CheckpointError: the folder is absent, damaged, or of another kind.
        UsageError: with this model a video has no vector of its own.
    """
    path = Path(name).expanduser()
    if not path.is_dir():
        raise CheckpointError(f"no such model folder: {name}", hint="vcap train retrieval -o RUN")
    folder = model_folder(path)
    config = read_config(folder, "retrieval")
    try:
        sizes = fill(RetrievalConfig, config["model"], "model")
        policy = config["policy"] and Policy(fill(PolicyConfig, config["policy"], "policy"))
        model = RetrievalModel(sizes, policy)
        if sizes.is_query_dependent:
            raise UsageError(
                f"{name} weighs frames by what is asked (qscore): a video has no vector of its own",
                hint="vcap train retrieval --set model.frame_aggregation=mlp",
            )
        made = Retriever(name, folder, model.to(choose_device(device)), config)
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error
    weights = read_weights(folder / "model.safetensors")
    load_weights(model, weights, folder / "model.safetensors")
    return made
