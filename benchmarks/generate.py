"""How much faster vcap finds captions than a search without a cache, and how long training waits.

    python benchmarks/generate.py [--rounds 3] [--clips 16] [--scaled 2] [--steps 3] [--quick]
                                  [--json FILE]

Goals, as ratios of wall time in one run, with the same token ids in float32: one clip at least 3
times faster, 16 clips together at least 12 times. A language model of GPT-2 small's sizes and
random weights, a prefix of 10, 5 beams, 20 tokens. Two baselines: `recorded_search`, the search
whose captions the original system recorded, and transformers' own with `use_cache=False`. Both take
minutes for 16 clips, so they are measured on `--scaled` of them and scaled up. In training by the
recipe `msrvtt-prefix` at most a tenth of a step is spent waiting for its batch.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.harness import (
    Comparison,
    Timing,
    compare,
    conclude,
    cpu_seconds,
    faster,
    make_parser,
    scaled,
)
from vcap.engine.methods.language import Language
from vcap.engine.methods.prefix import PrefixMethod
from vcap.engine.run import Run, seed_everything
from vcap.engine.schedule import TrainConfig
from vcap.engine.settings import load_settings
from vcap.engine.tokenizers import train_tokenizer
from vcap.engine.trainer import Trainer
from vcap.engine.training_data import Example, load_splits
from vcap.features.store import header_bytes, shard_bytes, shard_name
from vcap.models.generation import GenerationSettings, generate
from vcap.models.lm import CachedReader, LmConfig, build_lm, embed
from vcap.models.packed import pack

REPOSITORY = Path(__file__).resolve().parents[1]
NUM_BEAMS, PREFIX_LENGTH, STOP = 5, 10, 13  # 13 is GPT-2's full stop
GOAL_ONE, GOAL_MANY, GOAL_WAIT = 3.0, 12.0, 0.1
NUM_CAPTIONS, NUM_FRAMES, WIDTH = 20, 28, 512  # of a video of MSR-VTT
VIDEOS_A_SHARD = 500
SMALL = LmConfig()  # GPT-2 small
TINY = LmConfig(vocabulary=300, num_positions=128, width=32, num_layers=2, num_heads=2)

Ids = list[list[int]]  # the best caption of each clip


@dataclass(frozen=True)
class Sizes:
    """How large everything is; the defaults are those of the goals."""

    lm: LmConfig = SMALL
    num_tokens: int = 20
    num_clips: int = 16
    num_scaled: int = 2
    num_videos: int = 6513
    num_steps: int = 3


@torch.inference_mode()
def recorded_search(lm: nn.Module, prefix: Tensor, num_tokens: int, stop: int) -> Ids:
    """The search of the original system: no cache, the output layer at every position.

    Args:
        prefix: [1, P, W]; it takes one clip at a time.

    Returns:
        The ids of every beam, best first, the stop token included.
    """
    read = prefix
    tokens = torch.empty(1, 0, dtype=torch.int64)
    scores, lengths = torch.zeros(1), torch.ones(NUM_BEAMS)
    stopped = torch.zeros(NUM_BEAMS, dtype=torch.bool)
    for step in range(num_tokens):
        logits = lm(inputs_embeds=read, use_cache=False).logits  # [K, P+L, V]
        logp = logits[:, -1].softmax(-1).log()  # [K, V]
        if step:
            logp[stopped] = -torch.inf
            logp[stopped, 0] = 0
            lengths[~stopped] += 1
            means = (scores[:, None] + logp) / lengths[:, None]  # [K, V]
            best, chosen = means.flatten().topk(NUM_BEAMS)
            source, chosen = chosen // logp.shape[1], chosen % logp.shape[1]
            lengths, stopped = lengths[source], stopped[source]
            scores = best * lengths
        else:
            scores, chosen = logp[0].topk(NUM_BEAMS)
            source = torch.zeros(NUM_BEAMS, dtype=torch.int64)
        tokens = torch.cat([tokens[source], chosen[:, None]], dim=1)
        read = torch.cat([read[source], embed(lm, chosen[:, None])], dim=1)
        stopped = stopped | (chosen == stop)
        if stopped.all():
            break
    order = (scores / lengths).argsort(descending=True)
    return [tokens[beam, : int(lengths[beam])].tolist() for beam in order]


class Searches:
    """All ways to find captions for the same prefixes, with the ids each one found last.

    A prefix is made of the embeddings of tokens, since transformers cannot go on from embeddings
    without its cache.
    """

    def __init__(self, sizes: Sizes) -> None:
        torch.manual_seed(0)
        self.num_tokens = sizes.num_tokens
        self.lm = untied_lm(sizes.lm)
        self.packed, self.half = untied_lm(sizes.lm), untied_lm(sizes.lm).bfloat16()
        for lm in (self.packed, self.half):
            lm.load_state_dict(self.lm.state_dict())
            pack(lm)
        self.words = torch.randint(sizes.lm.vocabulary, (sizes.num_clips, PREFIX_LENGTH))
        self.found: dict[str, Ids] = {}

    def recorded(self, name: str, count: int) -> Callable[[], int]:
        """The recorded search, one clip after the other."""

        def search() -> int:
            prefixes = embed(self.lm, self.words[:count])  # [B, P, W]
            self.found[name] = [
                recorded_search(self.lm, prefix[None], self.num_tokens, STOP)[0]
                for prefix in prefixes
            ]
            return count

        return search

    def transformers(self, name: str, count: int) -> Callable[[], int]:
        """The search of transformers without its cache, all clips together."""

        def search() -> int:
            words = self.words[:count]
            found = self.lm.generate(  # type: ignore[operator]
                input_ids=words,
                attention_mask=torch.ones_like(words),
                num_beams=NUM_BEAMS,
                max_new_tokens=self.num_tokens,
                do_sample=False,
                use_cache=False,
                eos_token_id=STOP,
                pad_token_id=0,
            )
            self.found[name] = [_until_stop(ids[PREFIX_LENGTH:].tolist()) for ids in found]
            return count

        return search

    def ours(self, name: str, count: int, *, bf16: bool = False) -> Callable[[], int]:
        """The search of vcap, all clips together, the model prepared as a captioner does it."""
        lm = self.half if bf16 else self.packed
        settings = GenerationSettings(num_beams=NUM_BEAMS, max_length=self.num_tokens)

        def search() -> int:
            with torch.inference_mode():
                prefix = embed(lm, self.words[:count])  # [B, P, W]
            found = generate(CachedReader(lm), prefix, [STOP], settings)
            self.found[name] = [[*words[0].ids] for words in found]
            return count

        return search

    def same(self, one: str, other: str) -> float:
        """Share of the clips that both ways tried and found the same ids for."""
        pairs = [*zip(self.found[one], self.found[other], strict=False)]
        return sum(mine == theirs for mine, theirs in pairs) / len(pairs)


def untied_lm(config: LmConfig) -> nn.Module:
    """A model of random weights with an output layer of its own.

    With one that is tied to the embeddings it would say one word over and over.
    """
    lm = build_lm(config).eval()
    weight = torch.randn(config.vocabulary, config.width) * config.initializer_range
    lm.get_submodule("lm_head").weight = nn.Parameter(weight)
    return lm.requires_grad_(False)


def _until_stop(ids: list[int]) -> list[int]:
    return ids[: ids.index(STOP) + 1] if STOP in ids else ids


def compare_searches(
    searches: Searches, count: int, measured: int, goal: float, rounds: int
) -> tuple[list[Timing], list[Comparison], dict[str, float]]:
    """Captions of `count` clips, the baselines measured on as many as `measured`."""
    clips = "one clip" if count == 1 else f"{count} clips"
    few = "one clip" if measured == 1 else f"{measured} clips"
    recorded, peer = f"recorded search, {few}", f"transformers without cache, {few}"
    ours, half = f"vcap, {clips}", f"vcap in bf16, {clips}"
    ways: dict[str, Callable[[], object]] = {
        recorded: searches.recorded(recorded, measured),
        peer: searches.transformers(peer, measured),
        ours: searches.ours(ours, count),
        half: searches.ours(half, count, bf16=True),
    }
    # What one clip has warmed up stays warm.
    measurements = compare(ways, rounds=rounds, warm_up=count == 1)
    timings = [scaled(timing, count) for timing in measurements]
    what = f"captions of {clips}"
    rows = [faster(what, timings[i], timings[2], of="wall", goal=goal) for i in (0, 1)]
    equal = searches.same(recorded, ours)
    rows.append(Comparison(f"the same ids, {clips}", recorded, ours, "share", equal, 1))
    told = {peer: searches.same(peer, ours), half: searches.same(half, ours)}
    return timings, rows, told


def write_captions(path: Path, num_videos: int, draw: np.random.Generator) -> None:
    """Captions of 6 to 13 words in MSR-VTT's own layout."""
    letters = [*"abcdefghijklmnoprstuvw"]
    words = ["".join(draw.choice(letters, draw.integers(1, 8))) for _ in range(2000)]
    names = [f"video{number}" for number in range(num_videos)]
    videos = [{"video_id": name, "split": "train", "category": 0} for name in names]
    sentences: list[dict[str, Any]] = []
    for name in names:
        for _ in range(NUM_CAPTIONS):
            chosen = draw.integers(len(words), size=draw.integers(6, 14)).tolist()
            text = " ".join(words[number] for number in chosen)
            sentences.append({"video_id": name, "caption": text, "sen_id": len(sentences)})
    path.write_text(json.dumps({"videos": videos, "sentences": sentences}), encoding="utf-8")


