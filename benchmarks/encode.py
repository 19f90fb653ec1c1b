"""How much faster videos become features than by way of picture files, and what limits it.

    python benchmarks/encode.py [--rounds 3] [--quick] [--long] [--peer PROGRAM] [--json FILE]

Goals, as ratios in one run: 12 frames of each clip ready for the encoder at least 8 times faster
(wall) than through JPEG files, and at least 3 times with ViT-B/32 (random weights) on top; the
encoder in bf16 at least 1.8 times faster than in float32 at a cosine of at least 0.999; the whole
at most 1.1 times the processor time of its parts and at least 80 % of the encoder's own speed;
peak memory for 1,000 videos at most 1.1 times that for 50. `--long` also encodes 2,000 clips, and
again with SIGKILLs in between. A peer is a program that is called with a folder of videos, a folder
to write to and the folder of the open_clip model.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import memory, videos
from benchmarks.harness import Comparison, Timing, compare, conclude, faster, make_parser, total

NUM_FRAMES = 12
BATCH_SIZE = 32
TOWER = "ViT-B-32"
SMALL = {"image_size": 64, "layers": 2, "width": 64, "patch_size": 32}

FILES = "JPEG files, then PIL and CLIP preprocessing"
PLAIN = "float32 encoder"
FUSED = "vcap, fused, no encoder"
DECODE = "vcap, decode and store alone"
WHOLE = "vcap, whole"
ALONE = "vcap, encoder alone"
HALF = "vcap, bf16 encoder"

Pixels = npt.NDArray[np.uint8]
Way = Callable[[], object]


class NoEncoder:
    """Takes frames as an encoder does, and makes nothing of them."""

    def __init__(self, like: Any, prepares: bool) -> None:
        """Stand in for an encoder; `prepares`: bring frames to what its tower takes."""
        self._like = like
        self._prepares = prepares
        self.num_frames = 0

    def __getattr__(self, name: str) -> Any:
        """Size, width and whatever else the encoder tells of itself."""
        return getattr(self._like, name)

    def encode_frames(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """pixels [T, H, W, 3] -> zeros [T, D]."""
        import torch

        from vcap.models.clip import normalise

        self.num_frames += len(pixels)
        if self._prepares:
            preprocess = self._like.preprocess
            for start in range(0, len(pixels), BATCH_SIZE):
                batch = torch.from_numpy(pixels[start : start + BATCH_SIZE])
                normalise(batch, preprocess.mean, preprocess.std)
        return np.zeros((len(pixels), self._like.width), np.float32)


class TwoSteps:
    """What is usually done: every frame into a file, then some files through the encoder."""

    def __init__(self, model_folder: Path, clips: list[Path], work: Path, device: str) -> None:
        """Load the model as open_clip does, in float32."""
        import open_clip
        import torch

        model, self._preprocess = open_clip.create_model_from_pretrained(
            f"local-dir:{model_folder.absolute()}"
        )
        self._device = torch.device(device)
        self._model = model.eval().to(self._device)
        self._clips = clips
        self._work = work
        self._pictures: Any = None

    def load(self) -> int:
        """Write files of all frames, then read those that are wanted."""
        import torch
        from PIL import Image

        pictures = []
        with TemporaryDirectory(dir=self._work) as folder:
            for clip in self._clips:
                part = Path(folder) / clip.stem
                part.mkdir()
                write_pictures(clip, part)
                files = sorted(part.iterdir())
                for place in range(NUM_FRAMES):
                    with Image.open(files[int((place + 0.5) * len(files) / NUM_FRAMES)]) as image:
                        pictures.append(self._preprocess(image))
        self._pictures = torch.stack(pictures)  # [T, 3, H, W]
        return len(pictures)

    def encode(self) -> int:
        """Put what was loaded last through the encoder."""
        import torch

        with torch.no_grad():
            parts = [
                self._model.encode_image(part.to(self._device)).cpu()
                for part in self._pictures.split(BATCH_SIZE)
            ]
        return sum(len(part) for part in parts)


def write_pictures(path: Path, folder: Path) -> None:
    """All frames of a video as JPEG of quality 2 at native size, by ffmpeg where it is there."""
    if ffmpeg := shutil.which("ffmpeg"):
        command = [ffmpeg, "-v", "error", "-nostdin", "-i", str(path), "-q:v", "2"]
        subprocess.run([*command, str(folder / "%06d.jpg")], check=True)
        return
    import av

    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            frame.to_image().save(folder / f"{number:06}.jpg", quality=95)


def fused(clips: list[Path], work: Path, encoder: Any) -> int:
    """The whole of `encode` with an encoder that is loaded already; the number of frames."""
    from vcap.engine import encode as module

    counts: list[int] = []
    with TemporaryDirectory(dir=work) as folder:
        with patch.object(module, "load_named", lambda *_: encoder):
            summary = module.encode(
                clips,
                Path(folder) / "store",
                sampler=f"uniform {NUM_FRAMES}",
                on_result=lambda _, count: counts.append(count),
            )
        if summary.done < len(clips):
            raise RuntimeError(f"{summary.failed}")
    return sum(counts)


def make_model(work: Path, small: bool = False) -> Path:
    """A folder of ViT-B/32 with random weights, or of a very small tower."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = work / ("vit-small" if small else "vit-b-32")
    if (folder / "open_clip_model.safetensors").exists():
        return folder
    config = open_clip.get_model_config(TOWER)
    if small:
        config["vision_cfg"] = {**config["vision_cfg"], **SMALL}
        config["text_cfg"] = {**config["text_cfg"], "layers": 1}
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = open_clip.CLIP(**config)
    facts = {"model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(facts), encoding="utf-8")
    save_file(model.state_dict(), folder / "part.safetensors")
    (folder / "part.safetensors").replace(folder / "open_clip_model.safetensors")
    return folder


def lowest_cosine(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """The smallest cosine between rows of two arrays [T, D]."""
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, other)]
    return float((unit[0] * unit[1]).sum(axis=1).min())


