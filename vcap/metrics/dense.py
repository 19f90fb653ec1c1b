"""Dense captioning as the ActivityNet Captions challenge judges it.

Source: the evaluation of "Dense-Captioning Events in Videos" (Krishna et al., 2017). The pairs of
one video (see `pairing`) are scored together, then videos, then thresholds are averaged. The years
2018 and 2021 differ only in the sentence that an unmatched proposal is compared with, and only
METEOR notices.
Departures: 2021 draws a random word an unmatched proposal, here it is one fixed word that gives
the same scores; a video with an empty list of proposals scores 0, where the original fails.
Shapes: U videos, K figures, T thresholds.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vcap.metrics.bleu import bleu_of_groups, bleu_statistics
from vcap.metrics.cider import cider
from vcap.metrics.localisation import f1_score, localisation_scores, recall_precision, start_hits
from vcap.metrics.meteor import meteor_of_groups
from vcap.metrics.ngrams import Counted
from vcap.metrics.outcome import Outcome, TextTools, Weights
from vcap.metrics.pairing import Rows, Sentences, Video, overlaps, paired
from vcap.metrics.rouge import rouge_l
from vcap.types import Event

Array = npt.NDArray[np.float64]
Events = Mapping[str, Sequence[Event]]
_Part = tuple[str, Array, Array | None]  # name, [U, T], what to divide by where that is not 1

BLEU = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")
LANGUAGE = (*BLEU, "METEOR", "ROUGE-L", "CIDEr")
LOCALISATION = ("recall", "precision", "F1", "F1 of means")
SCORES = LANGUAGE + LOCALISATION
START_SECONDS = (1, 3, 5, 10, 30, 60)
UNMATCHED = {2018: "abc123!@#", 2021: "zqxjvkwzqxjvk"}  # reference of a proposal that meets none


@dataclass(frozen=True)
class DenseProtocol:
    """Which of the evaluations in use is meant.

    Attributes:
        tious: thresholds of temporal intersection over union.
        max_proposals: how many proposals of a video count, from the first in the file.
        year: 2018 or 2021, see the head of this module.
        cider: document frequencies of CIDEr from the pairs of one video, or from all pairs of a
            threshold; in the latter case CIDEr is a mean over pairs.
        skip_missing: means over the videos that have an entry in the predictions only.
    """

    tious: Sequence[float] = (0.3, 0.5, 0.7, 0.9)
    max_proposals: int = 1000
    year: int = 2018
    cider: Literal["video", "corpus"] = "video"
    skip_missing: bool = False

    def __post_init__(self) -> None:
        """Refuse an unknown year, no threshold, and no proposal."""
        if self.year not in UNMATCHED:
            raise ValueError(f"want the year 2018 or 2021, got {self.year}")
        if not self.tious or self.max_proposals < 1:
            raise ValueError("want at least one threshold and one proposal a video")

    def as_dict(self) -> dict[str, Any]:
        """What a reader of the scores has to know."""
        whole = self.cider == "corpus"
        return {
            "dense": f"ActivityNet Captions {self.year}",
            "tious": [*self.tious],
            "max_proposals_per_video": self.max_proposals,
            "unmatched_reference": UNMATCHED[self.year],
            "cider_documents": f"pairs of one {'threshold' if whole else 'video and threshold'}",
            "videos_without_entry": "left out" if self.skip_missing else "count 0",
            "F1": "mean over thresholds of the F1 of mean precision and mean recall",
            "F1 of means": "F1 of precision and recall that are averaged over the thresholds",
        }


ACTIVITYNET = DenseProtocol()


@dataclass(frozen=True)
class _Measures:
    """Figures that are means over videos, as sums and what they are divided by, [U, K, T] each."""

    names: tuple[str, ...]
    totals: Array
    counts: Array

    def means(self, weights: Weights, *, empty: float = 0.0) -> dict[str, Array]:
        """Each figure at each threshold, [T], every video taken as often as its weight says."""
        totals, counts = (np.tensordot(weights, part, 1) for part in (self.totals, self.counts))
        return dict(zip(self.names, _ratio(totals, counts, empty), strict=True))

    def by_video(self) -> dict[str, Array]:
        """Each figure of each video, [U, T]."""
        values = _ratio(self.totals, self.counts).swapaxes(0, 1)
        return dict(zip(self.names, values, strict=True))


def score_dense(
    predictions: Events,
    references: Sequence[Events],
    tools: TextTools,
    protocol: DenseProtocol = ACTIVITYNET,
    *,
    metrics: Sequence[str] | None = None,
) -> Outcome:
    """Language and localisation scores of timed captions, over all videos of the references.

    Args:
        predictions: the proposals of each video with their captions, in file order; videos that
            no reference file holds are ignored.
        references: the events of each video, one mapping a file.
        tools: tokenizer and METEOR; not asked if no language metric is wanted.
        protocol: which evaluation.
        metrics: names from `SCORES`; all if not given.

    Raises:
        ValueError: a metric is unknown.
    """
    asked = _chosen(metrics)
    absent = {name: why for name, why in tools.unavailable.items() if name in asked}
    shown = [name for name in asked if name not in absent]
    units = tuple(dict.fromkeys(video for file in references for video in file))
    videos = [_video(unit, predictions, references, protocol) for unit in units]
    kept = np.array([v.predicted or not protocol.skip_missing for v in videos], dtype=bool)
    measures = _measured(videos, kept, tools, protocol, {*shown} & {*LANGUAGE})

    def rescore(weights: Weights) -> dict[str, float]:
        drawn = np.asarray(weights, dtype=np.float64)
        return _shown(measures.means(drawn, empty=np.nan), shown)

    return Outcome(
        units=units,
        scores=_shown(measures.means(np.ones(len(units))), shown),
        rescore=rescore,
        items=_items(dict(zip(units, videos, strict=True)), kept, measures, shown),
        details=_details(videos, kept, measures, protocol, shown)
        | {"beyond_max_proposals": _cut(units, predictions, protocol.max_proposals)},
        protocol=protocol.as_dict(),
        unavailable=absent,
        warnings=_warnings(videos, protocol),
    )


def _chosen(metrics: Sequence[str] | None) -> list[str]:
    unknown = sorted({*(metrics or ())} - {*SCORES})
    if unknown:
        raise ValueError(f"want names among {', '.join(SCORES)}; got {', '.join(unknown)}")
    return [name for name in SCORES if metrics is None or name in metrics]


def _video(
    unit: str, predictions: Events, references: Sequence[Events], protocol: DenseProtocol
) -> Video:
    proposals = predictions.get(unit, ())[: protocol.max_proposals]
    files = tuple(file[unit] for file in references if unit in file)
    return Video(proposals, files, unit in predictions)


def _cut(units: Iterable[str], predictions: Events, limit: int) -> dict[str, int]:
    """How many proposals of a video do not count, where there are more than the limit."""
    sizes = {unit: len(predictions.get(unit, ())) for unit in units}
    return {unit: size - limit for unit, size in sizes.items() if size > limit}


def _measured(
    videos: Sequence[Video],
    kept: npt.NDArray[np.bool_],
    tools: TextTools,
    protocol: DenseProtocol,
    language: set[str],
) -> _Measures:
    """All figures that are asked for, and recall and precision."""
    every = np.repeat(kept[:, None], len(protocol.tious), axis=1).astype(np.float64)
    parts: dict[str, tuple[Array, Array]] = {}
    if language:
        sentences = Sentences.of(videos, UNMATCHED[protocol.year], tools)
        if "METEOR" in language:
            tools.expect(sentences.tokenised)
        found = _language(paired(videos, sentences, protocol.tious), tools, protocol, language)
        parts = {name: (value, every if sizes is None else sizes) for name, value, sizes in found}
    overlap = overlaps(videos, protocol.tious)
    parts |= {name: (value, every) for name, value in overlap.items()}
    totals, counts = (np.stack(part, axis=1) for part in zip(*parts.values(), strict=True))
    return _Measures(tuple(parts), totals, counts)


def _language(
    rows: Rows, tools: TextTools, protocol: DenseProtocol, language: set[str]
) -> list[_Part]:
    if "METEOR" not in language:
        return _counted(rows, protocol, language)
    with ThreadPoolExecutor(1) as aside:  # METEOR is another program: count while it works
        rest = aside.submit(_counted, rows, protocol, language)
        statistics = tools.meteor(rows.pairs)
        meteor = rows.scored(statistics, meteor_of_groups)
        return [("METEOR", meteor, None), *rest.result()]


def _counted(rows: Rows, protocol: DenseProtocol, language: set[str]) -> list[_Part]:
    """BLEU, ROUGE-L and CIDEr where they are asked for."""
    pairs = Counted(rows.pairs)
    found: list[_Part] = []
    if language & {*BLEU}:
        scores = np.moveaxis(rows.scored(bleu_statistics(pairs), bleu_of_groups), 2, 0)
        found += [(n, part, None) for n, part in zip(BLEU, scores, strict=True) if n in language]
    if "ROUGE-L" in language:
        found.append(("ROUGE-L", rows.scored(rouge_l(pairs), _mean_of_groups), None))
    if "CIDEr" in language:
        found.append(_cider(rows, pairs.rows(rows.pair), protocol))
    return found


def _cider(rows: Rows, pairs: Counted, protocol: DenseProtocol) -> _Part:
    num_groups = rows.shape[0] * rows.shape[1]
    if protocol.cider == "video":
        values = cider(pairs, rows.group, num_groups)
        return "CIDEr", rows.table(_mean_of_groups(values, rows.group, num_groups)), None
    values = cider(pairs, rows.threshold, rows.shape[1])
    sums, sizes = (_sums(part, rows.group, num_groups) for part in (values, np.ones(len(pairs))))
    return "CIDEr", rows.table(sums), rows.table(sizes)


def _mean_of_groups(values: Array, group: npt.NDArray[np.int64], num_groups: int) -> Array:
    """The mean of each group's values; 0 for a group without any."""
    sizes = _sums(np.ones(len(values)), group, num_groups)
    return _ratio(_sums(values, group, num_groups), sizes)


