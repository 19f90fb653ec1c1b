"""The language model: its sizes, and reading with remembered keys and values."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import nn

from tests.small_models import small_lm
from vcap.models.generation import GenerationSettings, generate
from vcap.models.lm import (
    CachedReader,
    LmConfig,
    build_lm,
    check_lm,
    config_for_tokens,
    config_from_architecture,
    config_from_transformers,
    embed,
    read,
)

ATTENTIVE = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
SMALL = {**ATTENTIVE, "num_hidden_layers": 2, "vocab_size": 31, "max_position_embeddings": 48}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 31, "n_positions": 48},
    "gpt_neo": {
        "hidden_size": 16,
        "num_layers": 2,
        "num_heads": 2,
        "vocab_size": 31,
        "max_position_embeddings": 48,
        "attention_types": [[["global", "local"], 1]],
    },
    "opt": {**SMALL, "ffn_dim": 32, "word_embed_proj_dim": 8},
    "llama": SMALL,
    "qwen2": {**SMALL, "num_key_value_heads": 1},
}
IDS = {"bos_token_id": 30, "eos_token_id": 30, "pad_token_id": 0}


def other_lm(kind: str) -> nn.Module:
    """A small model of one of transformers' kinds, with clear choices."""
    torch.manual_seed(0)
    config = config_from_architecture({"model_type": kind, **ARCHITECTURES[kind], **IDS})
    model = build_lm(config).eval()
    for weight in model.parameters():
        weight.data.mul_(4.0 if weight.ndim > 1 else 1.0)
    return model


def test_gpt2_small_has_its_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = build_lm(LmConfig())
    assert sum(weight.numel() for weight in model.parameters()) == 124_439_808


def test_the_output_layer_is_the_embedding_table() -> None:
    model = small_lm()
    weights = model.state_dict()
    shared = weights["transformer.wte.weight"]
    assert weights["lm_head.weight"].data_ptr() == shared.data_ptr()


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="16 does not divide into 3 heads"):
        small_lm(num_heads=3)


def test_sizes_are_read_from_a_gpt2_config() -> None:
    found = config_from_transformers(
        {"model_type": "gpt2", "vocab_size": 9, "n_embd": 8, "n_layer": 3, "n_head": 2}
    )
    assert found == LmConfig(vocabulary=9, width=8, num_layers=3, num_heads=2)


@pytest.mark.parametrize(
    "change", [{"activation_function": "relu"}, {"n_inner": 24}, {"attn_pdrop": 0.3}]
)
def test_a_gpt2_that_sizes_alone_do_not_tell_keeps_its_whole_config(change: dict[str, Any]) -> None:
    given = {"model_type": "gpt2", **ARCHITECTURES["gpt2"], **IDS, **change}
    found = config_from_transformers(given)
    assert found.architecture is not None
    assert change.items() <= found.architecture.items()
    assert (found.vocabulary, found.num_positions, found.width) == (31, 48, 16)
    model: Any = build_lm(found)
    assert change.items() <= model.config.to_dict().items()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_another_kind_is_built_again_from_the_json_of_its_config(kind: str) -> None:
    config = config_from_architecture({"model_type": kind, **ARCHITECTURES[kind], **IDS})
    again = LmConfig(**json.loads(json.dumps(asdict(config))))
    assert again == config
    assert (config.num_layers, config.num_heads, config.num_positions) == (2, 2, 48)
    shapes = [
        {name: [*weight.shape] for name, weight in build_lm(one).state_dict().items()}
        for one in (config, again)
    ]
    assert shapes[0] == shapes[1]
    assert embed(build_lm(config), torch.zeros(1, 2).long()).shape == (1, 2, config.width)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_any_kind_is_built_for_the_ids_of_a_tokenizer(kind: str) -> None:
    given = config_from_architecture({"model_type": kind, **ARCHITECTURES[kind], **IDS})
    config = config_for_tokens(given, 50, 49, 0)
    model: Any = build_lm(config)
    assert config.vocabulary == model.get_input_embeddings().weight.shape[0] == 50
    assert model.config.eos_token_id == 49


