"""The claims of the retrieval method: chosen frames against others, MLP-Score against the mean.

On `needles` what a caption speaks of is in two to four of a video's 64 frames; on `clips` it goes
on for the whole video, and what counts is how its frames become one vector.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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

SLOTS = {
    "needles": ("colour", "shape", "size", "position"),
    "clips": ("colour", "shape", "action"),
}
FRAMES = {"needles": 64, "clips": 16}
LIMITS = {"needles": (4000, 500), "clips": (4000, 300)}  # videos of train, of val and of test
EVENTS = ("needles",)  # whose records say when what the caption tells happens
RATE = 8  # frames a second of all rendered videos
KEPT = (4, 8, 12)
HITS = 10
RETRIEVAL: dict[str, Any] = {
    "knows": "rendered shapes only",
    "method": "retrieval",
    "model": {"header": "meanP", "frame_aggregation": "mean"},
    "options": {"policy": None},
    "encoder": "tiny",
    "train": {
        "steps": 200,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "warmup": 40,
        "validate_every": 50,  # the weights that find most of val's videos are kept
    },
}
# A video none of whose frames shows the event is right for no text; at a scale of 100 such pairs
# are most of the loss, and what is trained on evenly spread frames finds half as many.
COOL = {"options.logit_scale": 2.5}
POLICY = {"sequence": "none", "hidden_width": 128, "head_width": 128}
TO_VIDEO, TO_TEXT, FIRST = "R@1 text to video", "R@1 video to text", "right slots first"
KEPT_EVENT = "event frames kept"
SHARED = (TO_VIDEO, "R@5 text to video", TO_TEXT, FIRST, "right slots in 5")
COLUMNS = {"needles": (*SHARED, KEPT_EVENT), "clips": SHARED}


def needles() -> list[Variant]:
    """All frames, some evenly spread and some chosen, each aggregated in two ways."""
    found = []
    for how in ("mean", "mlp"):
        told = COOL | {"model.frame_aggregation": how}
        still = {} if how == "mlp" else {"train.steps": 1, "train.warmup": 0}
        learns = how == "mlp"
        whole = {"model.num_frames": 64, "model.num_kept": 64}
        found.append(Variant(f"all 64, {how}", told | still | whole, "needles", learns))
        for k in KEPT:
            even = {"model.num_frames": k, "model.num_kept": k}
            chosen = {"model.num_frames": 64, "model.num_kept": k, "options.policy": POLICY}
            found.append(Variant(f"uniform {k}, {how}", told | still | even, "needles", learns))
            found.append(Variant(f"chosen {k}, {how}", told | chosen, "needles"))
    return found


CLIPS = (
    Variant("clips, mean", {"train.steps": 1, "train.warmup": 0}, learns=False),
    Variant("clips, mlp", {"model.frame_aggregation": "mlp"}),
    Variant("clips, in time, mean", {"model.header": "seqTransf"}),
)
VARIANTS = (*needles(), *CLIPS)


def claims() -> list[Claim]:
    """What the paper says of selection and of aggregation, one line for each k."""
    found = []
    for how in ("mean", "mlp"):
        for k in KEPT:
            one, even, whole = f"chosen {k}, {how}", f"uniform {k}, {how}", f"all 64, {how}"
            found += [
                Claim(f"{k} chosen frames beat {k} evenly spread ones", one, even, TO_VIDEO),
                Claim(f"{k} chosen frames beat all 64", one, whole, TO_VIDEO),
            ]
    for which in ("all 64", *(f"chosen {k}" for k in KEPT), *(f"uniform {k}" for k in KEPT)):
        sides = f"{which}, mlp", f"{which}, mean"
        found.append(Claim(f"MLP-Score beats the mean: {which}", *sides, TO_VIDEO))
    found += [
        Claim("Clips: MLP-Score beats the mean", "clips, mlp", "clips, mean", TO_VIDEO),
        Claim(
            "Clips: frames in order beat the mean", "clips, in time, mean", "clips, mean", TO_VIDEO
        ),
    ]
    return found


CLAIMS = claims()


def folder(work: Path, subset: str, part: str) -> Path:
    """Where the videos of a part lie; the clips are those of the other claims."""
    return work / "data" / part if subset == "clips" else work / "data" / subset / part


def prepare(work: Path) -> None:
    """Render the videos and encode them, one embedding a frame."""
    for subset, limits in LIMITS.items():
        for part, splits, limit in zip(
            ("train", "eval"), (("train",), ("val", "test")), limits, strict=True
        ):
            manifest = render(folder(work, subset, part), subset, splits, limit)
            encode(manifest, work / "features" / subset / part, "--frames", FRAMES[subset])
        truth(work, subset)


def truth(work: Path, subset: str) -> Path:
    """The test records, of all which say nothing of novelty, so that they are one gallery."""
    manifest = folder(work, subset, "eval") / f"shapes-{subset}.jsonl"
    return references(manifest, work / "references" / f"{subset}.jsonl", ("novel",))


def trained(work: Path, variant: Variant, seed: int) -> tuple[str, Path]:
    """Train a variant with a seed."""
    subset = variant.data
    manifests = {
        part: str(folder(work, subset, part) / f"shapes-{subset}.jsonl")
        for part in ("train", "eval")
    }
    data = {
        "train": [manifests["train"]],
        "val": [manifests["eval"]],
        "test": [str(truth(work, subset))],
        "features": [str(work / "features" / subset / part) for part in ("train", "eval")],
    }
    config = {**RETRIEVAL, "data": data, "sampler": f"uniform {FRAMES[subset]}"}
    settings = {"model.num_frames": FRAMES[subset], "train.seed": seed, **variant.settings}
    name = f"retrieval-{run_name(variant, seed)}"
    return name, train(work, with_settings(config, settings), name)


def score(work: Path, variant: Variant, name: str, model: Path) -> dict[str, float]:
    """Look for the test videos by their captions, by `vcap index`, `retrieve` and `evaluate`.

    How videos find texts is not what those commands do: that is from the scores of the training.
    """
    wanted, index = truth(work, variant.data), work / "indexes" / name
    store = work / "features" / variant.data / "eval"
    vcap("index", store, "--aggregate", model, "-o", index)
    texts = dict.fromkeys(text for row in read_rows(wanted) for text in texts_of(row))
    asked = ("retrieve", "-", "--index", index, "--where", "split=test", "-k", HITS, "--json")
    hits = work / "scores" / f"{name}.jsonl"
    hits.write_text(vcap(*asked, given="".join(f"{text}\n" for text in texts)))
    found = json.loads(vcap("evaluate", "retrieval", hits, "--references", wanted, "--json"))
    scores = {f"R@{k} text to video": found["scores"][f"R@{k}"] / 100 for k in (1, 5)}
    by_training = json.loads((model.parent / "scores.json").read_text())
    scores[TO_TEXT] = by_training["scores"]["test/video-to-text R@1"] / 100
    rows, ranked = read_rows(wanted), [(hit["query"], hit["id"]) for hit in read_rows(hits)]
    scores |= slot_scores(rows, ranked, SLOTS[variant.data])
    return scores | ({KEPT_EVENT: event_kept(rows, store, model)} if variant.data in EVENTS else {})


def texts_of(row: Mapping[str, Any]) -> list[str]:
    """The captions of a record."""
    return [caption["text"] for caption in row["captions"]]


def slots_of(rows: Iterable[Mapping[str, Any]], slots: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """What each video shows, by its id."""
    return {row["id"]: tuple(row["meta"][slot] for slot in slots) for row in rows}


def slot_scores(
    rows: Sequence[Mapping[str, Any]], hits: Sequence[tuple[str, str]], slots: Sequence[str]
) -> dict[str, float]:
    """Share of captions that find a video which shows the same, first and in the first five.

    Args:
        rows: the test records.
        hits: text and id of the video, the best of a text first.
        slots: what has to be the same.
    """
    shown = slots_of(rows, slots)
    found = defaultdict(list)
    for text, video in hits:
        found[text].append(shown[video])
    asked = [(shown[row["id"]], found[text]) for row in rows for text in texts_of(row)]
    return {
        name: sum(own in hit[:count] for own, hit in asked) / len(asked)
        for name, count in ((FIRST, 1), ("right slots in 5", 5))
    }


def event_kept(rows: Sequence[Mapping[str, Any]], store: Path, model: Path) -> float:
    """Share of the frames that show the event which are among those the model makes a vector of."""
    import numpy as np

    from vcap.engine.retriever import load_retriever
    from vcap.features.store import FeatureStore

    retriever, features = load_retriever(str(model), device="cpu"), FeatureStore(store)
    shares = []
    for row in rows:
        frames = np.asarray(features.features(row["id"]), dtype=np.float32)
        shares.append(share_kept(row["meta"], retriever.kept_frames(frames)))
    return sum(shares) / len(shares)


def share_kept(meta: Mapping[str, Any], kept: Iterable[int]) -> float:
    """Which part of the frames between `start` and `end` was kept."""
    shown = set(range(round(meta["start"] * RATE), round(meta["end"] * RATE)))
    return len(shown & set(kept)) / len(shown)


def ceiling(rows: Sequence[Mapping[str, Any]]) -> float:
    """R@1 from text to video of one who reads and sees all, and guesses among equal videos.

    A caption fits all videos of which everything is true that it says.
    """
    from vcap.data.shapes.captions import parse_slots

    told = [parse_slots(text) for row in rows for text in texts_of(row)]
    fits = [sum(is_true(slots, row["meta"]) for row in rows) for slots in told]
    return sum(1 / max(1, count) for count in fits) / len(fits)


def is_true(slots: Mapping[str, str], meta: Mapping[str, Any]) -> bool:
    """Whether all that a caption says is true of a video, as far as its record tells."""
    return all(meta.get(slot) in (None, value) for slot, value in slots.items())


def page(work: Path, found: Found) -> str:
    """The tables as Markdown."""
    lines = []
    for subset in LIMITS:
        names = {one.name for one in VARIANTS if one.data == subset}
        rows = read_rows(truth(work, subset))
        most = f"{subset}: {len(rows)} videos, R@1 text to video at most {ceiling(rows):.3f}"
        table = scores_table(
            COLUMNS[subset], {name: found[name] for name in found if name in names}
        )
        lines += [most, "", *table, ""]
    return "\n".join([*lines, *claims_table(CLAIMS, found)]) + "\n"
