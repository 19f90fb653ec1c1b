"""Which predicted sentence is judged against which true one: the pairs of dense captioning.

At each tIoU threshold a proposal is paired with every event of every reference file that it
overlaps at least that much, or with one constant sentence where there is none. Sentences are
tokenised once, and carried as numbers until the distinct pairs are known.
Shapes: U videos, T thresholds, R pairs over all thresholds, P proposals and E events of one video.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vcap.metrics.localisation import recall_precision
from vcap.metrics.outcome import Pair, TextTools
from vcap.metrics.ptb import clean_ascii
from vcap.metrics.tiou import tiou_matrix
from vcap.types import Event

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Video:
    """The proposals of one video that count, and its events in each file that holds it."""

    proposals: Sequence[Event]
    files: tuple[Sequence[Event], ...]
    predicted: bool

    @cached_property
    def events(self) -> list[Event]:
        """The events of one file after another."""
        return [event for events in self.files for event in events]

    @cached_property
    def tious(self) -> Array:
        """Overlap of each proposal with each event, [P, E]."""
        segments = ([event.segment for event in part] for part in (self.proposals, self.events))
        return tiou_matrix(*segments)


@dataclass(frozen=True)
class Sentences:
    """Every distinct tokenised sentence, and which of them each caption is.

    Attributes:
        tokenised: the sentences.
        numbers: caption as it was given -> its place among the sentences.
        unmatched: the place of what a proposal is compared with that meets no event.
    """

    tokenised: list[str]
    numbers: Mapping[str, int]
    unmatched: int

    @classmethod
    def of(cls, videos: Iterable[Video], unmatched: str, tools: TextTools) -> "Sentences":
        """The sentences of all videos that have proposals."""
        captions = {unmatched: None}
        for video in videos:
            if video.proposals:
                captions.update((e.caption, None) for e in [*video.proposals, *video.events])
        texts = tools.tokenize([clean_ascii(caption) for caption in captions])
        places: dict[str, int] = {}
        pairs = zip(captions, texts, strict=True)
        numbers = {caption: places.setdefault(text, len(places)) for caption, text in pairs}
        return cls(list(places), numbers, numbers[unmatched])

    def of_events(self, events: Iterable[Event]) -> Numbers:
        """The number of each event's caption."""
        return np.array([self.numbers[event.caption] for event in events], dtype=np.int64)


@dataclass(frozen=True)
class Rows:
    """Every pair at every threshold, by number.

    Attributes:
        pairs: the distinct pairs.
        pair: [R], which of them a row is.
        threshold: [R].
        video: [R].
        shape: U and T.
    """

    pairs: list[Pair]
    pair: Numbers
    threshold: Numbers
    video: Numbers
    shape: tuple[int, int]

    @property
    def group(self) -> Numbers:
        """[R] number of the video at its threshold, in the order in which `table` takes them."""
        return self.video * self.shape[1] + self.threshold

    def table(self, values: Array) -> Array:
        """One value a group as [U, T]."""
        return values.reshape(self.shape)

    def scored(self, values: Array, score: Callable[[Array, Numbers, int], Array]) -> Array:
        """`score` of the values of each group's pairs, [U, T, ...].

        Args:
            values: one row a distinct pair.
            score: (values of some rows, their group, number of groups) -> one row a group. It is
                called once a threshold, so that only one is held at a time.
        """
        found = []
        for number in range(self.shape[1]):
            rows = np.flatnonzero(self.threshold == number)
            found.append(score(values[self.pair[rows]], self.video[rows], self.shape[0]))
        return np.stack(found, axis=1)


def overlaps(videos: Sequence[Video], tious: Sequence[float]) -> dict[str, Array]:
    """`recall` and `precision` of each video at each threshold, [U, T] each; 0 if no proposal."""
    found = np.zeros((2, len(videos), len(tious)))
    limits = np.array(tious)[:, None, None]
    for number, video in enumerate(videos):
        if video.proposals:
            hits = video.tious > limits  # an event is covered strictly above the threshold
            found[:, number] = recall_precision(hits, [*map(len, video.files)])
    return {"recall": found[0], "precision": found[1]}


def paired(videos: Sequence[Video], sentences: Sentences, tious: Sequence[float]) -> Rows:
    """The pairs of all videos at all thresholds."""
    size = len(sentences.tokenised)
    limits = np.array(tious)[:, None, None]
    columns: list[tuple[Numbers, Numbers, Numbers]] = []
    for number, video in enumerate(videos):
        if not video.proposals:
            continue
        threshold, proposal, event = _met(video.tious >= limits)
        said = sentences.of_events(video.proposals)
        true = np.append(sentences.of_events(video.events), sentences.unmatched)
        key = said[proposal] * size + true[event]
        columns.append((key, threshold, np.full(len(key), number)))
    nothing = (np.zeros(0, dtype=np.int64),) * 3
    keys, thresholds, owners = map(np.concatenate, zip(nothing, *columns, strict=True))
    distinct, pair = np.unique(keys, return_inverse=True)
    texts = sentences.tokenised
    split = (divmod(key, size) for key in distinct.tolist())
    pairs: list[Pair] = [(texts[made], (texts[given],)) for made, given in split]
    return Rows(pairs, pair, thresholds, owners, (len(videos), len(tious)))


def _met(hits: npt.NDArray[np.bool_]) -> tuple[Numbers, Numbers, Numbers]:
    """Threshold, proposal and event of each pair; E stands for the event of the unmatched.

    Args:
        hits: [T, P, E].
    """
    threshold, proposal, event = np.nonzero(hits)
    alone_threshold, alone = np.nonzero(~hits.any(axis=2))
    return (
        np.concatenate([threshold, alone_threshold]),
        np.concatenate([proposal, alone]),
        np.concatenate([event, np.full(len(alone), hits.shape[2])]),
    )
