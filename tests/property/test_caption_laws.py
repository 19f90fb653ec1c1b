"""Laws of the caption metrics: the official scorers' numbers, whatever the texts are."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.caption_tools import PlainTools
from vcap.metrics.bleu import bleu_of_groups, bleu_scores, bleu_statistics
from vcap.metrics.caption import caption_scores, score_captions
from vcap.metrics.cider import cider
from vcap.metrics.outcome import Pair
from vcap.metrics.rouge import rouge_l

words = st.lists(st.sampled_from("abcdé狗"), max_size=7)
text = st.builds(lambda some, gap: gap.join(some), words, st.sampled_from([" ", " ", "  ", " \t"]))
pair = st.tuples(text, st.lists(text, min_size=1, max_size=4).map(tuple))
pairs = st.lists(pair, min_size=1, max_size=6)
quick = settings(deadline=None, max_examples=60)


def official(name: str, some: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
    """What a scorer of pycocoevalcap says of the set and of each pair."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    references = {row: [*given] for row, (_, given) in enumerate(some)}
    candidates = {row: [candidate] for row, (candidate, _) in enumerate(some)}
    scorer = {"BLEU": Bleu, "ROUGE-L": Rouge, "CIDEr": Cider}[name]()
    more = {"verbose": 0} if name == "BLEU" else {}
    whole, each = scorer.compute_score(references, candidates, **more)
    return np.array(whole), np.array(each)


def has_words(some: Sequence[Pair]) -> bool:
    """Whether any reference has a word; the official CIDEr fails where none has."""
    return any(text.split() for _, given in some for text in given)


@given(pairs)
@quick
def test_bleu_is_the_official_one(some: list[Pair]) -> None:
    whole, each = official("BLEU", some)
    statistics = bleu_statistics(some)
    assert pytest.approx(each, abs=1e-9) == bleu_scores(statistics).T
    one = bleu_of_groups(statistics, np.zeros(len(some), dtype=np.int64), 1)[0]
    assert one == pytest.approx(whole, abs=1e-9)


@given(pairs)
@quick
def test_rouge_is_the_official_one(some: list[Pair]) -> None:
    assert rouge_l(some) == pytest.approx(official("ROUGE-L", some)[1], abs=1e-9)


@given(pairs)
@quick
def test_cider_is_the_official_one(some: list[Pair]) -> None:
    wanted = official("CIDEr", some)[1] if has_words(some) else np.zeros(len(some))
    assert cider(some) == pytest.approx(wanted, abs=1e-9)


@given(pairs, st.data())
@quick
def test_a_group_scores_as_if_it_were_alone(some: list[Pair], data: st.DataObject) -> None:
    rows = st.lists(st.integers(0, 3), min_size=len(some), max_size=len(some))
    groups = np.array(data.draw(rows))
    together, bleu = cider(some, groups, 4), bleu_of_groups(bleu_statistics(some), groups, 4)
    for group in set(groups.tolist()):
        mine = [some[row] for row in np.flatnonzero(groups == group)]
        assert together[groups == group] == pytest.approx(cider(mine), abs=1e-9)
        assert bleu[group] == pytest.approx(official("BLEU", mine)[0], abs=1e-9)


@given(pairs, st.randoms())
@quick
def test_the_order_of_the_items_changes_nothing(some: list[Pair], random: object) -> None:
    order = [*range(len(some))]
    random.shuffle(order)  # type: ignore[attr-defined]
    one = caption_scores(some, PlainTools())
    other = caption_scores([some[row] for row in order], PlainTools())
    assert other.scores == pytest.approx(one.scores, abs=1e-9)
    for name, values in one.items.items():
        assert other.items[name] == pytest.approx(values[order], abs=1e-9)


@given(pairs)
@quick
def test_an_item_given_twice_changes_only_what_counts_items(some: list[Pair]) -> None:
    once, twice = caption_scores(some, PlainTools()), caption_scores([*some, *some], PlainTools())
    for name in once.scores.keys() - {"CIDEr"}:
        tiny = 1e-3 if name.startswith("BLEU") else 1e-9  # BLEU's constants are per set, not item
        assert twice.scores[name] == pytest.approx(once.scores[name], abs=tiny), name
        assert twice.items[name][: len(some)] == pytest.approx(once.items[name], abs=1e-9)
    assert twice.items["CIDEr"][: len(some)] == pytest.approx(twice.items["CIDEr"][len(some) :])


@given(st.lists(words.filter(lambda some: len(some) >= 4).map(" ".join), min_size=1, max_size=5))
@quick
def test_perfect_captions_score_what_the_protocol_gives_them(texts: list[str]) -> None:
    ids = [str(number) for number in range(len(texts))]
    found = score_captions(
        dict(zip(ids, texts, strict=True)),
        {name: [text] for name, text in zip(ids, texts, strict=True)},
        PlainTools(unavailable={"METEOR": "absent."}),
    ).scores
    assert [found[f"BLEU-{n}"] for n in (1, 2, 3, 4)] == pytest.approx([1] * 4, abs=1e-8)
    assert found["ROUGE-L"] == pytest.approx(1)
    assert found["SPICE"] == 1
    if len(set(texts)) == 1:  # every n-gram is in every item: nothing is rare
        assert found["CIDEr"] == 0


@given(pairs, st.integers(0, 5))
@quick
def test_a_draw_scores_like_the_set_that_was_drawn(some: list[Pair], spare: int) -> None:
    weights = np.arange(len(some)) % 3 + (spare % 2)
    drawn = caption_scores(some, PlainTools()).rescore(weights.astype(np.float64))
    chosen = [item for item, times in zip(some, weights, strict=True) for _ in range(times)]
    again = caption_scores(chosen, PlainTools()).scores
    for name in drawn.keys() - {"CIDEr"}:
        assert drawn[name] == pytest.approx(again[name], abs=1e-9), name
