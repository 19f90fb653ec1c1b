"""Vectors of videos and of texts that a trained retrieval model compares.

A model whose policy looks at pictures chooses frames while videos are encoded
(`engine.selecting`): what it is given here are the frames that it kept.
Shapes: V videos, T frames, Q texts, L tokens, D width.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from vcap.engine.encoders import ClipEncoder, load_encoder
from vcap.engine.fingerprint import digest, refuse_other_encoder, weights_digest
from vcap.engine.methods.pairs import candidate_frames
from vcap.engine.number_types import recorded_dtype
from vcap.errors import CheckpointError, FeatureError, UsageError
from vcap.models.retrieval import RetrievalModel
from vcap.models.words import cut_tokens, end_of_text, text_features

if TYPE_CHECKING:
    from vcap.features.store import FeatureStore

BLOCK = 64  # videos or texts that are worked on at once
SHOWN = 60  # characters of a text in a message
SMALL_BATCH = 8  # of frames; smaller ones cost more a frame
UNIMPORTANT = ("freeze_cnn", "batch_statistics")  # of a policy that does not learn any more
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Company:
    """What a retrieval model needs beside its own weights.

    Attributes:
        encoder: name and fingerprint of what makes features of frames.
        text_encoder: the same of what reads texts; often the same.
        sampler: which frames of a video it was trained on.
        max_tokens: so many tokens of a text count; None for all that the tower can read.
        exact: pictures were resized as published numbers were made.
    """

    encoder: tuple[str, Mapping[str, Any]]
    text_encoder: tuple[str, Mapping[str, Any]]
    sampler: str
    max_tokens: int | None = None
    exact: bool = False


class Retriever:
    """Makes the vectors that a trained retrieval model compares.

    Attributes:
        name: as it was asked for.
        model: in the state for use.
        encoder_fingerprint: of the encoder that makes its features of frames.
        sampler: which frames of a video it was trained on.
        width: D of what goes in and comes out.
    """

    def __init__(
        self,
        name: str,
        model: RetrievalModel,
        company: Company,
        dtype: str = "auto",
        towers: Mapping[str, ClipEncoder] | None = None,
    ) -> None:
        """Take a model.

        Args:
            dtype: that the encoder of frames computes in; `auto` for the one that is recorded.
            towers: encoders that are loaded already, by name.
        """
        self.name = name
        self.model = model.eval().requires_grad_(False)
        self.company = company
        self.encoder_fingerprint: dict[str, Any] = dict(company.encoder[1])
        self.sampler = company.sampler
        self.width = model.config.feature_width
        self._dtype = dtype
        self._towers = dict(towers or {})

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.model.logit_scale.device

    @cached_property
    def encoder(self) -> ClipEncoder:
        """The encoder of frames; loaded when it is first wanted.

        Raises:
            CheckpointError: what is found under its name is another one.
        """
        encoder = self._encoder(self.company.encoder, self._dtype)
        if self.selection is not None and self.device.type == "cpu":  # or one video fills no batch
            kept = max(SMALL_BATCH, self.model.config.num_kept)
            encoder.batch_size = min(encoder.batch_size, kept)
        return encoder

    @cached_property
    def text_encoder(self) -> ClipEncoder:
        """What reads texts.

        Raises:
            CheckpointError: what is found under its name is another one.
        """
        if self.company.text_encoder[0] == self.company.encoder[0]:
            return self.encoder
        return self._encoder(self.company.text_encoder, "auto")

    def _encoder(self, which: tuple[str, Mapping[str, Any]], dtype: str) -> ClipEncoder:
        name, recorded = which
        if name in self._towers:
            return self._towers[name]
        number = recorded_dtype(recorded, self.device) if dtype == "auto" else dtype
        encoder = load_encoder(name, device=self.device, dtype=number)
        refuse_changed(encoder, recorded, self.name)
        return encoder

    @property
    def reads_tokens(self) -> bool:
        """Whether texts have to be read word by word, or cut: `embedded_texts` is not enough."""
        by_words = self.model.config.word_aggregation != "none"
        return by_words or self.company.max_tokens is not None

    @cached_property
    def digest(self) -> str:
        """Digest of all that decides the vectors, encoders aside."""
        state = self.model.state_dict()
        own = {name: value for name, value in state.items() if not name.startswith("clip.")}
        sizes = asdict(self.model.config)
        return digest({"weights": weights_digest(own), "sizes": sizes, "choice": self.selection})

    @cached_property
    def selection(self) -> str | None:
        """Digest of how it chooses frames by their pictures; None where it does not."""
        if self.model.selects_by_features or self.model.policy is None:
            return None
        policy, sizes = self.model.policy, self.model.config
        known = {k: v for k, v in asdict(policy.config).items() if k not in UNIMPORTANT}
        counts = {"num_frames": sizes.num_frames, "num_kept": sizes.num_kept}
        return digest({"weights": weights_digest(policy.state_dict()), "policy": known, **counts})

    def refuse_order_of_scores(self) -> None:
        """Refuse to choose frames for a store where the order of their scores matters.

        Raises:
            UsageError: it does.
        """
        sizes = self.model.config
        if self.selection is None:
            return
        if sizes.reuse_scores:
            raise UsageError(
                f"{self.name} weighs frames by its policy's scores (reuse_scores), which a store "
                "does not keep",
                hint="vcap train retrieval --set model.reuse_scores=false",
            )
        if sizes.header != "meanP" and not sizes.in_time_order:
            raise UsageError(
                f"the header {sizes.header} of {self.name} wants frames in the order of their "
                "scores; a store keeps the order of time",
                hint="vcap train retrieval --set model.in_time_order=true",
            )

    def check(self, store: "FeatureStore") -> None:
        """Refuse features of another encoder, or of frames that were not chosen as it chooses them.

        Raises:
            FeatureError: both sides are named.
            UsageError: no store is right for it.
        """
        self.refuse_order_of_scores()
        made_by = store.fingerprint.get("encoder") or {}
        wanted = {**self.encoder_fingerprint, "name": self.company.encoder[0]}  # with its folder
        refuse_other_encoder(made_by, wanted, store.folder, f"{self.name} wants")
        there = store.fingerprint.get("selection")
        if there == self.selection:
            return
        if there is None:
            what = f"all frames, {self.name} chooses by their pictures which are encoded"
        elif self.selection is None:
            what = f"frames that a model has chosen, {self.name} wants all"
        else:
            what = f"frames that another model has chosen than {self.name}"
        hint = f"vcap encode VIDEOS -o STORE --model {shlex.quote(self.name)}  # a new store"
        raise FeatureError(f"{store.folder} holds {what}", hint=hint)

    def video_vectors(self, videos: Sequence[npt.NDArray[np.floating]]) -> Vectors:
        """Features [T, D] of each video -> one unit vector each [V, D].

        Of a video with more frames than the model has places for, evenly spread ones are taken.
        Where the model chooses by pictures, they are features of the frames that it kept.

        Raises:
            FeatureError: features of another width, of no frame, of frames that the model has not
                chosen, or not finite.
        """
        for number, one in enumerate(videos):
            self._check_one(number, one)
        found = [np.zeros((0, self.width), np.float32)]
        for start in range(0, len(videos), BLOCK):
            frames, mask = self._padded(videos[start : start + BLOCK])
            with torch.inference_mode():
                if self.selection is None:
                    made = self.model.video_vector(frames, mask)  # [V, D]
                else:
                    made = self.model.matcher.video_vector(frames, mask)  # [V, D]
                found.append(made.float().cpu().numpy())
        return np.concatenate(found)

    def kept_frames(self, features: npt.NDArray[np.floating]) -> list[int]:
        """Which frames of one video [T, D] make its vector, as numbers of its rows, in order."""
        self._check_one(0, features)
        if self.selection is not None:
            return list(range(len(features)))
        frames, mask = self._padded([features])
        count = torch.arange(len(features))[None, :, None]  # [1, T, 1]
        real = torch.ones(1, len(features), dtype=torch.bool)  # [1, T]
        rows, _ = candidate_frames(count, real, self.model.config.num_frames)  # [1, N, 1]
        with torch.inference_mode():
            _, chosen, _ = self.model.keep(frames, mask)
        kept = chosen.indices[chosen.mask].cpu()  # [K]
        numbers: list[int] = rows[0, :, 0][kept].sort().values.tolist()
        return numbers

    def text_vectors(
        self, texts: Sequence[str], warn: Callable[[str], None] = lambda text: None
    ) -> Vectors:
        """Sentences -> unit vectors [Q, D].

        Args:
            warn: told of every text that is longer than what counts.
        """
        if not self.reads_tokens:
            return self.embedded_texts(self.text_encoder.encode_text(texts))
        found = [np.zeros((0, self.width), np.float32)]
        for start in range(0, len(texts), BLOCK):
            found.append(self._read(texts[start : start + BLOCK], warn))
        return np.concatenate(found)

    def _read(self, texts: Sequence[str], warn: Callable[[str], None]) -> Vectors:
        """At most a block of sentences, read word by word."""
        towers, most = self.text_encoder.towers, self.company.max_tokens
        with torch.inference_mode():
            tokens = self.text_encoder.tokens(texts)  # [Q, L]
            lengths = (end_of_text(towers, tokens) + 1).tolist()
            for text, length in zip(texts, lengths, strict=True):
                if most is not None and length > most:
                    shown = repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")
                    warn(f"{shown} has {length} tokens; only the first {most} count")
            said = text_features(towers, cut_tokens(towers, tokens, most))
            words, mask = said.words.float(), said.mask  # [Q, L, D], [Q, L]
            made = self.model.matcher.text_vector(said.texts.float(), words, mask)  # [Q, D]
        vectors: Vectors = made.cpu().numpy()
        return vectors

    def embedded_texts(self, embeddings: npt.NDArray[np.floating]) -> Vectors:
        """What the text encoder says of texts [Q, D] -> unit vectors [Q, D]."""
        given = torch.from_numpy(np.ascontiguousarray(embeddings, dtype=np.float32)).to(self.device)
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
        most = self.model.config.num_kept
        if self.selection is not None and len(features) > most:
            raise FeatureError(
                f"video {number}: {self.name} chooses {most} frames by their pictures, "
                f"got features of {len(features)}"
            )

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
        sizes = self.model.config
        return candidate_frames(
            torch.from_numpy(frames).to(self.device),
            torch.from_numpy(mask).to(self.device),
            sizes.num_frames if self.selection is None else sizes.num_kept,
        )


def refuse_changed(encoder: ClipEncoder, recorded: Mapping[str, Any], reader: str) -> None:
    """Refuse an encoder that is no longer the one it was.

    Raises:
        CheckpointError: both are named.
    """
    try:
        refuse_other_encoder(encoder.fingerprint, recorded, encoder.name, f"{reader} wants")
    except FeatureError as error:
        raise CheckpointError(str(error)) from error
