"""Language models of other kinds: from a folder of transformers, or from a config alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Library
from transformers import PreTrainedTokenizerFast

from tests.small_models import TEXTS
from tests.unit.engine.captioned import captions
from tests.unit.engine.methods.test_prefix_method import MODEL, method, told, trained
from vcap.engine.captioner import FrameFeatures, load_model
from vcap.engine.checkpoint import read_tensors
from vcap.engine.methods.adapters import LoraOptions
from vcap.engine.methods.language import load_language, new_language
from vcap.engine.methods.prefix import PrefixOptions
from vcap.engine.reporter import Silent
from vcap.engine.schedule import TrainConfig
from vcap.engine.settings import fill
from vcap.engine.tokenizers import load_tokenizer
from vcap.engine.train import train_method
from vcap.errors import CheckpointError, ConfigError
from vcap.models.lm import build_lm, config_from_architecture

SMALL = {"num_attention_heads": 2, "num_hidden_layers": 1, "max_position_embeddings": 40}
KINDS: dict[str, dict[str, Any]] = {
    "llama": {"hidden_size": 16, "intermediate_size": 24, **SMALL},
    "opt": {"hidden_size": 16, "ffn_dim": 24, "word_embed_proj_dim": 8, **SMALL},
    "gpt_neo": {
        "hidden_size": 16,
        "num_heads": 2,
        "num_layers": 2,
        "attention_types": [[["global", "local"], 1]],
        "max_position_embeddings": 40,
    },
}


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Whole words, pieced together with blanks, and marks unlike ours."""
    words = sorted({word for text in TEXTS for word in text.rstrip(".").split()} | {"."})
    marks = ["<unk>", "<s>", "</s>"]
    vocabulary = [(f"▁{word}", -1.0) for word in words] + [(chr(n), -9.0) for n in range(97, 123)]
    library = Library(models.Unigram([*((m, 0.0) for m in marks), ("▁", -5.0), *vocabulary], 0))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoders.Metaspace()
    library.add_special_tokens([AddedToken(mark, special=True) for mark in marks])
    return PreTrainedTokenizerFast(
        tokenizer_object=library, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def folder_of(path: Path, kind: str, **changes: Any) -> Path:
    """A folder as transformers keeps it."""
    tokenizer = word_tokenizer()
    tokenizer.save_pretrained(path)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    torch.manual_seed(0)
    given = {"model_type": kind, "vocab_size": 64, **KINDS[kind], **ids, **changes}
    model: Any = build_lm(config_from_architecture(given))
    model.half().save_pretrained(path)
    return path


@pytest.mark.parametrize("prefix", ["", "hf:"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_transformers_is_read_with_its_tokenizer(
    tmp_path: Path, kind: str, prefix: str
) -> None:
    folder = folder_of(tmp_path / kind, kind)
    found = load_language(f"{prefix}{folder}")
    assert found.sizes.architecture is not None
    assert found.sizes.architecture["model_type"] == kind
    assert found.sizes.vocabulary == 64
    assert {weight.dtype for weight in found.model.parameters()} == {torch.float32}
    source = read_tensors(folder / "model.safetensors")
    ours = found.model.state_dict()
    assert all(torch.equal(ours[name], tensor.float()) for name, tensor in source.items())
    ids = found.encode("a small red star spins", end_token=True)
    assert ids[-1] == found.tokenizer.end_id == found.stop_id(True) == 2
    assert found.tokenizer.decode(ids) == "a small red star spins"


@pytest.mark.parametrize("kind", KINDS)
def test_a_captioner_on_another_kind_is_trained_saved_and_loaded_again(
    tmp_path: Path, kind: str
) -> None:
    folder = folder_of(tmp_path / kind, kind)
    options = {"lm": str(folder), "train_lm": False, "lora": {"rank": 2}}
    model = {**MODEL, "num_heads": 2}
    trained(tmp_path, options=options, model=model)
    run = tmp_path / "run" / "model"
    assert told(tmp_path)["lm"]["architecture"]["model_type"] == kind
    assert told(tmp_path)["end_token"] == 2
    here, there = load_tokenizer(run), load_language(str(folder)).tokenizer
    text = "a large blue circle grows"
    assert here.encode(text) == there.encode(text)
    assert (here.end_id, here.pad_id, here.size) == (there.end_id, there.pad_id, there.size)
    bundle(run, told(tmp_path))
    first, second = (load_model(str(tmp_path / "run"), device="cpu") for _ in range(2))
    clip = FrameFeatures(torch.randn(4, 8).numpy(), torch.arange(4.0).numpy())
    made = first.generate([clip, clip])
    assert made == second.generate([clip, clip])
    assert made[0] == made[1]
    assert "</s>" not in made[0][0].text


def bundle(run: Path, content: dict[str, Any]) -> None:
    """Give a captioner trained on made-up features an encoder of the same width."""
    from tests.small_models import write_encoder

    write_encoder(run / "encoder")
    content["encoder"] = {"name": "encoder", "features": "embedding"}
    (run / "config.json").write_text(json.dumps(content))


def test_a_language_model_of_another_kind_starts_from_nothing(tmp_path: Path) -> None:
    sizes = {"architecture": {"model_type": "llama", **KINDS["llama"]}}
    one = method(tmp_path, options={"lm_sizes": sizes})
    tokenizer = one.language.tokenizer
    assert one.language.sizes.vocabulary == tokenizer.size
    lm: Any = one.captioner.lm
    assert (lm.config.model_type, lm.config.eos_token_id) == ("llama", tokenizer.end_id)
    loss = one.losses(one.batch(0, 0))["caption"]
    loss.backward()  # type: ignore[no-untyped-call]
    weight = lm.get_input_embeddings().weight
    assert weight.grad is not None
    assert torch.isfinite(loss)
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        ({"architecture": {"model_type": "llama"}, "width": 8}, "beside it are width"),
        ({"architecture": {"model_type": "clip"}}, "no causal language model .* is a clip"),
        ({"architecture": {"model_type": "bert", **KINDS["llama"]}}, "cannot read word by word"),
        ({"architecture": 3}, "architecture"),
    ],
)
def test_an_architecture_that_makes_no_sense_is_refused_by_its_key(
    sizes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=rf"options\.lm_sizes.*{complaint}"):
        new_language(TEXTS, 300, sizes)


def test_captions_as_text_are_learned_by_another_kind_and_taken_up(tmp_path: Path) -> None:
    lm = TrainConfig.model_validate(
        {
            "method": "lm",
            "model": {"architecture": {"model_type": "llama", **KINDS["llama"]}},
            "options": {"vocabulary": 300},
            "data": {"train": str(captions(tmp_path))},
            "train": {"steps": 2, "batch_size": 12, "device": "cpu"},
        }
    )
    train_method(lm, tmp_path / "lm", reporter=Silent())
    weights = read_tensors(tmp_path / "lm" / "model" / "model.safetensors")
    one = method(tmp_path, options={"lm": str(tmp_path / "lm"), "train_lm": False})
    ours = one.captioner.lm.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in weights.items())


