"""The claims of the prefix method: which mapper, with which language model, on rendered clips."""

import json
from pathlib import Path
from typing import Any

from benchmarks.claims import (
    Claim,
    Found,
    Variant,
    claims_table,
    encode,
    read_rows,
    references,
    render,
    run_name,
    scores_table,
    train,
    vcap,
    with_settings,
)

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


def prepare(work: Path) -> None:
    """Render the clips and encode them."""
    for part, splits, limit in (
        ("train", ("train",), TRAIN_CLIPS),
        ("eval", ("val", "test"), EVAL_CLIPS),
    ):
        manifest = render(work / "data" / part, "clips", splits, limit)
        encode(manifest, work / "features" / part, "--features", "grid", "--frames", 16)


def data(work: Path, *, features: bool) -> dict[str, list[str]]:
    """The `data` part of a config."""
    parts = {"train": "train", "val": "eval", "test": "eval"}
    found = {
        part: [str(work / "data" / where / "shapes-clips.jsonl")] for part, where in parts.items()
    }
    stores = [str(work / "features" / part) for part in ("train", "eval")]
    return {**found, "features": stores} if features else found


def trained(work: Path, variant: Variant, seed: int) -> tuple[str, Path]:
    """Train a variant with a seed, from the language model of the same seed."""
    seeded = {"train.seed": seed}
    texts = {**LM, "data": data(work, features=False)}
    lm = train(work, with_settings(texts, seeded), f"lm-{seed}")
    config: dict[str, Any] = {**PREFIX, "data": data(work, features=True)}
    settings = {"options.lm": str(lm), **seeded, **variant.settings}
    name = run_name(variant, seed)
    return name, train(work, with_settings(config, settings), name)


def score(work: Path, variant: Variant, name: str, model: Path) -> dict[str, float]:
    """Caption the test clips with the model; scores by `vcap evaluate`."""
    manifest = work / "data" / "eval" / f"shapes-{variant.data}.jsonl"
    truth = references(manifest, work / "test.jsonl")
    predictions = work / "scores" / f"{name}.jsonl"
    predictions.write_text(vcap("caption", truth, "--model", model, "--json"))
    found = json.loads(vcap("evaluate", "caption", predictions, "--references", truth, "--json"))
    scores = {metric: found["scores"][metric] for metric in SCORES}
    return scores | {slot: slot_score(work, predictions, truth, slot) for slot in SLOTS}


def slot_score(work: Path, predictions: Path, references_path: Path, slot: str) -> float:
    """Share of captions that name the true colour, shape or action, by `vcap evaluate`."""
    from vcap.data.shapes.captions import parse_slots

    said, truth = work / "scores" / "said.jsonl", work / "scores" / "truth.jsonl"
    with said.open("w") as stream:
        for row in read_rows(predictions):
            label = parse_slots(row["captions"][0]["text"]).get(slot, "nothing")
            stream.write(json.dumps({"id": row["id"], "label": {"name": label}}) + "\n")
    with truth.open("w") as stream:
        for row in read_rows(references_path):
            true = {"id": row["id"], "label": {"name": row["meta"][slot]}, "path": row["path"]}
            stream.write(json.dumps(true) + "\n")
    found = json.loads(vcap("evaluate", "classification", said, "--references", truth, "--json"))
    return float(found["scores"]["top-1"])


def page(work: Path, found: Found) -> str:
    """The tables as Markdown."""
    lines = [*scores_table((*SCORES, *SLOTS), found), "", *claims_table(CLAIMS, found)]
    return "\n".join(lines) + "\n"
