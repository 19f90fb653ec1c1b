"""Training an image and text encoder on pairs of frames and captions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.engine.captioned import rendered
from vcap.engine.encoders import load_encoder
from vcap.engine.methods.encoder import (
    EncoderMethod,
    EncoderOptions,
    SlotCodes,
    augmented,
    true_of,
    undecided,
    without_action,
)
from vcap.engine.reporter import Silent
from vcap.engine.run import Run
from vcap.engine.schedule import TrainConfig
from vcap.engine.train import train_method
from vcap.engine.training_data import load_splits
from vcap.errors import ConfigError

TOWERS = {
    "embed_dim": 16,
    "vision_cfg": {"width": 8, "image_size": 32, "head_width": 16},
    "text_cfg": {"context_length": 24, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few stills and clips."""
    counts = {
        ("frames", "train"): 12,
        ("clips", "train"): 4,
        ("frames", "val"): 4,
        ("frames", "shift"): 2,
    }
    return rendered(tmp_path_factory.mktemp("rendered"), counts)


def config(manifest: Path, **changes: Any) -> TrainConfig:
    parts: dict[str, Any] = {
        "model": TOWERS,
        "options": {"vocabulary": 300, "num_frames": 3},
        "data": {"train": str(manifest)},
        "train": {"steps": 2, "batch_size": 8, "device": "cpu"},
    }
    for name, part in changes.items():
        parts[name] = {**parts[name], **part}
    return TrainConfig.model_validate({"method": "encoder", **parts})


def method(manifest: Path, **changes: Any) -> EncoderMethod:
    settings = config(manifest, **changes)
    torch.manual_seed(0)
    return EncoderMethod(settings, load_splits(settings.data), Run(Path("unused")))


@pytest.mark.parametrize(
    ("text", "still"),
    [
        ("a red circle slides left", "a red circle"),
        ("a red disc that spins on a dark background", "a red disc on a dark background"),
        ("there is a tiny hoop that moves in a loop", "there is a tiny hoop"),
        ("a box that is blue jumps again and again", "a box that is blue"),
        ("a small star on the left", "a small star on the left"),
    ],
)
def test_action_words_go_and_the_rest_of_the_sentence_stays(text: str, still: str) -> None:
    assert without_action(text) == still


def test_every_action_of_the_rendered_clips_can_be_taken_out() -> None:
    from vcap.data.shapes import describe, record
    from vcap.data.shapes.captions import parse_slots

    for index in range(40):
        for caption in record(describe(0, "clips", "train", index), "x.mp4").captions or ():
            slots = parse_slots(without_action(caption.text))
            assert "action" not in slots, caption.text
            assert {"colour", "shape"} <= set(slots), caption.text


def codes(claims: list[dict[str, str]], truths: list[dict[str, str]]) -> tuple[Any, Any]:
    table = SlotCodes()
    said = [table.encode(slots) for slots in claims]
    true = [table.encode(slots) for slots in truths]
    return table.table(said), table.table(true)


RED_STAR = {"colour": "red", "shape": "star", "size": "small"}
BLUE_STAR = {"colour": "blue", "shape": "star"}


def test_a_caption_is_true_of_every_picture_that_has_what_it_names() -> None:
    claims = [{"shape": "star"}, {"colour": "red"}, {"colour": "blue", "shape": "ring"}, {}]
    found = true_of(*codes(claims, [RED_STAR, BLUE_STAR]))
    assert found.tolist() == [[True, True, False, False], [True, False, False, False]]


def test_what_is_not_recorded_of_a_picture_is_neither_true_nor_false() -> None:
    claims = [{"shape": "star", "size": "large"}, {"shape": "ring", "size": "large"}]
    found = undecided(*codes(claims, [RED_STAR, BLUE_STAR]))
    assert found.tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize("positives", ["pair", "same_caption", "same_meaning"])
def test_more_captions_are_right_the_more_is_asked_to_count(manifest: Path, positives: str) -> None:
    one = method(manifest, options={"positives": positives}, train={"batch_size": 16})
    right = one.batch(0, 0)["positives"]
    assert right.diagonal().all()
    pairs = one.train_pairs
    clips = np.array([0, 1])
    rows = pairs.tokens.first(np.array([0, 0]))  # the same caption, once of another picture
    found = one._positives(pairs, clips, rows)
    assert bool(found[0, 1]) == (positives != "pair")
    assert bool(found[1, 0]) == (positives == "same_caption")


def test_a_still_has_one_frame_and_a_clip_as_many_as_asked(manifest: Path) -> None:
    one = method(manifest)
    assert sorted(one.train_pairs.frames.counts.tolist()) == [1] * 12 + [3] * 4


