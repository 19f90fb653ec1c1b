"""Captions scored with every metric at once: names, averages, what is not available."""

import numpy as np
import pytest

from tests.caption_tools import PlainTools
from vcap.errors import UsageError
from vcap.metrics.bleu import bleu_scores, bleu_statistics
from vcap.metrics.caption import (
    CAPTION_METRICS,
    caption_scores,
    choose_metrics,
    score_captions,
    tokenize_pairs,
    usable_metrics,
)
from vcap.metrics.cider import cider
from vcap.metrics.meteor import meteor_of_groups
from vcap.metrics.outcome import Pair
from vcap.metrics.rouge import rouge_l

CANDIDATES = {"c": "A man walks.", "a": "The cat sat", "d": "the cat sat", "x": "not asked for"}
REFERENCES = {
    "a": ["The cat sat on the mat.", "A cat sits."],
    "b": ["A dog runs."],
    "c": ["A man walks a dog.", "A man is out."],
    "d": ["the cat sat"],
}
TOKENS: list[Pair] = [
    ("the cat sat", ("the cat sat on the mat", "a cat sits")),
    ("", ("a dog runs",)),
    ("a man walks", ("a man walks a dog", "a man is out")),
    ("the cat sat", ("the cat sat",)),
]


def test_the_units_are_those_of_the_references_in_their_order() -> None:
    outcome = score_captions(CANDIDATES, REFERENCES, PlainTools())
    assert outcome.units == ("a", "b", "c", "d")
    assert [item["id"] for item in outcome.items] == ["a", "b", "c", "d"]
    assert [*outcome.scores] == [*CAPTION_METRICS]
    assert outcome.items[0]["prediction"] == "The cat sat"
    assert outcome.items[0]["references"] == REFERENCES["a"]
    assert outcome.items[0]["length"] == 3


def test_a_unit_without_a_caption_counts_as_an_empty_one() -> None:
    without = score_captions(CANDIDATES, REFERENCES, PlainTools())
    empty = score_captions({**CANDIDATES, "b": ""}, REFERENCES, PlainTools())
    assert without.scores == empty.scores
    assert without.items[1]["scores"] == dict.fromkeys(CAPTION_METRICS, 0.0)


def test_the_figures_of_the_set_are_those_of_the_single_metrics() -> None:
    tools = PlainTools()
    scores = score_captions(CANDIDATES, REFERENCES, tools).scores
    bleu = bleu_scores(bleu_statistics(TOKENS).sum(axis=0)[None])[0]
    assert [scores[f"BLEU-{n}"] for n in (1, 2, 3, 4)] == pytest.approx(bleu.tolist())
    assert scores["ROUGE-L"] == pytest.approx(rouge_l(TOKENS).mean())
    assert scores["CIDEr"] == pytest.approx(cider(TOKENS).mean())
    meteor = meteor_of_groups(tools.meteor(TOKENS), np.zeros(4, dtype=np.int64), 1)
    assert scores["METEOR"] == pytest.approx(meteor[0])
    assert scores["SPICE"] == 0.25


def test_every_text_is_tokenised_once_and_in_one_call() -> None:
    tools = PlainTools()
    assert tokenize_pairs([("A.", ("A.", "b")), ("b", ("A.",))], tools) == [
        ("a", ("a", "b")),
        ("b", ("a",)),
    ]
    assert tools.tokenized == [["A.", "b"]]


def test_meteor_hears_early_and_is_asked_once_about_a_pair() -> None:
    tools = PlainTools()
    caption_scores(TOKENS * 3, tools)
    assert {text for text, _ in TOKENS} <= {*tools.expected}
    assert len(tools.asked) == len(TOKENS)


def test_raw_texts_keep_capitals_and_full_stops() -> None:
    tools = PlainTools()
    raw = score_captions({"a": "A man."}, {"a": ["a man ."]}, tools, metrics=["BLEU-1"], raw=True)
    assert raw.scores["BLEU-1"] < 1e-9
    assert not tools.tokenized
    assert "as they are" in raw.protocol["tokens"]
    tokenised = score_captions({"a": "A man."}, {"a": ["a man ."]}, tools, metrics=["BLEU-1"])
    assert tokenised.scores["BLEU-1"] == pytest.approx(1)


