"""`vcap train encoder`: an image and text encoder, trained on pairs of a frame and a caption.

Source: Radford et al., "CLIP", arXiv:2103.00020. Departures: several captions of a batch may be
true of one picture, and then share the target; those that speak of what is not recorded of a
picture are left out; no flips, as captions speak of left and right.
Shapes: B pairs, H W pixels, C colour, L tokens, S slots, D embedding width.
"""

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from vcap.data.shapes.captions import ACTION_WORDS, parse_slots
from vcap.engine.encoders import Preprocess, encoder_config
from vcap.engine.methods import never
from vcap.engine.methods.export import (
    all_tensors,
    decay_groups,
    write_card,
    write_config,
    write_weights,
)
from vcap.engine.run import Run
from vcap.engine.schedule import Amount, Count, TrainConfig, Whole
from vcap.engine.settings import fill
from vcap.engine.tokenizers import train_tokenizer
from vcap.engine.training_data import (
    Example,
    FrameTable,
    Indices,
    Splits,
    TokenTable,
    decode_table,
    dice,
    permutation,
)
from vcap.errors import AnnotationError, ConfigError
from vcap.models.clip import (
    CLIP_MEAN,
    CLIP_STD,
    TowerConfig,
    build_clip,
    contrastive_loss,
    normalise,
)

_ACTIONS = "|".join(
    sorted((re.escape(w) for words in ACTION_WORDS.values() for w in words), key=len, reverse=True)
)
_ACTION = re.compile(rf"\s*\b(?:(?:that|which) )?(?:{_ACTIONS})\b")
Codes = npt.NDArray[np.int16]
MAX_SCALE = 100.0
TOWERS = ("vision_cfg", "text_cfg")


@dataclass(frozen=True)
class EncoderOptions:
    """Options of the encoder's training.

    Attributes:
        num_frames: frames decoded of each video; a random one of them makes a pair.
        frames_per_epoch: pairs a video gives in an epoch.
        positives: what else is right for a picture beside its own caption: nothing (`pair`), the
            captions that read the same (`same_caption`), or all that are true of its slots.
        actions: action words, which one frame does not show: `keep`, or `strip` from captions.
        vocabulary: most token ids of the tokenizer that is learned from the captions.
        noise: standard deviation of the noise on pixels, of 255.
        brightness: largest relative change of brightness, either way.
        shift: largest shift of the picture in pixels, either way; the edge is repeated.
        channels_last: memory layout of pictures, often faster on processors.
    """

    num_frames: Count = 8
    frames_per_epoch: Count = 1
    positives: Literal["pair", "same_caption", "same_meaning"] = "same_meaning"
    actions: Literal["keep", "strip"] = "strip"
    vocabulary: Count = 1024
    noise: Amount = 4.0
    brightness: Amount = 0.1
    shift: Whole = 0
    channels_last: bool = True


def without_action(text: str) -> str:
    """A caption without its action words: `a red disc that spins` -> `a red disc`."""
    return _ACTION.sub("", text).strip()


class SlotCodes:
    """Slots as small numbers, so that what is true of what is one comparison of a whole batch."""

    def __init__(self) -> None:
        self.columns: dict[str, int] = {}
        self.values: dict[tuple[str, str], int] = {}

    def encode(self, slots: dict[str, Any]) -> dict[int, int]:
        """Column -> number of the value, for slots with plain text values."""
        return {
            self.columns.setdefault(name, len(self.columns)): self.values.setdefault(
                (name, value), len(self.values)
            )
            for name, value in sorted(slots.items())
            if isinstance(value, str)
        }

    def table(self, rows: list[dict[int, int]]) -> Codes:
        """Encoded rows -> [N, S], -1 where a slot is not said."""
        table = np.full((len(rows), len(self.columns)), -1, dtype=np.int16)
        for number, row in enumerate(rows):
            table[number, list(row)] = list(row.values())
        return table


class Pairs:
    """The frames, captions and slots of one split."""

    def __init__(self, frames: FrameTable, tokens: TokenTable, truths: Any, claims: Any) -> None:
        self.frames, self.tokens = frames, tokens
        self.truths = truths  # [N, S] what is true of a video
        self.claims = claims  # [captions, S] what a caption says

    def __len__(self) -> int:
        return len(self.tokens.counts)


