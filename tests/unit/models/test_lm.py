"""The language model: its sizes, and reading with remembered keys and values."""

import pytest
import torch

from tests.small_models import small_lm
from vcap.models.lm import CachedReader, LmConfig, build_lm, config_from_gpt2, embed, read


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
    found = config_from_gpt2(
        {"model_type": "gpt2", "vocab_size": 9, "n_embd": 8, "n_layer": 3, "n_head": 2}
    )
    assert found == LmConfig(vocabulary=9, width=8, num_layers=3, num_heads=2)


def test_another_architecture_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="want a gpt2 language model, got llama"):
        config_from_gpt2({"model_type": "llama"})


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
