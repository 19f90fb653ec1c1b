"""The prefix captioner gives the numbers of the original MSR-VTT system.

Recorded data: `golden/prefix`, with its README. Tolerances are that README's: mapper 1e-5
absolute, logits 1e-5 + 1e-5 relative, loss 1e-5, gradient norms 1e-4 relative, beam scores 1e-5,
ids exact; training runs 5e-3 relative on losses and 1e-2 on final norms, since torch's AdamW adds
its eps at another place than the original's.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vcap.models.generation import GenerationSettings, generate
from vcap.models.lm import LmConfig, build_lm
from vcap.models.prefix import PrefixCaptioner, PrefixConfig, from_original, to_original

pytestmark = pytest.mark.parity

MAPPERS = {"self": "transformer"}  # the others are called as here


@dataclass
class Case:
    """One recorded variant: what it was built from, what went in and what came out."""

    recorded: dict[str, Any]
    settings: dict[str, Any]
    lm: dict[str, Any]
    weights: dict[str, Tensor]
    tensors: dict[str, Tensor]
    name: str

    def build(self) -> PrefixCaptioner:
        """A captioner with the recorded weights."""
        config = PrefixConfig(
            mapper=MAPPERS.get(self.name, self.name),  # type: ignore[arg-type]
            feature_width=self.settings["prefix_size"],
            prefix_length=self.recorded["prefix_length"],
            clip_length=self.settings["frames"],
            num_layers=self.settings["num_layers"],
            lm_width=self.lm["n_embd"],
            end_token=False,
        )
        sizes = LmConfig(
            self.lm["vocab_size"],
            self.lm["n_positions"],
            self.lm["n_embd"],
            self.lm["n_layer"],
            self.lm["n_head"],
            dropout=self.lm["resid_pdrop"],
        )
        model = PrefixCaptioner(config, build_lm(sizes))
        model.load_state_dict(from_original(self.weights))
        return model.eval()

    @property
    def clips(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features, times and mask; the original knows no times and no padding."""
        features = self.tensors["features"]
        shape = features.shape[:2]
        return features, torch.zeros(shape), torch.ones(shape, dtype=torch.bool)

    @property
    def words(self) -> tuple[Tensor, Tensor]:
        """Tokens and their mask."""
        length = self.recorded["prefix_length"]
        return self.tensors["tokens"], self.tensors["mask"][:, length:].bool()

    def loss(self, model: PrefixCaptioner) -> Tensor:
        """The training loss of the recorded batch."""
        return model.loss(model(*self.clips, *self.words), *self.words)


def read_cases(folder: Path) -> dict[str, Case]:
    """Every case of the folder."""
    golden = json.loads((folder / "golden.json").read_text())
    return {
        name: Case(
            recorded,
            golden["params"],
            golden["gpt2_config"],
            load_file(folder / f"{name}_state.safetensors"),
            load_file(folder / f"{name}_io.safetensors"),
            name,
        )
        for name, recorded in golden["cases"].items()
    }


@pytest.fixture(scope="module")
def cases(golden_root: Path) -> list[Case]:
    """The recorded variants, whatever the folder holds."""
    found = list(read_cases(golden_root / "prefix").values())
    assert found, "the folder holds no case"
    return found


@pytest.fixture
def attentive(cases: list[Case]) -> list[Case]:
    """Those with an attention mapper."""
    found = [case for case in cases if "attention_layer0" in case.tensors]
    assert found
    return found


def close(ours: Tensor, theirs: Tensor, absolute: float = 1e-5, relative: float = 0.0) -> None:
    """Assert equality within a tolerance."""
    torch.testing.assert_close(ours, theirs, atol=absolute, rtol=relative)


def test_weights_go_to_our_names_and_back_without_change(cases: list[Case]) -> None:
    for case in cases:
        back = to_original(case.build().state_dict())
        wanted = case.recorded["state_dict_keys"]
        assert {name: [*value.shape] for name, value in back.items()} == wanted
        for name, value in case.weights.items():
            assert torch.equal(back[name], value), name


def test_parts_have_as_many_parameters_as_the_originals(cases: list[Case]) -> None:
    for case in cases:
        model = case.build()
        counts = {
            "clip_project": sum(p.numel() for p in model.mapper.parameters()),
            "gpt": sum(p.numel() for p in model.lm.parameters()),
        }
        assert counts == case.recorded["n_params"]


def test_the_mapper_gives_the_recorded_prefix(cases: list[Case]) -> None:
    for case in cases:
        with torch.no_grad():
            close(case.build().prefix(*case.clips), case.tensors["mapper_out"])


def test_the_first_layer_sees_what_the_original_saw(attentive: list[Case]) -> None:
    for case in attentive:
        mapper: Any = case.build().mapper
        features, times, mask = case.clips
        with torch.no_grad():
            tokens = mapper.tokens(features, times, mask)
            close(tokens, case.tensors["mapper_linear_out"])
            constants = mapper.constants.expand(len(tokens), -1, -1)
            is_cross = case.name == "cross"
            x = constants if is_cross else torch.cat([tokens, constants], dim=1)
            source = tokens if is_cross else None
            layer = mapper.layers[0]
            close(layer(x, source), case.tensors["layer0_out"])
            attention = layer.attention
            normed = layer.norm1(x)
            keys, _ = attention.to_keys_values(source if is_cross else normed).chunk(2, dim=-1)
            heads = attention.heads
            weights = attention.weights(heads(attention.to_queries(normed)), heads(keys))
            close(weights.permute(0, 2, 3, 1), case.tensors["attention_layer0"])


