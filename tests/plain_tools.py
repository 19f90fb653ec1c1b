"""Text tools in a few lines: words by blanks, and METEOR's statistics for exact matches only."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from vcap.metrics.meteor import NUM_STATISTICS
from vcap.metrics.outcome import Pair


class PlainTools:
    """Stands in for the Java programs, and remembers what it was asked."""

    def __init__(self, unavailable: Mapping[str, str] | None = None) -> None:
        """Say what is not available, if anything."""
        self.unavailable = unavailable or {}
        self.tokenized: list[str] = []
        self.expected: list[str] = []
        self.asked: list[Pair] = []

    def tokenize(self, captions: Sequence[str]) -> list[str]:
        """Lower case, single blanks."""
        self.tokenized += captions
        return [" ".join(caption.lower().split()) for caption in captions]

    def expect(self, sentences: Iterable[str]) -> None:
        """Remember the sentences."""
        self.expected += sentences

    def meteor(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """Content words that occur in the (first) reference too, each in a chunk of its own."""
        self.asked += pairs
        rows = np.zeros((len(pairs), NUM_STATISTICS))
        for row, (candidate, references) in zip(rows, pairs, strict=True):
            words, given = candidate.split(), references[0].split()
            matches = (Counter(words) & Counter(given)).total()
            row[:2] = len(words), len(given)
            row[4:6] = row[20:23] = 0
            row[4] = row[5] = row[20] = row[21] = row[22] = matches
        return rows

    def spice(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """Never asked."""
        raise AssertionError("SPICE is no part of this")
