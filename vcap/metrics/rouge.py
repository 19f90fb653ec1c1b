"""ROUGE-L as the COCO caption evaluation computes it.

Texts are split at single blanks: an empty text is one empty word, and two of them agree.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from vcap.metrics.ngrams import Counted, Floats
from vcap.metrics.outcome import Pair

_BETA = 1.2


def rouge_l(pairs: Sequence[Pair]) -> Floats:
    """ROUGE-L of each pair, [N]; precision and recall are each the best over the references."""
    counted = Counted.of(pairs)
    words: dict[str, list[str]] = {}
    places: dict[str, dict[str, int]] = {}
    best = np.zeros((len(counted.distinct), 2))
    for row, (candidate, references) in enumerate(counted.distinct):
        if candidate not in places:
            places[candidate] = _places(_split(candidate, words))
        length = len(words[candidate])
        given = [_split(reference, words) for reference in references]
        common = [_common_length(places[candidate], length, each) for each in given]
        best[row, 0] = max(common) / length
        best[row, 1] = max(c / len(each) for c, each in zip(common, given, strict=True))
    return _f_score(best[:, 0], best[:, 1])[counted.pair_of_row]


def _split(text: str, known: dict[str, list[str]]) -> list[str]:
    if text not in known:
        known[text] = text.split(" ")
    return known[text]


def _places(words: Sequence[str]) -> dict[str, int]:
    """Where each word stands, as the bits of one integer."""
    found: dict[str, int] = {}
    for index, word in enumerate(words):
        found[word] = found.get(word, 0) | 1 << index
    return found


def _common_length(places: dict[str, int], length: int, other: Iterable[str]) -> int:
    """Length of the longest common subsequence, a row of the usual table at a time.

    The bits of `row` are 0 where the table's row steps up (Hyyro's bit-parallel form).
    """
    every = row = (1 << length) - 1
    for word in other:
        place = places.get(word)
        if place is not None:
            step = row & place
            row = (row + step) | (row - step)
    return length - (row & every).bit_count()


def _f_score(precision: Floats, recall: Floats) -> Floats:
    weight = _BETA**2
    some = (precision > 0) & (recall > 0)
    below = np.where(some, recall + weight * precision, 1)
    return np.where(some, (1 + weight) * precision * recall / below, 0)
