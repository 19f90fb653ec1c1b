"""Hashes of phrases by their runs of ASCII letters and digits, many at once."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

NEWLINE, BLANK = 10, 32
LONGEST = 7  # words of the longest phrase of METEOR's table
BLOCK_BYTES = 1 << 20
FACTOR = 0x9E3779B97F4A7C15  # odd, so that its powers can be divided out again
INVERSE = pow(FACTOR, -1, 1 << 64)


def phrase_hashes(sentences: Iterable[str]) -> Hashes:
    """Sorted hashes of all phrases of up to seven runs in the sentences, and of the empty one."""
    lines = (sentence.lower().replace("\n", " ") for sentence in sentences)
    text = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
    found = [np.zeros(1, dtype=np.uint64)]
    found += [_phrases_of(block) for block in blocks_of_lines(np.frombuffer(text, np.uint8))]
    return _distinct(np.concatenate(found))


def line_hashes(text: Bytes) -> Hashes:
    """The hash of each line by its runs; every line ends with a line feed."""
    found = [np.zeros(0, dtype=np.uint64)]
    for block in blocks_of_lines(text):
        tidy = _tidy(block)
        ends = np.flatnonzero(tidy == NEWLINE)
        begins = line_begins(ends)
        trailing = (tidy[np.maximum(ends - 1, 0)] == BLANK) & (ends > begins)
        found.append(span_hashes(tidy, begins, ends - trailing))
    return np.concatenate(found)


def merged_hashes(one: Hashes, other: Hashes) -> Hashes:
    """Sorted hashes that stand in either."""
    return _distinct(np.concatenate([one, other]))


def contained(values: Hashes, known: Hashes) -> npt.NDArray[np.bool_]:
    """Which values stand among the known ones, which are sorted and not empty."""
    places = np.searchsorted(known, values)
    return np.asarray(known[np.minimum(places, len(known) - 1)] == values)


def span_hashes(text: Bytes, begins: Places, ends: Places) -> Hashes:
    """A hash of the bytes of each span, wherever it stands: [S]; 0 for an empty one."""
    powers, inverses = _powers(len(text))
    sums = np.zeros(len(text) + 1, dtype=np.uint64)
    np.cumsum(text * powers[: len(text)], out=sums[1:])
    return (sums[ends] - sums[begins]) * inverses[begins]


def line_begins(ends: Places) -> Places:
    """Where the lines begin that end at these line feeds."""
    return np.concatenate([np.zeros(1, dtype=np.int64), ends + 1])[: len(ends)]


def blocks_of_lines(text: Bytes) -> Iterable[Bytes]:
    """The text in blocks of whole lines, each small enough for the processor's caches."""
    begin = 0
    while begin < len(text):
        stop = min(begin + BLOCK_BYTES, len(text))
        more = np.flatnonzero(text[begin:stop] == NEWLINE)
        while not len(more):  # a line longer than a block
            stop = min(stop + BLOCK_BYTES, len(text))
            more = np.flatnonzero(text[begin:stop] == NEWLINE)
        yield text[begin : begin + int(more[-1]) + 1]
        begin += int(more[-1]) + 1


def _phrases_of(text: Bytes) -> Hashes:
    tidy = _tidy(text)
    edge = tidy <= BLANK
    begins = np.flatnonzero(~edge & np.concatenate([[True], edge[:-1]]))
    ends = np.flatnonzero(~edge & np.concatenate([edge[1:], [True]])) + 1
    lines = np.cumsum(tidy == NEWLINE)[begins]
    found = [np.zeros(0, dtype=np.uint64)]
    for extra in range(min(LONGEST, len(begins))):
        together = lines[extra:] == lines[: len(lines) - extra]
        first, last = begins[: len(begins) - extra][together], ends[extra:][together]
        found.append(span_hashes(tidy, first, last))
    return _distinct(np.concatenate(found))


def _distinct(hashes: Hashes) -> Hashes:
    """Sorted, each once; many times as fast on such numbers as numpy's own, which fills a table."""
    ordered = np.sort(hashes)
    first = np.ones(min(len(ordered), 1), dtype=np.bool_)
    return np.asarray(ordered[np.concatenate([first, np.diff(ordered) != 0])])


def _tidy(text: Bytes) -> Bytes:
    """Lower case, one blank for whatever is no run, none at the beginning of a line."""
    plain = KINDS[text]
    blank = plain == BLANK
    after = np.concatenate([[True], plain[:-1] <= BLANK])
    return np.asarray(plain[~(blank & after)])


def _kinds() -> Bytes:
    kinds = np.full(256, BLANK, dtype=np.uint8)
    kinds[NEWLINE] = NEWLINE
    for code in b"abcdefghijklmnopqrstuvwxyz0123456789":
        kinds[code] = kinds[ord(chr(code).upper())] = code
    return kinds


def _powers(length: int) -> tuple[Hashes, Hashes]:
    return _power_table(1 << max(length, 1).bit_length())


@lru_cache(maxsize=32)
def _power_table(length: int) -> tuple[Hashes, Hashes]:
    """The powers of the factor and of its inverse, modulo 2**64."""
    both = []
    for number in (FACTOR, INVERSE):
        powers = np.full(length, number, dtype=np.uint64)
        powers[0] = 1
        both.append(np.cumprod(powers))
    return both[0], both[1]


KINDS = _kinds()