def write_store(folder: Path, num_videos: int, draw: np.random.Generator) -> None:
    """Noise in the shape of the published features."""
    folder.mkdir()
    encoder = {"name": "ViT-B-32:openai", "features": "embedding", "weights": "stand-in"}
    made_by = {"encoder": encoder, "sampler": f"msrvtt-notebook {NUM_FRAMES}", "decoder": "none"}
    (folder / "store.json").write_bytes(header_bytes(made_by, WIDTH))
    times = np.arange(NUM_FRAMES, dtype=np.float32)
    for number, start in enumerate(range(0, num_videos, VIDEOS_A_SHARD)):
        names = [f"video{i}" for i in range(start, min(start + VIDEOS_A_SHARD, num_videos))]
        shape = (len(names), NUM_FRAMES, WIDTH)
        noise = draw.standard_normal(shape, dtype=np.float32).astype(np.float16)
        items = [(name, own, times) for name, own in zip(names, noise, strict=True)]
        (folder / shard_name(number)).write_bytes(shard_bytes(items))


class StandIn(PrefixMethod):
    """The method with a language model of random weights where the recipe's would be fetched."""

    lm = SMALL

    def _language(self, train: list[Example]) -> Language:
        texts = (one.texts[0] for one in train)
        return Language(build_lm(self.lm), train_tokenizer(texts, 300), self.lm)


