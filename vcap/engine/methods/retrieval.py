"""`vcap train retrieval`: texts find videos by the frames that a policy keeps.

Source: Hu et al., "AdaCLIP: Adaptive Clip Selection", ACM MM 2023, doi 10.1145/3581783.3612161.
**Departures**, each an option: the policy may read the encoder's features, so that stored features
are enough; a text that is true of several videos of a batch counts for all of them; norms and
positions do not decay; gradients of several processes are those of one.
Shapes: B videos, N candidate frames, K kept, Q texts, U distinct ones, V videos of a split,
H W pixels, D feature width.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vcap.engine.fingerprint import refuse_other_encoder
from vcap.engine.methods.export import write_card
from vcap.engine.methods.freezing import rate_groups
from vcap.engine.methods.gather import gather_batch, num_processes
from vcap.engine.methods.pairs import PairTable
from vcap.engine.methods.retrieval_export import Made, write_model
from vcap.engine.methods.retrieval_options import (
    RetrievalOptions,
    checked_options,
    departures,
    with_frames,
)
from vcap.engine.methods.retrieval_parts import (
    build_policy,
    frozen_cnn_digest,
    open_encoder,
    start_header,
)
from vcap.engine.methods.retrieval_pictures import (
    POLICY,
    TOWERS,
    for_towers,
    picture_kinds,
    picture_table,
    usual_frames,
)
from vcap.engine.run import Run
from vcap.engine.schedule import TrainConfig
from vcap.engine.settings import fill
from vcap.engine.training_data import (
    Example,
    Indices,
    Splits,
    dice,
    open_stores,
    permutation,
    with_features,
)
from vcap.errors import AnnotationError, CheckpointError, ConfigError, FeatureError, InputError
from vcap.metrics.retrieval import score_retrieval
from vcap.models.aggregation import mean_vector
from vcap.models.retrieval import (
    Relaxation,
    RetrievalConfig,
    RetrievalModel,
    clamp_scale,
    symmetric_loss,
)
from vcap.models.selection import num_kept_at, temperature_at

__all__ = ["RetrievalMethod", "RetrievalOptions"]

BLOCK = 64  # videos of which the features are scored at once
PICTURES = 256  # pictures that are looked at at once while videos are scored
TEXTS = 256  # texts that a tower reads at once
Matrix = npt.NDArray[np.float32]


class RetrievalMethod:
    """Contrastive loss between captions and the kept frames' vector."""

    name = "retrieval"
    best = ("R@1", "max")

    @staticmethod
    def reads_features(config: TrainConfig) -> bool:
        """Whether frames are features: unless both towers train.

        Raises:
            ConfigError: wishes that do not go together; a key is named.
        """
        return checked_options(config).towers != "both"

    def __init__(self, config: TrainConfig, data: Splits, run: Run) -> None:
        self.config, self.run = config, run
        self.options = checked_options(config)
        reads_features = self.options.towers != "both"
        self.stores = open_stores(config.data.features) if reads_features else []
        words = config.model.get("word_aggregation", "none") != "none"
        first = self.stores[0] if self.stores else None
        self._encoder = open_encoder(config.encoder, first, self.options, words, run.device)
        self.sampler = str(first.fingerprint["sampler"]) if first else config.sampler
        train = self._captioned(data.train)
        self.sizes = self._sizes(train)
        if self.sizes.is_query_dependent:
            run.reporter.warn(
                "model.frame_aggregation: with qscore a video has no vector of its own; the model "
                "is scored here, but neither vcap index nor vcap encode will take it"
            )
        self.train_pairs = self._pairs(train)
        self.val_pairs = self._split("val", data.val)
        found = {name: self._split(name, rows) for name, rows in data.test.items()}
        self.test_pairs = {name: pairs for name, pairs in found.items() if pairs is not None}
        self.model: nn.Module = self._build()
        self.started = start_header(self.retrieval, self._encoder, run.reporter)
        if int(os.environ.get("WORLD_SIZE", "1")) > self.num_batches:
            raise ConfigError("train.batch_size: fewer batches than processes")

    @property
    def retrieval(self) -> RetrievalModel:
        """What is trained and exported."""
        assert isinstance(self.model, RetrievalModel)
        return self.model

    def _captioned(self, examples: list[Example]) -> list[Example]:
        """The examples that have captions, and features where those are read."""
        if self.stores:
            return with_features(examples, self.stores, self.run.reporter)
        kept = [one for one in examples if one.texts]
        if examples and not kept:
            raise AnnotationError(f"none of {len(examples)} records has captions")
        if len(kept) < len(examples):
            left_out = len(examples) - len(kept)
            self.run.reporter.warn(f"{left_out} records without captions left out")
        return kept

    def _split(self, name: str, examples: list[Example]) -> PairTable | None:
        """One split that scores are of; None where there is none. What is wrong names it."""
        try:
            kept = self._captioned(examples)
            return self._pairs(kept) if kept else None
        except InputError as error:
            raise type(error)(f"split {name}: {error}", hint=error.hint) from error

    def _pairs(self, examples: list[Example]) -> PairTable:
        pictures, kinds = None, picture_kinds(self.options, self._encoder.preprocess)
        if kinds:
            few, run = self.sizes.num_frames, self.run
            pictures = picture_table(examples, self.config, kinds, self.sampler, few, run)
            examples = pictures.examples
        return PairTable(examples, self.options.captions, self._encoder.read, self.stores, pictures)

    def _sizes(self, train: list[Example]) -> RetrievalConfig:
        """Sizes as asked for; those that are not follow from the data."""
        if not train:
            raise FeatureError("no record for training has both captions and features")
        width = self._encoder.width
        for store in self.stores[:1]:
            found = store.features(next(iter(store))).shape[1]
            if found != width:
                raise FeatureError(
                    f"features are {found} wide and texts {width}: want features of whole frames",
                    hint="vcap encode VIDEOS -o STORE --features embedding",
                )
        num_frames = usual_frames(train, self.stores, self.config)
        if self.options.num_used > num_frames:
            raise ConfigError(
                f"options.num_used: want at most {num_frames}, the frames that a video has, got "
                f"{self.options.num_used}"
            )
        asked = with_frames(self.config.model, num_frames, self.options)
        return fill(RetrievalConfig, {**asked, "feature_width": width}, "model")

    def _build(self) -> RetrievalModel:
        options, sizes = self.options, self.sizes
        policy = build_policy(options, sizes, self.config.train.seed, self.run.reporter)
        try:
            return RetrievalModel(sizes, policy, self._encoder.clip, options.logit_scale)
        except ValueError as error:
            raise ConfigError(f"model.{error}") from error

    @property
    def num_batches(self) -> int:
        """Whole batches of an epoch; a video, or each of its captions, comes once."""
        return max(1, self.num_examples // self.config.train.batch_size)

    @property
    def num_examples(self) -> int:
        """What an epoch counts: videos, or pairs of a video and a caption."""
        pairs = self.train_pairs
        return len(pairs.texts) if self.options.captions == "indep-all" else len(pairs)

    def batch(self, epoch: int, index: int) -> dict[str, Any]:
        """Pairs of the epoch's order, with noise and temperature of their place."""
        options, sizes, pairs = self.options, self.sizes, self.train_pairs
        draw = dice(self.config.train.seed, epoch, index)
        some = self._some(epoch, index)
        rows = some if options.captions == "indep-all" else pairs.texts.draw(some, draw)
        videos = pairs.texts.videos[rows]
        inputs = pairs.inputs(videos, sizes.num_frames)
        self._expect_after(epoch, index)
        noise = draw.gumbel(size=tuple(inputs["mask"].shape)).astype(np.float32)
        return {
            **inputs,
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

    def _some(self, epoch: int, index: int) -> Indices:
        """Videos, or pairs, of a batch."""
        size = self.config.train.batch_size
        order = permutation(self.config.train.seed, epoch, self.num_examples)
        return order[index * size : (index + 1) * size]

    def _expect_after(self, epoch: int, index: int) -> None:
        """Let the pictures of the batch that this process is asked for next be made meanwhile."""
        after = index + num_processes()
        if after >= self.num_batches:
            epoch, after = epoch + 1, after % self.num_batches
        some = self._some(epoch, after)
        pairs = self.train_pairs
        pairs.expect(pairs.texts.videos[some] if self.options.captions == "indep-all" else some)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Towers that train and the rest, with decay and without."""
        rate = 1.0 if self.options.towers == "none" else self.options.tower_rate
        return rate_groups(self.model, rate, self.options.decay_all)

    def losses(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The contrastive loss in both directions, over the batches of all processes."""
        model = self.retrieval
        clamp_scale(model.logit_scale)
        relaxation = None
        if model.policy is not None:
            relaxation = Relaxation(batch["temperature"], batch["num_kept"], batch["noise"])
        frames, seen = self._looked_at(batch)
        found = model.embed(frames, batch["mask"], batch["texts"], seen, relaxation)
        found, ids = gather_batch(found, (batch["video_ids"], batch["text_ids"]))
        positives = self._positives(ids) if self.options.positives == "same" else None
        return {"contrastive": symmetric_loss(model.similarity(found), positives)}

    def _looked_at(self, inputs: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        """What the towers take of a batch, and what the policy does where it reads pictures."""
        policy, seen = self.retrieval.policy, None
        if policy is not None and POLICY in inputs:
            seen = policy.pictures(inputs[POLICY])  # [B, N, C, H, W]
        if TOWERS in inputs:
            return for_towers(inputs[TOWERS], self._encoder.preprocess), seen
        return inputs["frames"], seen

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
        """The same on each test part, beside those of the mean of all frames.

        That mean is left out where only the kept frames are ever encoded.
        """
        has_all = bool(self.stores) or self.retrieval.selects_by_features
        scores: dict[str, float] = {}
        for name, pairs in self.test_pairs.items():
            scores |= {f"{name}/{key}": value for key, value in self._scores(pairs).items()}
            if has_all:
                told = self._scores(pairs, plain=True)
                scores |= {f"{name} mean of all frames/{key}": told[key] for key in told}
        return scores

    def _scores(self, pairs: PairTable, plain: bool = False) -> dict[str, float]:
        similarity = self.similarity(pairs, plain)  # [Q, V]
        return score_retrieval(similarity, pairs.texts.videos).scores

    def similarity(self, pairs: PairTable, plain: bool = False) -> Matrix:
        """Cosines of all texts with all videos [Q, V]; plain: with the means of all frames."""
        model = self.retrieval
        clamp_scale(model.logit_scale)
        device = model.logit_scale.device
        some = torch.split(pairs.texts.inputs, TEXTS)
        texts = torch.cat([model.text_vector(rows.to(device)) for rows in some])  # [U, D]
        columns = []
        for inputs in self._blocks(pairs, device):
            mask, (frames, seen) = inputs["mask"], self._looked_at(inputs)
            if plain:
                columns.append(texts @ mean_vector(model.encode(frames, mask), mask).T)  # [U, B]
                continue
            kept, chosen, scores = model.keep(frames, mask, seen)
            columns.append(model.matcher.cosines(texts, kept, chosen.mask, scores))  # [U, B]
        table: Matrix = torch.cat(columns, dim=1).float().cpu().numpy()  # [U, V]
        return table[pairs.texts.ids]  # [Q, V]

    def _blocks(self, pairs: PairTable, device: torch.device) -> Iterator[dict[str, Tensor]]:
        size = BLOCK if pairs.pictures is None else max(1, PICTURES // self.sizes.num_frames)
        parts = np.split(np.arange(len(pairs)), range(size, len(pairs), size))
        for number, videos in enumerate(parts):
            inputs = pairs.inputs(videos, self.sizes.num_frames)
            if number + 1 < len(parts):
                pairs.expect(parts[number + 1])
            yield {name: tensor.to(device) for name, tensor in inputs.items()}

    def extra_state(self) -> dict[str, Any]:
        """Which encoder the training began with, and what CNN stays as it is."""
        return {
            "encoder": dict(self._encoder.fingerprint),
            "frozen_cnn": frozen_cnn_digest(self.retrieval.policy),
        }

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Refuse another encoder, or another frozen CNN, than the training began with.

        Raises:
            FeatureError: both encoders are named.
            CheckpointError: the file of the CNN's weights is another one by now.
        """
        if theirs := state.get("encoder"):
            where = self.stores[0].folder if self.stores else self.config.encoder
            refuse_other_encoder(self._encoder.fingerprint, theirs, where, "the run was trained on")
        if state.get("frozen_cnn") != frozen_cnn_digest(self.retrieval.policy):
            raise CheckpointError(
                f"options.policy_weights: {self.options.policy_weights} holds other weights than "
                "when the run began"
            )

    def export(self, folder: Path, scores: dict[str, float]) -> None:
        """Write weights, sizes, encoders and the card."""
        exact = self.options.exact_pixels
        if self.stores:
            exact = self.stores[0].fingerprint.get("pixels") == "exact"
        made = Made(
            self.retrieval,
            self.options.towers,
            self._encoder.fingerprint,
            self.sampler,
            self.options.max_tokens,
            exact,
        )
        write_model(folder, made, self.config)
        card = {
            "title": "A retrieval model",
            "knows": "videos and words like those of its training data, nothing else",
            "departures": departures(self.options, self.sizes, self.started),
        }
        write_card(folder, self.config, scores, card)
