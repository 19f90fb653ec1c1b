"""What a text tower says of texts and of their words."""

import pytest
import torch
from torch import nn

from vcap.models.clip import TowerConfig, build_clip
from vcap.models.words import end_of_text, text_features

TOKENS = torch.tensor([[3, 7, 19, 0, 0, 0], [5, 4, 8, 2, 19, 0]])  # 19 ends a text


def small_clip(**text: object) -> nn.Module:
    """Towers of random weights whose texts are up to 8 tokens long."""
    torch.manual_seed(0)
    vision = {"layers": 1, "width": 64, "image_size": 8, "patch_size": 4, "head_width": 64}
    sizes = {"context_length": 8, "vocab_size": 20, "width": 16, "heads": 2, "layers": 2}
    return build_clip(TowerConfig(8, vision, {**sizes, **text})).eval()


def test_texts_are_what_the_tower_itself_says_without_padding_to_its_context() -> None:
    clip = small_clip()
    padded = torch.nn.functional.pad(TOKENS, (0, 2))
    theirs = clip.encode_text(padded)  # type: ignore[operator]
    torch.testing.assert_close(text_features(clip, TOKENS).texts, theirs, atol=1e-5, rtol=1e-5)


def test_the_text_is_the_feature_of_its_last_word() -> None:
    found = text_features(small_clip(), TOKENS)
    assert found.mask.tolist() == [[True] * 3 + [False] * 3, [True] * 5 + [False]]
    torch.testing.assert_close(found.words[0, 2], found.texts[0])
    torch.testing.assert_close(found.words[1, 4], found.texts[1])
    assert found.words.shape == (2, 6, 8)


def test_padding_changes_no_word() -> None:
    clip = small_clip()
    short = text_features(clip, TOKENS[:1, :3])
    long = text_features(clip, TOKENS[:1])
    torch.testing.assert_close(short.words, long.words[:, :3], atol=1e-5, rtol=1e-5)


def test_a_tower_that_knows_its_end_token_looks_for_that() -> None:
    clip = small_clip(pool_type="eos", eos_id=7)
    assert end_of_text(clip, TOKENS[:1]).tolist() == [1]
    padded = torch.nn.functional.pad(TOKENS[:1], (0, 2))
    theirs = clip.encode_text(padded)  # type: ignore[operator]
    torch.testing.assert_close(text_features(clip, TOKENS[:1]).texts, theirs, atol=1e-5, rtol=1e-5)


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="reads 8 tokens, got 9"):
        text_features(small_clip(), torch.ones(1, 9, dtype=torch.int64))


def test_a_tower_that_pools_otherwise_is_refused() -> None:
    with pytest.raises(ValueError, match="pools at the end token, got last"):
        text_features(small_clip(pool_type="last"), TOKENS)