class TimedTrainer(Trainer):
    """The training loop, which also says how long each step took and waited for its batch."""

    def measure(self, num_steps: int, what: str, waiting: str) -> list[Timing]:
        """Medians of steps and of their batches; a first step is not counted."""
        self._waits: list[tuple[float, float]] = []
        steps = []
        self.objective.train()
        for _ in range(num_steps + 1):
            started = _clocks()
            self._step()
            steps.append(_since(started))
        size = self.settings.batch_size
        return [_median(what, steps[1:], size), _median(waiting, self._waits[1:], size)]

    def _batch(self, number: int) -> Any:
        started = _clocks()
        batch = super()._batch(number)
        self._waits.append(_since(started))
        return batch


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), cpu_seconds()


def _since(started: tuple[float, float]) -> tuple[float, float]:
    wall, cpu = _clocks()
    return wall - started[0], cpu - started[1]


def _median(name: str, seconds: Sequence[tuple[float, float]], count: int) -> Timing:
    wall, cpu = np.median(np.array(seconds), axis=0).tolist()
    return Timing(name, wall, cpu, len(seconds), count)


def compare_waiting(
    sizes: Sizes, folder: Path, changes: Sequence[str] = ()
) -> tuple[list[Timing], Comparison]:
    """How much of a training step of the recipe `msrvtt-prefix` is spent on its batch."""
    data, store, draw = folder / "msrvtt.json", folder / "store", np.random.default_rng(0)
    write_captions(data, sizes.num_videos, draw)
    write_store(store, sizes.num_videos, draw)
    files = [f"data.train={json.dumps([str(data)])}", f"data.features={json.dumps([str(store)])}"]
    recipe = REPOSITORY / "configs" / "msrvtt-prefix.yaml"
    fixed = ["options.lm=''", "train.device=cpu"]
    settings = load_settings(TrainConfig, config=recipe, overrides=[*files, *fixed, *changes])
    seed_everything(settings.train.seed)
    StandIn.lm = sizes.lm
    run = Run(folder / "run", settings, device=torch.device("cpu"))
    method = StandIn(settings, load_splits(settings.data), run)
    size = settings.train.batch_size
    step, wait = f"a step of training, batch {size}", "its wait for data"
    timings = TimedTrainer(method, settings.train, run).measure(sizes.num_steps, step, wait)
    share = timings[1].wall_seconds / timings[0].wall_seconds
    what = "share of a step spent waiting for data"
    return timings, Comparison(what, step, wait, "share", share, GOAL_WAIT, at_least=False)


def parse() -> argparse.Namespace:
    """The options."""
    parser = make_parser(__doc__)
    parser.add_argument("--clips", type=int, default=16, help="clips of the larger comparison")
    parser.add_argument("--scaled", type=int, default=2, help="clips its baselines are measured on")
    parser.add_argument("--steps", type=int, default=3, help="measured steps of training")
    return parser.parse_args()


def main() -> None:
    """Print the ratios and what they come from; write them as JSON where asked."""
    arguments = parse()
    rounds, changes = arguments.rounds, []
    sizes = Sizes(
        num_clips=arguments.clips,
        num_scaled=min(arguments.scaled, arguments.clips),
        num_steps=arguments.steps,
    )
    if arguments.quick:
        sizes = Sizes(TINY, num_tokens=6, num_clips=3, num_videos=24, num_steps=2)
        rounds, changes = 1, ["train.batch_size=4"]
    searches = Searches(sizes)
    timings, rows, told = compare_searches(searches, 1, 1, GOAL_ONE, rounds)
    count, measured = sizes.num_clips, sizes.num_scaled
    more, found, also = compare_searches(searches, count, measured, GOAL_MANY, rounds)
    del searches
    arguments.work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=arguments.work, prefix="generate-") as folder:
        waiting, row = compare_waiting(sizes, Path(folder), changes)
    facts = {"share_of_equal_ids": told | also, "threads": torch.get_num_threads()}
    conclude([*timings, *more, *waiting], [*rows, *found, row], arguments.json, **facts)


if __name__ == "__main__":
    main()
