"""`vcap evaluate retrieval`: from a similarity matrix, two feature stores, or ranked hits.

References say which texts each video has: any layout of captions, or, for a matrix, a JSON list
with the video of each row, or `{"break_points": [0, ...]}` (rows from one to the next are about
one column). Shapes: Q texts (rows), V videos (columns).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vcap.engine.evaluation.inputs import Given
from vcap.engine.evaluation.problems import Problems
from vcap.engine.evaluation.sentences import read_split
from vcap.errors import AnnotationError, UsageError
from vcap.metrics.outcome import Outcome, TextTools

if TYPE_CHECKING:
    from vcap.engine.evaluate import EvaluateSettings

MAGIC = b"\x93NUMPY"


@dataclass
class Wanted:
    """The texts that ask, and the video that answers each.

    Attributes:
        rows: the text of each row; None where only its video is known.
        videos: the video of each row.
        clips_of: the video that a clip was cut from, where that is said.
        numbered: how many columns there are, where the rows name theirs by number.
        warnings: one sentence each.
    """

    rows: list[str | None] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    clips_of: dict[str, str] = field(default_factory=dict)
    numbered: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """Every video once, by number or in the order in which they come first."""
        if self.numbered:
            return [str(number) for number in range(self.numbered)]
        return list(dict.fromkeys(self.videos))

    def targets(self) -> npt.NDArray[np.int64]:
        """The column of each row, [Q]."""
        place = {video: number for number, video in enumerate(self.columns)}
        return np.array([place[video] for video in self.videos], dtype=np.int64)

    def texts_of(self) -> dict[str, list[str]]:
        """The known texts of each video."""
        found: dict[str, list[str]] = {video: [] for video in self.columns}
        for text, video in zip(self.rows, self.videos, strict=True):
            if text is not None:
                found[video].append(text)
        return found


def evaluate_retrieval(
    predictions: Given,
    references: Sequence[Given],
    settings: "EvaluateSettings",
    problems: Problems,
    tools: TextTools,
) -> Outcome:
    """Recall at k, median and mean rank, both directions where both are known.

    Raises:
        InputError: a file cannot be used, or no id is in both.
        UsageError: a store of videos comes without a store of texts.
    """
    from vcap.engine.evaluation.hits import score_hits
    from vcap.engine.evaluation.similarity import read_matrix, score_matrix, score_stores

    folder = predictions.path is not None and predictions.path.is_dir()
    matrix = read_matrix(predictions) if not folder and is_matrix(predictions) else None
    shape = None if matrix is None else matrix.shape
    wanted = read_wanted(references, settings.split, problems, shape)
    if predictions.path is not None and predictions.path.is_dir():
        if settings.text_features is None:
            raise UsageError(
                f"{predictions.name} is a folder of video features; the texts' are wanted too",
                hint="--text-features STORE (made by: vcap encode --text)",
            )
        outcome = score_stores(predictions.path, settings.text_features, wanted, settings, problems)
    elif settings.text_features is not None:
        raise UsageError("--text-features goes with a folder of video features")
    elif matrix is not None:
        outcome = score_matrix(matrix, predictions.name, wanted, settings)
    else:
        outcome = score_hits(predictions, wanted, settings, problems)
    texts = wanted.texts_of()
    items = [{**item, "references": texts[item["id"]]} for item in outcome.items]
    return replace(outcome, items=items, warnings=(*wanted.warnings, *outcome.warnings))


def is_matrix(given: Given) -> bool:
    """Whether a file holds an array of numpy, whatever it is called, packed or not."""
    return given.head(len(MAGIC)) == MAGIC


def read_wanted(
    references: Sequence[Given],
    split: str | None,
    problems: Problems,
    shape: tuple[int, ...] | None = None,
) -> Wanted:
    """Which texts ask for which videos, over all files in their order.

    Args:
        shape: [Q, V] of the matrix that is scored, which bounds rows and columns by number.

    Raises:
        AnnotationError: a file cannot be read, names no texts, or not those of the matrix.
        UsageError: a split is wanted that a file does not know.
    """
    wanted = Wanted()
    for given in references:
        plain = _plain_rows(given, shape)
        if plain is not None:
            if split is not None:
                raise UsageError(f"{given.name} has no split {split}; a list of rows has none")
            _add_plain(wanted, plain)
            continue
        lines, told = read_split(given, split, problems)
        wanted.warnings += told
        for line in lines:
            if line.video is not None:
                wanted.clips_of[line.id] = line.video
            if not line.texts:
                problems.add("no reference", f"{given.name}: {line.id}")
            for text in line.texts:
                if not isinstance(text, str):
                    problems.add("unusable record", f"{given.name}: {line.id}")
                wanted.rows.append(text if isinstance(text, str) else None)
                wanted.videos.append(line.id)
    if not wanted.videos:
        raise AnnotationError(f"{references[0].name}: no texts to look for")
    return wanted


def _add_plain(wanted: Wanted, rows: Sequence[str | int]) -> None:
    """Add rows of which only the video is known, by its id or the number of its column."""
    if isinstance(rows[0], int):
        wanted.numbered = max(wanted.numbered, 1 + max(int(row) for row in rows))
    wanted.videos += [str(row) for row in rows]
    wanted.rows += [None] * len(rows)


def _plain_rows(given: Given, shape: tuple[int, ...] | None) -> list[str] | list[int] | None:
    """The video of each row where a file says just that; None for captions."""
    if not given.text().lstrip().startswith(("[", "{")):
        return None
    value = given.load()
    if isinstance(value, Mapping) and "break_points" in value:
        return _from_break_points(value["break_points"], given, shape)
    if not isinstance(value, list) or not value:
        return None
    if all(type(each) is int and each >= 0 for each in value):
        _check_columns(1 + max(value), given, shape)
        return value
    return value if all(isinstance(each, str) for each in value) else None


def _check_columns(count: int, given: Given, shape: tuple[int, ...] | None) -> None:
    """Refuse more columns by number than there are, before a list is made of them."""
    if shape is None:
        raise UsageError(f"{given.name} names videos by number, which takes a similarity matrix")
    if count > shape[1]:
        raise AnnotationError(
            f"{given.name}: {count} videos by number; the matrix [texts, videos] is {[*shape]}"
        )


def _from_break_points(points: Any, given: Given, shape: tuple[int, ...] | None) -> list[int]:
    whole = isinstance(points, list) and all(type(point) is int for point in points)
    if not whole or len(points) < 2 or points[0] != 0 or sorted(set(points)) != points:
        raise AnnotationError(f"{given.name}: break_points: want rising whole numbers from 0")
    _check_columns(len(points) - 1, given, shape)
    if shape is not None and points[-1] > shape[0]:
        raise AnnotationError(
            f"{given.name}: break_points: {points[-1]} texts; "
            f"the matrix [texts, videos] is {[*shape]}"
        )
    return [n for n, count in enumerate(np.diff(points).tolist()) for _ in range(count)]