def _sums(values: Array, group: npt.NDArray[np.int64], num_groups: int) -> Array:
    return np.asarray(np.bincount(group, values, num_groups), dtype=np.float64)


def _ratio(above: Array, below: Array, empty: float = 0.0) -> Array:
    found: Array = np.full(above.shape, empty)
    np.divide(above, below, out=found, where=below > 0)
    return found


def _shown(values: Mapping[str, Array], shown: Sequence[str]) -> dict[str, float]:
    found = _headline(values)
    return {name: float(found[name]) for name in shown}


def _headline(values: Mapping[str, Array]) -> dict[str, Array]:
    """The figures at each threshold, [..., T], as one each, [...]."""
    language = {name: part.mean(axis=-1) for name, part in values.items() if name in LANGUAGE}
    return language | localisation_scores(values)


def _items(
    videos: Mapping[str, Video],
    kept: npt.NDArray[np.bool_],
    measures: _Measures,
    shown: Sequence[str],
) -> list[dict[str, Any]]:
    """One object a video; one that is left out of the means has no scores."""
    by_threshold = measures.by_video()
    headline = {name: values.tolist() for name, values in _headline(by_threshold).items()}
    lists = {name: values.tolist() for name, values in by_threshold.items() if name in shown}
    return [
        {
            "id": unit,
            "scores": {name: headline[name][row] for name in shown} if kept[row] else {},
            "per_tiou": {name: lists[name][row] for name in lists} if kept[row] else {},
            "prediction": _told(video.proposals),
            "references": [_told(events) for events in video.files],
            "length": sum(len(event.caption.split()) for event in video.proposals),
        }
        for row, (unit, video) in enumerate(videos.items())
    ]


