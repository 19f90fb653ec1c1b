"""Encoding with a retrieval model whose policy looks at pictures: only kept frames are encoded.

A decode worker brings the model's candidate frames in two sizes from one decode: small pictures for
the policy, and those for the encoder. The policy keeps some; these alone go through the encoder,
those of many videos in full batches, and into the store in the order of time.
Shapes: V videos, T candidate frames, K kept, H W pixels, C colours, W width.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vcap.engine import encode as encoding
from vcap.engine.batches import FullBatches
from vcap.engine.encode import EncodeSettings, EncodeVideos, checked, made_from
from vcap.engine.inputs import Source
from vcap.engine.reporter import Reporter
from vcap.engine.store_output import Encoded
from vcap.engine.weights import is_retrieval
from vcap.errors import InputError, UsageError

if TYPE_CHECKING:
    import torch

    from vcap.engine.encoders import ClipEncoder
    from vcap.engine.retriever import Retriever
    from vcap.models.policy import PolicyConfig
    from vcap.video.pictures import Look

FRAMES_AT_ONCE = 16  # of the policy's own network
FRAMES_ON_GPU = 128

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Plan:
    """How videos are encoded: by an encoder alone, or by a retrieval model.

    Attributes:
        settings: with what the model decides where nobody else does.
        encoder: makes the features.
        retriever: the model that chooses frames by their pictures; None where nothing does.
    """

    settings: EncodeSettings
    encoder: "ClipEncoder"
    retriever: "Retriever | None" = None

    @property
    def how(self) -> dict[str, Any]:
        """What a decoder is told."""
        return {"stream": self.settings.stream, "exact": self.settings.exact_pixels}

    @property
    def made_by(self) -> dict[str, Any]:
        """The fingerprint of a store."""
        known = made_from(self.encoder.fingerprint, self.settings.rule, **self.how)
        selection = None if self.retriever is None else self.retriever.selection
        return known if selection is None else {**known, "selection": selection}

    def job(self, reporter: Reporter, alone: bool) -> EncodeVideos:
        """The work on videos."""
        given: dict[str, Any] = {**self.how, "alone": alone}
        if self.retriever is None:
            return EncodeVideos(self.encoder, self.settings.rule, reporter, **given)
        return EncodeKept(self.retriever, self.settings.rule, reporter, **given)


def plan(settings: EncodeSettings, reporter: Reporter, store: Path | None = None) -> Plan:
    """Load what the settings name: an encoder, or a retrieval model and its encoder.

    Raises:
        UsageError: no encoder is named so, or the model's frames cannot be chosen for a store.
        CheckpointError: the model is damaged.
        DeviceError: there is no such device.
    """
    if not is_retrieval(settings.model):
        return Plan(settings, encoding.load_named(settings, reporter, store))
    if settings.features != "embedding":
        raise UsageError(f"--features {settings.features}: {settings.model} reads embedding")
    from vcap.engine.retriever import load_retriever

    found = load_retriever(settings.model, device=settings.device, dtype=settings.dtype)
    found.refuse_order_of_scores()
    encoder = found.encoder
    if settings.batch_size:
        encoder.batch_size = settings.batch_size
    settings = _with_defaults(settings, found)
    return Plan(settings, encoder, None if found.selection is None else found)


def shown(settings: EncodeSettings) -> EncodeSettings:
    """The settings that a run would have; a retrieval model is loaded for that."""
    if not is_retrieval(settings.model):
        return settings
    from vcap.engine.retriever import load_retriever

    return _with_defaults(settings, load_retriever(settings.model, device="cpu"))


def _with_defaults(settings: EncodeSettings, model: "Retriever") -> EncodeSettings:
    """The settings; what nobody has set is as the model was trained."""
    own = {"sampler": model.sampler, "exact_pixels": model.company.exact}
    unset = {name: value for name, value in own.items() if name not in settings.model_fields_set}
    return settings.model_copy(update=unset)


@dataclass
class Candidates:
    """The frames of one video that a model may keep.

    Attributes:
        pictures: [T, H, W, 3] for the encoder.
        small: [T, H, W, C] for the policy.
        times: [T] seconds.
        warnings: one sentence for each kind of damage.
    """

    pictures: Pixels
    small: Pixels
    times: npt.NDArray[np.float64]
    warnings: list[str] = field(default_factory=list)


class EncodeKept(EncodeVideos):
    """The work on videos of whose frames a model keeps some."""

    def __init__(self, model: "Retriever", sampler: str, reporter: Reporter, **how: Any) -> None:
        """Read the sampler's text; `how` is as of `EncodeVideos`."""
        super().__init__(model.encoder, sampler, reporter, **how)
        assert model.model.policy is not None
        self._chooser = Chooser(model)
        self._most = model.model.config.num_frames

    def prepare(self, source: Source) -> Any:
        """Decode the candidate frames.

        Raises:
            VideoError: no frame decodes.
        """
        from vcap.video.pictures import read_pictures

        warnings: list[str] = []
        looks: list[Any] = [self._size, self._chooser.look]
        (pictures, small), times = read_pictures(
            source.path,
            self._sampler,
            looks,
            segment=source.segment,
            most=self._most,
            on_warning=warnings.append,
            **self._how,
        )
        return source, Candidates(pictures, small, times, warnings)

    def work(self, prepared: list[Any]) -> list[Encoded | InputError]:
        """Features of the kept frames of each video."""
        batches = FullBatches(self._encoder)
        kept = self._chooser.choose([own.small for _, own in prepared])
        for (source, own), rows in zip(prepared, kept, strict=True):
            for warning in own.warnings:
                self._reporter.warn(f"{source.id}: {warning}")
            batches.begin()
            batches.add(own.pictures[rows])
        features = batches.finish()
        return [
            checked(source, made, own.times[rows])
            for (source, own), rows, made in zip(prepared, kept, features, strict=True)
        ]


