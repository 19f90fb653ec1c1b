"""Reproduce the claims of the methods in miniature, and print the tables of docs/claims.md.

    python -m benchmarks.claims --method prefix --work claims  # an hour; what is done is kept
    python -m benchmarks.claims --method retrieval --work claims  # half an hour

Everything is made by vcap's own commands: rendering, encoding, training, using, scoring. A claim
that does not hold is written down as one that does not hold. What is compared for a method stands
in a module of its own; here is what they share.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import yaml

VCAP = (sys.executable, "-m", "vcap")
METHODS = ("prefix", "retrieval")
SEEDS = (0, 1, 2)

Scores = Mapping[str, float]
Found = Mapping[str, Sequence[Scores]]


@dataclass(frozen=True)
class Variant:
    """One way to build a model, as settings that differ from the plain one.

    Attributes:
        name: as the tables call it.
        settings: `part.key` of the config to its value.
        data: the subset of the rendered videos that it is trained and scored on.
        learns: False where training changes no score, so that one seed stands for all.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: str = "clips"
    learns: bool = True


@dataclass(frozen=True)
class Claim:
    """Two variants, of which the first is said to be better by a score."""

    text: str
    better: str
    worse: str
    score: str


class Method(Protocol):
    """What a module of claims has: `benchmarks.claims_prefix` and the like."""

    VARIANTS: Sequence[Variant]

    def prepare(self, work: Path) -> None:
        """Render and encode what is trained on."""

    def trained(self, work: Path, variant: Variant, seed: int) -> tuple[str, Path]:
        """Train a variant, unless it is there; the name of the run and its model folder."""

    def score(self, work: Path, variant: Variant, name: str, model: Path) -> dict[str, float]:
        """Scores of a trained variant on the test videos."""

    def page(self, work: Path, found: Found) -> str:
        """The tables as Markdown."""


def vcap(*words: object, given: str | None = None) -> str:
    """Run one vcap command, with what it reads on stdin; what it prints."""
    line = [*VCAP, *map(str, words), "--quiet"]
    done = subprocess.run(line, check=False, capture_output=True, text=True, input=given)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}\n{done.stderr}")
    return done.stdout


def render(folder: Path, subset: str, splits: Sequence[str], limit: int) -> Path:
    """Render videos of a subset, unless they are there; their manifest."""
    manifest = folder / f"shapes-{subset}.jsonl"
    if not manifest.is_file():
        chosen = [word for split in splits for word in ("--split", split)]
        vcap("download", f"shapes:{subset}", "-o", folder, *chosen, "--limit", limit)
    return manifest


def encode(manifest: Path, store: Path, *settings: object) -> None:
    """Encode with the embedded encoder; what is done already is left, what is half done ended."""
    vcap("encode", manifest, "-o", store, "--model", "tiny", *settings)


def references(manifest: Path, path: Path, drop: Sequence[str] = ()) -> Path:
    """Write the test records of a manifest with absolute paths, unless they are there.

    Args:
        manifest: made by `render`.
        path: what is written.
        drop: fields of `meta` to leave out.
    """
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [one for one in read_rows(manifest) if one.get("split") == "test"]
        for row in rows:
            row["path"] = str(manifest.parent.absolute() / row["path"])
            row["meta"] = {key: one for key, one in row["meta"].items() if key not in drop}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON Lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def train(work: Path, config: Mapping[str, Any], name: str) -> Path:
    """Train one model, unless it is there; its model folder."""
    run = work / "runs" / name
    if not (run / "model" / "model.safetensors").is_file():
        run.parent.mkdir(parents=True, exist_ok=True)
        path = run.parent / f"{name}.yaml"
        path.write_text(yaml.safe_dump(dict(config)))
        vcap("train", config["method"], "-c", path, "-o", run, "--resume")
    return run / "model"


def with_settings(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a config with `part.key` settings put in."""
    copy = json.loads(json.dumps(config))
    for name, value in settings.items():
        part, key = name.split(".")
        copy[part][key] = value
    return dict(copy)


def run_name(variant: Variant, seed: int) -> str:
    """What the folder of a run is called."""
    return f"{variant.name.replace(', ', '-').replace(' ', '_')}-{seed}"


def measure(method: Method, work: Path, variant: Variant, seed: int) -> dict[str, float]:
    """Scores of a variant with a seed, from their file where it has been scored."""
    name, model = method.trained(work, variant, seed)
    path = work / "scores" / f"{name}.json"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(method.score(work, variant, name, model), indent=1))
    return dict(json.loads(path.read_text()))


def seeds_of(variant: Variant) -> tuple[int, ...]:
    """The seed of each row of figures: one and the same where nothing is learned."""
    return SEEDS if variant.learns else (SEEDS[0],) * len(SEEDS)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation, as printed."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def verdict(claim: Claim, found: Found) -> str:
    """Whether the better one is better with every seed, on the mean, or not at all."""
    better = [row[claim.score] for row in found[claim.better]]
    worse = [row[claim.score] for row in found[claim.worse]]
    if min(better) > max(worse):
        return "holds, every seed of the one above every seed of the other"
    return "holds on the mean only" if sum(better) > sum(worse) else "**does not hold**"


def scores_table(columns: Sequence[str], found: Found) -> list[str]:
    """A row of Markdown for each variant, a column for each score."""
    lines = [
        f"| variant | {' | '.join(columns)} |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for name, rows in found.items():
        cells = [spread([row[column] for row in rows]) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def claims_table(claims: Sequence[Claim], found: Found) -> list[str]:
    """A row of Markdown for each claim, with both sides and the verdict."""
    lines = ["| claim | by | figures | here |", "| --- | --- | --- | --- |"]
    for claim in claims:
        sides = [
            spread([row[claim.score] for row in found[name]])
            for name in (claim.better, claim.worse)
        ]
        told = f"{claim.better} {sides[0]}; {claim.worse} {sides[1]}"
        lines.append(f"| {claim.text} | {claim.score} | {told} | {verdict(claim, found)} |")
    return lines


def reproduce(method: Method, work: Path, train_only: bool = False) -> str:
    """Train every variant with every seed, score them, and write the page."""
    method.prepare(work)
    for seed in SEEDS:
        for variant in method.VARIANTS:
            if variant.learns or seed == SEEDS[0]:
                method.trained(work, variant, seed)
    if train_only:
        return ""
    found = {
        variant.name: [measure(method, work, variant, seed) for seed in seeds_of(variant)]
        for variant in method.VARIANTS
    }
    return method.page(work, found)


def main() -> None:
    """Reproduce the claims of one method, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=METHODS, required=True, help="whose claims")
    parser.add_argument("--work", type=Path, required=True, help="folder for data, runs, scores")
    parser.add_argument("--train-only", action="store_true", help="train, and score later")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # small models run fastest on one thread
    module = importlib.import_module(f"benchmarks.claims_{given.method}")
    print(reproduce(cast(Method, module), given.work, given.train_only))


if __name__ == "__main__":
    main()