def test_a_clip_gives_as_many_pairs_an_epoch_as_asked(manifest: Path) -> None:
    assert method(manifest).num_batches == 2
    many = method(manifest, options={"frames_per_epoch": 4})
    assert many.num_batches == 8
    seen = [tuple(map(tuple, many.batch(0, i)["tokens"].tolist())) for i in range(8)]
    assert len(set(seen)) == 8


def test_a_batch_depends_on_its_place_alone(manifest: Path) -> None:
    first, second = method(manifest), method(manifest)
    second.batch(5, 1)
    ours, theirs = first.batch(1, 0), second.batch(1, 0)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_validation_sees_no_noise_and_draws_nothing(manifest: Path) -> None:
    one = method(manifest)
    one.model.eval()
    with torch.no_grad():
        assert one.validation_metrics() == one.validation_metrics()


def test_a_perfect_encoder_scores_one(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = method(manifest)
    assert one.val_pairs is not None
    embeddings = torch.eye(4)
    monkeypatch.setattr(one, "_embed", lambda frames, tokens: (embeddings, embeddings))
    scores = one._scores(one.val_pairs)
    assert scores["retrieval"] == scores["colour"] == scores["shape"] == 1.0
    monkeypatch.setattr(one, "_embed", lambda frames, tokens: (embeddings, embeddings.flip(0)))
    assert one._scores(one.val_pairs)["retrieval"] < 1.0


PICTURES = torch.randint(0, 256, (3, 8, 8, 3), generator=torch.Generator().manual_seed(0)).byte()


def changed(**options: Any) -> torch.Tensor:
    chosen = EncoderOptions(**{"noise": 0.0, "brightness": 0.0, "shift": 0, **options})
    return augmented(PICTURES, chosen, np.random.default_rng(0))


def test_without_augmentation_pictures_stay_as_they_are() -> None:
    assert torch.equal(changed(), PICTURES)


def test_a_shifted_picture_is_the_same_picture_elsewhere() -> None:
    moved = changed(shift=1)
    padded = torch.nn.functional.pad(PICTURES.permute(0, 3, 1, 2).float(), (1,) * 4, "replicate")
    for picture, source in zip(moved, padded.permute(0, 2, 3, 1), strict=True):
        places = [source[y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
        assert any(torch.equal(picture.float(), place) for place in places)


def test_brightness_changes_a_picture_as_a_whole() -> None:
    grey = torch.full_like(PICTURES, 100)
    options = EncoderOptions(noise=0.0, brightness=0.2)
    found = augmented(grey, options, np.random.default_rng(0))
    assert found.flatten(1).float().std(dim=1).max() == 0
    assert 80 <= found.min() <= found.max() <= 120
    assert len(found.flatten(1)[:, 0].unique()) == 3


def test_noise_has_the_strength_asked_for_and_stays_within_bytes() -> None:
    grey = torch.full((4, 32, 32, 3), 128, dtype=torch.uint8)
    options = EncoderOptions(noise=5.0, brightness=0.0)
    found = augmented(grey, options, np.random.default_rng(0)).float()
    assert found.std().item() == pytest.approx(5.0, rel=0.05)
    bright = augmented(torch.full_like(grey, 255), options, np.random.default_rng(0))
    assert bright.max() == 255


def test_sizes_given_in_part_keep_the_rest_of_the_usual_ones(manifest: Path) -> None:
    one = method(manifest, model={"vision_cfg": {"image_size": 32, "width": 8}})
    assert one.sizes.vision_cfg["layers"] == [1, 1, 1, 1]
    assert one.side == 32


def test_a_size_that_open_clip_does_not_know_is_told(manifest: Path) -> None:
    with pytest.raises(ConfigError, match=r"model: .*depth"):
        method(manifest, model={"text_cfg": {**TOWERS["text_cfg"], "depth": 3}})  # type: ignore[dict-item]


def test_a_trained_encoder_can_be_loaded_and_reads_frames_and_words(
    manifest: Path, tmp_path: Path
) -> None:
    settings = config(manifest, options={"channels_last": True}, train={"precision": "bf16"})
    result = train_method(settings, tmp_path / "run", reporter=Silent())
    assert {"val/retrieval", "shift/retrieval", "shift/position"} <= set(result.scores)
    encoder = load_encoder(str(tmp_path / "run" / "model"))
    frames = encoder.encode_frames(np.zeros((2, 32, 32, 3), np.uint8))
    words = encoder.encode_text(["a red circle", "a blue ring"])
    assert frames.shape == words.shape == (2, 16)
    assert not np.array_equal(words[0], words[1])
    config_json = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config_json["method"] == "encoder"
