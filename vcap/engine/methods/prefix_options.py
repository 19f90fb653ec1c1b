"""Options of `vcap train prefix`, apart from the sizes of its model."""

from dataclasses import dataclass
from typing import Any

from vcap.engine.methods.adapters import LoraOptions
from vcap.engine.schedule import Amount, Count, Whole

VOCABULARY = 512


@dataclass(frozen=True)
class PrefixOptions:
    """Options of the captioner's training.

    Attributes:
        lm: folder of a trained language model, of the run that trained it or of transformers, or
            `hf:ORG/NAME`; none: one of random weights and the sizes of `lm_sizes`.
        lm_sizes: of a language model that starts from nothing; `architecture` for no GPT-2.
        vocabulary: most token ids of the tokenizer that goes with such a one.
        train_lm: whether the language model trains along; if not, only the mapper does.
        lora: adapters that train in place of the language model's own weights; null: none.
        lm_rate: what the learning rate of the language model, or of its adapters, is multiplied by.
        first_caption_only: train on the first caption of each clip, as the original does.
        aux_weight: weight of the slot loss at the start.
        aux_until: share of the training after which it is gone.
        aux_frames: ask the frames that the mapper reads for the slots too, not the prefix alone.
        feature_noise: noise on training features, in their standard deviations.
        domain_directions: how many directions, in which training clips differ least, tell known
            from unknown clips; 0: all.
        max_length: most tokens of a generated caption.
    """

    lm: str = ""
    lm_sizes: dict[str, Any] | None = None
    vocabulary: Count = VOCABULARY
    train_lm: bool = True
    lora: LoraOptions | None = None
    lm_rate: Amount = 1.0
    first_caption_only: bool = False
    aux_weight: Amount = 0.0
    aux_until: Amount = 0.5
    aux_frames: bool = False
    feature_noise: Amount = 0.0
    domain_directions: Whole = 0
    max_length: Count = 40

    def __post_init__(self) -> None:
        """Refuse two ways to train the same weights, and what would be without effect."""
        if self.lora and self.train_lm:
            raise ValueError("lora: adapters train in place of the model, want train_lm: false")
        if self.lm and self.lm_sizes:
            raise ValueError(f"lm_sizes: {self.lm} has sizes of its own; want one of the two")
        if self.lm and self.vocabulary != VOCABULARY:
            raise ValueError(f"vocabulary: {self.lm} has a tokenizer of its own")
        if self.lm_rate != 1.0 and not (self.train_lm or self.lora):
            raise ValueError("lm_rate: the language model is frozen, want train_lm: true or lora")
