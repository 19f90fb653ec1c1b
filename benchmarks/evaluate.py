"""How much faster `vcap evaluate` gives the official numbers than the official way does.

    python benchmarks/evaluate.py [--rounds 3] [--dense-rounds 1] [--videos N] [--captions N ...]
                                  [--quick] [--json FILE]

Goals, as ratios of wall time in one run, with the same figures to 1e-9: all caption metrics of
1,000 captions at least 3 times faster, of 10,000 at least 2.5 times; METEOR of the dense protocol
on the whole of ActivityNet val_1 and SODA_c at least 8 times, the whole dense evaluation at least
5 times. Both sides start from files and start their own Java. The baseline is `official.py`. vcap
keeps an index of METEOR's paraphrase table in the user's cache folder; `first run` is without it.
The dense baseline takes about 10 minutes a round, so it is warmed up on a few videos only.
"""

import argparse
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import official
from benchmarks.harness import Comparison, Timing, compare, conclude, faster, make_parser, total
from vcap.engine.evaluate import EvaluateSettings, evaluate
from vcap.engine.evaluation.report import Report
from vcap.engine.reporter import Silent

REPOSITORY = Path(__file__).resolve().parents[1]
SIZES = {1_000: 3.0, 10_000: 2.5}  # captions -> goal
NUM_REFERENCES = 5
FEWEST, MOST = 7, 14  # words of a caption
SWAPPED = 0.2  # share of the words that come from elsewhere, so that few captions are equal
FEW_VIDEOS = 20
TOLERANCE = 1e-9
CAPTION_METRICS = ("BLEU", "METEOR", "ROUGE-L", "CIDEr")

Files = tuple[Path, list[Path]]  # predictions, and the reference files


class Ours:
    """`vcap evaluate` in this process, with the figures of its last run."""

    def __init__(self, task: str, files: Files, cache: Path, metrics: Sequence[str] | None) -> None:
        """Say what to evaluate; `cache`: where the paraphrase table's index is kept."""
        self._task, self._files, self._cache, self._metrics = task, files, cache, metrics
        self.figures: official.Figures = {}

    def warm(self) -> int:
        """With the index that an earlier run has left; the number of units."""
        with patch.dict(os.environ, XDG_CACHE_HOME=str(self._cache)):
            return self._evaluate()

    def cold(self) -> int:
        """As on the first run ever; the number of units."""
        with (
            TemporaryDirectory(dir=self._cache) as folder,
            patch.dict(os.environ, XDG_CACHE_HOME=folder),
        ):
            return self._evaluate()

    def _evaluate(self) -> int:
        metrics = None if self._metrics is None else tuple(self._metrics)
        settings = EvaluateSettings(metrics=metrics)
        report = evaluate(self._task, *self._files, settings, reporter=Silent())
        self.figures = figures_of(report)
        return len(report.outcome.units)


def figures_of(report: Report) -> official.Figures:
    """The figures of the set, those of the dense protocol at each threshold."""
    outcome = report.outcome
    if "per_tiou" not in outcome.details:
        return dict(outcome.scores)
    found = {
        f"{name} at {tiou}": value
        for name, values in outcome.details["per_tiou"].items()
        for tiou, value in zip(official.TIOUS, values, strict=True)
    }
    return found | {name: outcome.scores[name] for name in ("SODA_c",) if name in outcome.scores}


def differences(
    theirs: Mapping[str, float], ours: Mapping[str, float], expected: int
) -> tuple[float, float]:
    """The share of their figures that ours equal, and the largest difference.

    Raises:
        RuntimeError: there are not as many figures as expected, or ours lack one.
    """
    if len(theirs) != expected or not theirs.keys() <= ours.keys():
        raise RuntimeError(f"not the same figures: {sorted(theirs)} and {sorted(ours)}")
    apart = [abs(value - ours[name]) for name, value in theirs.items()]
    return sum(gap <= TOLERANCE for gap in apart) / len(apart), max(apart)


def golden_folder() -> Path:
    """The recorded set that is scored and whose words the captions are made of."""
    shared = Path(os.environ.get("VCAP_SHARED", REPOSITORY.parent / "shared"))
    golden = Path(os.environ.get("VCAP_GOLDEN", shared / "golden"))
    folder = golden / "evaluate" / "dense" / "anet_full_val_1"
    if not folder.is_dir():
        raise SystemExit(f"no folder {folder}; set VCAP_GOLDEN")
    return folder


def write_captions(folder: Path, truth: official.References, count: int) -> Files:
    """Captions of 7 to 14 words with five references each, from what was said of real videos.

    All six of an item are stretches of the sentences of one video, with words swapped for others.
    """
    chance = random.Random(count)
    texts = [" ".join(given["sentences"]).split() for given in truth.values()]
    texts = [words for words in texts if len(words) >= 2 * MOST]
    every = [word for words in texts for word in words]

    def caption(words: Sequence[str]) -> str:
        length = chance.randint(FEWEST, MOST)
        first = chance.randint(0, len(words) - length)
        return " ".join(
            chance.choice(every) if chance.random() < SWAPPED else word
            for word in words[first : first + length]
        )

    made = {str(number): chance.choice(texts) for number in range(count)}
    references = {
        name: [caption(words) for _ in range(NUM_REFERENCES)] for name, words in made.items()
    }
    candidates = {name: caption(words) for name, words in made.items()}
    return write(folder, f"captions-{count}", candidates, [references])


def write_videos(folder: Path, golden: Path, num_videos: int | None) -> Files:
    """The first so many videos of the recorded set; the whole set as it lies there."""
    [predictions], references = (
        sorted(golden.glob(f"{name}*")) for name in ("predictions", "references_")
    )
    if num_videos is None:
        return predictions, references
    made, *truth = map(official.read, (predictions, *references))
    kept = [dict(list(file.items())[:num_videos]) for file in truth]
    results = {v: made["results"][v] for file in kept for v in file if v in made["results"]}
    return write(folder, f"videos-{num_videos}", {**made, "results": results}, kept)