def _told(events: Iterable[Event]) -> str:
    return "\n".join(f"{e.segment[0]:g}-{e.segment[1]:g} s: {e.caption}" for e in events)


def _details(
    videos: Sequence[Video],
    kept: npt.NDArray[np.bool_],
    measures: _Measures,
    protocol: DenseProtocol,
    shown: Sequence[str],
) -> dict[str, Any]:
    means = measures.means(np.ones(len(videos)))
    means["F1"] = f1_score(means["precision"], means["recall"])
    overlap = measures.by_video()
    each = f1_score(overlap["precision"].mean(axis=1), overlap["recall"].mean(axis=1))
    details = {
        "num_proposals": sum(len(video.proposals) for video in videos),
        "num_events": sum(len(video.events) for video in videos),
        "num_videos_counted": int(kept.sum()),
        "per_tiou": {name: means[name].tolist() for name in shown if name in means},
        "F1 per video": float(each[kept].mean()) if kept.any() else 0.0,
    }
    return details | ({"starts": _starts(videos)} if protocol.skip_missing else {})


def _starts(videos: Iterable[Video]) -> dict[str, list[float]]:
    """Recall, precision and F1 where a proposal hits by its start alone, one value a distance."""
    found = []
    for video in videos:
        if video.predicted:
            made, true = (
                np.array([event.segment[0] for event in part], dtype=np.float64)
                for part in (video.proposals, video.events)
            )
            hits = start_hits(made, true, START_SECONDS)
            found.append(recall_precision(hits, [*map(len, video.files)]))
    recall, precision = np.mean(found, axis=0) if found else np.zeros((2, len(START_SECONDS)))
    return {
        "seconds": [*START_SECONDS],
        "recall": recall.tolist(),
        "precision": precision.tolist(),
        "F1": f1_score(precision, recall).tolist(),
    }


def _warnings(videos: Sequence[Video], protocol: DenseProtocol) -> tuple[str, ...]:
    found = []
    if protocol.skip_missing and not any(video.predicted for video in videos):
        found.append("No video of the references is predicted: every mean is over nothing, so 0.")
    bare = sum(not video.events for video in videos)
    if bare:
        found.append(f"{bare} reference video(s) have no event and count 0 for localisation.")
    return tuple(found)
