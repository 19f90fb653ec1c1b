"""Get a data set: its videos and the manifest that lists them.

`shapes` is rendered here, item by item, in processes of its own; a video is a pure function of
seed, subset, split and index, so that rendering again gives the same pixels.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from vcap.engine.registry import nearest
from vcap.errors import AnnotationError, OutputError, UsageError

if TYPE_CHECKING:
    from vcap.data.records import Record
    from vcap.engine.interrupt import StopRequest
    from vcap.engine.items import Summary
    from vcap.engine.reporter import Reporter

DATASET = "shapes"
CRF = 18
RENDERER = 1  # counts up when the same item is drawn otherwise


class Drawing(NamedTuple):
    """What decides the pixels of one item."""

    seed: int
    subset: str
    split: str
    number: int


@dataclass(frozen=True)
class Plan:
    """One subset to be had: which splits, how many of each, and where.

    Attributes:
        folder: receives the manifest, and a folder of videos named as the manifest.
        sizes: number of items of each split that is wanted.
    """

    subset: str
    folder: Path
    sizes: Mapping[str, int]
    seed: int = 0

    @property
    def videos_dir(self) -> Path:
        """The folder of videos, one folder a split in it."""
        return self.folder / f"{DATASET}-{self.subset}"

    @property
    def manifest_path(self) -> Path:
        """The manifest of all splits."""
        return self.folder / f"{DATASET}-{self.subset}.jsonl"

    @property
    def drawings(self) -> list[Drawing]:
        """Every item in the order of the manifest."""
        return [
            Drawing(self.seed, self.subset, split, number)
            for split, size in self.sizes.items()
            for number in range(size)
        ]

    def settings(self) -> dict[str, Any]:
        """What a dry run shows."""
        return {
            "dataset": f"{DATASET}:{self.subset}",
            "manifest": str(self.manifest_path),
            "seed": self.seed,
            "sizes": dict(self.sizes),
        }


def plan(
    name: str,
    folder: Path,
    *,
    splits: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
) -> list[Plan]:
    """Resolve a data set's name to its subsets and sizes.

    Args:
        name: `shapes`, or `shapes:clips` and the like.
        splits: the ones that are wanted; none means all of a subset.
        limit: items of each split, more than the usual number too.

    Raises:
        UsageError: there is no such data set, subset or split.
    """
    from vcap.data import shapes

    known = [DATASET, *(f"{DATASET}:{subset}" for subset in shapes.SUBSETS)]
    if name not in known:
        raise _unknown("data set", name, known)
    subsets = shapes.SUBSETS if name == DATASET else (name.partition(":")[2],)
    offered = {subset: shapes.splits(subset) for subset in subsets}
    every = list(dict.fromkeys(split for names in offered.values() for split in names))
    for split in splits:
        if split not in every:
            raise _unknown("split", split, every)
    return [
        Plan(
            subset,
            folder,
            {
                split: shapes.DEFAULT_SIZES[split] if limit is None else limit
                for split in names
                if not splits or split in splits
            },
            seed,
        )
        for subset, names in offered.items()
    ]


def _unknown(kind: str, name: str, known: Sequence[str]) -> UsageError:
    return UsageError(f"no {kind} {name!r}; {nearest(name, known)}", hint="vcap download --help")


def path_of(drawing: Drawing) -> Path:
    """Where a video lies below the folder of its subset."""
    from vcap.data.shapes import item_id

    _, subset, split, number = drawing
    return Path(split) / f"{item_id(subset, split, number)}.mp4"


def render(drawing: Drawing) -> bytes:
    """One video as the bytes of its MP4 file."""
    from vcap.data import shapes
    from vcap.video.write import write_mp4

    with tempfile.TemporaryDirectory(prefix="vcap-") as folder:
        path = Path(folder) / "video.mp4"
        frames = shapes.draw(shapes.describe(*drawing))
        write_mp4(path, frames, frames_per_second=shapes.FRAMES_PER_SECOND, crf=CRF)
        return path.read_bytes()


def download(
    plan: Plan,
    *,
    reporter: "Reporter",
    workers: int | None = None,
    force: bool = False,
    on_error: Literal["skip", "stop"] = "skip",
    max_errors: int | None = None,
    retry_failed: bool = False,
    stop: "StopRequest | None" = None,
) -> "Summary":
    """Render what is not there yet and write the manifest, which appears at the end.

    Raises:
        OutputError: the folder cannot be written, or its manifest lists other videos.
        AnnotationError: there is a manifest that cannot be read.
    """
    from vcap.data.manifest import manifest_bytes
    from vcap.engine.executor import Local
    from vcap.engine.files import ensure_folder, write_atomic
    from vcap.engine.fingerprint import digest
    from vcap.engine.items import Item, map_items
    from vcap.engine.outputs import FilesOutput

    ensure_folder(plan.folder)
    earlier = _listed(plan, force)
    items = [Item(path_of(drawing).stem, drawing, {}) for drawing in plan.drawings]
    summary = map_items(
        items,
        None,
        prepare=render,
        output=FilesOutput(plan.videos_dir, lambda item: path_of(item.value), bytes),
        executor=Local(workers or os.cpu_count() or 1, processes=True),
        fingerprint=digest({"seed": plan.seed, "renderer": RENDERER, "crf": CRF}),
        on_error=on_error,
        max_errors=max_errors,
        retry_failed=retry_failed,
        force=force,
        reporter=reporter,
        stop=stop,
        title=f"render {plan.subset}",
        unit="videos",
    )
    if not summary.interrupted:
        kept = [record for record in earlier if record.split not in plan.sizes]
        write_atomic(plan.manifest_path, manifest_bytes([*kept, *records(plan)]))
    return summary


def records(plan: Plan) -> "list[Record]":
    """The record of every wanted video that is there; paths are below the manifest's folder."""
    from vcap.data import shapes

    found = []
    for drawing in plan.drawings:
        path = plan.videos_dir / path_of(drawing)
        if path.is_file():
            below = path.relative_to(plan.folder).as_posix()
            found.append(shapes.record(shapes.describe(*drawing), below))
    return found


def _listed(plan: Plan, force: bool) -> "list[Record]":
    """What an earlier manifest of the subset lists; with `force` only what is of this seed."""
    from vcap.data.manifest import read_manifest

    if not plan.manifest_path.is_file():
        return []
    try:
        found = read_manifest(plan.manifest_path)
    except AnnotationError:
        if force:
            return []
        raise
    seeds = [(record.meta or {}).get("seed") for record in found]
    others = [seed for seed in seeds if seed != plan.seed]
    if others and not force:
        what = f"of seed {others[0]}, not {plan.seed}" if others[0] is not None else "of your own"
        raise OutputError(
            f"{plan.manifest_path} lists videos {what}",
            hint=f"vcap download {DATASET}:{plan.subset} --seed {plan.seed} -o another-folder",
        )
    return [record for record, seed in zip(found, seeds, strict=True) if seed == plan.seed]