def write(folder: Path, name: str, predictions: Any, references: Sequence[Any]) -> Files:
    """JSON files below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"made": predictions} | {f"true-{n}": file for n, file in enumerate(references, 1)}
    paths = [folder / f"{name}-{part}.json" for part in values]
    for path, value in zip(paths, values.values(), strict=True):
        path.write_text(json.dumps(value), encoding="utf-8")
    return paths[0], paths[1:]


def same(what: str, apart: tuple[float, float]) -> Comparison:
    """The row that says whether both ways gave the same figures."""
    return Comparison(f"the same figures, {what}", "official", "vcap", "share", apart[0], 1)


def compare_captions(
    files: Files, count: int, goal: float, work: Path, rounds: int
) -> tuple[list[Timing], list[Comparison], float]:
    """All caption metrics of a set, with METEOR's index at hand and without."""
    what = f"{count:,} captions, all metrics"
    ours = Ours("caption", files, work, CAPTION_METRICS)
    theirs: official.Figures = {}

    def baseline() -> int:
        theirs.update(official.score_captions(files[0], files[1][0]))
        return count

    ways: dict[str, Callable[[], object]] = {
        f"pycocoevalcap, {count:,} captions": baseline,
        f"vcap, {count:,} captions": ours.warm,
        f"vcap, {count:,} captions, first run": ours.cold,
    }
    timings = compare(ways, rounds=rounds)
    apart = differences(theirs, ours.figures, len(official.BLEU) + 3)
    rows = [
        faster(what, timings[0], timings[1], of="wall", goal=goal),
        faster(f"{what}, first run ever", timings[0], timings[2], of="wall", goal=goal),
        same(f"{count:,} captions", apart),
    ]
    return timings, rows, apart[1]


def compare_dense(
    files: Files, work: Path, rounds: int, *, warm_up: bool = True
) -> tuple[list[Timing], list[Comparison], float]:
    """METEOR of the dense protocol, SODA_c, and the whole with both."""
    dense = official.Dense(*files)
    meteor, soda = (Ours("dense", files, work, (name,)) for name in ("METEOR", "SODA_c"))
    whole = Ours("dense", files, work, None)

    def aligned() -> None:
        dense.figures["SODA_c"] = official.soda_c(*files)

    ways: dict[str, Callable[[], object]] = {
        "official, METEOR": dense.meteor,
        "vcap, METEOR": meteor.warm,
        "official, BLEU, ROUGE-L, CIDEr, localisation": dense.others,
        "official, SODA_c": aligned,
        "vcap, SODA_c": soda.warm,
        "vcap, dense": whole.warm,
    }
    timings = compare(ways, rounds=rounds, warm_up=warm_up)
    found = dict(zip(("m", "our m", "others", "s", "our s", "ours"), timings, strict=True))
    everything = total("official, all of these", [found["m"], found["others"], found["s"]])
    num_figures = len(official.TIOUS) * (len(official.BLEU) + 5) + 1
    apart = differences(dense.figures, meteor.figures | soda.figures | whole.figures, num_figures)
    rows = [
        faster("METEOR of the dense protocol", found["m"], found["our m"], of="wall", goal=8),
        faster("SODA_c", found["s"], found["our s"], of="wall", goal=8),
        faster("the whole dense evaluation", everything, found["ours"], of="wall", goal=5),
        same("dense", apart),
    ]
    return [*timings, everything], rows, apart[1]


@contextmanager
def prepared(work: Path) -> Iterator[Path]:
    """A folder for files and the index, gone after; Java is there.

    Raises:
        SystemExit: there is no Java.
    """
    if shutil.which("java") is None:
        raise SystemExit("no Java: the official metrics cannot run")
    work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=work, prefix="evaluate-") as folder:
        yield Path(folder)


def parse() -> argparse.Namespace:
    """The options."""
    parser = make_parser(__doc__)
    parser.add_argument("--dense-rounds", type=int, default=1, help="the same, of the dense rows")
    parser.add_argument("--videos", type=int, metavar="N", help="only the first N of the dense set")
    parser.add_argument("--captions", type=int, nargs="*", metavar="N", help="sizes of the sets")
    return parser.parse_args()


def main() -> None:
    """Print the ratios and what they come from; write them as JSON where asked."""
    arguments = parse()
    golden, quick = golden_folder(), arguments.quick
    [reference, *_] = sorted(golden.glob("references_*"))
    sizes = [100] if quick else list(SIZES) if arguments.captions is None else arguments.captions
    timings: list[Timing] = []
    rows: list[Comparison] = []
    apart: dict[str, float] = {}
    with prepared(arguments.work.absolute()) as folder:
        for count in sizes:
            files = write_captions(folder, official.read(reference), count)
            rounds = 1 if quick else arguments.rounds
            goal = SIZES.get(count, min(SIZES.values()))
            more, found, apart[f"{count} captions"] = compare_captions(
                files, count, goal, folder, rounds
            )
            timings, rows = timings + more, rows + found
        few = write_videos(folder, golden, FEW_VIDEOS)
        compare_dense(few, folder, 1, warm_up=False)
        files = few if quick else write_videos(folder, golden, arguments.videos)
        more, found, apart["dense"] = compare_dense(
            files, folder, arguments.dense_rounds, warm_up=False
        )
    facts = {"dense_videos": more[1].count, "largest_differences": apart}
    conclude(timings + more, rows + found, arguments.json, **facts)


if __name__ == "__main__":
    main()
