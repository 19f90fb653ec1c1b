"""`vcap train lm`: a small language model on captions, which a captioner can start from.

Shapes: B captions, L tokens, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vcap.engine.methods import never
from vcap.engine.methods.export import (
    all_tensors,
    decay_groups,
    write_card,
    write_config,
    write_weights,
)
from vcap.engine.run import Run
from vcap.engine.schedule import Count, TrainConfig, Whole
from vcap.engine.settings import fill
from vcap.engine.tokenizers import train_tokenizer
from vcap.engine.training_data import Example, Splits, TokenTable, dice, permutation
from vcap.errors import AnnotationError, ConfigError
from vcap.models.lm import LmConfig, build_lm, config_for_tokens

BETWEEN = "\x1e"  # between the captions of a text; no caption holds a record separator


@dataclass(frozen=True)
class LmOptions:
    """Options of the language model's training.

    Attributes:
        vocabulary: most token ids of the tokenizer that is learned from the captions.
        first_position: place of the first word; a captioner puts as many prefix places before it.
        captions_per_text: captions of one clip that are read one after the other, from anywhere in
            the first of them. From 2 on the model learns to go by what stands before, as one that
            has read long texts does; only then can a prefix steer it while it is frozen.
    """

    vocabulary: Count = 512
    first_position: Whole = 1
    captions_per_text: Count = 1


class LmMethod:
    """Next-token prediction on captions, with an end token before and after each."""

    name = "lm"
    reads_features = staticmethod(never)
    best = ("perplexity", "min")

    def __init__(self, config: TrainConfig, data: Splits, run: Run) -> None:
        self.config, self.run = config, run
        self.options = fill(LmOptions, config.options, "options")
        texts = [text for one in data.train for text in one.texts]
        if not texts:
            raise AnnotationError("no record of the training split has a caption")
        self.tokenizer = train_tokenizer(texts, self.options.vocabulary)
        sizes, ids = fill(LmConfig, config.model, "model"), self.tokenizer
        try:
            self.sizes = config_for_tokens(sizes, ids.size, ids.end_id, ids.pad_id)
            self.model: nn.Module = build_lm(self.sizes)
        except ValueError as error:
            raise ConfigError(f"model: {error}") from error
        self.train_rows = self._table(data.train)
        self.val_rows = self._table(data.val)
        self.test_rows = {name: self._table(part) for name, part in data.test.items()}
        longest = self.train_rows.longest if self.train_rows else 0
        if longest + self.options.first_position > self.sizes.num_positions:
            raise ConfigError(
                f"model.num_positions: the longest caption needs {longest}, of "
                f"{self.sizes.num_positions} positions {self.options.first_position} are taken"
            )

    def _table(self, examples: list[Example]) -> TokenTable | None:
        """The texts of each example, an end token after each caption; None without captions."""
        count = self.options.captions_per_text
        texts = [in_turns(one.texts, count) for one in examples if one.texts]
        return TokenTable(texts, self._encode) if texts else None

    def _encode(self, text: str) -> list[int]:
        end = self.tokenizer.end_id
        return [
            token
            for caption in text.split(BETWEEN)
            for token in (*self.tokenizer.encode(caption), end)
        ]

    @property
    def num_batches(self) -> int:
        """Whole batches of an epoch over all captions."""
        rows, size = len(self.train_rows or ()), self.config.train.batch_size
        return max(1, rows // size)

    def batch(self, epoch: int, index: int) -> dict[str, Tensor]:
        """Captions of the epoch's order."""
        assert self.train_rows is not None
        order = permutation(self.config.train.seed, epoch, len(self.train_rows))
        size, seed = self.config.train.batch_size, self.config.train.seed
        batch = self._gather(self.train_rows, order[index * size : (index + 1) * size])
        if self.options.captions_per_text == 1:
            return batch
        return begin_anywhere(batch, self.tokenizer.end_id, dice(seed, epoch, index))

    def _gather(self, table: TokenTable, rows: np.ndarray[Any, Any]) -> dict[str, Tensor]:
        tokens, mask = table.gather(rows)  # [B, L]
        return {"tokens": tokens, "mask": mask}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Matrices decay, vectors do not."""
        return decay_groups(self.model)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Mean cross-entropy of the tokens, the end included."""
        each, mask = self._each(batch), batch["mask"]
        return {"caption": (each * mask).sum() / mask.sum()}

    def _each(self, batch: dict[str, Tensor]) -> Tensor:
        """Cross-entropy of each token [B, L], 0 where padded."""
        tokens = batch["tokens"]  # [B, L]
        start = torch.full_like(tokens[:, :1], self.tokenizer.end_id)  # [B, 1]
        read = torch.cat([start, tokens[:, :-1]], dim=1)  # [B, L]
        places = torch.arange(read.shape[1], device=tokens.device)  # [L]
        places = places + max(0, self.options.first_position - 1)
        logits = self.model(input_ids=read, position_ids=places[None]).logits  # [B, L, V]
        each = nn.functional.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")
        return each * batch["mask"]

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        """One term, as it is."""
        return {}

    def validation_metrics(self) -> dict[str, float]:
        """Loss and perplexity a token on the validation captions."""
        return self._perplexity(self.val_rows)

    def test_metrics(self) -> dict[str, float]:
        """The same on each test part."""
        return {
            f"{part}/{name}": value
            for part, table in self.test_rows.items()
            for name, value in self._perplexity(table).items()
        }

    def _perplexity(self, table: TokenTable | None) -> dict[str, float]:
        if table is None:
            return {}
        total, count = 0.0, 0
        device = next(self.model.parameters()).device
        for start in range(0, len(table), 256):
            rows = np.arange(start, min(start + 256, len(table)))
            batch = {name: part.to(device) for name, part in self._gather(table, rows).items()}
            total += float(self._each(batch).double().sum())
            count += int(batch["mask"].sum())
        return {"loss": total / count, "perplexity": math.exp(min(total / count, 700.0))}

    def extra_state(self) -> dict[str, Any]:
        """Nothing beyond the weights."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Nothing to put back."""

    def export(self, folder: Path, scores: dict[str, float]) -> None:
        """Write weights, sizes, tokenizer and card."""
        write_weights(folder, all_tensors(self.model), self.config)
        content = {"model": asdict(self.sizes), "first_position": self.options.first_position}
        write_config(folder, {"method": self.name, **content})
        (folder / "tokenizer.json").write_text(self.tokenizer.to_json(), encoding="utf-8")
        content = {
            "title": "A small language model of captions",
            "knows": "the captions of its training data, nothing else",
        }
        write_card(folder, self.config, scores, content)


def in_turns(captions: Sequence[str], count: int) -> list[str]:
    """For each caption a text that begins with it and goes on with those after it, in a circle."""
    whole = [text.replace(BETWEEN, " ") for text in captions]
    return [
        BETWEEN.join(whole[(first + place) % len(whole)] for place in range(count))
        for first in range(len(whole))
    ]


def begin_anywhere(
    batch: dict[str, Tensor], end_id: int, draw: np.random.Generator
) -> dict[str, Tensor]:
    """Cut each text at a random token up to the end of its first caption.

    Args:
        batch: tokens [B, L] and their mask [B, L].
    """
    tokens, mask = batch["tokens"], batch["mask"]  # [B, L], [B, L]
    first_end = (tokens == end_id).int().argmax(dim=1)  # [B]
    cuts = torch.from_numpy(draw.integers(first_end.numpy() + 1))  # [B]
    places = torch.arange(tokens.shape[1]) + cuts[:, None]  # [B, L]
    kept = places.clamp(max=tokens.shape[1] - 1)  # [B, L]
    real = mask.gather(1, kept) & (places < tokens.shape[1])  # [B, L]
    return {"tokens": tokens.gather(1, kept) * real, "mask": real}