class EncoderMethod:
    """Contrastive training of an open_clip architecture."""

    name = "encoder"
    reads_features = staticmethod(never)
    best = ("retrieval", "max")

    def __init__(self, config: TrainConfig, data: Splits, run: Run) -> None:
        self.config, self.run = config, run
        self.options = fill(EncoderOptions, config.options, "options")
        usual = asdict(TowerConfig())
        parts = {name: {**usual[name], **config.model.get(name, {})} for name in TOWERS}
        sizes = fill(TowerConfig, {**config.model, **parts}, "model")
        texts = [text for one in data.train for text in self._texts(one)]
        if not texts:
            raise AnnotationError("no record of the training split has a caption")
        self.tokenizer = train_tokenizer(texts, self.options.vocabulary)
        text_sizes = {**sizes.text_cfg, "vocab_size": self.tokenizer.size}
        self.sizes = replace(sizes, text_cfg=text_sizes)
        self.context_length = int(text_sizes["context_length"])
        self.side = int(sizes.vision_cfg["image_size"])
        try:
            self.model: nn.Module = build_clip(self.sizes)
        except ValueError as error:
            raise ConfigError(f"model: {error}") from error
        if self.options.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.codes = SlotCodes()
        self.train_pairs = self._pairs(data.train)
        self.val_pairs = self._pairs(data.val) if data.val else None
        self.test_pairs = {name: self._pairs(part) for name, part in data.test.items()}

    def _texts(self, example: Example) -> list[str]:
        if self.options.actions == "keep":
            return example.texts
        return [without_action(text) for text in example.texts]

    def _pairs(self, examples: list[Example]) -> Pairs:
        examples = [one for one in examples if one.texts]
        if not examples:
            raise AnnotationError("a split has no record with a caption")
        cache, num_frames = self.config.data.cache, self.options.num_frames
        frames = decode_table(examples, num_frames, self.side, cache, self.run)
        texts = [self._texts(one) for one in examples]
        tokens = TokenTable(texts, self._encode)
        claims = [self.codes.encode(dict(parse_slots(text))) for own in texts for text in own]
        truths = [self.codes.encode(one.meta) for one in examples]
        return Pairs(frames, tokens, self.codes.table(truths), self.codes.table(claims))

    def _encode(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text)[: self.context_length - 1]
        return [*ids, self.tokenizer.end_id]

    @property
    def num_batches(self) -> int:
        """Whole batches of an epoch."""
        pairs = len(self.train_pairs) * self.options.frames_per_epoch
        return max(1, pairs // self.config.train.batch_size)

    def batch(self, epoch: int, index: int) -> dict[str, Tensor]:
        """Pairs of the epoch's order, each with a frame and a caption drawn for this place."""
        size, seed = self.config.train.batch_size, self.config.train.seed
        count = len(self.train_pairs)
        order = permutation(seed, epoch, count * self.options.frames_per_epoch) % count
        clips = order[index * size : (index + 1) * size]
        draw = dice(seed, epoch, index)
        batch = self._gather(self.train_pairs, clips, draw)
        batch["frames"] = augmented(batch["frames"], self.options, draw)
        return batch

    def _gather(
        self, pairs: Pairs, clips: Indices, draw: np.random.Generator | None
    ) -> dict[str, Tensor]:
        """Frames [B, H, W, C], tokens [B, L] and positives [B, B] of clips [B].

        Without a generator: the middle frame and the first caption.
        """
        if draw is None:
            frames, rows = pairs.frames.middle(clips), pairs.tokens.first(clips)
        else:
            frames, rows = pairs.frames.draw(clips, draw), pairs.tokens.draw(clips, draw)
        tokens, _ = pairs.tokens.gather(rows)  # [B, L]
        missing = self.context_length - tokens.shape[1]
        return {
            "frames": pairs.frames.gather(frames),
            "tokens": nn.functional.pad(tokens, (0, missing), value=self.tokenizer.pad_id),
            "positives": (positives := self._positives(pairs, clips, rows)),
            "unknown": self._unknown(pairs, clips, rows) & ~positives,
        }

    def _positives(self, pairs: Pairs, clips: Indices, rows: Indices) -> Tensor:
        """[B, B] True where the caption of a column is right for the picture of a row."""
        own = np.eye(len(clips), dtype=np.bool_)
        if self.options.positives == "same_caption":
            tokens = pairs.tokens.tokens[rows]
            own |= (tokens[:, None] == tokens[None]).all(axis=2)
        elif self.options.positives == "same_meaning":
            own |= true_of(pairs.claims[rows], pairs.truths[clips])
        return torch.from_numpy(own | (clips[:, None] == clips[None]))

    def _unknown(self, pairs: Pairs, clips: Indices, rows: Indices) -> Tensor:
        """[B, B] True where a caption says what is not known of a picture, and nothing false."""
        if self.options.positives != "same_meaning":
            return torch.zeros((len(clips), len(rows)), dtype=torch.bool)
        return torch.from_numpy(undecided(pairs.claims[rows], pairs.truths[clips]))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Matrices decay, vectors do not."""
        return decay_groups(self.model)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The contrastive loss of a batch."""
        images, texts = self._embed(batch["frames"], batch["tokens"])
        scale = self.model.logit_scale.exp().clamp(max=MAX_SCALE)  # type: ignore[operator]
        pairs = batch["positives"], batch["unknown"]
        return {"contrast": contrastive_loss(images, texts, scale, *pairs)}

    def _embed(self, frames: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """frames [B, H, W, C], tokens [B, L] -> embeddings of unit length, twice [B, D]."""
        pictures = normalise(frames, CLIP_MEAN, CLIP_STD)  # [B, C, H, W]
        if self.options.channels_last:
            pictures = pictures.contiguous(memory_format=torch.channels_last)
        model: Any = self.model
        images = model.encode_image(pictures, normalize=True).float()
        return images, model.encode_text(tokens, normalize=True).float()

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        """One term, as it is."""
        return {}

    def validation_metrics(self) -> dict[str, float]:
        """Retrieval among the validation pictures, and accuracy of each slot."""
        return {} if self.val_pairs is None else self._scores(self.val_pairs)

    def test_metrics(self) -> dict[str, float]:
        """The same on each test part."""
        return {
            f"{part}/{name}": value
            for part, pairs in self.test_pairs.items()
            for name, value in self._scores(pairs).items()
        }

    def _scores(self, pairs: Pairs) -> dict[str, float]:
        """Share of pictures whose nearest caption is true of them, as a whole and by slot."""
        clips = np.arange(len(pairs))
        device = next(self.model.parameters()).device
        images, texts = [], []
        for start in range(0, len(clips), 128):
            batch = self._gather(pairs, clips[start : start + 128], None)
            found = self._embed(batch["frames"].to(device), batch["tokens"].to(device))
            images.append(found[0])
            texts.append(found[1])
        nearest = (torch.cat(images) @ torch.cat(texts).T).argmax(dim=1).cpu().numpy()
        rows = pairs.tokens.first(clips)
        right = self._positives(pairs, clips, rows)[clips, nearest]  # [N]
        scores = {"retrieval": float(right.float().mean())}
        claims = pairs.claims[rows][nearest]
        for name, column in self.codes.columns.items():
            if column >= min(claims.shape[1], pairs.truths.shape[1]):
                continue
            told = (claims[:, column] >= 0) & (pairs.truths[:, column] >= 0)
            if told.any():
                same = claims[told, column] == pairs.truths[told, column]
                scores[name] = float(same.mean())
        return scores

    def extra_state(self) -> dict[str, Any]:
        """Nothing beyond the weights."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Nothing to put back."""

    def export(self, folder: Path, scores: dict[str, float]) -> None:
        """Write weights, sizes, preprocessing, tokenizer and card."""
        write_weights(folder, all_tensors(self.model), self.config)
        write_config(folder, encoder_config(self.sizes, Preprocess(size=self.side)))
        (folder / "tokenizer.json").write_text(self.tokenizer.to_json(), encoding="utf-8")
        card = {
            "title": "An image and text encoder",
            "knows": "pictures and words like those of its training data, nothing else",
        }
        write_card(folder, self.config, scores, card)


def true_of(claims: Codes, truths: Codes) -> npt.NDArray[np.bool_]:
    """What captions say [B, S] against what is true of pictures [B, S] -> [pictures, captions].

    A caption that names no slot at all is taken for true of nothing.
    """
    same = (claims[None] == truths[:, None]) | (claims[None] < 0)  # [pictures, captions, S]
    says_something = np.any(claims >= 0, axis=1, keepdims=True).T  # [1, captions]
    right: npt.NDArray[np.bool_] = np.logical_and(np.all(same, axis=2), says_something)
    return right


def undecided(claims: np.ndarray[Any, Any], truths: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which captions [B, S] name a slot that is unknown of a picture [B, S], and none falsely.

    A clip whose place is not recorded is neither right nor wrong for "at the top left".
    """
    told, known = claims[None] >= 0, truths[:, None] >= 0
    false = told & known & (claims[None] != truths[:, None])
    answer: np.ndarray[Any, Any] = (told & ~known).any(axis=2) & ~false.any(axis=2)
    return answer


def augmented(frames: Tensor, options: EncoderOptions, draw: np.random.Generator) -> Tensor:
    """Frames [B, H, W, C] uint8 with shifted, brightened and noisy pixels, uint8 again."""
    pixels = frames.float()
    count, height, width, _ = frames.shape
    if options.shift:
        most = options.shift
        padded = nn.functional.pad(pixels.permute(0, 3, 1, 2), (most,) * 4, mode="replicate")
        places = draw.integers(2 * most + 1, size=(count, 2))
        pixels = torch.stack(
            [
                picture[:, top : top + height, left : left + width]
                for picture, (top, left) in zip(padded, places, strict=True)
            ]
        ).permute(0, 2, 3, 1)
    if options.brightness:
        change = 1 + options.brightness * (2 * draw.random((count, 1, 1, 1), dtype=np.float32) - 1)
        pixels = pixels * torch.from_numpy(change)
    if options.noise:
        noise = draw.standard_normal(pixels.shape, dtype=np.float32)
        pixels = pixels + options.noise * torch.from_numpy(noise)
    return pixels.round_().clamp_(0, 255).byte()
