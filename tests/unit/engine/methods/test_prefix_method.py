"""Training a prefix captioner on stored features."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.engine.captioned import NUM_FRAMES, SIZES, WIDTH, captions, rendered, store
from vcap.engine.checkpoint import read_tensors
from vcap.engine.methods.prefix import PrefixMethod, Trainee, mean_and_most, slot_loss
from vcap.engine.reporter import Silent
from vcap.engine.run import Run
from vcap.engine.schedule import TrainConfig
from vcap.engine.tokenizers import load_tokenizer
from vcap.engine.train import TrainResult, train_method
from vcap.engine.training_data import load_splits
from vcap.errors import ConfigError, FeatureError, UnavailableError

MODEL = {"mapper": "transformer", "prefix_length": 4, "num_layers": 1, "num_heads": 2}
LM = {**SIZES, "width": 32, "dropout": 0.0}


def config(folder: Path, **changes: Any) -> TrainConfig:
    """A small captioner; keyword arguments are merged into the parts of the config."""
    if not (folder / "store").exists():
        store(folder / "store")
    parts: dict[str, Any] = {
        "model": MODEL,
        "options": {"lm_sizes": LM, "vocabulary": 300},
        "data": {"train": str(captions(folder)), "features": str(folder / "store")},
        "train": {"steps": 2, "batch_size": 12, "learning_rate": 0.005, "device": "cpu"},
    }
    for name, part in changes.items():
        parts[name] = {**parts[name], **part}
    if "lm" in changes.get("options", {}) and "lm_sizes" not in changes["options"]:
        del parts["options"]["lm_sizes"], parts["options"]["vocabulary"]
    return TrainConfig.model_validate({"method": "prefix", **parts})


def method(folder: Path, **changes: Any) -> PrefixMethod:
    settings = config(folder, **changes)
    torch.manual_seed(0)
    return PrefixMethod(settings, load_splits(settings.data), Run(folder / "run"))


def trained(folder: Path, **changes: Any) -> TrainResult:
    return train_method(config(folder, **changes), folder / "run", reporter=Silent())


def told(folder: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((folder / "run" / "model" / "config.json").read_text())
    return plain


def test_a_captioner_learns_to_name_what_its_features_show(tmp_path: Path) -> None:
    result = trained(tmp_path, options={"aux_weight": 1.0}, train={"steps": 150})
    assert result.scores["test majority/mean"] < 0.7
    assert result.scores["test/mean"] >= 0.9
    assert result.scores["test/novel/mean"] >= 0.9
    assert "val/mean" in result.scores, "the best was chosen by the slots"


def test_the_model_folder_says_what_it_was_made_with(tmp_path: Path) -> None:
    trained(tmp_path)
    found = told(tmp_path)
    assert found["model"]["feature_width"] == WIDTH
    assert found["model"]["clip_length"] == NUM_FRAMES
    assert found["model"]["lm_width"] == found["lm"]["width"] == 32
    assert found["encoder"] == {
        "name": "made-up",
        "features": "embedding",
        "fingerprint": {"name": "made-up", "features": "embedding", "weights": "0"},
    }
    assert found["sampler"] == f"uniform {NUM_FRAMES}"
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "| score | val | test | test majority | test/novel | test/novel majority |" in card
    assert "all references of a clip take turns" in card


def test_a_card_says_what_the_config_says_the_model_knows(tmp_path: Path) -> None:
    settings = config(tmp_path).model_copy(update={"knows": "rendered shapes only"})
    train_method(settings, tmp_path / "run", reporter=Silent())
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "**What it knows:** rendered shapes only" in card


def test_the_heads_of_the_slot_loss_are_not_exported(tmp_path: Path) -> None:
    trained(tmp_path, options={"aux_weight": 1.0})
    tensors = read_tensors(tmp_path / "run" / "model" / "model.safetensors")
    assert not [name for name in tensors if "head" in name.split(".")[0]]
    assert any(name.startswith("mapper.") for name in tensors)
    assert any(name.startswith("lm.") for name in tensors)


def test_half_precision_weights_are_half_the_bytes(tmp_path: Path) -> None:
    trained(tmp_path, train={"weights": "fp16"})
    tensors = read_tensors(tmp_path / "run" / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


def test_a_batch_depends_on_its_place_alone(tmp_path: Path) -> None:
    first, second = method(tmp_path), method(tmp_path)
    second.batch(3, 1), second.batch(0, 0)
    ours, theirs = first.batch(2, 1), second.batch(2, 1)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(ours["tokens"], first.batch(2, 0)["tokens"])


def texts(one: PrefixMethod, epochs: int) -> set[str]:
    """Every caption that came up."""
    found = set()
    for epoch in range(epochs):
        for index in range(one.num_batches):
            batch = one.batch(epoch, index)
            for row, mask in zip(batch["tokens"], batch["token_mask"], strict=True):
                found.add(one.language.tokenizer.decode(row[mask].tolist()))
    return found


def test_all_references_take_turns_unless_only_the_first_is_wanted(tmp_path: Path) -> None:
    every = texts(method(tmp_path), 6)
    first = texts(method(tmp_path, options={"first_caption_only": True}), 6)
    assert len(every) == 12
    assert first == {text for text in every if text.endswith("spins")}


def test_the_end_of_a_caption_is_learned_unless_the_original_is_followed(tmp_path: Path) -> None:
    ours = method(tmp_path)
    batch = ours.batch(0, 0)
    last = batch["tokens"][torch.arange(12), batch["token_mask"].sum(dim=1) - 1]
    assert set(last.tolist()) == {ours.language.tokenizer.end_id}
    original = method(tmp_path, model={"end_token": False})
    assert original.language.tokenizer.end_id not in original.batch(0, 0)["tokens"]


def test_the_slot_loss_fades_out_evenly(tmp_path: Path) -> None:
    one = method(tmp_path, options={"aux_weight": 2.0, "aux_until": 0.5})
    weights = [one.loss_weights(step, 100)["slots"] for step in (0, 25, 50, 99)]
    assert weights == [2.0, 1.0, 0.0, 0.0]
    terms = one.losses(one.batch(0, 0))
    assert set(terms) == {"caption", "slots"}
    terms["slots"].backward()
    gradients = [weight.grad for weight in one.captioner.mapper.parameters()]
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


def test_the_frames_can_be_asked_for_the_slots_too(tmp_path: Path) -> None:
    one = method(
        tmp_path, options={"aux_weight": 2.0, "aux_frames": True}, model={"temporal_kernel": 3}
    )
    terms = one.losses(one.batch(0, 0))
    assert set(terms) == set(one.loss_weights(0, 10)) | {"caption"}
    terms["frame_slots"].backward()
    assert one.captioner.convolution is not None
    assert one.captioner.convolution.first.weight.grad is not None
    assert one.captioner.mapper.constants.grad is None, "the mapper is asked by the other term"


def test_padded_frames_are_not_asked() -> None:
    frames = torch.randn(2, 3, 4)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    found = mean_and_most(frames, mask)
    assert torch.equal(found[0], mean_and_most(frames[:1, :2], mask[:1, :2])[0])
    assert torch.equal(found[1, 4:], frames[1].amax(dim=0))


def test_standardised_features_have_mean_zero_and_deviation_one(tmp_path: Path) -> None:
    one = method(tmp_path, model={"standardise": True})
    clips = np.arange(len(one.train_part))
    batch = one._gather(one.train_part, clips, one.train_part.tokens.first(clips))
    found = one.captioner.frame_tokens(batch["features"], batch["mask"])
    assert found.mean(dim=(0, 1)).abs().max() < 1e-4
    assert (found.std(dim=(0, 1), correction=0) - 1).abs().max() < 0.05
    plain = method(tmp_path).captioner
    kept = plain.frame_tokens(batch["features"], batch["mask"])
    assert torch.equal(kept, batch["features"]), "left alone unless asked for"


def test_a_slot_that_a_clip_has_not_adds_nothing_to_the_slot_loss(tmp_path: Path) -> None:
    one = method(tmp_path, options={"aux_weight": 1.0})
    assert isinstance(one.model, Trainee)
    heads, pooled = one.model.heads, torch.randn(3, 32)
    known = torch.tensor([[0, 1], [1, 0], [-1, -1]])
    with_absent, without = slot_loss(heads, pooled, known), slot_loss(heads, pooled[:2], known[:2])
    assert with_absent.item() == pytest.approx(without.item(), rel=1e-6)


def test_a_frozen_language_model_stays_as_it_was_and_without_dropout(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"options": {"train_lm": False, "lm_sizes": {**LM, "dropout": 0.5}}}
    one = method(tmp_path, **changes)
    one.model.train()
    assert not one.captioner.lm.training
    trainable = {id(weight) for group in one.parameter_groups() for weight in group["params"]}
    assert not trainable & {id(weight) for weight in one.captioner.lm.parameters()}
    batch = one.batch(0, 0)
    first, second = (one.losses(batch)["caption"].item() for _ in range(2))
    assert first == second


def test_the_language_model_has_a_rate_of_its_own(tmp_path: Path) -> None:
    one = method(tmp_path, options={"lm_rate": 0.1})
    rates = {
        id(weight): group["lr_scale"]
        for group in one.parameter_groups()
        for weight in group["params"]
    }
    assert {rates[id(weight)] for weight in one.captioner.lm.parameters()} == {0.1}
    assert {rates[id(weight)] for weight in one.captioner.mapper.parameters()} == {1.0}
    assert len(rates) == len(list(one.model.parameters()))


def test_noise_moves_training_features_and_no_others(tmp_path: Path) -> None:
    plain, noisy = method(tmp_path), method(tmp_path, options={"feature_noise": 0.5})
    difference = noisy.batch(0, 0)["features"] - plain.batch(0, 0)["features"]
    relative = difference.std(dim=(0, 1)) / plain.train_part.features.moments()[1]
    assert relative.mean().item() == pytest.approx(0.5, rel=0.1)
    assert noisy.val_part is not None and plain.val_part is not None
    ours, theirs = (next(iter(one._batches(one.val_part))) for one in (noisy, plain))
    assert torch.equal(ours["features"], theirs["features"])


def test_clips_unlike_the_training_clips_lie_beyond_the_threshold(tmp_path: Path) -> None:
    for directions in (0, 6):
        one = method(tmp_path, options={"domain_directions": directions})
        domain = one._domain()
        assert one.val_part is not None
        held_out = [domain.distance(row[None]) for row in one.val_part.features.clip_means()]
        assert max(held_out) <= domain.threshold
        assert domain.distance(np.full((3, WIDTH), 8.0)) > domain.threshold
        assert domain.whitening.shape == (WIDTH, directions or WIDTH)


def test_a_captioner_starts_from_a_trained_language_model(tmp_path: Path) -> None:
    lm = TrainConfig.model_validate(
        {
            "method": "lm",
            "model": LM,
            "options": {"vocabulary": 300},
            "data": {"train": str(captions(tmp_path))},
            "train": {"steps": 2, "batch_size": 12, "device": "cpu"},
        }
    )
    train_method(lm, tmp_path / "lm", reporter=Silent())
    weights = read_tensors(tmp_path / "lm" / "model" / "model.safetensors")
    for name in (tmp_path / "lm", tmp_path / "lm" / "model"):
        one = method(tmp_path, options={"lm": str(name), "train_lm": False})
        ours = one.captioner.lm.state_dict()
        assert all(torch.equal(ours[key], tensor) for key, tensor in weights.items())
    assert "the language model was trained on captions first" in one._departures()


def hub_folder(folder: Path) -> Path:
    """A GPT-2 as transformers keeps it, stored in half precision."""
    from transformers import PreTrainedTokenizerFast

    from vcap.engine.tokenizers import train_tokenizer
    from vcap.models.lm import LmConfig, build_lm

    tokenizer = train_tokenizer(["a red star spins", "a blue ring rotates"], 280)
    (folder / "own").mkdir(parents=True)
    path = folder / "own" / "tokenizer.json"
    path.write_text(tokenizer.to_json().replace("<end>", "<|endoftext|>"))
    fast = PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token="<|endoftext|>")
    fast.save_pretrained(folder / "gpt2")
    lm: Any = build_lm(LmConfig(**{**LM, "vocabulary": tokenizer.size}))
    lm.half().save_pretrained(folder / "gpt2")
    return folder / "gpt2"


def test_a_captioner_starts_from_a_language_model_of_the_hub(tmp_path: Path) -> None:
    name = f"hf:{hub_folder(tmp_path / 'hub')}"
    trained(tmp_path, options={"lm": name, "train_lm": False})
    kept = read_tensors(tmp_path / "run" / "model" / "model.safetensors")
    source = read_tensors(tmp_path / "hub" / "gpt2" / "model.safetensors")
    embeddings = source["transformer.wte.weight"]
    assert embeddings.dtype == torch.float16
    assert torch.equal(kept["lm.transformer.wte.weight"], embeddings.float())
    tokenizer = load_tokenizer(tmp_path / "run" / "model")
    assert tokenizer.decode(tokenizer.encode("a red star")) == "a red star"


def test_a_language_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no-such-lm"):
        method(tmp_path, options={"lm": str(tmp_path / "no-such-lm")})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": {"num_heads": 5}}, r"model.*num_heads"),
        ({"model": {"prefix_length": 38}}, "exceed its 40 positions"),
        ({"model": {"mapper": "rnn"}}, "mapper"),
        ({"options": {"lm_sizes": {"width": 10}}}, "lm_sizes"),
        ({"options": {"lm": "runs/tiny-lm", "lm_sizes": LM}}, r"options.*lm_sizes: runs/tiny-lm"),
        ({"options": {"lm": "runs/tiny-lm", "lm_sizes": None}}, "vocabulary: runs/tiny-lm has a"),
        ({"options": {"lm_rate": 0.1, "train_lm": False}}, "lm_rate: the language model is frozen"),
        (
            {"model": {"clip_length": 9}},
            rf"model\.clip_length.* 9, .*store has {NUM_FRAMES}",
        ),
        ({"model": {"feature_width": 512}}, rf"model\.feature_width.*store has {WIDTH}"),
        ({"model": {"lm_width": 768}}, r"model\.lm_width.*the language model has 32"),
    ],
)
def test_sizes_that_do_not_fit_are_told_by_their_key(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        method(tmp_path, **changes)


def test_stores_of_different_encoders_cannot_be_mixed(tmp_path: Path) -> None:
    settings = config(tmp_path)
    shutil.copytree(tmp_path / "store", tmp_path / "other")
    header = json.loads((tmp_path / "other" / "store.json").read_text())
    header["fingerprint"]["encoder"]["weights"] = "1"
    (tmp_path / "other" / "store.json").write_text(json.dumps(header))
    both = [str(tmp_path / "store"), str(tmp_path / "other")]
    with pytest.raises(FeatureError, match="weights"):
        method(tmp_path, data={"features": both, "train": settings.data.train})


@pytest.mark.slow
def test_encoder_and_captioner_are_trained_from_videos_and_caption_one(tmp_path: Path) -> None:
    from vcap.engine.captioner import FrameFeatures, load_model

    counts = {("clips", "train"): 6, ("clips", "val"): 2, ("clips", "test"): 2}
    manifest = rendered(tmp_path / "clips", counts)
    towers = {
        "embed_dim": 16,
        "vision_cfg": {"width": 8, "image_size": 32, "head_width": 16},
        "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 1},
    }
    common = {"data": {"train": str(manifest)}, "train": {"steps": 2, "batch_size": 3}}
    first = TrainConfig.model_validate(
        {"method": "encoder", "model": towers, "options": {"vocabulary": 300}, **common}
    )
    result = train_method(first, tmp_path / "clip", reporter=Silent())
    assert {"val/retrieval", "test/retrieval"} <= set(result.scores)
    second = TrainConfig.model_validate(
        {
            "method": "prefix",
            "model": MODEL,
            "options": {"lm_sizes": {**LM, "num_positions": 64}, "vocabulary": 300},
            "encoder": str(tmp_path / "clip" / "model"),
            "features": "grid",
            "sampler": "uniform 3",
            **common,
        }
    )
    train_method(second, tmp_path / "run", reporter=Silent())
    shutil.rmtree(tmp_path / "clip")  # the model folder has all it needs
    captioner = load_model(str(tmp_path / "run" / "model"), device="cpu")
    assert (captioner.encoder.width, captioner.num_frames) == (160, 3)
    features = np.zeros((3, 160), np.float32)
    made = captioner.generate([FrameFeatures(features, np.arange(3.0))])
    assert isinstance(made[0][0].text, str)
    assert captioner.threshold is not None
    assert captioner.distance(features) > 0
