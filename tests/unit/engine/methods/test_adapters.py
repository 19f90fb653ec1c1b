"""LoRA on the language model: what trains, what a checkpoint holds, and what is left at the end."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.small_models import small_lm
from tests.unit.engine.methods.test_prefix_method import LM, config, method, told, trained
from vcap.engine.captioner import load_model
from vcap.engine.checkpoint import list_checkpoints, read_tensors
from vcap.engine.interrupt import StopRequest
from vcap.engine.methods.adapters import (
    LoraOptions,
    add_adapters,
    describe_adapters,
    merge_adapters,
)
from vcap.engine.methods.prefix import PrefixMethod
from vcap.engine.reporter import Silent
from vcap.engine.train import train_method
from vcap.errors import CheckpointError, ConfigError, FeatureError
from vcap.models.lm import LmConfig, build_lm, config_from_architecture, embed, read

LLAMA = {
    "model_type": "llama",
    "vocab_size": 31,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 40,
    "bos_token_id": 30,
    "eos_token_id": 30,
}
GPT2_LAYERS = ("c_attn", "c_fc", "c_proj")
LLAMA_LAYERS = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
LORA: dict[str, Any] = {"train_lm": False, "lora": {"rank": 2}}


def some_lm(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return small_lm() if kind == "gpt2" else build_lm(config_from_architecture(LLAMA))


def logits(lm: nn.Module) -> Tensor:
    """What a model says after four words."""
    words = embed(lm, torch.arange(1, 5)[None])
    return read(lm, words, torch.ones(1, 4, dtype=torch.bool))


def stirred(lm: nn.Module) -> nn.Module:
    """A model whose adapters have learned something."""
    torch.manual_seed(1)
    for name, weight in lm.named_parameters():
        if ".lora_" in name:
            weight.data.normal_(0, 0.3)
    return lm.eval()


@pytest.mark.parametrize(("kind", "layers"), [("gpt2", GPT2_LAYERS), ("llama", LLAMA_LAYERS)])
def test_every_linear_layer_but_the_output_gets_adapters(
    kind: str, layers: tuple[str, ...]
) -> None:
    lm = some_lm(kind)
    assert add_adapters(lm, LoraOptions()) == layers
    trains = {name for name, weight in lm.named_parameters() if weight.requires_grad}
    assert {name.split(".")[-4] for name in trains} == set(layers)
    assert all(".lora_A." in name or ".lora_B." in name for name in trains)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_new_adapters_change_nothing_and_trained_ones_do(kind: str) -> None:
    lm = some_lm(kind).eval()
    before = logits(lm)
    add_adapters(lm, LoraOptions(rank=2))
    torch.testing.assert_close(logits(lm.eval()), before)
    assert not torch.allclose(logits(stirred(lm)), before, atol=1e-3)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_merged_adapters_say_the_same_in_a_plain_model(kind: str) -> None:
    lm = some_lm(kind)
    names = list(lm.state_dict())
    add_adapters(lm, LoraOptions(rank=3, alpha=5.0, dropout=0.5))
    adapted = logits(stirred(lm))
    merge_adapters(lm)
    torch.testing.assert_close(logits(lm), adapted, atol=1e-5, rtol=1e-5)
    assert list(lm.state_dict()) == names
    plain = some_lm(kind).eval()
    plain.load_state_dict(lm.state_dict())
    assert torch.equal(logits(plain), logits(lm))


def test_a_model_without_adapters_stays_as_it_is() -> None:
    lm = some_lm("gpt2").eval()
    before = logits(lm)
    merge_adapters(lm)
    assert torch.equal(logits(lm), before)


def test_only_the_layers_that_were_named_get_adapters() -> None:
    lm = some_lm("gpt2")
    assert add_adapters(lm, LoraOptions(targets=("c_attn",))) == ("c_attn",)
    trains = [name for name, weight in lm.named_parameters() if weight.requires_grad]
    assert len(trains) == 2 * 2, "two matrices for the attention of each of two blocks"
    assert all("attn.c_attn.lora_" in name for name in trains)


@pytest.mark.parametrize("target", ["q_proj", "lm_head", "wte"])
def test_a_layer_that_is_not_there_is_named_beside_those_that_are(target: str) -> None:
    with pytest.raises(ConfigError, match=rf"{target}; there are c_attn, c_fc, c_proj"):
        add_adapters(some_lm("gpt2"), LoraOptions(targets=("c_attn", target)))


def test_the_card_tells_sizes_and_layers() -> None:
    told_ = describe_adapters(LoraOptions(4, 8.0, 0.1), ["c_attn"])
    assert "LoRA (rank 4, alpha 8, dropout 0.1; c_attn)" in told_


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"lora": {"rank": 2}}, r"options: lora: .* want train_lm: false"),
        ({"lora": {}, "train_lm": True}, "want train_lm: false"),
        ({"lora": {"rank": 0}, "train_lm": False}, "lora.rank"),
        ({"lora": {"alpha": 0.0}, "train_lm": False}, "alpha: want above 0"),
        ({"lora": {"dropout": 1.0}, "train_lm": False}, "lora.dropout"),
        ({"lora": {"target": ["c_attn"]}, "train_lm": False}, "did you mean lora.targets"),
        ({"lora": {"targets": ["nothing"]}, "train_lm": False}, "options.lora.targets"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        method(tmp_path, options=options)


def lm_weights(one: PrefixMethod) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in one.captioner.lm.named_parameters()}


def test_the_adapters_have_the_language_models_rate_and_the_rest_does_not_move(
    tmp_path: Path,
) -> None:
    one = method(tmp_path, options={**LORA, "lm_rate": 0.5})
    rates = {
        id(weight): group["lr_scale"]
        for group in one.parameter_groups()
        for weight in group["params"]
    }
    adapters = [w for name, w in one.captioner.lm.named_parameters() if ".lora_" in name]
    assert {rates[id(weight)] for weight in adapters} == {0.5}
    assert {rates[id(weight)] for weight in one.captioner.mapper.parameters()} == {1.0}
    assert len(rates) == len(adapters) + len(list(one.captioner.mapper.parameters()))
    before = lm_weights(one)
    optimizer = torch.optim.SGD(one.parameter_groups(), lr=0.5)
    for index in range(2):
        sum(one.losses(one.batch(0, index)).values()).backward()  # type: ignore[union-attr]
        optimizer.step()
    moved = {name for name, w in lm_weights(one).items() if not torch.equal(w, before[name])}
    assert moved == {name for name in before if ".lora_" in name}


def test_dropout_is_active_while_adapters_train(tmp_path: Path) -> None:
    one = method(tmp_path, options={**LORA, "lm_sizes": {**LM, "dropout": 0.5}})
    one.model.train()
    batch = one.batch(0, 0)
    assert one.losses(batch)["caption"].item() != one.losses(batch)["caption"].item()


def test_a_checkpoint_holds_adapters_and_mapper_and_the_model_folder_plain_weights(
    tmp_path: Path,
) -> None:
    trained(tmp_path, options=LORA)
    kept = list_checkpoints(tmp_path / "run" / "checkpoints")
    names = list(read_tensors(kept[2] / "model.safetensors"))
    assert any(".lora_A." in name for name in names)
    assert not [name for name in names if ".lm." in name and ".lora_" not in name]
    exported = read_tensors(tmp_path / "run" / "model" / "model.safetensors")
    assert not [name for name in exported if "lora" in name or "base_layer" in name]
    plain = build_lm(LmConfig(**told(tmp_path)["lm"])).state_dict()
    ours = {name.removeprefix("lm.") for name in exported if name.startswith("lm.")}
    assert plain.keys() - ours <= {"lm_head.weight"}, "tied, and stored once"
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "LoRA (rank 2, alpha 16, dropout 0; c_attn, c_fc, c_proj), merged" in card


@pytest.mark.parametrize("weights", ["fp32", "fp16"])
def test_the_merged_model_is_the_one_that_was_scored(tmp_path: Path, weights: str) -> None:
    options = {**LORA, "lm_rate": 20.0}
    result = trained(tmp_path, options=options, train={"steps": 8, "weights": weights})
    again = method(tmp_path, options={"train_lm": False})
    exported = read_tensors(tmp_path / "run" / "model" / "model.safetensors")
    again.captioner.load_state_dict(exported, strict=False)
    again.model.eval()
    with torch.no_grad():
        found = again.test_metrics()
    assert found["test/loss"] == pytest.approx(result.scores["test/loss"], rel=1e-5)
    untouched = method(tmp_path, options={"train_lm": False}).captioner.lm.state_dict()
    name = "transformer.h.0.attn.c_attn.weight"
    assert not torch.allclose(exported[f"lm.{name}"].float(), untouched[name], atol=1e-3)


class Stopper(Silent):
    """Asks for a stop after so many lines of the log."""

    def __init__(self, stop: StopRequest) -> None:
        super().__init__()
        self.stop = stop

    def detail(self, text: str) -> None:
        self.stop.request()


def test_a_run_that_was_stopped_and_goes_on_ends_with_the_same_bytes(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "options": {**LORA, "lora": {"rank": 2, "dropout": 0.2}},
        "train": {"steps": 4, "log_every": 1},
    }
    settings = config(tmp_path, **changes)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_method(settings, whole, reporter=Silent())
    for _ in range(4):
        with StopRequest() as stop:
            done = train_method(settings, parts, reporter=Stopper(stop), resume=True, stop=stop)
    assert done.scores
    assert len((parts / "timing.jsonl").read_text().split('"start"')) > 2, "it was interrupted"
    for name in ("metrics.jsonl", "scores.json", "model/model.safetensors"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name


def test_features_of_another_encoder_are_refused_when_a_run_goes_on(tmp_path: Path) -> None:
    first = method(tmp_path)
    state = json.loads(json.dumps(first.extra_state()))
    first.load_extra_state(state)
    first.load_extra_state({})  # of a checkpoint of an earlier version
    header = tmp_path / "store" / "store.json"
    content = json.loads(header.read_text())
    content["fingerprint"]["encoder"].update(name="another", weights="1")
    header.write_text(json.dumps(content))
    told_ = 'features of another, the run was trained on those of made-up: weights: "1" here'
    with pytest.raises(FeatureError, match=told_):
        method(tmp_path).load_extra_state(state)


def test_a_captioner_with_merged_adapters_is_loaded_without_peft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    trained(tmp_path, options=LORA)
    config_path = tmp_path / "run" / "model" / "config.json"
    content = json.loads(config_path.read_text())
    content["encoder"] = {"name": "tiny", "features": "embedding"}
    content["model"]["feature_width"] = 8
    config_path.write_text(json.dumps(content))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CheckpointError, match="its features have another width"):
        load_model(str(tmp_path / "run"), device="cpu")
