"""Videos of whose frames a policy keeps a part before they are encoded, beside all encoded.

Both ways are what `vcap encode` does with a group of videos, or with one: `--model ENCODER` and,
with the same encoder, `--model RETRIEVAL_MODEL` whose policy looks at small grey pictures or
through a light CNN. Ratios are given for the models alone and with the decoding of the videos; they
are of CPU time on one core, which other work on the machine does not change.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import videos
from benchmarks.galleries import VIT_B_32, write_encoder
from benchmarks.harness import Comparison, Timing, compare, faster, total
from vcap.engine.encode import EncodeSettings, EncodeVideos
from vcap.engine.inputs import Source, gather
from vcap.engine.reporter import Silent
from vcap.engine.selecting import plan
from vcap.features.index_search import unit

NUM_CANDIDATES = 64
NUM_KEPT = 12
NUM_VIDEOS = 4
CLIPS = videos.Scale("selection", seconds=8, clip_seconds=8, num_clips=NUM_VIDEOS)
POLICIES = {"raw": "small grey pictures", "mobilenet_v3_large": "MobileNetV3"}


@dataclass(frozen=True)
class Way:
    """One way to encode videos.

    Attributes:
        job: the work of `vcap encode`.
        num_frames: how many frames of each video it should give.
    """

    job: EncodeVideos
    num_frames: int

    def decoded(self, sources: Sequence[Source]) -> list[Any]:
        """What decode workers bring."""
        return [self.job.prepare(source) for source in sources]

    def encoded(self, prepared: list[Any]) -> int:
        """Encode what was decoded; gives the number of videos."""
        for made in self.job.work(prepared):
            if isinstance(made, Exception):
                raise made
            if len(made.times) != self.num_frames:
                raise ValueError(f"want {self.num_frames} frames, got {len(made.times)}")
        return len(prepared)


def write_retriever(
    folder: Path, encoder: Path, policy: str, num_candidates: int, num_kept: int
) -> Path:
    """The folder of a retrieval model of random weights whose policy looks at pictures."""
    import torch

    from vcap.engine.encoders import load_encoder
    from vcap.engine.methods.retrieval_export import Made, write_model
    from vcap.engine.retriever import build_policy
    from vcap.engine.schedule import TrainConfig
    from vcap.models.policy import PolicyConfig
    from vcap.models.retrieval import RetrievalConfig, RetrievalModel

    if (folder / "config.json").is_file():
        return folder
    torch.manual_seed(0)
    towers = load_encoder(str(encoder), dtype="auto")  # as `vcap encode` does by itself
    config = RetrievalConfig(towers.width, num_candidates, num_kept, frame_aggregation="mean")
    sizes: Any = {"encoder": policy, "num_frames": num_candidates}
    model = RetrievalModel(config, build_policy(PolicyConfig(**sizes)))
    made = Made(model, "none", towers.fingerprint, f"uniform {num_candidates}")
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder, made, TrainConfig(method="retrieval", encoder=str(encoder)))
    return folder


def footage(work: Path, quick: bool) -> list[Source]:
    """Clips of real footage in two small sizes; drawn ones where there is none, and if quick."""
    media = videos.media_folder()
    if quick or not media.is_dir():
        paths = videos.rendered(work, 2 if quick else NUM_VIDEOS)
    else:
        paths = videos.clips(media, work, CLIPS)
    return gather([str(path) for path in paths])


def make_ways(
    work: Path, num_candidates: int, num_kept: int, model: Mapping[str, Any]
) -> dict[str, Way]:
    """All frames encoded, and those that each policy keeps."""
    encoder = write_encoder(work / f"encoder-{model['text_cfg']['layers']}", model)
    settings = EncodeSettings(model=str(encoder), sampler=f"uniform {num_candidates}", device="cpu")
    job = plan(settings, Silent()).job(Silent(), alone=False)
    ways = {f"all {num_candidates} frames": Way(job, num_candidates)}
    for policy, said in POLICIES.items():
        name = f"{policy}-{num_kept}-of-{num_candidates}-{encoder.name}"
        folder = write_retriever(work / name, encoder, policy, num_candidates, num_kept)
        job = plan(EncodeSettings(model=str(folder), device="cpu"), Silent()).job(Silent(), False)
        ways[f"{num_kept} kept by {said}"] = Way(job, num_kept)
    return ways


def measured(
    ways: Mapping[str, Way], sources: Sequence[Source], group: str, rounds: int
) -> tuple[list[Timing], list[Timing]]:
    """How long each way decodes the videos, and how long it encodes what was decoded."""
    held = {name: way.decoded(sources) for name, way in ways.items()}
    decode = {
        f"{name}, {group}: decoded": lambda way=way: len(way.decoded(sources))
        for name, way in ways.items()
    }
    encode = {
        f"{name}, {group}: encoded": lambda way=way, name=name: way.encoded(held[name])
        for name, way in ways.items()
    }
    timings = compare(decode | encode, rounds=rounds)
    return timings[: len(ways)], timings[len(ways) :]


def ratios(
    decoding: Sequence[Timing], encoding: Sequence[Timing], names: Sequence[str], group: str
) -> list[Comparison]:
    """The first way against each of the others."""
    both = [total(name, parts) for name, *parts in zip(names, decoding, encoding, strict=True)]
    rows = []
    for number in range(1, len(names)):
        for what, timings in (("models alone", encoding), ("with decoding", both)):
            first, ours = timings[0], timings[number]
            rows.append(faster(f"{what}, {group}", first, ours, of="CPU", goal=3))
    return rows


def agreement(ways: Mapping[str, Way], source: Source) -> Comparison:
    """How alike the features of a kept frame and of the same frame among all are."""
    every, *others = (way.job.work(way.decoded([source]))[0] for way in ways.values())
    row_at = {time: row for row, time in enumerate(every.times.tolist())}
    lowest = 1.0
    for kept in others:
        rows = [row_at[time] for time in kept.times.tolist()]
        one, other = unit(kept.features.astype("f4")), unit(every.features[rows].astype("f4"))
        lowest = min(lowest, float((one * other).sum(axis=1).min()))
    name = list(ways)
    return Comparison("the same features", name[0], ", ".join(name[1:]), "cosine", lowest, 0.9999)


def compare_selection(
    work: Path,
    rounds: int,
    num_candidates: int = NUM_CANDIDATES,
    model: Mapping[str, Any] = VIT_B_32,
    quick: bool = False,
) -> tuple[list[Timing], list[Comparison]]:
    """Time a group of videos and one by itself: the models alone, and with decoding."""
    sources = footage(work, quick)
    ways = make_ways(work, num_candidates, NUM_KEPT, model)
    timings: list[Timing] = []
    rows = [agreement(ways, sources[0])]
    for group, some in ((f"{len(sources)} videos", sources), ("one video", sources[:1])):
        decoding, encoding = measured(ways, some, group, rounds)
        timings += [*decoding, *encoding]
        rows += ratios(decoding, encoding, list(ways), group)
    return timings, rows
