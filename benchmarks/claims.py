"""Reproduce the claims of the methods in miniature, and print the tables of docs/claims.md.

    python -m benchmarks.claims --work claims > claims.md  # an hour; what is done is kept

Everything is made by vcap's own commands: rendering, encoding, training, captioning, scoring. A
claim that does not hold is written down as one that does not hold.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

VCAP = (sys.executable, "-m", "vcap")
SEEDS = (0, 1, 2)
TRAIN_CLIPS, EVAL_CLIPS = 4000, 300
LM = {
    "knows": "captions of rendered shapes only",
    "method": "lm",
    "model": {"width": 128, "num_layers": 4, "num_heads": 4, "num_positions": 160, "dropout": 0.0},
    "options": {"vocabulary": 512, "captions_per_text": 2},
    "train": {"steps": 300, "batch_size": 96, "learning_rate": 2e-3, "warmup": 60},
}
PREFIX = {
    "knows": "rendered shapes only",
    "method": "prefix",
    "model": {
        "mapper": "transformer",
        "prefix_length": 8,
        "num_layers": 2,
        "num_heads": 4,
        "standardise": True,
    },
    "options": {"aux_weight": 1.0, "aux_until": 1.0, "max_length": 40},
    "encoder": "tiny",
    "sampler": "uniform 16",
    "train": {"steps": 400, "batch_size": 64, "learning_rate": 2e-3, "warmup": 60},
}
IN_TIME = {"model.temporal_kernel": 3}
SCORES = ("CIDEr", "METEOR", "BLEU-4")
SLOTS = ("colour", "shape", "action")


@dataclass(frozen=True)
class Variant:
    """One way to build the captioner, as settings that differ from the plain one."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """Two variants, of which the first is said to be better by a score."""

    text: str
    better: str
    worse: str
    score: str


VARIANTS = (
    Variant("transformer, tuned LM", IN_TIME | {"model.frame_times": True}),
    Variant(
        "transformer, frozen LM", IN_TIME | {"model.frame_times": True, "options.train_lm": False}
    ),
    Variant("MLP, frozen LM", IN_TIME | {"model.mapper": "mlp", "options.train_lm": False}),
    Variant("mean of the frames, tuned LM", {"model.pooled": True, "model.clip_length": 16}),
)
CLAIMS = (
    Claim(
        "With a frozen language model a transformer mapper beats an MLP",
        "transformer, frozen LM",
        "MLP, frozen LM",
        "CIDEr",
    ),
    Claim(
        "Tuning the language model beats training the prefix only",
        "transformer, tuned LM",
        "transformer, frozen LM",
        "CIDEr",
    ),
    Claim(
        "A sequence of frames beats their mean",
        "transformer, tuned LM",
        "mean of the frames, tuned LM",
        "action",
    ),
)


def vcap(*words: object, quiet: bool = True) -> str:
    """Run one vcap command; what it prints."""
    line = [*VCAP, *map(str, words), *(["--quiet"] if quiet else [])]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}\n{done.stderr}")
    return done.stdout


def prepare(work: Path) -> None:
    """Render the clips and encode them."""
    for part, splits, limit in (
        ("train", ("train",), TRAIN_CLIPS),
        ("eval", ("val", "test"), EVAL_CLIPS),
    ):
        data, features = work / "data" / part, work / "features" / part
        manifest = data / "shapes-clips.jsonl"
        if not manifest.is_file():
            chosen = [word for split in splits for word in ("--split", split)]
            vcap("download", "shapes:clips", "-o", data, *chosen, "--limit", limit)
        if not (features / "store.json").is_file():
            grid = ("--model", "tiny", "--features", "grid", "--frames", 16)
            vcap("encode", manifest, "-o", features, *grid)


def train(work: Path, config: Mapping[str, Any], name: str) -> Path:
    """Train one model, unless it is there; its model folder."""
    run = work / "runs" / name
    if not (run / "model" / "model.safetensors").is_file():
        manifests = {
            part: [str(work / "data" / where / "shapes-clips.jsonl")]
            for part, where in (("train", "train"), ("val", "eval"), ("test", "eval"))
        }
        stores = [str(work / "features" / part) for part in ("train", "eval")]
        data = manifests if config["method"] == "lm" else {**manifests, "features": stores}
        run.parent.mkdir(parents=True, exist_ok=True)
        path = run.parent / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**config, "data": data}))
        vcap("train", config["method"], "-c", path, "-o", run, "--resume")
    return run / "model"


def with_settings(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a config with `part.key` settings put in."""
    copy = json.loads(json.dumps(config))
    for name, value in settings.items():
        part, key = name.split(".")
        copy[part][key] = value
    return dict(copy)


