"""SODA: how well the captioned events of a video tell its story, each in its turn.

Predictions and events, both in the order of their starts, are matched one to one without crossing
so that the sum S over the pairs is greatest; precision is S / predictions, recall S / events, and
the figure is the mean F1 of the videos that are in both. Variants: `c` maximises and sums tIoU
times text score, `d` tIoU alone; `a` and `b` match by tIoU and sum the text scores of the pairs
(`a`: the mean over four thresholds; a tIoU below counts 0).

The text score has its roles exchanged: the caption of the event is the candidate, the prediction
is the reference. METEOR is at most 1, so tIoU bounds what a pair can add: pairs that cannot be in
a greatest sum are never put to METEOR, which is where the time goes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vcap.metrics.cider import cider
from vcap.metrics.meteor import meteor_scores
from vcap.metrics.outcome import Outcome, Pair, TextTools, Weights
from vcap.metrics.ptb import clean_ascii
from vcap.metrics.tiou import tiou_matrix
from vcap.types import Event

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Videos = Mapping[str, Sequence[Event]]
Variant = Literal["a", "b", "c", "d"]
Files = Literal["mean", "merged", "best"]
Scorer = Literal["METEOR", "CIDEr"]

TIOUS = (0.3, 0.5, 0.7, 0.9)
SLACK = 1e-9  # a sum in another order may differ in its last digits
FILES_RULES: dict[Files, str] = {
    "mean": "the mean over the reference files",
    "merged": "the reference files as one",
    "best": "the best reference file of each video",
}


@dataclass(frozen=True)
class _Case:
    """One video against one reference file; E events, P predictions, sentences as numbers."""

    file: int
    unit: int
    events: Rows  # [E]
    predictions: Rows  # [P]
    tiou: Array  # [E, P]


@dataclass(frozen=True)
class _Figures:
    """Precision, recall and F1 of each file and video; [F, U, 3] and which of them count."""

    values: Array
    judged: npt.NDArray[np.bool_]

    def mean(self, weights: Weights) -> Array:
        """The weighted means over the videos that count, [F, 3].

        0 for a file without any, NaN for one whose videos have no weight.
        """
        drawn = self.judged * weights  # [F, U]
        total = drawn.sum(axis=1, keepdims=True)
        summed = np.einsum("fu,fuk->fk", drawn, self.values)
        empty = np.where(self.judged.any(axis=1, keepdims=True), np.nan, 1.0)
        return np.asarray(summed / np.where(total > 0, total, empty))

    def of_videos(self) -> list[float | None]:
        """The F1 of each video, the mean over the files that hold it; None where it has none."""
        num_files = self.judged.sum(axis=0)
        sums = (self.values[:, :, 2] * self.judged).sum(axis=0)
        pairs = zip(sums.tolist(), num_files.tolist(), strict=True)
        return [value / number if number else None for value, number in pairs]


def score_soda(
    predictions: Videos,
    references: Sequence[Videos],
    tools: TextTools,
    *,
    variant: Variant = "c",
    files: Files = "mean",
    scorer: Scorer = "METEOR",
) -> Outcome:
    """The SODA figure of a variant, under the name `SODA_c` and so on.

    A predicted video without a prediction scores 0 and counts; a video that is missing from the
    predictions, or has no event in a reference file, does not count there.

    Args:
        predictions: video -> captioned segments, in any order.
        references: one mapping of video -> events a file.
        tools: tokenizer and METEOR.
        variant: a, b, c or d; see the module.
        files: with several reference files, the mean of their figures, the figure of all events
            together, or of each video the file that gives the greatest F1.
        scorer: the text score; CIDEr counts its n-grams over the predictions of one video.
    """
    name = f"SODA_{variant}" + (" (CIDEr)" if scorer == "CIDEr" else "")
    units = tuple(dict.fromkeys(video for file in references for video in file))
    if variant != "d" and scorer in tools.unavailable:
        return _unavailable(name, units, tools.unavailable[scorer])
    sources = [_merged(references)] if files == "merged" else references
    cases, sentences = _read(predictions, sources, units, tools, in_order=files != "best")
    if variant != "d" and scorer == "METEOR":
        tools.expect(sentences)
    sums = _sums(cases, variant, _Texts(sentences, tools, scorer))
    figures = _figures(cases, sums, (len(sources), len(units)), best=files == "best")
    per_file = figures.mean(np.ones(len(units)))
    warnings = () if cases else (f"no video is in predictions and references: {name} is 0",)
    return Outcome(
        units=units,
        scores=_headline(name, per_file),
        rescore=lambda weights: _headline(name, figures.mean(weights)),
        items=_items(name, units, figures.of_videos()),
        details={name: _details(per_file)},
        protocol={name: f"{FILES_RULES[files]}; videos without a prediction do not count"},
        warnings=warnings,
    )


def best_totals(worth: Array) -> Array:
    """The greatest sums of cells [..., E, P] >= 0, no two in one row or column, none crossing."""
    return np.asarray(_table(worth)[..., -1, -1])


def best_totals_through(worth: Array) -> Array:
    """The greatest such sum that takes each cell, [..., E, P]."""
    before = _table(worth)[..., :-1, :-1]
    after = _table(worth[..., ::-1, ::-1])[..., -2::-1, -2::-1]
    return np.asarray(before + worth + after)


def matched_cells(worth: Array) -> Mask:
    """The cells of a best sum, [E, P], as the original goes back through its table.

    That walk is not always right: in each row it takes the last cell that gained, also where the
    best sum is that of the row above. It also takes the first cell of all where nothing has any
    worth. Both are part of the published figures of variants a and b.
    """
    matched = np.zeros(worth.shape, dtype=np.bool_)
    if not worth.size:
        return matched
    best = _table(worth)
    gained = best[:-1, :-1] + worth > np.maximum(best[:-1, 1:], best[1:, :-1])
    gained[0, 0] = True
    last = worth.shape[1]
    for row in range(worth.shape[0] - 1, -1, -1):
        columns = np.flatnonzero(gained[row, :last])
        if columns.size:
            last = int(columns[-1])
            matched[row, last] = True
    return matched


def _table(worth: Array) -> Array:
    """The best sums of the first rows and columns, [..., E + 1, P + 1]."""
    *stack, num_rows, num_columns = worth.shape
    best = np.zeros((*stack, num_rows + 1, num_columns + 1))
    for row in range(num_rows):
        done, new = best[..., row, :], best[..., row + 1, :]
        np.maximum(done[..., 1:], done[..., :-1] + worth[..., row, :], out=new[..., 1:])
        np.maximum.accumulate(new, axis=-1, out=new)
    return best


def _stacked(judge: Callable[..., npt.NDArray[Any]], *lists: Sequence[Array]) -> list[Any]:
    """What is said of the arrays of the lists side by side, asked once for all of one shape."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place, array in enumerate(lists[0]):
        places.setdefault(array.shape, []).append(place)
    found: dict[int, Any] = {}
    for same in places.values():
        stacks = [np.stack([arrays[place] for place in same]) for arrays in lists]
        found.update(zip(same, judge(*stacks), strict=True))
    return [found[place] for place in range(len(lists[0]))]


