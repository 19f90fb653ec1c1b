"""A packed language model says what the plain one says."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.small_models import small_captioner, small_lm
from vcap.engine.captioner import Captioner, Speech
from vcap.engine.fingerprint import weights_digest
from vcap.models.generation import GenerationSettings, generate
from vcap.models.lm import CachedReader, build_lm, config_from_architecture, embed
from vcap.models.packed import PackedLinear, pack
from vcap.video.sample import parse_sampler

LLAMA = {
    "model_type": "llama",
    "vocab_size": 31,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 48,
}


def packed_layers(lm: nn.Module) -> list[str]:
    """Names of the layers that were replaced."""
    return [name for name, layer in lm.named_modules() if isinstance(layer, PackedLinear)]


def two_alike(dtype: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module]:
    """A plain model, and a packed one of the same weights."""
    torch.manual_seed(0)
    plain, packed = small_lm().eval().to(dtype), small_lm().eval().to(dtype)
    packed.load_state_dict(plain.state_dict())
    pack(packed, least=0)
    return plain, packed


def prefixes(lm: nn.Module, num_clips: int) -> Tensor:
    """Prefixes of four words [B, 4, W]."""
    return embed(lm, torch.arange(4 * num_clips).view(num_clips, 4) % 31).detach()


@pytest.mark.parametrize("num_clips", [1, 2, 17])
def test_a_packed_model_finds_the_same_captions(num_clips: int) -> None:
    plain, packed = two_alike()
    assert len(packed_layers(packed)) == 9  # four in each of two blocks, and the output layer
    settings = GenerationSettings(max_length=12, num_return=5)
    wanted = generate(CachedReader(plain), prefixes(plain, num_clips), [3], settings)
    found = generate(CachedReader(packed), prefixes(packed, num_clips), [3], settings)
    assert [[w.ids for w in each] for each in found] == [[w.ids for w in each] for each in wanted]
    scores = [[w.score for w in each] for each in found]
    torch.testing.assert_close(scores, [[w.score for w in each] for each in wanted])


def test_in_bf16_the_numbers_are_as_near_as_bf16_is() -> None:
    plain, packed = two_alike(torch.bfloat16)
    with torch.inference_mode():
        wanted = CachedReader(plain).start(prefixes(plain, 3))
        found = CachedReader(packed).start(prefixes(packed, 3))
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.05 * float(wanted.abs().max()))


def test_a_packed_layer_takes_inputs_of_any_shape_either_layout_and_no_bias() -> None:
    torch.manual_seed(0)
    weight, inputs = nn.Parameter(torch.randn(5, 3)), torch.randn(2, 4, 3)
    flipped = nn.Parameter(weight.detach().t().contiguous())
    for bias in (None, nn.Parameter(torch.randn(5))):
        wanted = nn.functional.linear(inputs, weight, bias)
        for layer in (
            PackedLinear(weight, bias, flipped=False),
            PackedLinear(flipped, bias, flipped=True),
        ):
            with torch.inference_mode():
                torch.testing.assert_close(layer(inputs), wanted.detach())


def test_what_is_saved_of_a_packed_model_is_what_was_saved_before() -> None:
    plain, packed = two_alike()
    wanted, found = plain.state_dict(), packed.state_dict()
    assert [*found] == [*wanted]
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_captioner_is_packed_and_keeps_its_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcap.models.packed.pack.__defaults__", (0,))
    wanted = weights_digest(small_captioner().state_dict())
    parts: Any = (None, Speech(None, 3, GenerationSettings()))  # type: ignore[arg-type]
    captioner = Captioner("small", small_captioner(), *parts, sampler=parse_sampler("uniform 5"))
    assert len(packed_layers(captioner.model.lm)) == 9
    assert weights_digest(captioner.model.state_dict()) == wanted


def test_small_layers_stay_as_they_are() -> None:
    lm = small_lm()
    pack(lm)
    assert packed_layers(lm) == []


def test_only_layers_as_large_as_asked_are_packed() -> None:
    lm = small_lm()
    pack(lm, least=16 * 64)
    wanted = [f"transformer.h.{i}.mlp.{name}" for i in (0, 1) for name in ("c_fc", "c_proj")]
    assert packed_layers(lm) == wanted


def test_words_are_still_embedded_where_the_output_layer_is_tied_to_them() -> None:
    plain, packed = two_alike()
    torch.testing.assert_close(prefixes(packed, 2), prefixes(plain, 2))


def llama() -> nn.Module:
    """A model of another architecture."""
    return build_lm(config_from_architecture(LLAMA))


@pytest.mark.parametrize(
    "make",
    [
        lambda: small_lm().half(),
        lambda: small_lm().double(),
        lambda: small_lm().to("meta"),
        llama,
    ],
    ids=["fp16", "fp64", "another device", "another architecture"],
)
def test_what_cannot_be_packed_is_left_alone(make: Callable[[], nn.Module]) -> None:
    lm = make()
    pack(lm, least=0)
    assert packed_layers(lm) == []


def test_without_onednn_the_model_stays_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    lm = small_lm()
    pack(lm, least=0)
    assert packed_layers(lm) == []
