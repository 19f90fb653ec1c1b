"""The kinds of index that faiss builds and searches, with exact scores at the end.

Shapes: N vectors, S sampled vectors, Q queries, D width, C candidates of a query.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from vcap.errors import FeatureError
from vcap.features.index_files import Kind
from vcap.features.index_search import NOWHERE, Rows, Scores, exact_search

FLAT_BELOW = 100_000  # vectors; there exact search takes 10 ms
LINKS = 32  # of a vector of a graph, hnsw
LEAST_TRAINED = 256  # vectors without which codes would be noise
TRAINED_A_LIST = 39  # vectors that train each list of an ivfpq, as faiss recommends
LISTS = 4  # of an ivfpq, times the root of N
CODED = 4  # numbers of a vector that become one code of 4 bits
BLOCK = 65_536  # vectors put in at once
HITS = 10  # recall@10
SAMPLE = 256  # vectors that recall is measured with
PROBES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
EFS = (16, 32, 64, 128, 256, 512)
RERANKED = (100, 200, 400)
SCAN_NANOSECONDS = 0.25  # a byte of a code, measured
RERANK_NANOSECONDS = 1000  # a vector that is fetched and compared exactly


def choose_kind(count: int, width: int, free_bytes: int, recall: float) -> Kind:
    """The kind for so many vectors: exact where that is quick enough, and fits into memory.

    Args:
        count, width: N and D.
        free_bytes: memory that vectors may take.
        recall: the recall@10 that is wanted; 1 is exact.
    """
    if recall >= 1 or count < LEAST_TRAINED:
        return "flat"
    return "flat" if count < FLAT_BELOW and 4 * count * width <= free_bytes else "ivfpq"


def factory_of(kind: Kind, count: int, width: int) -> str:
    """What faiss calls an index of a kind for N vectors of width D.

    Raises:
        FeatureError: there are too few vectors to train one.
    """
    if kind == "flat":
        return "Flat"
    if kind == "hnsw":
        return f"HNSW{LINKS},Flat"
    if count < LEAST_TRAINED:
        raise FeatureError(
            f"an ivfpq index is trained on {LEAST_TRAINED} vectors at least; there are {count}",
            hint="--kind flat",
        )
    num_lists = min(2 ** round(np.log2(LISTS * count**0.5)), count // TRAINED_A_LIST)
    size = max(1, width // CODED)
    parts = next(parts for parts in range(size, 0, -1) if width % parts == 0)
    return f"IVF{num_lists},PQ{parts}x4fsr"  # compared in registers; of the rest beside the list


def build(factory: str, vectors: Scores) -> Any:
    """A trained index of all vectors [N, D], labelled with their rows."""
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    if isinstance(index, faiss.IndexIVF):
        _train(index, vectors)
    for rows in blocks(len(vectors)):
        index.add(np.ascontiguousarray(vectors[rows]))
    return index


def _train(index: Any, vectors: Scores) -> None:
    """Train lists and codes on a sample, the lists on a GPU where there is one."""
    for clustering in (index.cp, index.pq.cp):
        clustering.min_points_per_centroid = 1  # no warning: more vectors than there are cannot be
    wanted = max(TRAINED_A_LIST * index.nlist, BLOCK)
    nearest = None
    if faiss.get_num_gpus():  # pragma: no cover - no machine of the tests has one
        nearest = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(index.d))
        index.clustering_index = nearest
    index.train(np.ascontiguousarray(vectors[sample_rows(len(vectors), wanted)]))
    index.clustering_index = None


def change(index: Any, gone: Rows, new: Scores, first_label: int) -> None:
    """Take the vectors of some labels out, and put new ones [N, D] in, labelled from one on.

    What a graph holds stays in it and is passed over in searches.
    """
    is_graph = hasattr(index, "hnsw")
    if len(gone) and not is_graph:
        index.remove_ids(gone)
    for rows in blocks(len(new)):
        block = np.ascontiguousarray(new[rows])
        if is_graph:
            index.add(block)
        else:
            labels = np.arange(rows.start, rows.start + len(block)) + first_label
            index.add_with_ids(block, labels)


def blocks(count: int) -> Iterator[slice]:
    """All of so many rows, some at a time."""
    return (slice(start, start + BLOCK) for start in range(0, count, BLOCK))


def sample_rows(count: int, wanted: int) -> Rows:
    """So many rows of all at most, the same ones every time, in order."""
    if wanted >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, wanted, replace=False))


class Sample(NamedTuple):
    """Vectors that are searched to measure recall, and what exact search finds beside them.

    Attributes:
        rows: [S].
        nearest: [S, 10 or fewer], without the vector itself.
    """

    rows: Rows
    nearest: Rows

    @property
    def hits(self) -> int:
        """How many neighbours count."""
        return int(self.nearest.shape[1])


def draw_sample(vectors: Scores) -> Sample:
    """Draw vectors and search for them exactly."""
    rows = sample_rows(len(vectors), SAMPLE)
    found = exact_search(vectors, np.asarray(vectors[rows]), min(HITS + 1, len(vectors)))[1]
    return Sample(rows, _without_self(found, rows)[:, :HITS])


def _without_self(found: Rows, rows: Rows) -> Rows:
    """Rows [S, C - 1]: each line without its own row, or without its last."""
    own = found == rows[:, None]  # [S, C]
    own[~own.any(axis=1), -1:] = True
    others: Rows = found[~own].reshape(len(found), -1)
    return others


def recall_of(found: Rows, sample: Sample) -> float:
    """Which part of the true neighbours is in what was found [S, C], own rows left out."""
    return float(_shares(found, sample).mean())


def _shares(found: Rows, sample: Sample) -> npt.NDArray[np.float64]:
    """The recall of each sampled vector [S]."""
    others = _without_self(found, sample.rows)[:, : sample.hits]
    if not sample.nearest.size:
        return np.ones(1)
    same = (others[:, :, None] == sample.nearest[:, None, :]).any(axis=1)  # [S, hits]
    shares: npt.NDArray[np.float64] = same.mean(axis=1)
    return shares


def measure(index: Any, labels: Rows, vectors: Scores, settings: dict[str, int]) -> float:
    """The recall@10 of an index as it is searched."""
    sample = draw_sample(vectors)
    queries = np.asarray(vectors[sample.rows])  # [S, D]
    found = Approximate(index, labels, settings).search(vectors, queries, sample.hits + 1)[1]
    return recall_of(found, sample)


def tune(
    index: Any, vectors: Scores, sample: Sample, target: float
) -> tuple[dict[str, int], float]:
    """The cheapest way to search that reaches a recall@10, and the recall that it has.

    It reaches it by more than the standard error of the sample, since other queries have another
    recall. The most thorough way where none does.
    """
    queries = np.asarray(vectors[sample.rows])  # [S, D]
    candidates: dict[int, Rows] = {}
    settings: dict[str, int] = {}
    recall = 0.0
    for settings in ways(index, len(vectors)):
        depth = settings.get("nprobe") or settings.get("ef") or 0
        if depth not in candidates:
            set_thoroughness(index, settings)
            candidates[depth] = index.search(queries, min(RERANKED[-1], index.ntotal))[1]
        known = candidates[depth][:, : settings["rerank"]]  # [S, C]
        shares = _shares(rerank(vectors, queries, known, sample.hits + 1)[1], sample)
        recall = float(shares.mean())
        if recall - shares.std() / len(shares) ** 0.5 >= target:
            break
    return settings, recall


def ways(index: Any, count: int) -> list[dict[str, int]]:
    """Ways to search an index of N vectors, the cheapest first."""
    if hasattr(index, "hnsw"):
        return [{"ef": ef, "rerank": 2 * HITS} for ef in EFS]

    def cost(way: dict[str, int]) -> float:
        scanned = way["nprobe"] / index.nlist * count * index.code_size
        return float(scanned * SCAN_NANOSECONDS + way["rerank"] * RERANK_NANOSECONDS)

    probes = sorted({min(probes, index.nlist) for probes in PROBES})
    pairs = itertools.product(probes, RERANKED)
    return sorted(({"nprobe": probe, "rerank": kept} for probe, kept in pairs), key=cost)


class Approximate:
    """A faiss index of unit vectors, whose labels are mapped to rows."""

    def __init__(self, index: Any, labels: Rows, settings: dict[str, int]) -> None:
        """Search `index` as thoroughly as the settings say; `labels` [N] rise with the rows."""
        self._index = index
        self._labels = labels
        self._rerank = settings.get("rerank", 0)
        self._gone = index.ntotal - len(labels)  # in the index, but no longer of any row
        self._is_dense = int(labels[-1]) == len(labels) - 1
        set_thoroughness(index, settings)

    def candidates(self, queries: Scores, k: int) -> Rows:
        """Rows [Q, C] that are near each query [Q, D], C at least k; NOWHERE where too few."""
        wanted = min(max(k, self._rerank) + self._gone, self._index.ntotal)
        labels: Rows = self._index.search(queries, wanted)[1]  # [Q, C]
        if self._is_dense:  # a damaged file may name any row
            is_row = (labels >= 0) & (labels < len(self._labels))  # [Q, C]
            return np.where(is_row, labels, NOWHERE)  # [Q, C]
        rows = np.searchsorted(self._labels, labels).clip(max=len(self._labels) - 1)  # [Q, C]
        return np.where(self._labels[rows] == labels, rows, NOWHERE)  # [Q, C]

    def search(self, vectors: Scores, queries: Scores, k: int) -> tuple[Scores, Rows]:
        """The k best rows as `exact_search`, as far as they are found."""
        queries = np.ascontiguousarray(queries)  # faiss reads memory as it lies
        return rerank(vectors, queries, self.candidates(queries, k), k)


def rerank(vectors: Scores, queries: Scores, rows: Rows, k: int) -> tuple[Scores, Rows]:
    """The k best of the candidates [Q, C] of each query by exact scores, fewer where C is less.

    Candidates that are NOWHERE come last, with score -inf. No row is copied to be compared.
    """
    known = np.sort(rows, axis=1)  # [Q, C], equal scores then come as in an exact search
    scores = np.empty(known.shape, np.float32)  # [Q, C]
    given = [faiss.swig_ptr(array) for array in (scores, queries, vectors, known)]
    faiss.fvec_inner_products_by_idx(*given, vectors.shape[1], *known.shape)  # type: ignore[attr-defined]
    order = (-scores).argsort(axis=1, kind="stable")[:, :k]  # [Q, k]
    lines = np.arange(len(known))[:, None]  # [Q, 1]
    return scores[lines, order], known[lines, order]


def set_thoroughness(index: Any, settings: dict[str, int]) -> None:
    """Let a faiss index look at as much as the settings say."""
    if "nprobe" in settings:
        index.nprobe = settings["nprobe"]
    if "ef" in settings:
        index.hnsw.efSearch = settings["ef"]


def read_faiss(path: Path) -> Any:
    """The faiss index of a file, left in the file as far as faiss can."""
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)


def read_to_change(path: Path) -> Any:
    """The faiss index of a file, in memory."""
    return faiss.read_index(str(path))


def write_faiss(path: Path, index: Any) -> None:
    """Write a faiss index."""
    faiss.write_index(index, str(path))


def write_flat(path: Path, vectors: Scores) -> None:
    """Write an exact index of vectors [N, D] as faiss does, without holding it in memory."""
    count, width = vectors.shape
    empty = faiss.serialize_index(faiss.IndexFlatIP(width)).tobytes()
    num_vectors, num_numbers = (size.to_bytes(8, "little") for size in (count, count * width))
    with path.open("wb") as file:
        file.write(empty[:8] + num_vectors + empty[16:-8] + num_numbers)
        for rows in blocks(count):
            file.write(np.ascontiguousarray(vectors[rows]).data)
