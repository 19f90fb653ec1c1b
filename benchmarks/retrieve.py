"""How fast videos are found: one vector a video, large indexes, the first hit, fewer frames.

    python benchmarks/retrieve.py [--rounds 3] [--parts weighting large start selection]
                                  [--sizes 1000 10000 100000] [--large 1000000] [--quick]
                                  [--json FILE]

Goals, as ratios of wall time in one run on one core: one stored vector a video against frames
weighted by the query (12 of width 512) at least 30 times as fast at 1,000 videos and 100 times at
10,000 and more, 400 times for 64 queries at once; the weighting without a vector a pair twice as
fast as with. Those frames are weighted as the published code does it, by a copy of each times its
weight; one contraction in place of the copies is in the table of times. Of a million vectors, at
least 20 times as fast as exact search at a recall@10 of at least 0.95; `Index.search` at most 1.1
times as slow as faiss alone. `vcap retrieve --like` at most 1.5 times as long as its imports alone,
without torch; a text query at least 3 times as fast to the first hit as through open_clip. Keeping
12 of 64 frames at least 3 times as fast a video as encoding all. The index of a million takes some
minutes to build, once for a `--work` folder.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.galleries import (
    VIT_B_32,
    WIDTH,
    Clusters,
    Vectors,
    small,
    video_id,
    write_encoder,
    write_index,
)
from benchmarks.harness import (
    Comparison,
    Timing,
    compare,
    conclude,
    faster,
    make_parser,
    missing,
    scaled,
)
from benchmarks.selection import NUM_CANDIDATES, compare_selection
from vcap.engine.index_generation import free_bytes
from vcap.features.index import Index
from vcap.features.index_search import unit

PARTS = ("weighting", "large", "start", "selection")
SIZES = [1_000, 10_000, 100_000]
WEIGHTED = 160_000  # videos whose frames are weighted in a round, some times over
NUM_FRAMES = 12
NUM_QUERIES = 64
LARGE = 1_000_000
LARGE_QUERIES = 100
TURNS = 10  # that a round of these is cut into, where two ways are nearly as fast
QUICK = 400
HITS = 10
FLAT_BELOW = 100_000
TEMPERATURE = 0.1
TEXT = "a man in a red shirt plays the guitar on a stage"
IMPORTS = "import typer, numpy, faiss"
THROUGH_OPEN_CLIP = """
import sys
import numpy, open_clip, torch
folder, vectors, text = sys.argv[1:]
name = f"local-dir:{folder}"
model = open_clip.create_model(name).eval()
with torch.no_grad():
    query = model.encode_text(open_clip.get_tokenizer(name)([text]), normalize=True).numpy()[0]
scores = numpy.load(vectors, mmap_mode="r") @ query
print(numpy.argsort(-scores)[:10])
"""
LOADED = """
import sys
from vcap.cli.app import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""

Part = tuple[list[Timing], list[Comparison]]
Ways = dict[str, Callable[[], object]]