def _merged(references: Sequence[Videos]) -> Videos:
    units = dict.fromkeys(video for file in references for video in file)
    return {unit: [e for file in references for e in file.get(unit, ())] for unit in units}


def _read(
    predictions: Videos,
    sources: Sequence[Videos],
    units: Sequence[str],
    tools: TextTools,
    *,
    in_order: bool,
) -> tuple[list[_Case], list[str]]:
    """The cases, and the sentences that their numbers stand for."""
    told = [
        (file, number, _sorted(source[unit]) if in_order else source[unit])
        for file, source in enumerate(sources)
        for number, unit in enumerate(units)
        if source.get(unit) and unit in predictions
    ]
    said = {number: _sorted(predictions[units[number]]) for _, number, _ in told}
    lists = [*said.values(), *(events for _, _, events in told)]
    captions = [*dict.fromkeys(event.caption for events in lists for event in events)]
    tokenised = tools.tokenize([clean_ascii(caption) for caption in captions])
    numbers: dict[str, int] = {}
    rows = [numbers.setdefault(tokens, len(numbers)) for tokens in tokenised]
    number_of = dict(zip(captions, rows, strict=True))
    cases = [_case(file, unit, events, said[unit], number_of) for file, unit, events in told]
    return cases, [*numbers]


def _sorted(events: Sequence[Event]) -> Sequence[Event]:
    starts = np.array([event.segment.start for event in events], dtype=np.float64)
    return [events[row] for row in np.argsort(starts, kind="stable").tolist()]