class Chooser:
    """Says which frames a model keeps, by their pictures.

    Pictures go through the policy's network in batches of one fixed size, as frames through an
    encoder, so that what is kept of a video does not depend on the others; and in the encoder's
    number type, which a store tells of.
    """

    def __init__(self, model: "Retriever") -> None:
        """Take the model, whose policy looks at pictures."""
        import torch

        from vcap.models.mobilenet import for_reading

        policy = model.model.policy
        assert policy is not None
        self.look = look_of(policy.config)
        self._policy: Any = policy
        self._dtype = torch.float32
        if policy.cnn is not None:
            self._policy = deepcopy(policy)
            self._dtype = model.encoder.dtype
            self._policy.cnn = for_reading(self._policy.cnn).to(self._dtype)
        self._num_kept = model.model.config.num_kept
        self._device = model.device
        self._at_once = FRAMES_ON_GPU if model.device.type == "cuda" else FRAMES_AT_ONCE

    def choose(self, small: Sequence[Pixels]) -> list[npt.NDArray[np.int64]]:
        """Pictures [T, H, W, C] of each video -> numbers of the kept frames [K], in order."""
        import torch

        from vcap.models.selection import keep_best

        with torch.inference_mode():
            found: Any = torch.cat([*self._encoded(np.concatenate(small))])  # [sum of T, W]
            numbers = []
            for rows in found.split([len(one) for one in small]):
                scores = self._policy.score_encoded(rows[None])  # [1, T]
                best = keep_best(scores, self._num_kept).indices[0]  # [K]
                numbers.append(best.sort().values.cpu().numpy())
        return numbers

    def _encoded(self, small: Pixels) -> "Iterator[torch.Tensor]":
        """Pictures [T, H, W, C] -> what single frames give [t, W], a batch at a time."""
        import torch

        for start in range(0, len(small), self._at_once):
            some = small[start : start + self._at_once]
            full = np.zeros((1, self._at_once, *some.shape[1:]), np.uint8)  # [1, batch, H, W, C]
            full[0, : len(some)] = some
            frames = self._policy.pictures(torch.from_numpy(full).to(self._device))
            yield self._policy.encode(frames.to(self._dtype))[0, : len(some)].float()


def look_of(config: "PolicyConfig") -> "Look":
    """The pictures that a policy looks at."""
    from vcap.video.pictures import MOBILENET, raw

    return MOBILENET if config.uses_cnn else raw(config.raw_side)