class Weighting:
    """Videos of 12 frames, and three ways to score them for a query."""

    def __init__(self, num_videos: int, folder: Path) -> None:
        """Draw frames and queries, and store one vector a video."""
        import torch

        from vcap.models.aggregation import gram_matrices

        torch.manual_seed(0)
        frames = torch.randn(num_videos, NUM_FRAMES, WIDTH)
        self.frames = torch.nn.functional.normalize(frames, dim=-1)
        self.queries = torch.nn.functional.normalize(torch.randn(NUM_QUERIES, WIDTH), dim=-1)
        self.grams = gram_matrices(self.frames)
        means = unit(self.frames.mean(dim=1).numpy())
        self.index = write_index(folder, iter([means]))

    def weighted(self, query: Any) -> Any:
        """query [1, D] -> cosines [1, V]: each frame times its weight, then their sum."""
        copies = self.frames * self._weights(query).unsqueeze(-1)  # [1, V, K, D]
        return self._cosines(query, copies.sum(dim=2))

    def contracted(self, query: Any) -> Any:
        """The same, multiplied and summed in one step."""
        import torch

        return self._cosines(query, torch.einsum("qvk,vkd->qvd", self._weights(query), self.frames))

    def _weights(self, query: Any) -> Any:
        import torch

        products = torch.einsum("qd,vkd->qvk", query, self.frames)
        return torch.softmax(products / TEMPERATURE, dim=-1)

    def _cosines(self, query: Any, videos: Any) -> Any:
        import torch

        return torch.einsum("qd,qvd->qv", query, torch.nn.functional.normalize(videos, dim=-1))

    def algebraic(self, query: Any) -> Any:
        """The same cosines, without the vectors."""
        from vcap.models.aggregation import query_cosines

        return query_cosines(query, self.frames, None, TEMPERATURE, self.grams)

    def ranked(self, score: Callable[[Any], Any], count: int) -> Callable[[], int]:
        """A way that finds the best videos for each of some queries, one after the other."""

        def run() -> int:
            for query in self.queries[:count]:
                score(query[None]).topk(HITS)
            return count

        return run

    def stored(self, together: bool) -> Callable[[], int]:
        """The same with one vector a video."""
        asked = self.queries.numpy()
        step = len(asked) if together else 1

        def run() -> int:
            for start in range(0, len(asked), step):
                self.index.search(asked[start : start + step], HITS)
            return len(asked)

        return run

    def apart(self) -> float:
        """The largest difference between the cosines of the two ways to weight frames."""
        pairs = [(self.weighted(q[None]), self.algebraic(q[None])) for q in self.queries[:2]]
        return max(float((one - other).abs().max()) for one, other in pairs)