def test_logits_and_loss_are_the_recorded_ones(cases: list[Case]) -> None:
    for case in cases:
        model = case.build()
        with torch.no_grad():
            logits = model(*case.clips, *case.words)
            close(logits, case.tensors["logits"], 1e-5, 1e-5)
            close(model.loss(logits, *case.words), case.tensors["loss"])
            close(model.loss(logits, *case.words), torch.tensor(case.recorded["loss"]))


def test_a_real_token_of_id_0_is_not_counted_as_in_the_original(cases: list[Case]) -> None:
    for case in cases:
        tokens, mask = case.words
        assert ((tokens == 0) & mask).any(), "the recorded batch has such a token"
        logits = case.tensors["logits"]
        changed = logits.clone()
        row, place = ((tokens == 0) & mask).nonzero()[0].tolist()
        changed[row, case.recorded["prefix_length"] + place - 1] += torch.arange(97.0)
        model = case.build()
        assert torch.equal(model.loss(changed, tokens, mask), model.loss(logits, tokens, mask))


def norms(model: PrefixCaptioner, of: Callable[[Tensor], Tensor | None]) -> dict[str, float]:
    """Norm of something of each parameter, under the original's names."""
    named = {name: of(value) for name, value in model.named_parameters()}
    found = to_original({name: value for name, value in named.items() if value is not None})
    return {name: float(value.detach().norm()) for name, value in found.items()}


def test_gradients_have_the_recorded_norms(cases: list[Case]) -> None:
    for case in cases:
        model = case.build()
        case.loss(model).backward()
        ours = norms(model, lambda weight: weight.grad)
        assert ours == pytest.approx(case.recorded["grad_norm_per_parameter"], rel=1e-4, abs=1e-8)
        for part, wanted in case.recorded["grad_norm"].items():
            total = sum(v**2 for name, v in ours.items() if name.startswith(part)) ** 0.5
            assert total == pytest.approx(wanted, rel=1e-4)


def settings_of(item: dict[str, Any]) -> GenerationSettings:
    """What a recorded generation was asked for, in our words."""
    is_beam = item["algo"] == "generate_beam"
    num_beams = item["beam_size"] if is_beam else 1
    return GenerationSettings(
        strategy="beam" if is_beam else "greedy",
        num_beams=num_beams,
        num_return=num_beams,
        max_length=item["entry_length"],
        temperature=item["temperature"],
    )


def test_every_recorded_caption_comes_out_word_for_word(cases: list[Case]) -> None:
    for case in cases:
        model = case.build()
        assert case.recorded["generations"]
        for item in case.recorded["generations"]:
            prefix = case.tensors["mapper_out"][item["row"]][None]
            stop = [item["stop_token_id"]]
            words = generate(model.reader(), prefix, stop, settings_of(item))[0]
            if item["algo"] == "generate2":
                assert list(words[0].ids) == item["ids"]
                continue
            assert [list(one.ids) for one in words] == item["ids"]
            assert [one.score for one in words] == pytest.approx(item["scores"], abs=1e-5)
            assert [len(one.ids) for one in words] == item["lengths"]


def test_captions_do_not_change_when_clips_are_decoded_together(cases: list[Case]) -> None:
    for case in cases:
        model = case.build()
        groups = defaultdict(list)
        for item in case.recorded["generations"]:
            groups[settings_of(item), item["stop_token_id"]].append(item)
        for (settings, stop), items in groups.items():
            rows = torch.tensor([item["row"] for item in items])
            together = generate(model.reader(), case.tensors["mapper_out"][rows], [stop], settings)
            for item, words in zip(items, together, strict=True):
                ids = [list(one.ids) for one in words]
                assert (ids if item["algo"] == "generate_beam" else ids[0]) == item["ids"]


@pytest.mark.parametrize("run", ["train_full", "train_prefix_only"])
def test_six_steps_of_training_follow_the_recorded_run(cases: list[Case], run: str) -> None:
    for case in cases:
        recorded = case.recorded[run]
        model = case.build().train()
        if run == "train_prefix_only":
            model.freeze_lm()
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=recorded["lr"], eps=1e-6, weight_decay=0.0)
        total = recorded["epochs"] * recorded["batches_per_epoch"]
        losses = []
        for step in range(total):
            warm = step / recorded["warmup_steps"]
            rest = (total - step) / (total - recorded["warmup_steps"])
            for group in optimizer.param_groups:
                group["lr"] = recorded["lr"] * min(warm, rest, 1.0)
            loss = case.loss(model)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
        assert losses == pytest.approx(recorded["losses"], rel=5e-3)
        ours = norms(model, lambda weight: weight)
        wanted = {name: recorded["final_param_norms"][name] for name in ours}
        assert ours == pytest.approx(wanted, rel=1e-2)
        lm = from_original(case.weights)["lm.transformer.wte.weight"]
        changed = not torch.equal(lm, model.lm.get_input_embeddings().weight)  # type: ignore[operator]
        assert changed == recorded["gpt_changed"]
