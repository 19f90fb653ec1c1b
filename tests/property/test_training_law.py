"""Laws of training data, schedules and checkpoints that hold for every input."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fault.toy import train_toy, tree
from vcap.data.collate import pad_tokens
from vcap.engine.checkpoint import list_checkpoints, prune_checkpoints, write_checkpoint
from vcap.engine.methods.encoder import true_of, undecided
from vcap.engine.schedule import TrainSettings, learning_rate_scale
from vcap.engine.training_data import TokenTable, permutation
from vcap.metrics.slots import majority_accuracy, slot_accuracy

WORDS = st.lists(st.integers(1, 9), min_size=1, max_size=6)
CLIPS = st.lists(st.lists(WORDS, min_size=1, max_size=3), min_size=1, max_size=5)


@given(CLIPS, st.integers(0, 99))
def test_a_table_gathers_what_padding_row_by_row_gives(
    clips: list[list[list[int]]], seed: int
) -> None:
    table = TokenTable(
        [["".join(map(str, row)) for row in own] for own in clips],
        lambda text: [int(letter) for letter in text],
    )
    flat = [row for own in clips for row in own]
    rows = np.random.default_rng(seed).integers(len(flat), size=4)
    tokens, mask = table.gather(rows)
    wanted, wanted_mask = pad_tokens([flat[row] for row in rows])
    assert torch.equal(tokens, wanted)
    assert torch.equal(mask, wanted_mask)


@given(CLIPS, st.integers(0, 99))
def test_a_drawn_caption_belongs_to_its_clip(clips: list[list[list[int]]], seed: int) -> None:
    table = TokenTable([[str(n) for n, _ in enumerate(own)] for own in clips], lambda text: [1])
    draw = np.random.default_rng(seed)
    chosen = draw.integers(len(clips), size=8)
    owner = [number for number, own in enumerate(clips) for _ in own]
    assert [owner[row] for row in table.draw(chosen, draw)] == chosen.tolist()
    assert [owner[row] for row in table.first(chosen)] == chosen.tolist()


@given(st.integers(0, 5), st.integers(0, 50), st.integers(1, 200))
def test_an_epoch_holds_everything_once(seed: int, epoch: int, count: int) -> None:
    assert sorted(permutation(seed, epoch, count).tolist()) == list(range(count))


@given(
    st.integers(1, 400),
    st.one_of(st.floats(0, 0.99), st.integers(1, 500).map(float)),
    st.sampled_from(["linear", "cosine", "constant"]),
)
def test_a_rate_never_leaves_zero_to_one_and_falls_after_the_warm_up(
    total: int, warmup: float, schedule: str
) -> None:
    chosen = TrainSettings.model_validate({"warmup": warmup, "schedule": schedule})
    scales = [learning_rate_scale(chosen, step, total) for step in range(total)]
    assert all(0 <= scale <= 1 and math.isfinite(scale) for scale in scales)
    top = scales.index(max(scales))
    assert scales[: top + 1] == sorted(scales[: top + 1])
    assert scales[top:] == sorted(scales[top:], reverse=True)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=6, unique=True).map(sorted),
    st.integers(1, 3),
    st.integers(1, 7),
    st.booleans(),
)
def test_pruning_keeps_newest_and_best_and_pruning_again_changes_nothing(
    steps: list[int], keep: int, every: int, has_best: bool
) -> None:
    best = steps[0] if has_best else None
    with TemporaryDirectory() as name:
        folder = Path(name)
        for step in steps:
            write_checkpoint(folder, step, {}, {}, {})
        prune_checkpoints(folder, keep, best, every, 30)
        kept = list(list_checkpoints(folder))
        assert steps[-1] in kept
        assert best is None or best in kept
        assert len(kept) <= keep + 2
        prune_checkpoints(folder, keep, best, every, 30)
        assert list(list_checkpoints(folder)) == kept


CODES = st.lists(st.lists(st.integers(-1, 2), min_size=3, max_size=3), min_size=1, max_size=5)


@given(CODES, CODES)
def test_no_caption_is_both_true_and_undecided_of_a_picture(
    claims: list[list[int]], truths: list[list[int]]
) -> None:
    said, real = np.array(claims, dtype=np.int16), np.array(truths, dtype=np.int16)
    true, open_ = true_of(said, real), undecided(said, real)
    assert not (true & open_).any()
    for picture, caption in np.argwhere(true):
        named = said[caption] >= 0
        assert (said[caption][named] == real[picture][named]).all()


SLOTS = st.lists(
    st.fixed_dictionaries({"a": st.sampled_from("xyz"), "b": st.sampled_from("pq")}),
    min_size=1,
    max_size=8,
)


@given(SLOTS)
def test_no_constant_captioner_beats_the_majority(truths: list[dict[str, str]]) -> None:
    best = majority_accuracy(truths, ["a", "b"])
    for value in ("x", "y", "z"):
        said = slot_accuracy([value] * len(truths), truths, lambda text: {"a": text}, ["a"])
        assert said["a"] <= best["a"]


@pytest.mark.parametrize("stop_at", [1, 7, 10, 29, 41])
def test_a_run_stopped_anywhere_ends_with_the_same_bytes(tmp_path: Path, stop_at: int) -> None:
    from tests.fault.toy import Toy
    from vcap.engine.interrupt import StopRequest

    request = StopRequest()

    class Stopping(Toy):
        def batch(self, epoch: int, index: int) -> dict[str, torch.Tensor]:
            if len(self.seen) == 2 * stop_at - 1:
                request.request()
            return super().batch(epoch, index)

    outcome, _ = train_toy(tmp_path / "broken", Stopping, stop=request, steps=45)
    assert outcome.step == stop_at
    train_toy(tmp_path / "broken", steps=45)
    train_toy(tmp_path / "whole", steps=45)
    assert tree(tmp_path / "broken") == tree(tmp_path / "whole")