def _case(
    file: int,
    unit: int,
    events: Sequence[Event],
    predictions: Sequence[Event],
    number_of: Mapping[str, int],
) -> _Case:
    def segments(listed: Sequence[Event]) -> Array:
        return np.array([e.segment for e in listed], dtype=np.float64).reshape(-1, 2)

    def sentences(listed: Sequence[Event]) -> Rows:
        return np.array([number_of[e.caption] for e in listed], dtype=np.intp)

    tiou = tiou_matrix(segments(events), segments(predictions))
    return _Case(file, unit, sentences(events), sentences(predictions), tiou)


@dataclass(frozen=True)
class _Texts:
    """Text scores of cells: the event's caption judged against the prediction."""

    sentences: Sequence[str]
    tools: TextTools
    scorer: Scorer

    def matrices(self, cases: Sequence[_Case], wanted: Sequence[Mask]) -> list[Array]:
        """The METEOR of the wanted cells of each case, [E, P]; 0 for others."""
        cells = [self._cells(case)[mask] for case, mask in zip(cases, wanted, strict=True)]
        codes, where = np.unique(np.concatenate([*cells, []]).astype(np.intp), return_inverse=True)
        statistics = self.tools.meteor(list(map(self._pair, codes.tolist())))
        values = meteor_scores(statistics)[where]
        parts = np.split(values, np.cumsum([len(codes) for codes in cells]))[:-1]
        matrices = [np.zeros(mask.shape) for mask in wanted]
        for matrix, mask, part in zip(matrices, wanted, parts, strict=True):
            matrix[mask] = part
        return matrices

    def _cells(self, case: _Case) -> Rows:
        return np.asarray(case.events[:, None] * len(self.sentences) + case.predictions)

    def _pair(self, code: int) -> Pair:
        event, prediction = divmod(code, len(self.sentences))
        return self.sentences[event], (self.sentences[prediction],)

    def cider(self, cases: Sequence[_Case]) -> list[Array]:
        """The CIDEr of every cell, [E, P]; an event against all predictions is one set."""
        pairs: list[Pair] = []
        groups, first = [], 0
        for case in cases:
            pairs.extend(map(self._pair, self._cells(case).ravel().tolist()))
            groups.append(first + np.repeat(np.arange(len(case.events)), len(case.predictions)))
            first += len(case.events)
        values = cider(pairs, np.concatenate([*groups, []]).astype(np.intp), first)
        parts = np.split(values, np.cumsum([case.tiou.size for case in cases]))[:-1]
        return [part.reshape(case.tiou.shape) for part, case in zip(parts, cases, strict=True)]


def _sums(cases: Sequence[_Case], variant: Variant, texts: _Texts) -> Array:
    """S of each case and threshold, [C, T]; one threshold but for variant a."""
    if variant in ("a", "b"):
        return _matched_sums(cases, TIOUS if variant == "a" else (0.0,), texts)
    worth = [case.tiou for case in cases]
    if variant == "c" and texts.scorer == "CIDEr":
        worth = [case.tiou * score for case, score in zip(cases, texts.cider(cases), strict=True)]
    elif variant == "c":
        worth = _worth(cases, texts)
    return np.array(_stacked(best_totals, worth), dtype=np.float64).reshape(-1, 1)


