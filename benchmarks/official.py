"""The usual way to score captions: pycocoevalcap as it is, called as the field's scripts call it.

Written from the protocols, as the baseline of `evaluate.py`: the tokenizer is started for
references and candidates apart, and by the dense protocol again for every metric and threshold;
METEOR is asked pair by pair; every video's pairs are scored by themselves.
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Figures = dict[str, float]
Pairs = dict[str, list[tuple[str, str]]]  # video -> predicted and true sentence
Proposals = Mapping[str, Sequence[Mapping[str, Any]]]
References = Mapping[str, Mapping[str, Any]]

BLEU = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")
TIOUS = (0.3, 0.5, 0.7, 0.9)
UNMATCHED = "abc123!@#"
MOST_PROPOSALS = 1000


def read(path: Path) -> Any:
    """JSON, packed or not."""
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def score_captions(candidates: Path, references: Path) -> Figures:
    """All metrics of one caption an id, the scorers one after the other."""
    truth, made = (tokenized(lists_of(read(path))) for path in (references, candidates))
    return {
        name: value
        for metric in ("BLEU", "METEOR", "ROUGE-L", "CIDEr")
        for name, value in named(metric, scorer(metric).compute_score(truth, made, **QUIET[metric]))
    }


def lists_of(captions: Mapping[str, Any]) -> dict[str, list[str]]:
    """Every id with a list of captions."""
    return {name: [text] if isinstance(text, str) else text for name, text in captions.items()}


def tokenized(captions: Mapping[Any, Sequence[str]]) -> dict[Any, list[str]]:
    """All captions, by one start of the tokenizer."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    given = {name: [{"caption": text} for text in texts] for name, texts in captions.items()}
    found: dict[Any, list[str]] = PTBTokenizer().tokenize(given)
    return found


QUIET: dict[str, dict[str, int]] = {
    "BLEU": {"verbose": 0},
    "METEOR": {},
    "ROUGE-L": {},
    "CIDEr": {},
}


def scorer(metric: str) -> Any:
    """A scorer of pycocoevalcap; that of METEOR starts a process."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge

    return {"BLEU": Bleu, "METEOR": Meteor, "ROUGE-L": Rouge, "CIDEr": Cider}[metric]()


def named(metric: str, result: tuple[Any, Any]) -> Iterator[tuple[str, float]]:
    """The figures of a set from what a scorer returns."""
    whole = result[0]
    if metric == "BLEU":
        yield from ((name, float(value)) for name, value in zip(BLEU, whole, strict=True))
    else:
        yield metric, float(whole)


def tiou(first: Sequence[float], second: Sequence[float]) -> float:
    """Overlap over union of two segments, as ActivityNet's evaluation has it."""
    overlap = max(0, min(first[1], second[1]) - max(first[0], second[0]))
    hull = max(first[1], second[1]) - min(first[0], second[0])
    return float(overlap / (min(hull, first[1] - first[0] + second[1] - second[0]) + 1e-8))


