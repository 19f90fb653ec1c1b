"""An index: the vectors of many videos, searched in milliseconds, and what is known of them.

Needs numpy alone; faiss is imported where an index is not `flat`. Shapes: N vectors, T frames or
sentences of one video, D width, Q queries.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vcap.errors import FeatureError
from vcap.features import index_files as files
from vcap.features.index_files import Header, damaged, load_array
from vcap.features.index_search import Rows, Scores, exact_search, unit

if TYPE_CHECKING:
    from vcap.features.index_kinds import Approximate

__all__ = ["Index"]

ATTEMPTS = 5  # to open an index that is being replaced
DECODER = json.JSONDecoder(parse_constant=lambda name: None)  # `NaN` is no JSON


class Index:
    """Vectors by row, and the videos that they belong to, as the files were when it was opened.

    Attributes:
        folder: where it is.
        header: what `index.json` says.
        vectors: [N, D] float32 of length 1, memory-mapped.
        offsets: [V + 1], where the frames of each video begin; the last is P.
    """

    def __init__(self, folder: Path, header: Header) -> None:
        """Map the files that a header names; `Index.open` reads the header first."""
        self.folder = folder
        self.header = header
        files.check_sizes(folder, header)
        self._place = folder / header.generation
        shape = (header.num_vectors, header.width)
        self.vectors: Scores = load_array(self._place / files.VECTORS, np.dtype("<f4"), shape)
        self.offsets: Rows = load_array(
            self._place / files.OFFSETS, np.dtype("<i8"), (header.num_videos + 1,)
        )
        files.refuse_fall(self._place / files.OFFSETS, self.offsets, header.num_parts)
        if self.offsets[0] or self.offsets[-1] != header.num_parts:
            raise damaged(self._place / files.OFFSETS, f"it is not of {header.num_parts} frames")

    @classmethod
    def open(cls, folder: Path | str) -> "Index":
        """Open an index, even while it is replaced by another.

        Raises:
            FeatureError: there is none, or one of its files is damaged.
        """
        folder = Path(folder)
        missing: OSError | None = None
        for _ in range(ATTEMPTS):
            header = files.read_header(folder)
            try:
                return cls(folder, header)
            except FileNotFoundError as error:  # gone since the header was read, or for good
                missing = error
            except OSError as error:
                raise FeatureError(
                    f"{error.filename or folder}: cannot be read ({error.strerror})"
                ) from error
        assert missing is not None
        raise damaged(Path(str(missing.filename)), "it is missing") from missing

    def __len__(self) -> int:
        """N, how many vectors there are."""
        return self.header.num_vectors

    def __contains__(self, video_id: object) -> bool:
        """Whether there is a video of this id."""
        return isinstance(video_id, str) and self._number(video_id) is not None

    @property
    def width(self) -> int:
        """D, the width of a vector."""
        return self.header.width

    @property
    def level(self) -> files.Level:
        """What a vector stands for: `video`, `frame` or `text`."""
        return self.header.level

    @property
    def aggregation(self) -> str:
        """`mean`, or the model that made one vector of the frames of a video."""
        return self.header.aggregation

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What made the features: encoder, sampler, decoder."""
        return self.header.fingerprint

    @cached_property
    def ids(self) -> list[str]:
        """The ids of the videos, in order; at level `video` those of the rows."""
        return [self._line(number)["id"] for number in range(self.header.num_videos)]

    def search(
        self, queries: npt.NDArray[np.floating], k: int, *, among: Rows | None = None
    ) -> tuple[Scores, Rows]:
        """The k nearest rows of each query [Q, D]: cosines [Q, k] and rows [Q, k], best first.

        There are fewer columns where there are fewer rows. A search that is not exact may find
        fewer than k: the rest have row -1 and score -inf.

        Args:
            queries: of any length.
            k: hits wanted.
            among: look at these rows only, exactly.

        Raises:
            FeatureError: the queries are of another width.
        """
        if queries.ndim != 2 or queries.shape[1] != self.width:
            raise FeatureError(
                f"{self.folder} has vectors of width {self.width}, the queries are "
                f"{[*queries.shape]}"
            )
        asked = unit(queries)  # [Q, D]
        if not np.isfinite(asked).all():
            raise FeatureError("a query has numbers that are not finite, which are like no others")
        with np.errstate(invalid="ignore"):  # it is told in the next line
            scores, rows = self._nearest(asked, k, among)
        if not np.isfinite(scores[rows >= 0]).all():
            raise damaged(self._place / files.VECTORS, "some of its numbers are not finite")
        return scores, rows

    def _nearest(self, asked: Scores, k: int, among: Rows | None) -> tuple[Scores, Rows]:
        """Scores [Q, k] and rows [Q, k] for queries [Q, D] of length 1."""
        if among is not None:
            rows = np.sort(among)
            scores, places = exact_search(self.vectors[rows], asked, k)
            return scores, rows[places]
        if self.header.kind == "flat" or not len(self):
            return exact_search(self.vectors, asked, k)
        try:
            found: tuple[Scores, Rows] = self._approximate.search(
                self.vectors, asked, min(k, len(self))
            )
        except (RuntimeError, MemoryError) as error:  # what faiss makes of what it cannot follow
            raise damaged(self._place / files.FAISS, str(error).partition("\n")[0]) from error
        return found

    def record_of(self, row: int) -> dict[str, Any]:
        """What is known of the video of a row: `id`, `path` and the fields of its record.

        At level `frame` it has `time` too (seconds), at level `text` the `text` where it is known.
        """
        number = self.number_of(row)
        line = self._line(number)
        record = {"id": line["id"], **line["record"]}
        place = row - int(self.offsets[number])
        if self.level == "frame":
            record["time"] = float(self._finite(files.TIMES, self.times[row : row + 1])[0])
        if self.level == "text":
            texts = [caption.get("text") for caption in record.get("captions") or []]
            record |= {"text": texts[place]} if place < len(texts) else {}
        return record

    def number_of(self, row: int) -> int:
        """Which video a row is of, from 0."""
        if not 0 <= row < len(self):
            raise IndexError(f"no row {row} among {len(self)}")
        if self.level == "video":
            return row
        return int(np.searchsorted(self.offsets, row, side="right")) - 1

    def rows_of(self, video_id: str) -> range:
        """The rows of a video.

        Raises:
            FeatureError: there is no such video.
        """
        number = self._find(video_id)
        if self.level == "video":
            return range(number, number + 1)
        return range(int(self.offsets[number]), int(self.offsets[number + 1]))

    def vector(self, video_id: str) -> Scores:
        """The vector [D] of a video, of length 1; the mean of its rows where it has several.

        Raises:
            FeatureError: there is no such video.
        """
        rows = self.rows_of(video_id)
        own = self._finite(files.VECTORS, self.vectors[rows.start : rows.stop])  # [T, D]
        if self.level == "video":
            return np.asarray(own[0])
        return np.asarray(unit(own.mean(axis=0, keepdims=True))[0])  # [D]

    def frames_of(self, video_id: str) -> tuple[npt.NDArray[np.floating], Scores]:
        """Vectors [T, D] of the frames of a video, of any length, and their times [T] in seconds.

        Raises:
            FeatureError: there is no such video.
        """
        number = self._find(video_id)
        own = slice(int(self.offsets[number]), int(self.offsets[number + 1]))
        name, rows = (
            (files.PARTS, self.parts) if self.level == "video" else (files.VECTORS, self.vectors)
        )
        return self._finite(name, rows[own]), self._finite(files.TIMES, self.times[own])

    def line_of(self, number: int) -> dict[str, Any]:
        """The line of `ids.jsonl` about a video: `id`, `digest`, `store` and `record`."""
        return self._line(number)

    def line_bytes(self, number: int) -> bytes:
        """The same as it lies in the file, with its end."""
        text, ends = self._lines
        return text[int(ends[number - 1]) + 1 if number else 0 : int(ends[number]) + 1]

    @cached_property
    def labels(self) -> Rows:
        """The label [N] of each row in `index.faiss`, rising."""
        path = self._place / files.LABELS
        labels: Rows = load_array(path, np.dtype("<i8"), (len(self),))
        files.refuse_fall(path, labels, self.header.num_labels - 1)
        return labels

    @cached_property
    def parts(self) -> npt.NDArray[np.float16]:
        """The vectors [P, d] of all frames as the encoder gave them; only at level `video`."""
        shape = (self.header.num_parts, self.header.part_width)
        return load_array(self._place / files.PARTS, np.dtype("<f2"), shape)

    @cached_property
    def times(self) -> Scores:
        """The times [P] of all frames in seconds."""
        shape = (self.header.num_parts,)
        return load_array(self._place / files.TIMES, np.dtype("<f4"), shape)

    def _finite(self, name: str, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Some of the numbers in a file, which all are some."""
        if not files.is_finite(numbers).all():
            raise damaged(self._place / name, "some of its numbers are not finite")
        return numbers

    @cached_property
    def _approximate(self) -> "Approximate":
        from vcap.features.index_kinds import Approximate, read_faiss  # faiss takes half a second

        path = self._place / files.FAISS
        try:
            index = read_faiss(path)
            if index.d != self.width or index.ntotal < len(self):
                raise ValueError(f"it holds {index.ntotal} vectors {index.d} wide")
            return Approximate(index, self.labels, self.header.search)
        except (RuntimeError, ValueError, AttributeError, MemoryError) as error:
            raise damaged(path, str(error).partition("\n")[0]) from error

    @cached_property
    def _lines(self) -> tuple[bytes, Rows]:
        """The bytes of `ids.jsonl`, and where each line ends [V]."""
        path = self._place / files.IDS
        text = path.read_bytes()
        ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == ord("\n"))
        if len(ends) != self.header.num_videos:
            raise damaged(path, f"it has {len(ends)} lines, not {self.header.num_videos}")
        return text, ends

    def _line(self, number: int) -> dict[str, Any]:
        path = self._place / files.IDS
        try:
            line = DECODER.decode(self.line_bytes(number).decode())
            if not isinstance(line["id"], str) or not files.plain_record(line["record"]):
                raise TypeError("id or record of a wrong type")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise damaged(path, f"line {number + 1}: {error}") from error
        return dict(line)

    def _number(self, video_id: str) -> int | None:
        """Which video has an id; looks for the line that begins with it, without reading all."""
        text, ends = self._lines
        start = id_start(video_id)
        place = 0 if text.startswith(start) else text.find(b"\n" + start) + 1
        return int(np.searchsorted(ends, place)) if place or text.startswith(start) else None

    def _find(self, video_id: str) -> int:
        number = self._number(video_id)
        if number is None:
            raise FeatureError(f"{self.folder}: no video {video_id!r} in this index")
        return number


def id_start(video_id: str) -> bytes:
    """How the line of `ids.jsonl` about an id begins."""
    return f'{{"id": {json.dumps(video_id)}, '.encode()
