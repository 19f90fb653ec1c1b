"""The caption metrics together: BLEU-1..4, METEOR, ROUGE-L, CIDEr and SPICE of one set.

Figures are those of the corpus, as the COCO caption evaluation gives them: BLEU and METEOR add up
statistics and apply their formula once, the others are means over the items.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from vcap.errors import UsageError
from vcap.metrics.bleu import bleu_scores, bleu_statistics
from vcap.metrics.cider import cider
from vcap.metrics.meteor import addable, meteor_of_sums
from vcap.metrics.ngrams import Counted, Floats
from vcap.metrics.outcome import Outcome, Pair, Rescore, TextTools, Weights
from vcap.metrics.rouge import rouge_l

BLEU_NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")
CAPTION_METRICS = (*BLEU_NAMES, "METEOR", "ROUGE-L", "CIDEr", "SPICE")

_NO_CIDER_ALONE = (
    "CIDEr weighs n-grams by how rare they are in the other clips: a clip scored by itself has 0."
)


class CaptionScores(NamedTuple):
    """What the metrics say of one set of pairs.

    Attributes:
        scores: the figures of the set by name, in the order of `CAPTION_METRICS`.
        items: the value of each pair by itself, name -> [N].
        rescore: weights [N] of the pairs -> the figures; ones give `scores`.
    """

    scores: dict[str, float]
    items: dict[str, Floats]
    rescore: Rescore


def choose_metrics(metrics: Iterable[str] | None) -> tuple[str, ...]:
    """The names of the wanted metrics in their order, all where none is named.

    Capitals do not count, and `BLEU` stands for all four.

    Raises:
        UsageError: a name is not one of a caption metric.
    """
    if metrics is None:
        return CAPTION_METRICS
    known = {name.casefold(): (name,) for name in CAPTION_METRICS} | {"bleu": BLEU_NAMES}
    wanted: set[str] = set()
    for name in metrics:
        if name.casefold() not in known:
            choices = ", ".join(CAPTION_METRICS)
            raise UsageError(f"no caption metric is called {name!r}; there are {choices}")
        wanted.update(known[name.casefold()])
    return tuple(name for name in CAPTION_METRICS if name in wanted)


def usable_metrics(
    metrics: Iterable[str] | None, tools: TextTools
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The wanted metrics that can be computed here, and the others with the reason.

    Raises:
        UsageError: a name is not one of a caption metric.
    """
    wanted, absent = choose_metrics(metrics), tools.unavailable
    missing = {name: absent[name] for name in wanted if name in absent}
    return tuple(name for name in wanted if name not in missing), missing


def tokenize_pairs(pairs: Sequence[Pair], tools: TextTools) -> list[Pair]:
    """The pairs with every text tokenised, in one call for all of them."""
    texts = dict.fromkeys(chain.from_iterable((text, *given) for text, given in pairs))
    tokens = dict(zip(texts, tools.tokenize([*texts]), strict=True))
    return [(tokens[text], tuple(tokens[one] for one in given)) for text, given in pairs]


def score_captions(
    candidates: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    tools: TextTools,
    *,
    metrics: Sequence[str] | None = None,
    raw: bool = False,
    mean_per_item: bool = False,
) -> Outcome:
    """Score one caption a unit against the references of the unit.

    Args:
        candidates: unit -> caption; a unit that is not there has the empty caption, others than
            those of the references are left aside.
        references: unit -> its references, one at least.
        tools: the tokenizer, METEOR and SPICE.
        metrics: which ones, by name; all where None.
        raw: no tokenizer: texts are split at blanks, capitals and full stops count.
        mean_per_item: each unit is a corpus of its own, and the figures are means over units.

    Raises:
        UsageError: a name is not one of a caption metric.
        ValueError: a unit has no reference.
    """
    given = [(candidates.get(unit, ""), tuple(texts)) for unit, texts in references.items()]
    names, missing = usable_metrics(metrics, tools)
    if mean_per_item and "CIDEr" in names:
        names = tuple(name for name in names if name != "CIDEr")
        missing["CIDEr"] = _NO_CIDER_ALONE
    judged = given if raw else tokenize_pairs(given, tools)
    found = caption_scores(judged, tools, names)
    if mean_per_item:
        found = _means(found.items, len(judged))
    return Outcome(
        units=tuple(references),
        scores=found.scores,
        rescore=found.rescore,
        items=_items(tuple(references), given, judged, found.items),
        protocol={
            "tokens": "split at blanks, as they are" if raw else "PTB, lower case, no punctuation",
            "average": "mean of clips scored one by one" if mean_per_item else "corpus",
        },
        unavailable=missing,
    )


