"""Text tools without Java: words by blanks, METEOR that knows equal words only."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vcap.metrics.ngrams import Floats
from vcap.metrics.outcome import Pair


@dataclass
class PlainTools:
    """Stands for the tools of the engine, and remembers what it was asked."""

    unavailable: Mapping[str, str] = field(default_factory=dict)
    tokenized: list[list[str]] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    asked: list[Pair] = field(default_factory=list)

    def tokenize(self, captions: Sequence[str]) -> list[str]:
        """Lower case, without full stops."""
        self.tokenized.append([*captions])
        return [" ".join(caption.lower().replace(".", " ").split()) for caption in captions]

    def expect(self, sentences: Iterable[str]) -> None:
        """Note what is announced."""
        self.expected += sentences

    def meteor(self, pairs: Sequence[Pair]) -> Floats:
        """Statistics as if equal words were all that METEOR knew; the first reference counts."""
        self.asked += pairs
        return np.array([_statistics(text, given[0]) for text, given in pairs]).reshape(-1, 23)

    def spice(self, pairs: Sequence[Pair]) -> Floats:
        """1 where the candidate is one of its references."""
        return np.array([float(text in given) for text, given in pairs])


def _statistics(candidate: str, reference: str) -> list[float]:
    mine, theirs = candidate.split(), reference.split()
    same = (Counter(mine) & Counter(theirs)).total()
    chunks = 1 if mine == theirs else same
    return [len(mine), len(theirs), 0, 0, same, same, *[0] * 14, chunks, same, same]
