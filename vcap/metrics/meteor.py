"""METEOR 1.5 from the statistics of its segments, with the arithmetic of the Java program.

A segment is one candidate with its references; its 23 numbers are: candidate length, reference
length, candidate function words, reference function words; for each of exact, stem, synonym and
paraphrase: candidate content matches, reference content matches, candidate function matches,
reference function matches; then chunks, candidate matches, reference matches.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NUM_STATISTICS = 23
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.20, 0.60, 0.75
MODULE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
LENGTHS, FUNCTION_WORDS = slice(0, 2), slice(2, 4)
MATCHES = slice(4, 20)
CHUNKS, CANDIDATE_MATCHES, REFERENCE_MATCHES = 20, 21, 22


def meteor_scores(statistics: Array) -> Array:
    """The score of each segment by itself: statistics [N, 23] -> [N]."""
    return meteor_of_sums(addable(statistics))


def meteor_of_groups(statistics: Array, groups: npt.NDArray[np.integer], num_groups: int) -> Array:
    """The score of each group of segments: their statistics are added, the formula comes last.

    Args:
        statistics: one row a segment, [N, 23].
        groups: the group of each segment, [N], each in 0..num_groups - 1.
        num_groups: length of the result; a group without segments scores 0.
    """
    rows = addable(statistics)
    sums = np.zeros((num_groups, NUM_STATISTICS))
    for column in range(NUM_STATISTICS):
        sums[:, column] = np.bincount(groups, weights=rows[:, column], minlength=num_groups)
    return meteor_of_sums(sums)


def addable(statistics: Array) -> Array:
    """The rows as they enter a sum: a segment matched whole in one chunk adds no chunk."""
    rows = np.array(statistics, dtype=np.float64).reshape(-1, NUM_STATISTICS)
    whole = (
        (rows[:, CHUNKS] == 1)
        & (rows[:, CANDIDATE_MATCHES] == rows[:, 0])
        & (rows[:, REFERENCE_MATCHES] == rows[:, 1])
    )
    rows[whole, CHUNKS] = 0
    return rows


def meteor_of_sums(rows: Array) -> Array:
    """The formula, once a row of added statistics: [G, 23] -> [G]."""
    matches = rows[:, MATCHES].reshape(-1, 4, 4)  # module, then content and function, by side
    content, function = matches[:, :, 0:2], matches[:, :, 2:4]
    weighted = DELTA * content + (1 - DELTA) * function
    matched = np.einsum("nms,m->ns", weighted, MODULE_WEIGHTS)
    words = DELTA * (rows[:, LENGTHS] - rows[:, FUNCTION_WORDS])
    words += (1 - DELTA) * rows[:, FUNCTION_WORDS]
    precision, recall = _ratio(matched, words).T
    mean = _ratio(np.ones(len(rows)), _ratio(1 - ALPHA, precision) + _ratio(ALPHA, recall))
    mean[(precision == 0) | (recall == 0)] = 0
    both = (rows[:, CANDIDATE_MATCHES] + rows[:, REFERENCE_MATCHES]) / 2
    penalty = GAMMA * _ratio(rows[:, CHUNKS], both) ** BETA
    return np.asarray(mean * (1 - penalty))


def _ratio(above: Array | float, below: Array) -> Array:
    """The quotient, 0 where the divisor is 0."""
    out = np.zeros(np.broadcast_shapes(np.shape(above), below.shape))
    return np.divide(above, below, out=out, where=below != 0)