@torch.no_grad()
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_any_kind_reads_word_by_word_what_it_reads_at_once(kind: str) -> None:
    model = other_lm(kind)
    check_lm(model)
    tokens = torch.randint(31, (3, 4))
    prefix = torch.randn(3, 5, model.get_input_embeddings().weight.shape[1])  # type: ignore
    embeddings = torch.cat([prefix, embed(model, tokens)], dim=1)
    whole = read(model, embeddings, torch.ones(3, 9, dtype=torch.bool))
    reader = CachedReader(model)
    torch.testing.assert_close(reader.start(prefix), whole[:, 4], atol=1e-4, rtol=1e-4)
    rows = torch.tensor([2, 0, 2])
    reader.select(rows)
    for place in range(4):
        logits = reader.step(tokens[rows, place])
        torch.testing.assert_close(logits, whole[rows, 5 + place], atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_padded_words_do_not_change_any_kind(kind: str) -> None:
    model = other_lm(kind)
    embeddings = torch.randn(2, 6, model.get_input_embeddings().weight.shape[1])  # type: ignore
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    alone = read(model, embeddings[:1, :4], mask[:1, :4])
    torch.testing.assert_close(read(model, embeddings, mask)[:1, :4], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_any_kind_searches_the_same_alone_and_in_a_batch(kind: str) -> None:
    model = other_lm(kind)
    prefix = torch.randn(3, 4, model.get_input_embeddings().weight.shape[1])  # type: ignore
    settings = GenerationSettings(num_beams=3, max_length=6)
    together = generate(CachedReader(model), prefix, [30], settings)
    for row, words in enumerate(together):
        alone = generate(CachedReader(model), prefix[row : row + 1], [30], settings)[0]
        assert alone[0].ids == words[0].ids


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "no causal language model of transformers is a None"),
        ({"model_type": "clip"}, "no causal language model of transformers is a clip"),
        ({**SMALL, "model_type": "llama", "hidden_size": "wide"}, "hidden_size"),
        ({**SMALL, "model_type": "llama", "hidden_size": 15}, "15"),
        ({"model_type": "mamba", "hidden_size": 16, "vocab_size": 31}, "num_attention_heads"),
    ],
)
def test_an_architecture_that_cannot_be_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=f"architecture: .*{complaint}"):
        build_lm(config_from_architecture(given))


def test_sizes_beside_an_architecture_may_not_say_otherwise() -> None:
    config = config_from_architecture({"model_type": "llama", **SMALL, **IDS})
    with pytest.raises(ValueError, match="says another width"):
        build_lm(replace(config, width=32))


def test_a_model_that_looks_ahead_is_refused() -> None:
    config = config_from_architecture({"model_type": "bert", **SMALL, **IDS})
    with pytest.raises(ValueError, match="BertLMHeadModel cannot read word by word"):
        check_lm(build_lm(config))


def test_a_model_that_forgets_its_prefix_is_refused() -> None:
    class Forgetful(CachedReader):
        def step(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.start(embed(self._lm, tokens[:, None]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vcap.models.lm.CachedReader", Forgetful)
        with pytest.raises(ValueError, match="does not read from left to right"):
            check_lm(small_lm())


def test_checking_a_model_leaves_it_as_it_was() -> None:
    model = small_lm(dropout=0.5).train()
    before = torch.get_rng_state()
    check_lm(model)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)


def test_what_a_config_names_to_be_fetched_is_left_out() -> None:
    fetched = {
        "auto_map": {"AutoModelForCausalLM": "elsewhere--code.Model"},
        "_attn_implementation": "elsewhere/kernel",
        "quantization_config": {"quant_method": "awq"},
        "dtype": "float16",
    }
    config = config_from_architecture({"model_type": "llama", **SMALL, **IDS, **fetched})
    assert config.architecture is not None
    assert not fetched.keys() & config.architecture.keys()
    assert {weight.dtype for weight in build_lm(config).parameters()} == {torch.float32}


@torch.no_grad()
def test_reading_token_by_token_gives_what_reading_at_once_gives() -> None:
    torch.manual_seed(0)
    model = small_lm().eval()
    prefix, tokens = torch.randn(2, 3, 16), torch.randint(31, (2, 4))
    embeddings = torch.cat([prefix, embed(model, tokens)], dim=1)
    whole = read(model, embeddings, torch.ones(2, 7, dtype=torch.bool))
    reader = CachedReader(model)
    torch.testing.assert_close(reader.start(prefix), whole[:, 2], atol=1e-5, rtol=1e-5)
    for place in range(4):
        logits = reader.step(tokens[:, place])
        torch.testing.assert_close(logits, whole[:, 3 + place], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_selected_rows_go_on_as_if_they_had_been_read_alone() -> None:
    torch.manual_seed(0)
    model = small_lm().eval()
    prefix = torch.randn(3, 2, 16)
    together, alone = CachedReader(model), CachedReader(model)
    together.start(prefix)
    together.select(torch.tensor([2, 0, 2]))
    alone.start(prefix[2:])
    tokens = torch.tensor([5, 6, 7])
    found = together.step(tokens)
    torch.testing.assert_close(found[:1], alone.step(tokens[:1]), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found[0], found[2])


@torch.no_grad()
def test_padded_tokens_do_not_change_what_was_read_before_them() -> None:
    torch.manual_seed(0)
    model = small_lm().eval()
    embeddings = torch.randn(1, 6, 16)
    mask = torch.tensor([[True, True, True, True, False, False]])
    short = read(model, embeddings[:, :4], mask[:, :4])
    torch.testing.assert_close(read(model, embeddings, mask)[:, :4], short, atol=1e-5, rtol=1e-5)


def test_a_reader_knows_the_positions_of_its_model() -> None:
    assert CachedReader(small_lm(num_positions=21)).num_positions == 21


@torch.no_grad()
def test_a_prefix_that_is_not_finite_is_refused_rather_than_decoded() -> None:
    prefix = torch.full((1, 2, 16), torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        CachedReader(small_lm().eval()).start(prefix)
