"""Rows of unequal length become batches."""

import numpy as np
import pytest
import torch

from vcap.data.collate import pad_features, pad_tokens


def test_tokens_are_padded_on_the_right_and_masked() -> None:
    tokens, mask = pad_tokens([[5, 6, 7], [8]], padding=1)
    assert tokens.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    assert (tokens.dtype, mask.dtype) == (torch.int64, torch.bool)


def test_no_rows_make_an_empty_batch() -> None:
    tokens, mask = pad_tokens([])
    assert tokens.shape == mask.shape == (0, 0)


def test_a_row_without_tokens_is_all_padding() -> None:
    tokens, mask = pad_tokens([[], [3]])
    assert tokens.tolist() == [[0], [3]]
    assert mask.tolist() == [[False], [True]]


def test_features_and_times_are_padded_alike() -> None:
    short, long = np.ones((1, 2), np.float16), np.full((3, 2), 2, np.float16)
    times = [np.array([0.5]), np.array([0.0, 1.0, 2.0])]
    features, moments, mask = pad_features([short, long], times)
    assert features.tolist() == [[[1, 1], [0, 0], [0, 0]], [[2, 2], [2, 2], [2, 2]]]
    assert moments.tolist() == [[0.5, 0, 0], [0, 1, 2]]
    assert mask.tolist() == [[True, False, False], [True, True, True]]
    assert (features.dtype, moments.dtype) == (torch.float16, torch.float32)


def test_a_batch_may_be_changed_without_harm_to_what_it_came_from() -> None:
    source = np.ones((2, 2), np.float32)
    source.flags.writeable = False
    features, _, _ = pad_features([source], [np.zeros(2)])
    features.zero_()
    assert source.min() == 1


@pytest.mark.parametrize("times", [np.zeros(2), np.zeros((3, 1))])
def test_times_that_do_not_belong_to_the_features_are_refused(times: "np.ndarray") -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=r"want \[T, D\] and \[T\], got \[3, 2\]"):
        pad_features([np.zeros((3, 2))], [times])
