"""Aggregation, headers and the whole retrieval model give the numbers of the original AdaCLIP.

Recorded data: `golden/adaclip`, with its README. Tolerances are that README's: 1e-5 of the largest
number or of 1, gradients 1e-4 of the largest, one-hot outputs exact after rounding.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vcap.models.aggregation import (
    TransformerHeader,
    build_header,
    query_cosines,
    query_cosines_naive,
    start_from_text,
)
from vcap.models.clip import TowerConfig, build_clip
from vcap.models.policy import Policy, PolicyConfig
from vcap.models.retrieval import (
    Matcher,
    Relaxation,
    RetrievalConfig,
    RetrievalModel,
    best_of_captions,
    from_original,
    symmetric_loss,
    to_original,
)

pytestmark = pytest.mark.parity

Tensors = dict[str, Tensor]
RULES: dict[str, dict[str, Any]] = {
    "mean": {"frame_aggregation": "mean"},
    "mlp": {"frame_aggregation": "mlp"},
    "transformer": {"frame_aggregation": "transformer"},
    "qscore": {"frame_aggregation": "qscore"},
    "reuse": {"frame_aggregation": "mean", "reuse_scores": True},
    "word_mlp": {"frame_aggregation": "mean", "word_aggregation": "mlp"},
    "word_transformer": {"frame_aggregation": "mean", "word_aggregation": "transformer"},
}
NO_GRADIENT = ("sampler.linear.2.bias", "frame_agg_mlp.4.bias")  # a softmax does not see them


@pytest.fixture(scope="module")
def folder(golden_root: Path) -> Path:
    """The recordings of this system."""
    return golden_root / "adaclip"


@pytest.fixture(scope="module")
def recorded(folder: Path) -> Tensors:
    """Inputs and outputs of every way to aggregate."""
    return load_file(folder / "aggregation.safetensors")


@pytest.fixture(scope="module")
def rules(recorded: Tensors) -> list[tuple[str, float]]:
    """Every rule and temperature that was recorded."""
    found = [re.fullmatch(r"(\w+)\.temp([\d.]+)\.sim", name) for name in recorded]
    rules = [(match[1], float(match[2])) for match in found if match]
    assert {rule for rule, _ in rules} == RULES.keys()
    return rules


def close(ours: Tensor, theirs: Tensor, relative: float = 1e-5, least: float = 1.0) -> None:
    """Assert that numbers differ by no more than a share of the largest, or of `least`."""
    assert ours.shape == theirs.shape
    bound = relative * max(least, float(theirs.abs().max()))
    assert float((ours.detach() - theirs).abs().max()) <= bound


def close_gradient(ours: Tensor | None, theirs: Tensor) -> None:
    """Assert that a gradient is there and the recorded one."""
    assert ours is not None
    close(ours, theirs, 1e-4, least=0.0)


def build_matcher(folder: Path, rule: str, temperature: float) -> Matcher:
    """The recorded rule with its weights."""
    sizes = json.loads((folder / "aggregation.json").read_text())
    temperatures = {"frame_temperature": temperature, "word_temperature": temperature}
    config = RetrievalConfig(sizes["D"], num_heads=sizes["heads"], **temperatures, **RULES[rule])
    matcher = Matcher(config)
    weights = from_original(load_file(folder / "aggregation_weights.safetensors"))
    ours = {name.removeprefix("matcher."): value for name, value in weights.items()}
    # The file holds the weights of every rule; a transformer is told from an MLP by its names.
    mine = matcher.state_dict()
    matcher.load_state_dict({name: value for name, value in ours.items() if name in mine})
    return matcher.eval()


def scale(folder: Path) -> float:
    """What cosines are multiplied by."""
    sizes = json.loads((folder / "aggregation.json").read_text())
    return float(torch.tensor(sizes["logit_scale"]).exp())


def word_inputs(recorded: Tensors) -> tuple[Tensor, Tensor]:
    """Features of the words [Q, L, D] and their mask [Q, L]."""
    words = recorded["word_embd"][:, 0]
    return words, torch.arange(words.shape[1]) < recorded["lengths"][:, None]


def test_every_rule_gives_the_recorded_similarities(
    folder: Path, recorded: Tensors, rules: list[tuple[str, float]]
) -> None:
    for rule, temperature in rules:
        matcher = build_matcher(folder, rule, temperature)
        texts = matcher.text_vector(recorded["text_embd"][:, 0], *word_inputs(recorded))
        scores = recorded["selection_scores"] if rule == "reuse" else None
        ours = scale(folder) * matcher.cosines(texts, recorded["frame_embd"], None, scores)
        name = f"{rule}.temp{temperature}.sim"
        close(ours, recorded.get(f"{name}_one_text_at_a_time", recorded[name]))


def test_texts_of_a_batch_do_not_get_each_others_masks(
    folder: Path, recorded: Tensors, rules: list[tuple[str, float]]
) -> None:
    for rule, temperature in rules:
        mixed = recorded.get(f"{rule}.temp{temperature}.sim_one_text_at_a_time")
        if mixed is None:
            continue
        name = f"{rule}.temp{temperature}.sim"
        assert (recorded[name] - mixed).abs().max() > 0.1, "the recording shows the fault"
        matcher = build_matcher(folder, rule, temperature)
        inputs = (recorded["text_embd"][:, 0], *word_inputs(recorded))
        together = matcher.text_vector(*inputs)
        for row in range(len(together)):
            alone = matcher.text_vector(*(part[row : row + 1] for part in inputs))
            close(together[row : row + 1], alone.detach())


def test_loss_and_gradients_are_the_recorded_ones(
    folder: Path, recorded: Tensors, rules: list[tuple[str, float]]
) -> None:
    with_loss = [(r, t) for r, t in rules if f"{r}.temp{t}.loss" in recorded]
    assert len({rule for rule, _ in with_loss}) == 4
    for rule, temperature in with_loss:
        matcher = build_matcher(folder, rule, temperature)
        frames = recorded["frame_embd"].clone().requires_grad_()
        texts = recorded["text_embd"].clone().requires_grad_()
        similarity = scale(folder) * matcher.cosines(matcher.text_vector(texts[:, 0]), frames)
        loss = symmetric_loss(similarity)
        loss.backward()
        start = f"{rule}.temp{temperature}."
        close(loss[None], recorded[f"{start}loss"])
        close_gradient(frames.grad, recorded[f"{start}grad_frame_embd"])
        close_gradient(texts.grad, recorded[f"{start}grad_text_embd"])


def test_several_captions_of_a_video_are_rows_of_their_own(folder: Path, recorded: Tensors) -> None:
    matcher = build_matcher(folder, "mlp", 1.0)
    texts = matcher.text_vector(recorded["text_embd_two_captions"].flatten(0, 1))
    ours = scale(folder) * matcher.cosines(texts, recorded["frame_embd"])
    close(ours, recorded["mlp.temp1.0.sim_two_captions"])


def test_both_forms_of_the_query_dependent_scorer_have_the_recorded_gradients(
    folder: Path, recorded: Tensors, rules: list[tuple[str, float]]
) -> None:
    for temperature in [t for rule, t in rules if rule == "qscore"]:
        for form in (query_cosines, query_cosines_naive):
            frames = recorded["frame_embd"].clone().requires_grad_()
            cosines = form(recorded["text_embd"][:, 0], frames, None, temperature)
            symmetric_loss(scale(folder) * cosines).backward()
            close(scale(folder) * cosines, recorded[f"qscore.temp{temperature}.sim"])
            close_gradient(frames.grad, recorded[f"qscore.temp{temperature}.grad_frame_embd"])


@pytest.fixture(scope="module")
def headers(folder: Path) -> Tensors:
    """Headers with their weights, inputs and outputs."""
    return load_file(folder / "sim_headers.safetensors")


@pytest.mark.parametrize("name", ["seqTransf", "transformer"])
def test_headers_give_the_recorded_frames(headers: Tensors, name: Any) -> None:
    start = f"{name}.w."
    theirs = {k.removeprefix(start): v for k, v in headers.items() if k.startswith(start)}
    weights = {k.removeprefix("matcher.header."): v for k, v in from_original(theirs).items()}
    header = build_header(name, 64, 1, len(weights["positions.weight"]))
    assert header is not None
    header.load_state_dict(weights)
    close(header(headers["frame_embd"]), headers[f"{name}.out"])
    back = to_original({f"matcher.header.{k}": v for k, v in header.state_dict().items()}, name)
    assert back.keys() == theirs.keys()


@pytest.mark.parametrize("name", ["seqTransf", "transformer"])
def test_a_header_starts_as_the_blocks_of_the_text_tower_that_the_original_takes(
    headers: Tensors, name: Any, folder: Path
) -> None:
    sizes = json.loads((folder / "sim_headers.json").read_text())["clip_config"]
    tower = build_clip(tower_config(sizes)).state_dict()
    known = {k.removeprefix("clip."): v for k, v in headers.items() if k.startswith("clip.")}
    assert tower.keys() >= known.keys()
    theirs = {k.split(".w.")[1]: v for k, v in headers.items() if k.startswith(f"{name}.w.")}
    weights = {k.removeprefix("matcher.header."): v for k, v in from_original(theirs).items()}
    header = build_header(name, 64, 1, len(weights["positions.weight"]))
    assert isinstance(header, TransformerHeader)
    before = header.positions.weight.detach().clone()
    start_from_text(header, {**tower, **known})
    for number, block in enumerate(header.blocks):
        bias = block.get_parameter("mlp.c_fc.bias")
        assert torch.equal(bias, weights[f"blocks.{number}.mlp.c_fc.bias"])
    wanted = weights["positions.weight"] if name == "seqTransf" else before
    assert torch.equal(header.positions.weight, wanted)


def tower_config(sizes: dict[str, int]) -> TowerConfig:
    """The recorded sizes, in open_clip's words."""
    vision = {"layers": sizes["vl"], "width": sizes["vw"], "head_width": 64}
    text = {"context_length": sizes["ctx"], "vocab_size": sizes["vocab"], "layers": sizes["tl"]}
    return TowerConfig(
        sizes["embed"],
        {**vision, "image_size": sizes["res"], "patch_size": sizes["patch"]},
        {**text, "width": sizes["tw"], "heads": sizes["tw"] // 64},
        quick_gelu=True,
    )


@pytest.fixture(scope="module")
def whole(folder: Path) -> Tensors:
    """Inputs and outputs of the whole model."""
    return load_file(folder / "full_model.safetensors")


@pytest.fixture(scope="module")
def settings(folder: Path) -> dict[str, Any]:
    """What the whole model was built from."""
    found: dict[str, Any] = json.loads((folder / "full_model.json").read_text())
    return found


@pytest.fixture
def model(folder: Path, settings: dict[str, Any]) -> RetrievalModel:
    """The whole recorded model."""
    width = settings["clip_config"]["embed"]
    policy = PolicyConfig(
        encoder=settings["policy_backbone"],
        sequence=settings["rnn"],
        head=settings["mlp_type"],
        num_frames=settings["num_frm"],
        raw_side=settings["rescale_size"],
        hidden_width=settings["hidden_dim"],
        head_width=settings["mlp_hidden_dim"],
    )
    config = RetrievalConfig(
        width,
        settings["num_frm"],
        settings["top_k"],
        frame_aggregation=settings["frame_agg"],
        frame_temperature=settings["frame_agg_temp"],
    )
    model = RetrievalModel(
        config, Policy(policy), build_clip(tower_config(settings["clip_config"]))
    )
    towers = load_file(folder / "clip_weights.safetensors")
    weights = {f"clip.{name}": value for name, value in towers.items()}
    weights |= load_file(folder / "model_weights.safetensors")
    assert {name: [*value.shape] for name, value in weights.items()} == settings["state_dict"]
    model.load_state_dict(from_original(weights))
    assert to_original(model.state_dict()).keys() == weights.keys()
    return model.eval()


def batch(whole: Tensors) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pictures for the tower, their mask, tokens, and pictures for the policy."""
    pictures = whole["clip_images"]
    mask = torch.ones(pictures.shape[:2], dtype=torch.bool)
    return pictures, mask, whole["tokens"][:, 0], whole["policy_images"]


def test_towers_and_policy_give_the_recorded_features(
    model: RetrievalModel, whole: Tensors
) -> None:
    pictures, mask, tokens, policy_pictures = batch(whole)
    with torch.no_grad():
        close(model.encode(pictures, mask), whole["frame_embd_all"])
        texts, words, word_mask = model.read(tokens)
        close(texts, whole["text_embd_all"][:, 0])
        assert words is not None
        assert word_mask is not None
        close(words, whole["word_embd_all"][:, 0])
        assert torch.equal(word_mask.sum(dim=1), whole["eval.lengths"])
        close(model.score(policy_pictures, mask), whole["eval.policy_logits"])


def test_evaluation_keeps_the_recorded_frames_and_gives_the_recorded_similarities(
    model: RetrievalModel, whole: Tensors
) -> None:
    pictures, mask, tokens, policy_pictures = batch(whole)
    with torch.no_grad():
        kept, chosen, _ = model.keep(pictures, mask, policy_pictures)
        assert torch.equal(chosen.matrix, whole["eval.actions_knn"])
        found = model.embed(pictures, mask, tokens, policy_pictures)
        assert torch.equal(chosen.kept(), whole["eval.actions"])
        close(kept, whole["eval.frame_embd"])
        close(found.texts, whole["eval.text_embd"][:, 0])
        similarity = model.similarity(found)
        close(similarity, whole["eval.sim_matrix"])
        close(symmetric_loss(similarity), whole["eval.loss"])
        videos = model.video_vector(pictures, mask, policy_pictures)
        stored = model.logit_scale.exp() * model.text_vector(tokens) @ videos.T
        close(stored, whole["eval.sim_matrix"])


def test_training_gives_the_recorded_loss_and_gradients(
    model: RetrievalModel, whole: Tensors, settings: dict[str, Any]
) -> None:
    for name in settings["frozen"]:
        model.get_parameter(next(iter(from_original({name: torch.empty(0)})))).requires_grad_(False)
    pictures, mask, tokens, policy_pictures = batch(whole)
    relaxation = Relaxation(settings["tau"], noise=whole["train.gumbel"][0])
    _, chosen, _ = model.train().keep(pictures, mask, policy_pictures, relaxation)
    assert torch.equal(chosen.kept().round(), whole["train.actions"].round())
    found = model.embed(pictures, mask, tokens, policy_pictures, relaxation)
    similarity = model.similarity(found)
    close(similarity, whole["train.sim_matrix"])
    loss = symmetric_loss(similarity)
    close(loss, whole["train.loss"])
    loss.backward()
    grads = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
    ours = to_original(grads)
    assert ours.keys() == set(settings["trainable"])
    recorded = {k: v for k, v in whole.items() if k.startswith("train.grad.")}
    assert recorded
    for name, wanted in recorded.items():
        own = ours[name.removeprefix("train.grad.")]
        if name.endswith(NO_GRADIENT):
            assert own.abs().max() < 1e-5
        else:
            close_gradient(own, wanted)
    total = sum(float(grad.norm()) ** 2 for grad in ours.values()) ** 0.5
    assert total == pytest.approx(float(whole["train.grad_l2_all"]), rel=1e-4)
    assert total == pytest.approx(settings["global_grad_norm_before_clip"][0], rel=1e-4)


def test_the_loss_over_videos_takes_the_best_of_several_captions(folder: Path) -> None:
    matrices = load_file(folder / "metrics.safetensors")
    recorded = json.loads((folder / "metrics.json").read_text())["multi"]
    edges = torch.tensor(recorded["break_pts"])
    videos = torch.arange(len(edges) - 1).repeat_interleave(edges.diff())
    best = best_of_captions(matrices["multi"], videos)
    close(best, matrices["multi.reshaped"])
    assert float(symmetric_loss(best)) == pytest.approx(recorded["loss"], rel=1e-5)


def test_every_weight_of_the_real_model_has_a_name_of_ours_and_back(folder: Path) -> None:
    listed = json.loads((folder / "state_dict_vitb32_msrvtt.json").read_text())
    state = {name: torch.empty(shape, device="meta") for name, (shape, _) in listed.items()}
    ours = from_original(state)
    assert len(ours) == len(state) > 600
    assert to_original(ours).keys() == state.keys()