def frames_of(clips: list[Path], encoder: Any) -> Pixels:
    """The frames that the encoder gets, all at once."""
    from vcap.video.decode import read_frames
    from vcap.video.sample import Sampler

    sampler = Sampler("uniform", NUM_FRAMES)
    return np.concatenate([read_frames(clip, sampler, size=encoder.size).pixels for clip in clips])


def compare_ways(
    clips: list[Path], model: Path, work: Path, device: str, rounds: int
) -> tuple[list[Timing], list[Comparison]]:
    """Files against fused, bf16 against float32, the whole against its parts."""
    from vcap.engine.encoders import load_encoder

    ours, half, plain = (
        load_encoder(str(model), device=device, dtype=name) for name in ("auto", "bf16", "fp32")
    )
    pixels = frames_of(clips, ours)
    two_steps = TwoSteps(model, clips, work, device)
    prepared, decoded = NoEncoder(ours, prepares=True), NoEncoder(ours, prepares=False)
    ways: dict[str, Way] = {
        FILES: two_steps.load,
        FUSED: lambda: fused(clips, work, prepared),
        PLAIN: two_steps.encode,
        WHOLE: lambda: fused(clips, work, ours),
        DECODE: lambda: fused(clips, work, decoded),
        ALONE: lambda: len(ours.encode_frames(pixels)),
    }
    if ours.fingerprint["dtype"] != half.fingerprint["dtype"]:
        ways[HALF] = lambda: len(half.encode_frames(pixels))
    timings = compare(ways, rounds=rounds)
    some = pixels[: 2 * BATCH_SIZE]
    cosine = lowest_cosine(half.encode_frames(some), plain.encode_frames(some))
    if len({timing.count for timing in timings}) > 1 or not decoded.num_frames:
        raise RuntimeError(f"the ways did not do the same: {timings}")
    return timings, ratios({timing.name: timing for timing in timings}, cosine)


def ratios(found: dict[str, Timing], cosine: float) -> list[Comparison]:
    """The rows with a goal, from the timings by name."""
    files_and_encoder = total("JPEG files, then float32 encoder", [found[FILES], found[PLAIN]])
    parts = total("decode alone + encoder alone", [found[DECODE], found[ALONE]])
    half = found.get(HALF, found[ALONE])
    share = faster("the whole against its encoder", found[ALONE], found[WHOLE], of="wall", goal=0.8)
    return [
        faster("frames ready for the encoder", found[FILES], found[FUSED], of="wall", goal=8),
        faster("features of the clips", files_and_encoder, found[WHOLE], of="wall", goal=3),
        faster("encoder in bf16", found[PLAIN], half, of="wall", goal=1.8),
        Comparison("bf16 against float32", "float32", "bf16", "cosine", cosine, 0.999),
        faster(
            "the whole against its parts",
            found[WHOLE],
            parts,
            of="CPU",
            goal=1.1,
            at_least=False,
        ),
        share,
    ]


def compare_peer(
    peer: Path, clips: list[Path], model: Path, work: Path, rounds: int
) -> tuple[list[Timing], list[Comparison]]:
    """Another program against `vcap encode`, from start to end, both from nothing."""

    def run(*command: object) -> Way:
        def once() -> None:
            with TemporaryDirectory(dir=work) as folder:
                words = [str(word).replace("OUTPUT", f"{folder}/out") for word in command]
                subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

        return once

    ours = [sys.executable, "-m", "vcap", "encode", clips[0].parent, "-o", "OUTPUT"]
    ways = {
        f"{peer.name}": run(peer, clips[0].parent, "OUTPUT", model),
        "vcap encode": run(*ours, "--frames", NUM_FRAMES, "--model", model, "--quiet"),
    }
    timings = compare(ways, rounds=rounds)
    return timings, [faster("the whole program", *timings, of="wall", goal=2)]


def parse() -> argparse.Namespace:
    """The options."""
    parser = make_parser(__doc__)
    parser.add_argument("--long", action="store_true", help="also 2,000 clips and SIGKILLs")
    parser.add_argument("--peer", type=Path, metavar="PROGRAM", help="another program to compare")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; of both sides")
    return parser.parse_args()


def main() -> None:
    """Print the ratios and what they come from; write them as JSON where asked."""
    arguments = parse()
    quick, work = arguments.quick, arguments.work.absolute()
    rounds = 1 if quick else arguments.rounds
    scale = videos.QUICK if quick else videos.FULL
    clips = videos.clips(videos.media_folder(), work, scale)
    model = make_model(work, small=quick)
    facts: dict[str, Any] = {"device": arguments.device}
    with TemporaryDirectory(dir=work) as folder:
        few, many = (2, 6) if quick else (memory.FEW, memory.MANY)
        row, facts["memory"] = memory.compare_memory(work, Path(folder), few, many)
        timings, rows = compare_ways(clips, model, work, arguments.device, rounds)
        rows.append(row)
        if arguments.long:
            count = 20 if quick else memory.LONG
            row, facts["killed_runs"] = memory.compare_killed(work, Path(folder), count)
            rows.append(row)
    if arguments.peer:
        more, peer_rows = compare_peer(arguments.peer, clips, model, work, rounds)
        timings, rows = timings + more, rows + peer_rows
    conclude(timings, rows, arguments.json, **facts)


if __name__ == "__main__":
    main()