def caption_scores(
    tokenised: Sequence[Pair], tools: TextTools, metrics: Sequence[str] | None = None
) -> CaptionScores:
    """The figures of tokenised pairs; metrics that cannot be computed here are left out.

    Raises:
        UsageError: a name is not one of a caption metric.
        ValueError: a pair has no reference.
    """
    names, _ = usable_metrics(metrics, tools)
    pairs = Counted.of(tokenised)
    if not {"METEOR", "SPICE"} & set(names):
        return _joined(_counted(pairs, names), names)
    if "METEOR" in names:
        tools.expect(pairs.texts)
    with ThreadPoolExecutor(1) as aside:  # those two are other programs: count while they work
        rest = aside.submit(_counted, pairs, names)
        parts = [_meteor(tools, pairs)] if "METEOR" in names else []
        if "SPICE" in names:
            parts.append(_means({"SPICE": _once(tools.spice, pairs)}, len(pairs)))
        return _joined([*rest.result(), *parts], names)


def _counted(pairs: Counted, names: Sequence[str]) -> list[CaptionScores]:
    """The metrics that are computed here, where they are wanted."""
    parts = []
    if set(BLEU_NAMES) & set(names):
        parts.append(_bleu(pairs))
    if "ROUGE-L" in names:
        parts.append(_means({"ROUGE-L": rouge_l(pairs)}, len(pairs)))
    if "CIDEr" in names:
        parts.append(_means({"CIDEr": cider(pairs)}, len(pairs)))
    return parts


def _bleu(pairs: Counted) -> CaptionScores:
    statistics = bleu_statistics(pairs)

    def rescore(weights: Weights) -> dict[str, float]:
        return _named(bleu_scores((weights @ statistics)[None])[0])

    items = dict(zip(BLEU_NAMES, bleu_scores(statistics).T, strict=True))
    return CaptionScores(rescore(np.ones(len(pairs))), items, rescore)


def _named(values: Floats) -> dict[str, float]:
    return dict(zip(BLEU_NAMES, values.tolist(), strict=True))


def _meteor(tools: TextTools, pairs: Counted) -> CaptionScores:
    rows = addable(_once(tools.meteor, pairs))

    def rescore(weights: Weights) -> dict[str, float]:
        return {"METEOR": float(meteor_of_sums((weights @ rows)[None])[0])}

    return CaptionScores(rescore(np.ones(len(pairs))), {"METEOR": meteor_of_sums(rows)}, rescore)


def _once(judge: Any, pairs: Counted) -> Floats:
    """What a tool says of each row, asked once about each distinct pair."""
    found: Floats = judge(pairs.distinct)
    return found[pairs.pair_of_row]


def _means(items: dict[str, Floats], num_items: int) -> CaptionScores:
    """Figures that are means of the items' values; 0 where nothing has weight."""

    def rescore(weights: Weights) -> dict[str, float]:
        total = float(weights.sum()) or 1.0
        return {name: float(weights @ values) / total for name, values in items.items()}

    return CaptionScores(rescore(np.ones(num_items)), items, rescore)


def _joined(parts: Sequence[CaptionScores], names: Sequence[str]) -> CaptionScores:
    items = {name: values for part in parts for name, values in part.items.items()}
    scores = {name: value for part in parts for name, value in part.scores.items()}

    def rescore(weights: Weights) -> dict[str, float]:
        found = {name: v for part in parts for name, v in part.rescore(weights).items()}
        return {name: found[name] for name in names}

    return CaptionScores(
        {name: scores[name] for name in names}, {name: items[name] for name in names}, rescore
    )


def _items(
    units: Sequence[str],
    given: Sequence[Pair],
    judged: Sequence[Pair],
    values: Mapping[str, Floats],
) -> list[dict[str, Any]]:
    columns = [column.tolist() for column in values.values()]
    rows = zip(*columns, strict=True) if columns else [()] * len(units)
    return [
        {
            "id": unit,
            "scores": dict(zip(values, row, strict=True)),
            "prediction": text,
            "references": [*references],
            "length": len(tokens.split()),
        }
        for unit, row, (text, references), (tokens, _) in zip(
            units, rows, given, judged, strict=True
        )
    ]
