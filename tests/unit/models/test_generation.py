"""Decoding with a reader whose probabilities are written down, so that answers are known."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from vcap.models.generation import GenerationSettings, Words, generate

STOP = 0
Table = dict[tuple[int, ...], Sequence[float]]


class Script:
    """A reader of 4 tokens that gives probabilities by what was written so far.

    What is not in the table is even. The first number of a clip's prefix chooses its table.
    """

    def __init__(self, *tables: Table, num_positions: int = 50) -> None:
        self.tables = tables
        self.num_positions = num_positions
        self.rows: list[tuple[int, tuple[int, ...]]] = []
        self.num_read = 0

    def start(self, prefix: Tensor) -> Tensor:
        self.rows = [(int(row[0, 0]), ()) for row in prefix]
        return self._logits()

    def step(self, tokens: Tensor) -> Tensor:
        given = zip(self.rows, tokens.tolist(), strict=True)
        self.rows = [(clip, (*written, token)) for (clip, written), token in given]
        self.num_read += len(self.rows)
        return self._logits()

    def select(self, rows: Tensor) -> None:
        self.rows = [self.rows[row] for row in rows.tolist()]

    def _logits(self) -> Tensor:
        even = [0.25] * 4
        return torch.tensor([self.tables[c].get(w, even) for c, w in self.rows]).log()


def decode(reader: Script, **settings: object) -> list[list[Words]]:
    prefix = torch.arange(len(reader.tables)).float()[:, None, None]  # [B, 1, 1]
    return generate(reader, prefix, [STOP], GenerationSettings(**settings))  # type: ignore[arg-type]


GREEDY_IS_WRONG: Table = {
    (): [0.0, 0.6, 0.4, 0.0],
    (1,): [0.3, 0.3, 0.2, 0.2],
    (2,): [0.9, 0.1, 0.0, 0.0],
}


def test_greedy_takes_the_likeliest_token_each_time() -> None:
    words = decode(Script(GREEDY_IS_WRONG), strategy="greedy", max_length=2)[0][0]
    assert words.ids == (1, 0)
    assert words.stopped


def test_beam_search_finds_the_likelier_caption_that_starts_worse() -> None:
    words = decode(Script(GREEDY_IS_WRONG), num_beams=2, max_length=2)[0][0]
    assert words.ids == (2, 0)
    assert words.score == pytest.approx(float(torch.tensor([0.4, 0.9]).log().mean()))


def test_a_short_caption_competes_by_its_mean_inside_the_search() -> None:
    table: Table = {
        (): [0.5, 0.5, 0.0, 0.0],
        (1,): [0.1, 0.9, 0.0, 0.0],
        (1, 1): [0.95, 0.05, 0.0, 0.0],
    }
    both = decode(Script(table), num_beams=2, num_return=2, max_length=5)[0]
    assert [words.ids for words in both] == [(1, 1, 0), (0,)]
    means = [float(torch.tensor(p).log().mean()) for p in ([0.5, 0.9, 0.95], [0.5])]
    assert [words.score for words in both] == pytest.approx(means)


def test_captions_come_best_first_and_as_many_as_asked() -> None:
    made = decode(Script(GREEDY_IS_WRONG), num_beams=4, num_return=3, max_length=3)[0]
    assert len(made) == 3
    assert [w.score for w in made] == sorted((w.score for w in made), reverse=True)


def test_a_caption_without_a_stop_token_is_cut_and_says_so() -> None:
    never: Table = {(1,) * n: [0.0, 0.7, 0.2, 0.1] for n in range(9)}
    for strategy in ("greedy", "beam"):
        words = decode(Script(never), strategy=strategy, max_length=4)[0][0]
        assert (len(words.ids), words.stopped) == (4, False)


def test_the_stop_token_cannot_come_before_the_shortest_length() -> None:
    early: Table = {(): [0.97, 0.01, 0.01, 0.01], (1,): [0.9, 0.1, 0.0, 0.0]}
    for strategy in ("greedy", "beam"):
        words = decode(Script(early), strategy=strategy, min_length=3, max_length=6)[0][0]
        assert len(words.ids) >= 3
        assert STOP not in words.ids[:2]
    assert decode(Script(early), strategy="greedy")[0][0].ids == (0,)


def test_a_repetition_penalty_ends_a_loop() -> None:
    loop: Table = {(1,) * n: [0.05, 0.5, 0.45, 0.0] for n in range(9)}
    plain = decode(Script(loop), strategy="greedy", max_length=3)[0][0]
    assert plain.ids == (1, 1, 1)
    fresh = decode(Script(loop), strategy="greedy", max_length=3, repetition_penalty=3.0)[0][0]
    assert fresh.ids[:2] == (1, 2)


def test_neither_greedy_nor_the_best_beam_of_one_depends_on_the_temperature() -> None:
    for strategy in ("greedy", "beam"):
        ids = {
            decode(
                Script(GREEDY_IS_WRONG), strategy=strategy, num_beams=1, temperature=t, max_length=3
            )[0][0].ids
            for t in (0.0, 0.5, 1.0, 2.0)
        }
        assert len(ids) == 1


def test_the_same_seed_draws_the_same_captions_and_another_seed_others() -> None:
    draws = [
        decode(Script({}), strategy="sample", seed=seed, num_return=4, max_length=6)[0]
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_a_drawn_caption_does_not_depend_on_the_clips_beside_it() -> None:
    table: Table = {(): [0.1, 0.2, 0.3, 0.4], (3,): [0.4, 0.3, 0.2, 0.1]}
    settings = {"strategy": "sample", "seed": 3, "num_return": 2, "max_length": 5}
    alone = decode(Script(table), **settings)[0]
    assert decode(Script({}, table, GREEDY_IS_WRONG), **settings)[1] == alone


def test_draws_follow_the_probabilities() -> None:
    table: Table = {(): [0.1, 0.2, 0.3, 0.4]}
    made = decode(Script(table), strategy="sample", num_return=2000, max_length=1)[0]
    counts = torch.bincount(torch.tensor([words.ids[0] for words in made]), minlength=4)
    assert (counts / 2000).tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.04)


@pytest.mark.parametrize(
    ("limits", "possible"),
    [
        ({"top_p": 0.5}, {3, 2}),
        ({"top_p": 0.39}, {3}),
        ({"top_k": 1}, {3}),
        ({"top_k": 3}, {3, 2, 1}),
        ({"top_k": 3, "top_p": 0.6}, {3, 2}),
        ({}, {0, 1, 2, 3}),
    ],
)
def test_only_the_likeliest_tokens_are_drawn_from(
    limits: dict[str, float], possible: set[int]
) -> None:
    table: Table = {(): [0.1, 0.2, 0.3, 0.4]}
    made = decode(Script(table), strategy="sample", num_return=200, max_length=1, **limits)[0]
    assert {words.ids[0] for words in made} == possible


def test_finished_captions_are_no_longer_read() -> None:
    ends: Table = {(): [1.0, 0.0, 0.0, 0.0]}
    goes_on: Table = {(1,) * n: [0.0, 1.0, 0.0, 0.0] for n in range(9)}
    reader = Script(ends, goes_on, ends)
    made = decode(reader, strategy="greedy", max_length=5)
    assert [len(each[0].ids) for each in made] == [1, 5, 1]
    assert reader.num_read == 4


def test_a_clip_whose_beams_are_done_is_no_longer_read() -> None:
    ends: Table = {(): [0.5, 0.5, 0.0, 0.0], (1,): [1.0, 0.0, 0.0, 0.0]}
    goes_on: Table = {}
    reader = Script(ends, goes_on)
    made = decode(reader, num_beams=2, max_length=6, min_length=0)
    assert made[0][0].ids in {(0,), (1, 0)}
    assert reader.num_read <= 2 * 2 + 2 * 4


def test_captions_never_outgrow_the_positions_of_the_model() -> None:
    never: Table = {(1,) * n: [0.0, 1.0, 0.0, 0.0] for n in range(99)}
    words = decode(Script(never, num_positions=7), strategy="greedy", max_length=60)[0][0]
    assert len(words.ids) == 7  # the last token is written, never read
    prefix = torch.zeros(1, 8, 1)
    with pytest.raises(ValueError, match="a prefix of 8 fills 7 positions"):
        generate(Script(never, num_positions=7), prefix, [STOP], GenerationSettings())


def test_more_beams_than_tokens_are_as_many_as_there_are_tokens() -> None:
    made = decode(Script({}), num_beams=9, num_return=9, max_length=2)[0]
    assert len(made) == 4


def test_any_of_several_stop_tokens_ends_a_caption() -> None:
    table: Table = {(): [0.0, 0.0, 1.0, 0.0]}
    prefix = torch.zeros(1, 1, 1)
    settings = GenerationSettings(strategy="greedy", max_length=5)
    words = generate(Script(table), prefix, [STOP, 2], settings)[0][0]
    assert words == Words((2,), 0.0, True)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"strategy": "best"}, "strategy: want beam, greedy or sample, got best"),
        ({"num_beams": 0}, "num_beams"),
        ({"top_p": 0.0}, "top_p"),
        ({"min_length": 9, "max_length": 8}, "min_length: 9 exceeds max_length 8"),
        ({"num_return": 6}, "num_return: beam gives 5, asked 6"),
        ({"strategy": "greedy", "num_return": 2}, "num_return: greedy gives 1, asked 2"),
    ],
)
def test_settings_that_contradict_each_other_name_their_field(
    wrong: dict[str, object], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        GenerationSettings(**wrong)  # type: ignore[arg-type]