class Dense:
    """ActivityNet's protocol of 2018 on files, one family of figures after the other."""

    def __init__(self, predictions: Path, references: Sequence[Path]) -> None:
        """Read nothing yet."""
        self._paths = predictions, references
        self._made: Proposals = {}
        self._files: list[References] = []
        self._pairs: dict[float, Pairs] = {}
        self.figures: Figures = {}

    def meteor(self) -> int:
        """Read, pair, and give METEOR; the number of pairs."""
        made, self._files = read(self._paths[0])["results"], list(map(read, self._paths[1]))
        self._made = {video: proposals[:MOST_PROPOSALS] for video, proposals in made.items()}
        self._pairs = {limit: self._paired(limit) for limit in TIOUS}
        self._score(["METEOR"])
        return sum(len(part) for pairs in self._pairs.values() for part in pairs.values())

    def others(self) -> None:
        """BLEU, ROUGE-L, CIDEr and localisation of what `meteor` read and paired."""
        self._score(["BLEU", "ROUGE-L", "CIDEr"])
        for limit in TIOUS:
            found = [self._covered(video, limit) for video in self._videos()]
            for place, name in enumerate(("recall", "precision")):
                self.figures[f"{name} at {limit}"] = sum(f[place] for f in found) / len(found)

    def _videos(self) -> list[str]:
        return list(dict.fromkeys(video for file in self._files for video in file))

    def _paired(self, limit: float) -> Pairs:
        """Each proposal with the events that it meets, or with a sentence that matches nothing."""
        pairs: Pairs = {}
        for video in self._videos():
            pairs[video] = []
            for made in self._made.get(video, ()):
                met = [
                    text
                    for file in self._files
                    if video in file
                    for text, times in zip(
                        file[video]["sentences"], file[video]["timestamps"], strict=True
                    )
                    if tiou(made["timestamp"], times) >= limit
                ]
                pairs[video] += [(made["sentence"], text) for text in met or [UNMATCHED]]
        return pairs

    def _score(self, metrics: Sequence[str]) -> None:
        scorers = {metric: scorer(metric) for metric in metrics}
        for limit, pairs in self._pairs.items():
            for metric, judge in scorers.items():
                for name, value in mean_over_videos(pairs, metric, judge):
                    self.figures[f"{name} at {limit}"] = value

    def _covered(self, video: str, limit: float) -> tuple[float, float]:
        """Recall and precision of one video, each of the file where it is highest."""
        best = (0.0, 0.0)
        proposals = self._made.get(video, ())
        for file in self._files:
            if video not in file or not proposals:
                continue
            events = file[video]["timestamps"]
            hits = [[tiou(m["timestamp"], times) > limit for times in events] for m in proposals]
            found = sum(map(any, zip(*hits, strict=True))) / len(events)
            best = max(best[0], found), max(best[1], sum(map(any, hits)) / len(proposals))
        return best


def mean_over_videos(pairs: Pairs, metric: str, judge: Any) -> list[tuple[str, float]]:
    """The mean over videos of what a scorer says of the pairs of each; 0 where there are none."""
    numbered = dict(enumerate(pair for part in pairs.values() for pair in part))
    made, truth = (
        tokenized({number: [to_ascii(pair[side])] for number, pair in numbered.items()})
        for side in (0, 1)
    )
    sums = dict.fromkeys(BLEU if metric == "BLEU" else (metric,), 0.0)
    first = 0
    for part in pairs.values():
        own = range(first, first := first + len(part))
        if own:
            chosen = ({number: side[number] for number in own} for side in (truth, made))
            for name, value in named(metric, judge.compute_score(*chosen, **QUIET[metric])):
                sums[name] += value
    return [(name, value / len(pairs)) for name, value in sums.items()]


def to_ascii(text: str) -> str:
    """The text with a blank for every other character."""
    return "".join(letter if ord(letter) < 128 else " " for letter in text)


def soda_c(predictions: Path, references: Sequence[Path]) -> float:
    """The mean F1 over the videos of each reference file, and the mean over files."""
    made: Proposals = read(predictions)["results"]
    means = [soda_of_file(made, read(path)) for path in references]
    return sum(means) / len(means)


def soda_of_file(made: Proposals, truth: References) -> float:
    """SODA_c against one reference file, with a METEOR process of its own."""
    videos = [video for video in truth if video in made]
    said = {v: sorted(made[v], key=lambda one: one["timestamp"][0]) for v in videos}
    spoken = tokenized({v: [to_ascii(one["sentence"]) for one in said[v]] for v in videos})
    known = tokenized({v: [to_ascii(text) for text in truth[v]["sentences"]] for v in videos})
    judge = scorer("METEOR")
    total = 0.0
    for video in videos:
        times = truth[video]["timestamps"]
        order = sorted(range(len(times)), key=lambda row: times[row][0])
        columns = []
        for proposal, sentence in zip(said[video], spoken[video], strict=True):
            events = dict(enumerate([known[video][row]] for row in order))
            meteor = judge.compute_score({row: [sentence] for row in events}, events)[1]
            overlaps = (tiou(times[row], proposal["timestamp"]) for row in order)
            columns.append([a * b for a, b in zip(overlaps, meteor, strict=True)])
        best = best_total(columns)
        precision, recall = best / len(columns), best / len(order)
        total += 2 * precision * recall / (precision + recall) if best > 0 else 0.0
    return total / len(videos)


def best_total(worth: Sequence[Sequence[float]]) -> float:
    """The greatest sum of cells, no two in one row or column, none crossing."""
    best = [0.0] * (len(worth[0]) + 1)
    for row in worth:
        before, best = best, [0.0]
        for column, value in enumerate(row):
            best.append(max(before[column + 1], best[-1], before[column] + value))
    return best[-1]
