"""The embedded captioner does what its card says, on clips that nobody trained on."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vcap.data import shapes
from vcap.data.shapes.captions import parse_slots
from vcap.engine.captioner import Captioner, load_model
from vcap.engine.checkpoint import read_tensors
from vcap.engine.weights import asset_folder
from vcap.types import FrameFeatures
from vcap.video.decode import read_frames
from vcap.video.write import write_mp4

NUM_CLIPS = 60  # of the test split, every third of them of a novel triple
BUNDLE_BYTES = 16 * 10**6
OPPOSITE = {
    "slides left": "slides right",
    "slides right": "slides left",
    "grows": "shrinks",
    "shrinks": "grows",
}
Clips = list[tuple[shapes.Scene, FrameFeatures, npt.NDArray[np.uint8]]]


@pytest.fixture(scope="module")
def tiny() -> Captioner:
    """The embedded model."""
    return load_model("tiny", device="cpu")


@pytest.fixture(scope="module")
def clips(tiny: Captioner, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Test clips: what is true of them, their features and frames."""
    folder = tmp_path_factory.mktemp("clips")
    found = []
    for index in range(NUM_CLIPS):
        scene = shapes.describe(0, "clips", "test", index)
        path = folder / f"{index}.mp4"
        write_mp4(path, shapes.draw(scene), frames_per_second=shapes.FRAMES_PER_SECOND)
        frames = read_frames(path, tiny.sampler, size=tiny.encoder.size)
        features = tiny.encoder.encode_frames(frames.pixels)
        found.append((scene, FrameFeatures(features, frames.times), frames.pixels))
    return found


def named(tiny: Captioner, clips: list[FrameFeatures]) -> list[dict[str, str]]:
    """The slots that the best captions name."""
    return [parse_slots(best[0].text) for best in tiny.generate(clips)]


@pytest.mark.parametrize("novel", [False, True])
def test_it_names_colour_shape_and_action_of_unseen_clips(
    tiny: Captioner, clips: Clips, novel: bool
) -> None:
    chosen = [(scene.acts[0], features) for scene, features, _ in clips]
    chosen = [(act, features) for act, features in chosen if act.novel is novel]
    told = named(tiny, [features for _, features in chosen])
    right = {
        "colour": np.mean(
            [
                one.get("colour") == act.thing.colour
                for one, (act, _) in zip(told, chosen, strict=True)
            ]
        ),
        "shape": np.mean(
            [
                one.get("shape") == act.thing.shape
                for one, (act, _) in zip(told, chosen, strict=True)
            ]
        ),
        "action": np.mean(
            [one.get("action") == act.action for one, (act, _) in zip(told, chosen, strict=True)]
        ),
    }
    wanted = {"colour": 0.95, "shape": 0.9, "action": 0.85}
    assert all(right[slot] >= least for slot, least in wanted.items()), right


def directed(clips: Clips) -> list[tuple[str, FrameFeatures]]:
    """Clips whose action has an opposite."""
    found = [(scene.acts[0].action or "", features) for scene, features, _ in clips]
    return [(action, features) for action, features in found if action in OPPOSITE]


def test_a_clip_played_backwards_gets_the_opposite_caption(tiny: Captioner, clips: Clips) -> None:
    moving = directed(clips)
    backwards = [FrameFeatures(one.features[::-1].copy(), one.times) for _, one in moving]
    told = named(tiny, backwards)
    right = [
        one.get("action") == OPPOSITE[action] for one, (action, _) in zip(told, moving, strict=True)
    ]
    assert len(right) >= 10
    assert np.mean(right) >= 0.85


def test_one_frame_does_not_tell_the_direction(tiny: Captioner, clips: Clips) -> None:
    moving = directed(clips)
    frozen = [
        FrameFeatures(one.features[8:9].repeat(len(one.times), axis=0), one.times)
        for _, one in moving
    ]
    told = named(tiny, frozen)
    right = [one.get("action") == action for one, (action, _) in zip(told, moving, strict=True)]
    assert np.mean(right) <= 0.65


def test_known_footage_lies_within_the_threshold_and_noise_far_beyond(
    tiny: Captioner, clips: Clips
) -> None:
    assert tiny.threshold is not None
    near = [tiny.distance(features.features) < tiny.threshold for _, features, _ in clips]
    assert np.mean(near) >= 0.95
    noise = np.random.default_rng(0).integers(0, 256, (16, 96, 96, 3)).astype(np.uint8)
    assert tiny.distance(tiny.encoder.encode_frames(noise)) > tiny.threshold


def test_a_sentence_is_nearest_to_the_frames_it_is_true_of(tiny: Captioner, clips: Clips) -> None:
    seen = [(scene, pixels) for scene, _, pixels in clips if scene.acts[0].action != "blinks"]
    width = tiny.encoder.encode_text(["a red circle"]).shape[1]
    pooled = np.stack(
        [tiny.encoder.encode_frames(pixels)[:, :width].mean(axis=0) for _, pixels in seen]
    )
    for slot, texts in {"colour": "a {} shape", "shape": "a {}"}.items():
        values = sorted({getattr(scene.acts[0].thing, slot) for scene, _ in seen})
        words = tiny.encoder.encode_text([texts.format(value) for value in values])
        words = words / np.linalg.norm(words, axis=1, keepdims=True)
        found = [values[k] for k in (pooled @ words.T).argmax(axis=1)]
        right = [
            one == getattr(scene.acts[0].thing, slot)
            for one, (scene, _) in zip(found, seen, strict=True)
        ]
        assert np.mean(right) >= 0.85, slot


def test_the_bundle_is_small_and_says_how_it_was_made() -> None:
    bundle = asset_folder("tiny/prefix").parent
    assert sum(path.stat().st_size for path in bundle.rglob("*")) <= BUNDLE_BYTES
    for part in ("clip", "lm", "prefix"):
        card = (bundle / part / "README.md").read_text(encoding="utf-8")
        assert "rendered shapes only" in card
        assert "| seed | " in card
        assert "test/novel" in card
        weights = read_tensors(Path(bundle / part / "model.safetensors"))
        assert {str(one.dtype) for one in weights.values() if one.is_floating_point()} == {
            "torch.float16"
        }
