"""Laws of the prefix captioner: batches, padding, and the shares of frames."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small_models import clips, small_captioner
from vcap.models.layers import frame_shares

VARIANTS: list[dict[str, Any]] = [
    {"mapper": "mlp"},
    {"mapper": "transformer"},
    {"mapper": "cross"},
    {"mapper": "transformer", "frame_times": True, "temporal_kernel": 3},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_a_batch_is_its_clips_one_by_one(variant: dict[str, Any], seed: int) -> None:
    model = small_captioner(seed, **variant)
    features, times, mask = clips(seed, num_clips=4)
    together = model.prefix(features, times, mask)
    for row in range(4):
        alone = model.prefix(*(part[row : row + 1] for part in (features, times, mask)))
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_padded_tokens_do_not_change_the_loss(variant: dict[str, Any], seed: int) -> None:
    model = small_captioner(seed, **variant)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, 31, (2, 4), generator=generator)
    mask = torch.tensor([[True] * 4, [True] * 3 + [False]])
    short = model.loss(model(*clips(seed), tokens, mask), tokens, mask)
    more = torch.nn.functional.pad(tokens, (0, 5))
    real = torch.nn.functional.pad(mask, (0, 5))
    long = model.loss(model(*clips(seed), more, real), more, real)
    torch.testing.assert_close(long, short, atol=1e-5, rtol=1e-5)


@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any), st.integers(1, 12))
@settings(deadline=None)
def test_shares_are_fair_whatever_the_mask(real: list[bool], num_parts: int) -> None:
    mask = torch.tensor([real])
    shares = frame_shares(mask, num_parts)[0]
    num_real = sum(real)
    assert (shares >= 0).all()
    assert (shares[:, ~mask[0]] == 0).all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(num_parts))
    each = shares.sum(dim=0)[mask[0]]
    torch.testing.assert_close(each, torch.full((num_real,), num_parts / num_real))
    centres = shares @ mask[0].cumsum(0).float()
    assert (centres.diff() >= 0).all(), "parts follow the order of frames"