def edited(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def test_a_folder_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    folder = edited(folder_of(tmp_path / "llama", "llama"), num_hidden_layers=2)
    with pytest.raises(CheckpointError, match=r"lacks weights of its model: model\.layers\.1"):
        load_language(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_language(str(folder))


def test_loading_writes_nothing_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path / "llama", "llama")
    capfd.readouterr()
    load_language(str(folder))
    with pytest.raises(CheckpointError, match="lacks weights"):
        load_language(str(edited(folder, num_hidden_layers=2)))
    assert capfd.readouterr() == ("", "")


def test_a_tokenizer_with_more_ids_than_the_model_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "llama", "llama", vocab_size=20)
    with pytest.raises(CheckpointError, match=r"its tokenizer has \d+ ids, its model knows 20"):
        load_language(str(folder))


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "llama", "llama")
    edited(folder, quantization_config={"quant_method": "awq", "bits": 4})
    with pytest.raises(CheckpointError, match="quantised"):
        load_language(str(folder))


def test_a_folder_that_asks_for_its_own_code_is_refused_and_nothing_is_run(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "own", "llama")
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    auto_map = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    edited(folder, model_type="homemade", auto_map=auto_map)
    with pytest.raises(CheckpointError, match="own cannot be read"):
        load_language(str(folder))
    assert not (tmp_path / "ran").exists()


def test_a_captioner_is_no_language_model(tmp_path: Path) -> None:
    trained(tmp_path)
    with pytest.raises(CheckpointError, match="a model of kind prefix, want lm"):
        load_language(str(tmp_path / "run"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_language(str(tmp_path / "empty"))


def test_weights_of_other_sizes_are_told_by_key_wanted_and_found_shape(tmp_path: Path) -> None:
    trained(tmp_path)
    content = told(tmp_path)
    content["model"]["prefix_length"] = 5
    run = tmp_path / "run" / "model"
    (run / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"mapper\.constants \[4, 32\] for \[5, 32\]"):
        load_model(str(run), device="cpu")
    content["model"].update(prefix_length=4, mapper="mlp")
    (run / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"missing: mapper\.hidden\.weight.*unknown: mapper"):
        load_model(str(run), device="cpu")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"architecture": {"model_type": "homemade"}}, "no causal language model"),
        ({"architecture": {"model_type": "llama", **KINDS["llama"]}}, "says another"),
        ({"architecture": "llama"}, "architecture"),
    ],
)
def test_a_captioners_architecture_that_was_edited_wrongly_is_told(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    trained(tmp_path)
    content = told(tmp_path)
    content["lm"].update(changes)
    (tmp_path / "run" / "model" / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=rf"config\.json: .*{complaint}"):
        load_model(str(tmp_path / "run"), device="cpu")


def test_lora_is_asked_for_on_the_command_line(tmp_path: Path) -> None:
    from vcap.engine.train import resolve

    wishes = ["options.train_lm=false", "options.lora.rank=4", "options.lora.targets=[c_attn]"]
    found = resolve("prefix", overrides=[*wishes, "data.train=m.jsonl"])
    options = fill(PrefixOptions, found.options, "options")
    assert options.lora == LoraOptions(rank=4, targets=("c_attn",))
    off = resolve("prefix", overrides=["options.lora=null", "data.train=m.jsonl"])
    assert fill(PrefixOptions, off.options, "options").lora is None