def test_the_mean_over_clips_is_not_the_figure_of_the_set() -> None:
    whole = score_captions(CANDIDATES, REFERENCES, PlainTools())
    clips = score_captions(CANDIDATES, REFERENCES, PlainTools(), mean_per_item=True)
    for name in clips.scores:
        each = [item["scores"][name] for item in whole.items]
        assert clips.scores[name] == pytest.approx(np.mean(each))
    assert clips.scores["BLEU-1"] != pytest.approx(whole.scores["BLEU-1"])
    assert clips.scores["ROUGE-L"] == pytest.approx(whole.scores["ROUGE-L"])
    assert clips.protocol["average"] != whole.protocol["average"]


def test_a_clip_by_itself_has_no_cider_and_that_is_said() -> None:
    outcome = score_captions(
        CANDIDATES, REFERENCES, PlainTools(), metrics=["CIDEr", "ROUGE-L"], mean_per_item=True
    )
    assert [*outcome.scores] == ["ROUGE-L"]
    assert "rare" in outcome.unavailable["CIDEr"]


def test_what_is_not_available_is_named_and_never_zero() -> None:
    tools = PlainTools(unavailable={"METEOR": "no Java.", "SPICE": "no models."})
    outcome = score_captions(CANDIDATES, REFERENCES, tools)
    assert [*outcome.scores] == [name for name in CAPTION_METRICS if name not in tools.unavailable]
    assert outcome.unavailable == {"METEOR": "no Java.", "SPICE": "no models."}
    assert all("METEOR" not in item["scores"] for item in outcome.items)
    assert not tools.expected
    assert score_captions(CANDIDATES, REFERENCES, tools, metrics=["CIDEr"]).unavailable == {}


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        (["cider", "Bleu-2"], ("BLEU-2", "CIDEr")),
        (["BLEU", "METEOR"], ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR")),
        (["rouge-l", "ROUGE-L"], ("ROUGE-L",)),
        ([], ()),
        (None, CAPTION_METRICS),
    ],
)
def test_metrics_are_chosen_by_name(asked: list[str] | None, chosen: tuple[str, ...]) -> None:
    assert choose_metrics(asked) == chosen
    assert usable_metrics(asked, PlainTools()) == (chosen, {})
    assert tuple(caption_scores(TOKENS, PlainTools(), asked).scores) == chosen
    assert (
        tuple(score_captions(CANDIDATES, REFERENCES, PlainTools(), metrics=asked).scores) == chosen
    )


def test_an_unknown_metric_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match=r"'BLEU-5'.*BLEU-4, METEOR"):
        score_captions(CANDIDATES, REFERENCES, PlainTools(), metrics=["BLEU-5"])


@pytest.mark.parametrize("mean_per_item", [False, True])
def test_weights_say_how_often_a_unit_is_drawn(mean_per_item: bool) -> None:
    outcome = score_captions(CANDIDATES, REFERENCES, PlainTools(), mean_per_item=mean_per_item)
    assert outcome.rescore(np.ones(4)) == outcome.scores
    drawn = outcome.rescore(np.array([2.0, 0, 1, 0]))
    twice = {"a": "The cat sat", "a2": "The cat sat", "c": "A man walks."}
    given = {"a": REFERENCES["a"], "a2": REFERENCES["a"], "c": REFERENCES["c"]}
    again = score_captions(twice, given, PlainTools(), mean_per_item=mean_per_item)
    for name in drawn.keys() - {"CIDEr"}:  # its document frequencies stay those of the whole set
        assert drawn[name] == pytest.approx(again.scores[name]), name
    assert outcome.rescore(np.zeros(4))["ROUGE-L"] == 0


def test_drawing_keeps_the_document_frequencies_of_the_set() -> None:
    outcome = score_captions(CANDIDATES, REFERENCES, PlainTools(), metrics=["CIDEr"])
    values = [item["scores"]["CIDEr"] for item in outcome.items]
    drawn = outcome.rescore(np.array([0.0, 0, 3, 1]))
    assert drawn["CIDEr"] == pytest.approx((3 * values[2] + values[3]) / 4)


def test_a_unit_without_references_is_refused() -> None:
    with pytest.raises(ValueError, match="reference"):
        score_captions({"a": "x"}, {"a": []}, PlainTools())