def compare_weighting(num_videos: int, work: Path, rounds: int) -> Part:
    """One stored vector a video against frames weighted by the query."""
    at = f"{num_videos:,} videos"
    if free_bytes() < 4 * 3 * num_videos * NUM_FRAMES * WIDTH:  # frames, and copies for a query
        return [], [
            missing(f"one query, {at}", "", "", of="wall", goal=100, why="too little memory")
        ]
    both = Weighting(num_videos, work / f"weighting-{num_videos}")
    some = max(2, min(NUM_QUERIES, WEIGHTED // num_videos))
    ways: Ways = {
        f"frames weighted by each query, {at}": both.ranked(both.weighted, some),
        f"the same in one contraction, {at}": both.ranked(both.contracted, some),
        f"the same without a vector a pair, {at}": both.ranked(both.algebraic, some),
        f"a stored vector, one by one, {at}": both.stored(together=False),
        f"a stored vector, {NUM_QUERIES} at once, {at}": both.stored(together=True),
    }
    timings = [scaled(timing, NUM_QUERIES) for timing in compare(ways, rounds=rounds)]
    weighted, _, algebraic, single, batch = timings
    goal = 30 if num_videos < 10_000 else 100
    rows = [
        faster(f"one query, {at}", weighted, single, of="wall", goal=goal),
        faster(f"{NUM_QUERIES} queries, {at}", weighted, batch, of="wall", goal=400),
        faster(f"weighting frames, {at}", weighted, algebraic, of="wall", goal=2),
        Comparison(
            f"the same weighting, {at}",
            weighted.name,
            algebraic.name,
            "largest difference",
            both.apart(),
            1e-4,
            at_least=False,
        ),
    ]
    return timings, rows


def large_index(count: int, work: Path) -> tuple[Index, float]:
    """The index of so many vectors, built once, and how many seconds that took."""
    from vcap.features.index_kinds import factory_of

    folder, told = work / f"large-{count}", work / f"large-{count}.json"
    if told.is_file() and (folder / "index.json").is_file():
        index = Index.open(folder)
        if index.header.factory == factory_of("ivfpq", count, WIDTH):  # as it is built now
            return index, float(json.loads(told.read_text(encoding="utf-8")))
    kind = "ivfpq" if count < FLAT_BELOW else "auto"
    clusters = Clusters(count, max(1, min(20_000, count // 50)))
    started = time.perf_counter()
    index = write_index(folder, clusters.blocks(), kind)
    seconds = time.perf_counter() - started
    told.write_text(json.dumps(seconds), encoding="utf-8")
    return index, seconds


def one_by_one(search: Callable[[Vectors, int], object], queries: Vectors) -> Callable[[], int]:
    """A way that asks for each query alone."""

    def run() -> int:
        for number in range(len(queries)):
            search(queries[number : number + 1], HITS)
        return len(queries)

    return run


def in_turns(search: Callable[[Vectors, int], object], queries: Vectors) -> Callable[[], int]:
    """The same for some queries, each time the next ones: short turns are disturbed alike."""
    turns = itertools.cycle(np.split(queries, TURNS))

    def run() -> int:
        return one_by_one(search, next(turns))()

    return run


def compare_large(count: int, work: Path, rounds: int) -> Part:
    """Exact search, the index, and faiss alone with the same candidates, of many vectors."""
    import faiss

    from vcap.features.index_kinds import read_faiss, set_thoroughness

    index, seconds = large_index(count, work)
    print(f"{count:,} vectors: built in {seconds:.0f} s, {index.header.search}", file=sys.stderr)
    queries = Clusters(count, max(1, min(20_000, count // 50))).queries(LARGE_QUERIES)
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(index.vectors)
    bare = read_faiss(index.folder / index.header.generation / "index.faiss")
    set_thoroughness(bare, index.header.search)
    refined = faiss.IndexRefine(bare, flat)
    refined.k_factor = index.header.search["rerank"] / HITS
    at = f"{count:,} vectors"
    ways: Ways = {
        f"faiss, exact, {at}": one_by_one(flat.search, queries),
        f"faiss reads all vectors, {at}": lambda: first_hit_read(work, flat, queries[:1]),
        f"vcap maps its files, {at}": lambda: Index.open(index.folder).search(queries[:1], HITS),
    }
    beside: Ways = {
        f"faiss, {index.header.factory}, re-ranked, {at}": in_turns(refined.search, queries),
        f"vcap, {index.header.factory}, {at}": in_turns(index.search, queries),
    }
    turns = compare(beside, rounds=TURNS * rounds)
    timings = [*compare(ways, rounds=rounds), *(scaled(turn, LARGE_QUERIES) for turn in turns)]
    exact, read, mapped, refined_time, ours = timings
    rows = [
        faster(f"search, {at}", exact, ours, of="wall", goal=20),
        recall(index, flat, queries, at),
        faster(f"beside faiss, {at}", ours, refined_time, of="wall", goal=1.1, at_least=False),
        faster(f"opening and the first hit, {at}", read, mapped, of="wall", goal=1),
    ]
    return timings, rows


def first_hit_read(work: Path, flat: Any, query: Vectors) -> None:
    """Read a flat index of faiss as a whole, and search it."""
    import faiss

    path = work / f"flat-{flat.ntotal}.faiss"
    if not path.is_file():
        faiss.write_index(flat, str(path))
    faiss.read_index(str(path)).search(query, HITS)


def recall(index: Index, flat: Any, queries: Vectors, at: str) -> Comparison:
    """Which part of what exact search finds the index finds, of queries it was not tuned on."""
    wanted = flat.search(queries, HITS)[1]
    found = index.search(queries, HITS)[1]
    share = np.mean([len({*a} & {*b}) / HITS for a, b in zip(wanted, found, strict=True)])
    name = f"vcap, {index.header.factory}"
    return Comparison(f"recall@10, {at}", "faiss, exact", name, "recall", float(share), 0.95)


def compare_overhead(count: int, work: Path, rounds: int) -> Part:
    """`Index.search` of an exact index beside the call of faiss that does the same."""
    import faiss

    clusters = Clusters(count, max(1, count // 50))
    index = write_index(work / f"flat-{count}", clusters.blocks(), "auto")
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(index.vectors)
    queries = clusters.queries(LARGE_QUERIES)
    at = f"{count:,} vectors"
    ways: Ways = {
        f"faiss, exact, {at}": in_turns(flat.search, queries),
        f"vcap, exact, {at}": in_turns(index.search, queries),
    }
    turns = compare(ways, rounds=TURNS * rounds)
    timings = [scaled(turn, LARGE_QUERIES) for turn in turns]
    wanted, found = flat.search(queries, HITS)[1], index.search(queries, HITS)[1]
    theirs, ours = timings
    same = float((wanted == found).mean())
    is_flat = float(index.header.kind == "flat")
    rows = [
        faster(f"beside faiss, {at}", ours, theirs, of="wall", goal=1.1, at_least=False),
        Comparison(f"the same hits, {at}", theirs.name, ours.name, "share", same, 1),
        Comparison(f"exact by default, {at}", theirs.name, ours.name, "share", is_flat, 1),
    ]
    return timings, rows


def run(words: Sequence[object], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command once; one that fails ends the benchmark with what it said."""
    command = [str(word) for word in words]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return done


def compare_start(work: Path, rounds: int, count: int, model: Mapping[str, Any] = VIT_B_32) -> Part:
    """The first hit of a program that starts: by a stored vector, and by words."""
    from vcap.engine.lean_text import load_text_encoder

    name = f"encoder-{model['text_cfg']['layers']}"
    encoder = write_encoder(work.absolute() / name, model)
    made_by = {"encoder": load_text_encoder(str(encoder)).fingerprint, "sampler": "fps 1"}
    index = write_index(work / "start", Clusters(count, count).blocks(), "auto", made_by)
    vectors = index.folder / index.header.generation / "vectors.npy"
    vcap = [sys.executable, "-m", "vcap", "retrieve", "--index", index.folder, "--json"]
    like = ["--like", video_id(count // 2)]

    def cold() -> None:
        with TemporaryDirectory() as cache:
            run([*vcap, TEXT], XDG_CACHE_HOME=cache)

    ways: Ways = {
        f'python -c "{IMPORTS}"': lambda: run([sys.executable, "-c", IMPORTS]),
        "vcap retrieve --like": lambda: run([*vcap, *like]),
        "through open_clip": lambda: run(
            [sys.executable, "-c", THROUGH_OPEN_CLIP, encoder, vectors, TEXT]
        ),
        "vcap retrieve TEXT": lambda: run([*vcap, TEXT]),
        "vcap retrieve TEXT, first run ever": cold,
    }
    timings = compare(ways, rounds=rounds)
    imports, stored, through, ours, first = timings
    told = run([sys.executable, "-c", LOADED, *vcap[3:], *like]).stderr.split()[-1]
    rows = [
        faster("start with a stored vector", stored, imports, of="wall", goal=1.5, at_least=False),
        Comparison("no torch", imports.name, stored.name, "share", float(told == "False"), 1),
        faster("start with a text", through, ours, of="wall", goal=3),
        faster("the same, first run ever", through, first, of="wall", goal=3),
    ]
    return timings, rows


def parse() -> argparse.Namespace:
    """The options."""
    parser = make_parser(__doc__)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="only these")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="of galleries")
    parser.add_argument("--large", type=int, default=LARGE, metavar="N", help="a large index")
    return parser.parse_args()


def on_one_core() -> None:
    """Start again with one thread: libraries read it once, when they are loaded."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.environ["OMP_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])


def measure(arguments: argparse.Namespace) -> list[Part]:
    """Every part that is wanted."""
    work, quick = arguments.work.absolute(), arguments.quick
    rounds = 1 if quick else arguments.rounds
    found: list[Part] = []
    if "weighting" in arguments.parts:
        sizes = [50] if quick else arguments.sizes
        found += [compare_weighting(size, work, rounds) for size in sizes]
    if "large" in arguments.parts:
        found.append(compare_overhead(QUICK if quick else FLAT_BELOW - 1, work, rounds))
        found.append(compare_large(QUICK if quick else arguments.large, work, rounds))
    model = small() if quick else VIT_B_32
    if "start" in arguments.parts:
        found.append(compare_start(work, rounds, 200 if quick else 10_000, model))
    if "selection" in arguments.parts:
        candidates = 16 if quick else NUM_CANDIDATES
        found.append(compare_selection(work, rounds, candidates, model, quick))
    return found


def main() -> None:
    """Print the ratios and what they come from; write them as JSON where asked."""
    arguments = parse()
    on_one_core()
    arguments.work.mkdir(parents=True, exist_ok=True)
    found = measure(arguments)
    timings = [timing for part, _ in found for timing in part]
    conclude(timings, [row for _, rows in found for row in rows], arguments.json)


if __name__ == "__main__":
    main()