def trained(work: Path, variant: Variant, seed: int) -> tuple[str, Path]:
    """Train a variant with a seed, from the language model of the same seed."""
    seeded = {"train.seed": seed}
    lm = train(work, with_settings(LM, seeded), f"lm-{seed}")
    settings = {"options.lm": str(lm), **seeded, **variant.settings}
    name = f"{variant.name.replace(', ', '-').replace(' ', '_')}-{seed}"
    return name, train(work, with_settings(PREFIX, settings), name)


def measure(work: Path, variant: Variant, seed: int) -> dict[str, float]:
    """Scores of a variant's captions of the test clips."""
    name, model = trained(work, variant, seed)
    scores_path = work / "scores" / f"{name}.json"
    if not scores_path.is_file():
        scores_path.parent.mkdir(exist_ok=True)
        scores_path.write_text(json.dumps(score(work, model, name), indent=1))
    return dict(json.loads(scores_path.read_text()))


def score(work: Path, model: Path, name: str) -> dict[str, float]:
    """Caption the test clips with the model; scores by `vcap evaluate`."""
    references = work / "test.jsonl"
    if not references.is_file():
        records = (work / "data" / "eval" / "shapes-clips.jsonl").read_text().splitlines()
        tested = [json.loads(line) for line in records]
        kept = [
            {**one, "path": str(work.absolute() / "data" / "eval" / one["path"])}
            for one in tested
            if one.get("split") == "test"
        ]
        references.write_text("".join(json.dumps(one) + "\n" for one in kept))
    predictions = work / "scores" / f"{name}.jsonl"
    predictions.write_text(vcap("caption", references, "--model", model, "--json"))
    found = json.loads(
        vcap("evaluate", "caption", predictions, "--references", references, "--json")
    )
    scores = {metric: found["scores"][metric] for metric in SCORES}
    return scores | {slot: slot_score(work, predictions, references, slot) for slot in SLOTS}


def slot_score(work: Path, predictions: Path, references: Path, slot: str) -> float:
    """Share of captions that name the true colour, shape or action, by `vcap evaluate`."""
    from vcap.data.shapes.captions import parse_slots

    said, truth = work / "scores" / "said.jsonl", work / "scores" / "truth.jsonl"
    rows = [json.loads(line) for line in predictions.read_text().splitlines()]
    with said.open("w") as stream:
        for row in rows:
            label = parse_slots(row["captions"][0]["text"]).get(slot, "nothing")
            stream.write(json.dumps({"id": row["id"], "label": {"name": label}}) + "\n")
    with truth.open("w") as stream:
        for line in references.read_text().splitlines():
            row = json.loads(line)
            label = {"name": row["meta"][slot]}
            stream.write(json.dumps({"id": row["id"], "label": label, "path": row["path"]}) + "\n")
    found = json.loads(vcap("evaluate", "classification", said, "--references", truth, "--json"))
    return float(found["scores"]["top-1"])


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation, as printed."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def verdict(claim: Claim, found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Whether the better one is better with every seed, on the mean, or not at all."""
    better = [row[claim.score] for row in found[claim.better]]
    worse = [row[claim.score] for row in found[claim.worse]]
    if min(better) > max(worse):
        return "holds, every seed of the one above every seed of the other"
    return "holds on the mean only" if sum(better) > sum(worse) else "**does not hold**"


def page(found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """The tables as Markdown."""
    columns = (*SCORES, *SLOTS)
    lines = [
        f"| variant | {' | '.join(columns)} |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for name, rows in found.items():
        cells = [spread([row[column] for row in rows]) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| claim | by | figures | here |", "| --- | --- | --- | --- |"]
    for claim in CLAIMS:
        sides = [
            spread([row[claim.score] for row in found[name]])
            for name in (claim.better, claim.worse)
        ]
        told = f"{claim.better} {sides[0]}; {claim.worse} {sides[1]}"
        lines.append(f"| {claim.text} | {claim.score} | {told} | {verdict(claim, found)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every variant with every seed, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for data, runs, scores")
    parser.add_argument("--train-only", action="store_true", help="train, and score later")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # small models run fastest on one thread
    prepare(given.work)
    for seed in SEEDS:
        for variant in VARIANTS:
            trained(given.work, variant, seed)
    if not given.train_only:
        found = {one.name: [measure(given.work, one, seed) for seed in SEEDS] for one in VARIANTS}
        print(page(found))


if __name__ == "__main__":
    main()
