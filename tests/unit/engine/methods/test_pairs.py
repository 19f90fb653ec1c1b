"""Videos and their texts for retrieval."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch

from vcap.engine.methods.pairs import CaptionMode, TextTable, candidate_frames, join_captions


def lengths_of(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """A vector of one number a text."""
    return np.array([[len(text)] for text in texts], dtype=np.float32)


@pytest.mark.parametrize(
    ("mode", "texts"),
    [("concat", ["a b  c"]), ("indep-one", ["a", "b", " c"]), ("indep-all", ["a", "b", " c"])],
)
def test_captions_are_joined_with_one_blank_or_left_alone(
    mode: CaptionMode, texts: list[str]
) -> None:
    assert join_captions(["a", "b", " c"], mode) == texts


def test_a_text_that_comes_again_is_encoded_once() -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        asked.extend(texts)
        return lengths_of(texts)

    table = TextTable([["x", "yy"], ["yy"], ["zzz", "x"]], encode)
    assert asked == ["x", "yy", "zzz"]
    assert table.gather(np.arange(5))[:, 0].tolist() == [1, 2, 2, 3, 1]
    assert table.videos.tolist() == [0, 0, 1, 2, 2]


def test_a_drawn_text_is_one_of_the_videos_own() -> None:
    table = TextTable([["x", "yy"], ["zzz"]], lengths_of)
    draw = np.random.default_rng(0)
    rows = {tuple(table.draw(np.array([0, 1]), draw).tolist()) for _ in range(50)}
    assert rows == {(0, 2), (1, 2)}


def test_long_videos_are_thinned_evenly_and_short_ones_padded() -> None:
    frames = torch.arange(1, 7.0).expand(2, -1)[..., None]  # [2, 6, 1]
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    found, real = candidate_frames(frames, mask, 3)
    assert found[..., 0].tolist() == [[1, 3, 5], [1, 2, 0]]
    assert real.tolist() == [[True, True, True], [True, True, False]]
    found, real = candidate_frames(frames, mask, 8)
    assert real.sum(dim=1).tolist() == [6, 2]
    assert found[1, :, 0].tolist() == [1, 2, 0, 0, 0, 0, 0, 0]
