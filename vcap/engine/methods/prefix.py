"""`vcap train prefix`: a captioner that turns features into a language model's first words.

Source: Mokady et al., "ClipCap", arXiv:2111.09734. **Departures**, each an option: all references
take turns; the language model learns where a caption ends; it may be trained on captions
before, or adapted by LoRA; a slot loss on the prefix helps at the start and is ramped down to
nothing.
Shapes: B clips, T frames, D feature width, P prefix, W language-model width, L tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vcap.engine.domain import Domain, fit_domain, save_domain
from vcap.engine.fingerprint import refuse_other_encoder
from vcap.engine.methods import always
from vcap.engine.methods.adapters import add_adapters, describe_adapters, merge_adapters
from vcap.engine.methods.export import (
    all_tensors,
    bundled_encoder,
    decay_groups,
    write_card,
    write_config,
    write_weights,
)
from vcap.engine.methods.language import Language, load_language, new_language
from vcap.engine.methods.prefix_options import PrefixOptions
from vcap.engine.methods.slots import SlotTable, mean_and_most, slot_loss
from vcap.engine.run import Run
from vcap.engine.schedule import TrainConfig
from vcap.engine.settings import fill
from vcap.engine.trainer import round_weights
from vcap.engine.training_data import (
    Example,
    FeatureTable,
    Indices,
    Splits,
    TokenTable,
    dice,
    open_stores,
    permutation,
    with_features,
)
from vcap.errors import ConfigError
from vcap.features.store import FeatureStore
from vcap.models.generation import GenerationSettings, generate
from vcap.models.prefix import PrefixCaptioner, PrefixConfig

HELD_OUT_QUANTILE = 0.99  # of the distances of clips that were not trained on ...
HELD_OUT_MARGIN = 1.25  # ... and how much farther a clip may lie without a warning
Stores = Sequence[FeatureStore]
Encode = Callable[[str], list[int]]


class Part:
    """One split: its examples, features, captions and slots."""

    def __init__(self, examples: list[Example], stores: Stores, encode: Encode) -> None:
        self.examples = examples
        self.features = FeatureTable(stores, [one.record.id for one in examples])
        self.tokens = TokenTable([one.texts for one in examples], encode)
        self.truths = [one.meta for one in examples]

    def __len__(self) -> int:
        return len(self.examples)


class Trainee(nn.Module):
    """The captioner, and the heads of the slot loss that are not exported."""

    def __init__(
        self, captioner: PrefixCaptioner, num_values: dict[str, int], aux_frames: bool
    ) -> None:
        super().__init__()
        self.captioner = captioner
        sizes = captioner.config
        frame_width = sizes.lm_width if sizes.temporal_kernel else sizes.feature_width
        self.heads = _heads(sizes.lm_width, num_values)
        self.frame_heads = _heads(2 * frame_width, num_values if aux_frames else {})


def _heads(width: int, num_values: dict[str, int]) -> nn.ModuleDict:
    return nn.ModuleDict({name: nn.Linear(width, count) for name, count in num_values.items()})


class PrefixMethod:
    """Caption loss of a prefix captioner on stored features."""

    name = "prefix"
    reads_features = staticmethod(always)

    def __init__(self, config: TrainConfig, data: Splits, run: Run) -> None:
        self.config, self.run = config, run
        self.options = fill(PrefixOptions, config.options, "options")
        self.stores = open_stores(config.data.features)
        train = with_features(data.train, self.stores, run.reporter)
        val = with_features(data.val, self.stores, run.reporter)
        self.language = self._language(train)
        self.sizes = fill(PrefixConfig, config.model, "model")
        encode = partial(self.language.encode, end_token=self.sizes.end_token)
        self.train_part = Part(train, self.stores, encode)
        self.val_part = Part(val, self.stores, encode) if val else None
        self.test_parts = {
            name: Part(kept, self.stores, encode)
            for name, rows in data.test.items()
            if (kept := with_features(rows, self.stores, run.reporter))
        }
        self.slots = SlotTable(self.train_part.truths, [one.texts for one in train])
        self.best = ("mean", "max") if self.val_part and self.slots.names else ("loss", "min")
        self.model: nn.Module = self._build()
        self.noise_scale = self.train_part.features.moments()[1] * self.options.feature_noise

    @property
    def captioner(self) -> PrefixCaptioner:
        """What is exported."""
        assert isinstance(self.model, Trainee)
        return self.model.captioner

    def _language(self, train: list[Example]) -> Language:
        if self.options.lm:
            return load_language(self.options.lm)
        texts = [text for one in train for text in one.texts]
        return new_language(texts, self.options.vocabulary, self.options.lm_sizes or {})

    def _build(self) -> Trainee:
        sizes = self._found_sizes()
        room = self.language.sizes.num_positions - sizes.prefix_length
        if self.train_part.tokens.longest > room:
            raise ConfigError(
                f"options.lm: captions of up to {self.train_part.tokens.longest} tokens and a "
                f"prefix of {sizes.prefix_length} exceed its {self.language.sizes.num_positions} "
                "positions"
            )
        if sizes.pooled and self.options.aux_frames:
            raise ConfigError(
                "options.aux_frames: a pooled clip has no frames to ask for the slots"
            )
        captioner = PrefixCaptioner(sizes, self.language.model)
        if self.options.lora:
            self.adapted = add_adapters(captioner.lm, self.options.lora)
        elif not self.options.train_lm:
            captioner.freeze_lm()
        if sizes.standardise:
            mean, std = self.train_part.features.moments()
            captioner.feature_mean.copy_(mean)
            captioner.feature_std.copy_(std)
        num_values = self.slots.num_values if self.options.aux_weight else {}
        return Trainee(captioner, num_values, self.options.aux_frames)

    def _found_sizes(self) -> PrefixConfig:
        """Sizes as asked for, with those that follow from the features and the language model."""
        found: dict[str, Any] = {
            "feature_width": self.train_part.features.width,
            "clip_length": self._clip_length(),
            "lm_width": self.language.sizes.width,
        }
        for name, value in found.items():
            if self.config.model.get(name, value) != value:
                whose = "the language model" if name == "lm_width" else str(self.stores[0].folder)
                raise ConfigError(
                    f"model.{name}: the config asks for {self.config.model[name]}, {whose} has "
                    f"{value}",
                    hint=f"--set model.{name}={value}, which takes it as it is",
                )
        try:
            return replace(self.sizes, **found)
        except ValueError as error:
            raise ConfigError(f"model.{error}") from error

    def _clip_length(self) -> int:
        """Frames the mapper reads of a clip; of a pooled clip, the tokens that were asked for."""
        return self.sizes.clip_length if self.sizes.pooled else self.train_part.features.longest

    @property
    def num_batches(self) -> int:
        """Whole batches of an epoch; a clip comes once an epoch."""
        return max(1, len(self.train_part) // self.config.train.batch_size)

    def batch(self, epoch: int, index: int) -> dict[str, Tensor]:
        """Clips of the epoch's order, each with one of its captions."""
        size, seed = self.config.train.batch_size, self.config.train.seed
        order = permutation(seed, epoch, len(self.train_part))
        clips = order[index * size : (index + 1) * size]
        draw = dice(seed, epoch, index)
        tokens = self.train_part.tokens
        rows = tokens.first(clips) if self.options.first_caption_only else tokens.draw(clips, draw)
        batch = self._gather(self.train_part, clips, rows)
        if self.options.feature_noise:
            shape = batch["features"].shape
            noise = torch.from_numpy(draw.standard_normal(shape, dtype=np.float32))
            batch["features"] += noise * self.noise_scale
        return batch

    def _gather(self, part: Part, clips: Indices, rows: Indices) -> dict[str, Tensor]:
        features, times, mask = part.features.gather(clips)
        tokens, token_mask = part.tokens.gather(rows)
        batch = {"features": features, "times": times, "mask": mask}
        batch |= {"tokens": tokens, "token_mask": token_mask}
        if part is self.train_part and self.options.aux_weight:
            batch["slots"] = torch.from_numpy(self.slots.values[clips])
        return batch

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The language model with its own rate, everything else with the plain one."""
        assert isinstance(self.model, Trainee)
        rest: list[nn.Module] = [self.captioner.mapper, self.model.heads, self.model.frame_heads]
        if self.captioner.convolution is not None:
            rest.append(self.captioner.convolution)
        groups = decay_groups(nn.ModuleList(rest))
        return groups + decay_groups(self.captioner.lm, self.options.lm_rate)

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The caption loss, and the slot losses where they are asked for."""
        assert isinstance(self.model, Trainee)
        captioner, mask = self.captioner, batch["mask"]
        frames = captioner.frame_tokens(batch["features"], mask)  # [B, T, D or W]
        prefix = captioner.mapper(frames, batch["times"], mask)  # [B, P, W]
        logits = captioner.read(prefix, batch["tokens"], batch["token_mask"])
        terms = {"caption": captioner.loss(logits, batch["tokens"], batch["token_mask"])}
        if "slots" in batch:
            terms["slots"] = slot_loss(self.model.heads, prefix.mean(dim=1), batch["slots"])
        if "slots" in batch and self.options.aux_frames:
            pooled = mean_and_most(frames, mask)
            terms["frame_slots"] = slot_loss(self.model.frame_heads, pooled, batch["slots"])
        return terms

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        """The slot losses fade out evenly."""
        done = step / max(1.0, self.options.aux_until * total)
        weight = self.options.aux_weight * max(0.0, 1.0 - done)
        return {"slots": weight, "frame_slots": weight}

    def validation_metrics(self) -> dict[str, float]:
        """Loss, and what generated captions say of the slots."""
        return {} if self.val_part is None else self._scores(self.val_part)

    def test_metrics(self) -> dict[str, float]:
        """The same on each test part, beside what the most frequent values would reach."""
        self._merge()
        scores: dict[str, float] = {}
        for name, part in self.test_parts.items():
            scores |= {f"{name}/{key}": value for key, value in self._scores(part).items()}
            baseline = self.slots.majority(part.truths)
            scores |= {f"{name} majority/{key}": value for key, value in baseline.items()}
        return scores

    def _scores(self, part: Part) -> dict[str, float]:
        scores = {"loss": self._loss(part)}
        if self.slots.names:
            scores |= self.slots.accuracy(self.captions(part), part.truths)
        return scores

    def _loss(self, part: Part) -> float:
        """Mean caption loss over the clips' first captions."""
        total, count = 0.0, 0
        for batch in self._batches(part):
            logits = self.captioner(
                batch["features"],
                batch["times"],
                batch["mask"],
                batch["tokens"],
                batch["token_mask"],
            )
            loss = self.captioner.loss(logits, batch["tokens"], batch["token_mask"])
            counted = self.captioner.counted(batch["tokens"], batch["token_mask"])
            num_tokens = int(counted.sum())
            total, count = total + float(loss) * num_tokens, count + num_tokens
        return total / max(1, count)

    def captions(self, part: Part) -> list[str]:
        """One generated caption a clip."""
        settings = GenerationSettings(strategy="greedy", max_length=self.options.max_length)
        texts = []
        for batch in self._batches(part):
            prefix = self.captioner.prefix(batch["features"], batch["times"], batch["mask"])
            stop = [self.language.stop_id(self.sizes.end_token)]
            for words in generate(self.captioner.reader(), prefix, stop, settings):
                texts.append(self.language.tokenizer.decode(words[0].ids))
        return texts

    def _batches(self, part: Part) -> Any:
        device = next(self.model.parameters()).device
        for start in range(0, len(part), 64):
            clips = np.arange(start, min(start + 64, len(part)))
            batch = self._gather(part, clips, part.tokens.first(clips))
            yield {name: tensor.to(device) for name, tensor in batch.items()}

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

    def _merge(self) -> None:
        """End the training of adapters: they become part of the weights that are scored."""
        merge_adapters(self.captioner.lm)
        if self.options.lora and self.config.train.weights == "fp16":
            round_weights(self.captioner.lm)

    def export(self, folder: Path, scores: dict[str, float]) -> None:
        """Write weights, sizes, tokenizer, what the model knows, and the card."""
        self._merge()
        write_weights(folder, all_tensors(self.captioner), self.config)
        domain = self._domain()
        save_domain(domain, folder / "domain.safetensors")
        made_by = self.stores[0].fingerprint
        write_config(
            folder,
            {
                "method": self.name,
                "model": asdict(self.captioner.config),
                "lm": asdict(self.language.sizes),
                "encoder": bundled_encoder(folder, made_by["encoder"]),
                "sampler": made_by["sampler"],
                "end_token": self.language.tokenizer.end_id if self.sizes.end_token else None,
                "domain": {"threshold": domain.threshold},
            },
        )
        self.language.tokenizer.save(folder)
        card = {
            "title": "A prefix captioner",
            "knows": "videos and words like those of its training data, nothing else",
            "departures": self._departures(),
        }
        write_card(folder, self.config, scores, card)

    def _domain(self) -> Domain:
        """Where training clips lie; the threshold lets clips pass that were not trained on."""
        pooled = self.train_part.features.clip_means()  # [N, D]
        domain = fit_domain(pooled, directions=self.options.domain_directions)
        if self.val_part is None:
            return domain
        held_out = [domain.distance(row[None]) for row in self.val_part.features.clip_means()]
        usual = float(np.quantile(held_out, HELD_OUT_QUANTILE))
        return replace(domain, threshold=max(domain.threshold, HELD_OUT_MARGIN * usual))

    def _departures(self) -> list[str]:
        sizes, options = self.captioner.config, self.options
        told = {
            "the end of a caption is learned as a token": sizes.end_token,
            "all references of a clip take turns": not options.first_caption_only,
            "frame times are added to the frame tokens": sizes.frame_times,
            f"a convolution over {sizes.temporal_kernel} frames": sizes.temporal_kernel > 0,
            "the language model was trained on captions first": bool(options.lm),
            "features are standardised by the training set": sizes.standardise,
            "the slot loss asks the frame tokens too": options.aux_frames,
            f"a slot loss of weight {options.aux_weight}, gone after {options.aux_until:.0%} of "
            "the training": options.aux_weight > 0,
        }
        lora = [describe_adapters(options.lora, self.adapted)] if options.lora else []
        return lora + [sentence for sentence, is_so in told.items() if is_so]
