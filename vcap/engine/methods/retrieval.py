"""`vcap train retrieval`: texts find videos by the frames that a policy keeps.

Source: Hu et al., "AdaCLIP: Adaptive Clip Selection", ACM MM 2023, doi 10.1145/3581783.3612161.
**Departures**, each an option: the policy reads the encoder's features, so that stored features
are enough; a text that is true of several videos of a batch counts for all of them; norms and
positions do not decay; gradients of several processes are those of one.
Shapes: B videos, N candidate frames, K kept, Q texts, V videos of a split, D feature width.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vcap.engine.encoders import ClipEncoder, load_encoder
from vcap.engine.fingerprint import refuse_other_encoder
from vcap.engine.methods.export import (
    all_tensors,
    bundled_encoder,
    write_card,
    write_config,
    write_weights,
)
from vcap.engine.methods.freezing import rate_groups
from vcap.engine.methods.gather import gather_batch
from vcap.engine.methods.pairs import CaptionMode, PairTable
from vcap.engine.number_types import recorded_dtype
from vcap.engine.run import Run
from vcap.engine.schedule import Amount, TrainConfig, Whole
from vcap.engine.settings import fill
from vcap.engine.training_data import Example, Splits, dice, open_stores, permutation, with_features
from vcap.errors import ConfigError, FeatureError
from vcap.features.store import FeatureStore
from vcap.metrics.retrieval import score_retrieval
from vcap.models.aggregation import mean_vector
from vcap.models.policy import Policy, PolicyConfig
from vcap.models.retrieval import (
    Relaxation,
    RetrievalConfig,
    RetrievalModel,
    clamp_scale,
    symmetric_loss,
)
from vcap.models.selection import num_kept_at, temperature_at

BLOCK = 64  # videos that are scored at once
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RetrievalOptions:
    """Options of the training.

    Attributes:
        policy: what scores the frames; null: all frames are kept.
        captions: `concat` joins a video's captions to one text, `indep-one` draws one of them,
            `indep-all` makes a pair of each.
        positives: what is right for a text beside its own video: nothing (`pair`, as published), or
            videos of the batch that have the same text (`same`).
        start_temperature: of the relaxed choice of frames, in the first epoch.
        end_temperature: the lowest one.
        temperature_decay: how fast it falls from epoch to epoch, exponentially.
        warmup_epochs: epochs in which the number of kept frames falls to what it will be.
        decay_all: norms, positions and the scale decay too, as published.
        logit_scale: logarithm of what cosines are multiplied by at the start; ln 100 at most.
    """

    policy: PolicyConfig | None = field(default_factory=PolicyConfig)
    captions: CaptionMode = "indep-one"
    positives: Literal["same", "pair"] = "same"
    start_temperature: Amount = 5.0
    end_temperature: Amount = 0.5
    temperature_decay: Amount = 0.045
    warmup_epochs: Whole = 0
    decay_all: bool = False
    logit_scale: float = 4.6052

    def __post_init__(self) -> None:
        """Refuse what no choice of frames can be made with."""
        if not 0 < self.end_temperature <= self.start_temperature:
            raise ValueError("end_temperature: want above 0 and at most start_temperature")
        if self.policy is not None and self.policy.encoder != "features":
            raise ValueError("policy.encoder: want features; others read pictures, not stores")


class RetrievalMethod:
    """Contrastive loss between captions and the kept frames' vector, on stored features."""

    name = "retrieval"
    reads_features = True
    best = ("R@1", "max")

    def __init__(self, config: TrainConfig, data: Splits, run: Run) -> None:
        self.config, self.run = config, run
        self.options = fill(RetrievalOptions, config.options, "options")
        self.stores = open_stores(config.data.features)
        self._encoder = _text_encoder(self.stores[0], run)
        train = self._pairs(data.train)
        if train is None:
            raise FeatureError("no record for training has both captions and features")
        self.train_pairs = train
        self.val_pairs = self._pairs(data.val)
        self.test_pairs = {
            name: pairs for name, rows in data.test.items() if (pairs := self._pairs(rows))
        }
        self.sizes = self._sizes()
        self.model: nn.Module = self._build()
        if int(os.environ.get("WORLD_SIZE", "1")) > self.num_batches:
            raise ConfigError("train.batch_size: fewer batches than processes")

    @property
    def retrieval(self) -> RetrievalModel:
        """What is trained and exported."""
        assert isinstance(self.model, RetrievalModel)
        return self.model

    def _pairs(self, examples: list[Example]) -> PairTable | None:
        kept = with_features(examples, self.stores, self.run.reporter)
        mode, encode = self.options.captions, self._encoder.encode_text
        return PairTable(kept, self.stores, mode, encode) if kept else None

    def _sizes(self) -> RetrievalConfig:
        """Sizes as asked for; those that are not follow from the features."""
        longest = self.train_pairs.features.longest
        width = self.train_pairs.features.width
        asked = {"num_frames": longest, **self.config.model, "feature_width": width}
        if isinstance(asked["num_frames"], int):
            asked = {"num_kept": max(1, asked["num_frames"] // 2), **asked}
        texts = self.train_pairs.texts.vectors.shape[1]
        if texts != width:
            raise FeatureError(
                f"features are {width} wide and texts {texts}: want features of whole frames",
                hint="vcap encode VIDEOS -o STORE --features embedding",
            )
        return fill(RetrievalConfig, asked, "model")

    def _build(self) -> RetrievalModel:
        options, sizes = self.options, self.sizes
        policy = None
        if options.policy is not None:
            wanted: dict[str, Any] = {
                "num_frames": sizes.num_frames,
                "feature_width": sizes.feature_width,
            }
            policy = Policy(replace(options.policy, **wanted))
        if options.warmup_epochs and sizes.header == "transformer":
            raise ConfigError(
                "options.warmup_epochs: the header `transformer` has no place for more frames than "
                "are kept at the end"
            )
        try:
            return RetrievalModel(sizes, policy, None, options.logit_scale)
        except ValueError as error:
            raise ConfigError(f"model.{error}") from error

    @property
    def num_batches(self) -> int:
        """Whole batches of an epoch; a video, or each of its captions, comes once."""
        return max(1, self._count // self.config.train.batch_size)

    @property
    def _count(self) -> int:
        pairs = self.train_pairs
        return len(pairs.texts) if self.options.captions == "indep-all" else len(pairs)

    def batch(self, epoch: int, index: int) -> dict[str, Any]:
        """Pairs of the epoch's order, with noise and temperature of their place."""
        size, seed, pairs = self.config.train.batch_size, self.config.train.seed, self.train_pairs
        some = permutation(seed, epoch, self._count)[index * size : (index + 1) * size]
        draw = dice(seed, epoch, index)
        rows = some if self.options.captions == "indep-all" else pairs.texts.draw(some, draw)
        videos = pairs.texts.videos[rows]
        frames, mask = pairs.frames(videos, self.sizes.num_frames)
        options, sizes = self.options, self.sizes
        noise = draw.gumbel(size=mask.shape).astype(np.float32)
        return {
            "frames": frames,
            "mask": mask,
            "texts": pairs.texts.gather(rows),
            "video_ids": torch.from_numpy(videos),
            "text_ids": torch.from_numpy(pairs.texts.ids[rows]),
            "noise": torch.from_numpy(noise),
            "temperature": temperature_at(
                epoch,
                options.start_temperature,
                options.end_temperature,
                options.temperature_decay,
            ),
            "num_kept": num_kept_at(epoch, sizes.num_kept, sizes.num_frames, options.warmup_epochs),
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        """With decay and without."""
        return rate_groups(self.model, decay_all=self.options.decay_all)

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The contrastive loss in both directions, over the batches of all processes."""
        model = self.retrieval
        clamp_scale(model.logit_scale)
        relaxation = None
        if model.policy is not None:
            relaxation = Relaxation(batch["temperature"], batch["num_kept"], batch["noise"])
        found = model.embed(batch["frames"], batch["mask"], batch["texts"], None, relaxation)
        found, ids = gather_batch(found, (batch["video_ids"], batch["text_ids"]))
        positives = self._positives(ids) if self.options.positives == "same" else None
        return {"contrastive": symmetric_loss(model.similarity(found), positives)}

    def _positives(self, ids: Sequence[Tensor]) -> Tensor:
        """[B, B] True where the text of a row is of the video of a column, or reads as its own."""
        videos, texts = ids
        return (videos[:, None] == videos) | (texts[:, None] == texts)  # [B, B]

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        """There is one loss."""
        return {}

    def validation_metrics(self) -> dict[str, float]:
        """Recall and ranks in both directions."""
        return {} if self.val_pairs is None else self._scores(self.val_pairs)

    def test_metrics(self) -> dict[str, float]:
        """The same on each test part, beside those of the mean of all frames."""
        scores: dict[str, float] = {}
        for name, pairs in self.test_pairs.items():
            scores |= {f"{name}/{key}": value for key, value in self._scores(pairs).items()}
            plain = self._scores(pairs, plain=True)
            scores |= {f"{name} mean of all frames/{key}": value for key, value in plain.items()}
        return scores

    def _scores(self, pairs: PairTable, plain: bool = False) -> dict[str, float]:
        similarity = self.similarity(pairs, plain)  # [Q, V]
        return score_retrieval(similarity, pairs.texts.videos).scores

    def similarity(self, pairs: PairTable, plain: bool = False) -> Matrix:
        """Cosines of all texts with all videos [Q, V]; plain: with the means of all frames."""
        model = self.retrieval
        clamp_scale(model.logit_scale)
        device = model.logit_scale.device
        texts = model.text_vector(pairs.texts.vectors.to(device))  # [U, D]
        columns = []
        for frames, mask in self._blocks(pairs, device):
            if plain:
                columns.append(texts @ mean_vector(frames, mask).T)  # [U, B]
                continue
            kept, chosen, scores = model.keep(frames, mask)
            columns.append(model.matcher.cosines(texts, kept, chosen.mask, scores))  # [U, B]
        table: Matrix = torch.cat(columns, dim=1).float().cpu().numpy()  # [U, V]
        return table[pairs.texts.ids]  # [Q, V]

    def _blocks(self, pairs: PairTable, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(pairs), BLOCK):
            videos = np.arange(start, min(start + BLOCK, len(pairs)))
            frames, mask = pairs.frames(videos, self.sizes.num_frames)
            yield frames.to(device), mask.to(device)

    def extra_state(self) -> dict[str, Any]:
        """Which encoder the features came from."""
        return {"encoder": self.stores[0].fingerprint["encoder"]}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Refuse features of another encoder than those the training began with.

        Raises:
            FeatureError: both are named.
        """
        if theirs := state.get("encoder"):
            ours, where = self.extra_state()["encoder"], self.stores[0].folder
            refuse_other_encoder(ours, theirs, where, "the run was trained on")

    def export(self, folder: Path, scores: dict[str, float]) -> None:
        """Write weights, sizes, the encoder and the card."""
        model, made_by = self.retrieval, self.stores[0].fingerprint
        write_weights(folder, all_tensors(model), self.config)
        write_config(
            folder,
            {
                "method": self.name,
                "model": asdict(model.config),
                "policy": None if model.policy is None else asdict(model.policy.config),
                "encoder": bundled_encoder(folder, made_by["encoder"]),
                "sampler": made_by["sampler"],
            },
        )
        card = {
            "title": "A retrieval model",
            "knows": "videos and words like those of its training data, nothing else",
            "departures": self._departures(),
        }
        write_card(folder, self.config, scores, card)

    def _departures(self) -> list[str]:
        options = self.options
        told = {
            "the policy reads the encoder's features": options.policy is not None,
            "texts that read the same count for each other's videos": options.positives == "same",
            "norms, positions and the scale do not decay": not options.decay_all,
            "kept frames are in the order of time": self.sizes.in_time_order,
        }
        return [sentence for sentence, is_so in told.items() if is_so]


def _text_encoder(store: FeatureStore, run: Run) -> ClipEncoder:
    """The encoder that made the features, which reads the texts too."""
    made_by = store.fingerprint["encoder"]
    name, dtype = str(made_by["name"]), recorded_dtype(made_by, run.device)
    encoder = load_encoder(name, device=run.device, dtype=dtype)
    refuse_other_encoder(made_by, encoder.fingerprint, store.folder, "texts would be")
    return encoder