def _worth(cases: Sequence[_Case], texts: _Texts) -> list[Array]:
    """tIoU x METEOR, [E, P], of every cell that can be in a greatest sum; 0 for others.

    First the cells are judged that were in it if all METEOR were 1; then those through which more
    can still be reached than these give by themselves.
    """
    tious = [case.tiou for case in cases]
    first = _stacked(_hopeful, tious)
    worth = [t * score for t, score in zip(tious, texts.matrices(cases, first), strict=True)]
    bounds = [np.where(*parts) for parts in zip(first, worth, tious, strict=True)]
    second = _stacked(_deciding, bounds, worth, first)
    more = texts.matrices(cases, second)
    return [sure + t * score for sure, t, score in zip(worth, tious, more, strict=True)]


def _hopeful(bound: Array) -> Mask:
    """Cells of a greatest sum, [..., E, P]."""
    total = best_totals(bound)[..., None, None]
    return np.asarray((bound > 0) & (best_totals_through(bound) > total - SLACK))


def _deciding(bound: Array, sure: Array, judged: Mask) -> Mask:
    """Cells not yet judged through which more can be had than is sure, [..., E, P]."""
    total = best_totals(sure)[..., None, None]
    return np.asarray(~judged & (bound > 0) & (best_totals_through(bound) > total))


def _matched_sums(cases: Sequence[_Case], tious: Sequence[float], texts: _Texts) -> Array:
    matches = [
        [matched_cells(np.where(case.tiou < tiou, 0.0, case.tiou)) for tiou in tious]
        for case in cases
    ]
    if texts.scorer == "CIDEr":
        scores = texts.cider(cases)
    else:
        scores = texts.matrices(cases, [np.logical_or.reduce(found) for found in matches])
    sums = [
        [score[mask].sum() for mask in found] for score, found in zip(scores, matches, strict=True)
    ]
    return np.array(sums).reshape(-1, len(tious))


def _figures(
    cases: Sequence[_Case], sums: Array, shape: tuple[int, int], *, best: bool
) -> _Figures:
    """Precision, recall and F1, means over the thresholds; `best` leaves one file, the best."""
    values = np.zeros((*shape, sums.shape[1], 3))
    judged = np.zeros(shape, dtype=np.bool_)
    sizes = [(case.file, case.unit, *case.tiou.shape) for case in cases]
    file, unit, num_events, num_predictions = np.array(sizes, dtype=np.intp).reshape(-1, 4).T
    judged[file, unit] = True
    precision = sums / np.maximum(num_predictions, 1)[:, None]
    recall = sums / num_events[:, None]
    both = np.where(sums > 0, precision + recall, 1.0)
    f1 = 2 * precision * recall / both
    values[file, unit] = np.stack([precision, recall, f1], axis=-1)
    if best:
        chosen = np.where(judged[:, :, None], values[..., 2], -1.0).argmax(axis=0)  # [U, T]
        values = np.take_along_axis(values, chosen[None, :, :, None], axis=0)
        judged = np.logical_or.reduce(judged, axis=0, keepdims=True)
    return _Figures(values.mean(axis=2), judged)


def _headline(name: str, per_file: Array) -> dict[str, float]:
    return {name: float(per_file[:, 2].mean())}


def _details(per_file: Array) -> dict[str, Any]:
    precision, recall, f1 = per_file.mean(axis=0).tolist()
    names = ("precision", "recall", "F1")
    rows = [dict(zip(names, row, strict=True)) for row in per_file.tolist()]
    return {"precision": precision, "recall": recall, "F1": f1, "per_file": rows}


def _items(name: str, units: Sequence[str], values: Sequence[float | None]) -> list[dict[str, Any]]:
    return [
        {"id": unit, "scores": {} if value is None else {name: value}}
        for unit, value in zip(units, values, strict=True)
    ]


def _unavailable(name: str, units: tuple[str, ...], reason: str) -> Outcome:
    items = _items(name, units, [None] * len(units))
    return Outcome(units, {}, lambda weights: {}, items, unavailable={name: reason})
