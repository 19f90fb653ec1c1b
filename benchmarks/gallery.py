"""Search rendered clips with the embedded encoder, and count what is found.

    python -m benchmarks.gallery --work gallery [--count 1000] [--model MODEL]  # three minutes
    python -m benchmarks.gallery --work needles --subset needles --count 500 --model tiny

Rendering, encoding, indexing and searching are vcap's own commands. Every caption of the
gallery's clips (all of the test split: no model has seen them) is asked for. Several clips share
what a caption says, and any of them is right: a hit is right by its colour, shape and size, as far
as the caption names them, and by its action with them (`needles`: by its place).
"""

import argparse
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.claims import VCAP, vcap
from vcap.data.shapes.captions import parse_slots

FIRST = 5
GOAL = 0.9
LOOKS = ("colour", "shape", "size")
SHOWN = {"clips": "action", "needles": "position"}  # what a caption says beside looks
FRAMES = {"clips": 16, "needles": 64}
Query = tuple[str, Mapping[str, Any]]  # a caption, and the record of its clip


def manifest_of(work: Path, subset: str) -> Path:
    """Where the records of the gallery are."""
    return work / "data" / f"shapes-{subset}.jsonl"


def prepare(work: Path, subset: str, count: int, model: str | None) -> Path:
    """Render, encode and index the gallery; the folder of the index."""
    manifest, features = manifest_of(work, subset), work / "features"
    index = work / ("index" if model is None else f"index-{Path(model).name}")
    if not manifest.is_file():
        few = ("--split", "test", "--limit", count)
        vcap("download", f"shapes:{subset}", "-o", manifest.parent, *few)
    if not (features / "store.json").is_file():
        vcap("encode", manifest, "-o", features, "--model", "tiny", "--frames", FRAMES[subset])
    if not (index / "index.json").is_file():
        vcap("index", features, "-o", index, *(() if model is None else ("--aggregate", model)))
    return index


def read_queries(manifest: Path) -> list[Query]:
    """Every caption with the record that it is of."""
    records = [json.loads(line) for line in manifest.read_text().splitlines()]
    return [(caption["text"], record) for record in records for caption in record["captions"]]


def search(index: Path, texts: Sequence[str]) -> dict[str, list[str]]:
    """The first hits of each text, best first."""
    line = [*VCAP, "retrieve", "-", "--index", str(index), "-k", str(FIRST), "--json", "--quiet"]
    asked = "".join(f"{text}\n" for text in dict.fromkeys(texts))
    done = subprocess.run(line, input=asked, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, list[str]] = {}
    for row in done.stdout.splitlines():
        hit = json.loads(row)
        found.setdefault(hit["query"], []).append(hit["id"])
    return found


def is_right(text: str, meta: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether a clip is what a caption says of these slots; what it does not say is free."""
    said = parse_slots(text)
    return all(meta[name] == said[name] for name in names if name in said)


def share_found(
    queries: Sequence[Query],
    found: Mapping[str, Sequence[str]],
    metas: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
) -> float:
    """Share of captions that have a right clip among their first hits."""
    right = [
        any(is_right(text, metas[clip], names) for clip in found.get(text, ()))
        for text, _ in queries
    ]
    return sum(right) / len(right)


def share_of_clips(
    queries: Sequence[Query], found: Mapping[str, Sequence[str]], depth: int
) -> float:
    """R@depth: share of captions whose own clip is among that many first hits."""
    return sum(one["id"] in found.get(text, ())[:depth] for text, one in queries) / len(queries)


def rows(
    queries: Sequence[Query], found: Mapping[str, Sequence[str]], shown: str = "action"
) -> list[list[str]]:
    """The table: all captions, those that name all three looks, and those never trained on."""
    metas = {one["id"]: one["meta"] for _, one in queries}
    parts = {
        "all": queries,
        "that name colour, shape and size": [
            one for one in queries if all(name in parse_slots(one[0]) for name in LOOKS)
        ],
        "of combinations held out of training": [one for one in queries if one[1]["meta"]["novel"]],
    }
    return [
        [
            name,
            f"{len(part):,}",
            f"{share_found(part, found, metas, LOOKS):.3f}",
            f"{share_found(part, found, metas, (*LOOKS, shown)):.3f}",
            f"{share_of_clips(part, found, 1):.3f}",
            f"{share_of_clips(part, found, FIRST):.3f}",
        ]
        for name, part in parts.items()
        if part
    ]


def main() -> None:
    """Print the table, and whether the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for clips and index")
    parser.add_argument("--subset", choices=list(SHOWN), default="clips", help="what is rendered")
    parser.add_argument("--count", type=int, default=1000, help="clips of the gallery")
    parser.add_argument("--model", help="a retrieval model that makes a video's vector")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    index = prepare(given.work, given.subset, given.count, given.model)
    queries = read_queries(manifest_of(given.work, given.subset))
    found = search(index, [text for text, _ in queries])
    shown = SHOWN[given.subset]
    head = ["captions", "number", "looks in the first 5", f"and {shown}", "R@1", "R@5"]
    table = [head, ["---", *["---:"] * 5], *rows(queries, found, shown)]
    print("\n".join(f"| {' | '.join(row)} |" for row in table))
    met = float(table[2][2]) >= GOAL
    print(f"\ngoal: looks in the first {FIRST} >= {GOAL}: {'met' if met else 'NOT met'}")


if __name__ == "__main__":
    main()
