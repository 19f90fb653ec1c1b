"""Laws of decoding: against exhaustive search, in batches, and with cached reading."""

from itertools import product

import pytest
import torch
from torch import Tensor

from tests.small_models import small_lm
from vcap.models.generation import GenerationSettings, generate
from vcap.models.lm import CachedReader, embed, read


def prefixes(seed: int, num_clips: int = 3) -> Tensor:
    return torch.randn(num_clips, 2, 16, generator=torch.Generator().manual_seed(seed))


def reader(seed: int, vocabulary: int = 31) -> CachedReader:
    torch.manual_seed(seed)
    return CachedReader(small_lm(vocabulary=vocabulary).eval())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strategy", ["beam", "greedy", "sample"])
def test_clips_decoded_together_read_as_if_decoded_alone(seed: int, strategy: str) -> None:
    settings = GenerationSettings(strategy=strategy, max_length=7, seed=seed)  # type: ignore[arg-type]
    prefix = prefixes(seed)
    together = generate(reader(seed), prefix, [3, 4], settings)
    for row in range(len(prefix)):
        alone = generate(reader(seed), prefix[row : row + 1], [3, 4], settings)[0]
        assert [words.ids for words in alone] == [words.ids for words in together[row]]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_clips_is_the_order_of_captions(seed: int) -> None:
    prefix = prefixes(seed, num_clips=4)
    order = torch.tensor([2, 0, 3, 1])
    settings = GenerationSettings(num_beams=3, max_length=8)
    plain = generate(reader(seed), prefix, [3], settings)
    moved = generate(reader(seed), prefix[order], [3], settings)
    assert [moved[place][0].ids for place in range(4)] == [
        plain[row][0].ids for row in order.tolist()
    ]


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strategy", ["beam", "greedy", "sample"])
def test_a_score_is_the_mean_log_probability_that_the_model_gives(seed: int, strategy: str) -> None:
    torch.manual_seed(seed)
    model = small_lm().eval()
    prefix = prefixes(seed, num_clips=1)
    settings = GenerationSettings(strategy=strategy, max_length=8)  # type: ignore[arg-type]
    words = generate(CachedReader(model), prefix, [3], settings)[0][0]
    ids = torch.tensor([words.ids])
    embeddings = torch.cat([prefix, embed(model, ids)], dim=1)
    logits = read(model, embeddings, torch.ones(embeddings.shape[:2], dtype=torch.bool))
    each = logits[:, 1:-1].log_softmax(-1).gather(2, ids[..., None])
    assert words.score == pytest.approx(float(each.mean()), abs=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
def test_with_as_many_beams_as_captions_the_search_is_exhaustive(seed: int) -> None:
    torch.manual_seed(seed)
    model = small_lm(vocabulary=5).eval()
    prefix = prefixes(seed, num_clips=1)
    every = torch.tensor(list(product(range(5), repeat=2)))  # captions of two tokens, no stop
    embeddings = torch.cat([prefix.expand(25, -1, -1), embed(model, every)], dim=1)
    logits = read(model, embeddings, torch.ones(25, 4, dtype=torch.bool))
    scores = logits[:, 1:-1].log_softmax(-1).gather(2, every[..., None])[..., 0].mean(1)
    settings = GenerationSettings(num_beams=5, max_length=2)
    words = generate(CachedReader(model), prefix, [99], settings)[0][0]
    assert list(words.ids) == every[scores.argmax()].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_a_single_beam_decodes_greedily(seed: int) -> None:
    prefix = prefixes(seed)
    greedy = GenerationSettings(strategy="greedy", max_length=7)
    beam = GenerationSettings(num_beams=1, max_length=7)
    assert [each[0].ids for each in generate(reader(seed), prefix, [3], greedy)] == [
        each[0].ids for each in generate(reader(seed), prefix, [3], beam)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_nucleus_of_next_to_nothing_draws_greedily(seed: int) -> None:
    prefix = prefixes(seed)
    greedy = GenerationSettings(strategy="greedy", max_length=7)
    nucleus = GenerationSettings(strategy="sample", top_p=1e-6, max_length=7, seed=seed)
    one = generate(reader(seed), prefix, [3], greedy)
    assert one == generate(reader(seed), prefix, [3], nucleus)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strategy", ["beam", "greedy", "sample"])
def test_a_longer_limit_never_changes_a_caption_that_had_ended(seed: int, strategy: str) -> None:
    stop = list(range(10))
    prefix = prefixes(seed)
    for length in (3, 6):
        short, long = (
            generate(
                reader(seed),
                prefix,
                stop,
                GenerationSettings(strategy=strategy, num_beams=2, max_length=limit),  # type: ignore[arg-type]
            )
            for limit in (length, 12)
        )
        for cut, whole in zip(short, long, strict=True):
            if strategy != "beam" and cut[0].stopped:
                assert cut[0].ids == whole[0].ids
            assert len(cut[0].ids) <= length
