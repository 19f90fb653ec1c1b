"""Frame selection gives the numbers of the original AdaCLIP: top-k, policies and schedules.

Recorded data: `golden/adaclip`, with its README. Tolerances are that README's: 1e-5 of the largest
recorded value or of one, gradients 1e-4 of the largest; one-hot rows exactly, after rounding.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.conftest import GOLDEN
from vcap.models.mobilenet import build_mobilenet
from vcap.models.policy import Policy, PolicyConfig, from_original, to_original
from vcap.models.selection import (
    Selection,
    hard_k_hot,
    hard_topk,
    keep_best,
    log_probabilities,
    num_kept_at,
    relax,
    temperature_at,
)

pytestmark = pytest.mark.parity

FOLDER = GOLDEN / "adaclip"
VARIANTS: dict[str, Callable[[Tensor, int, float], Tensor]] = {
    "hard1_sum0": lambda logs, k, tau: hard_topk(logs, k, tau).matrix,
    "hard1_sum0_nomaskvec": lambda logs, k, tau: hard_topk(logs, k, tau, exclude_taken=True).matrix,
    "hard0_sum0": lambda logs, k, tau: relax(logs, k, tau)[0],
    "hard0_sum1": lambda logs, k, tau: relax(logs, k, tau)[0].sum(dim=1),
    "hard1_sum1": hard_k_hot,
}


def read(name: str) -> Any:
    """A recorded JSON file, or nothing where the folder is absent."""
    path = FOLDER / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def recorded_tensors(golden_root: Path, name: str) -> dict[str, Tensor]:
    """A recorded file of tensors."""
    tensors: dict[str, Tensor] = load_file(golden_root / "adaclip" / f"{name}.safetensors")
    return tensors


def close(ours: Tensor, recorded: Tensor, gradient: bool = False) -> None:
    """Within the README's tolerance."""
    largest = recorded.abs().max().item()
    limit = 1e-4 * largest if gradient else 1e-5 * max(1.0, largest)
    torch.testing.assert_close(ours, recorded, rtol=0, atol=limit)


def recorded_variants() -> Iterator[tuple[str, str]]:
    """Every recorded case of the top-k and every output that was recorded of it."""
    if not FOLDER.is_dir():
        yield "absent", "absent"
        return
    for key in load_file(FOLDER / "hard_topk.safetensors"):
        case, *variant = key.split(".")
        if variant[-1] == "out":
            yield case, variant[0]


@pytest.fixture(scope="module")
def topk(golden_root: Path) -> dict[str, Tensor]:
    """Recorded inputs and outputs of the top-k."""
    return recorded_tensors(golden_root, "hard_topk")


@pytest.mark.parametrize(("case", "variant"), recorded_variants())
def test_the_top_k_and_its_gradients_are_the_originals(
    topk: dict[str, Tensor], case: str, variant: str
) -> None:
    part = {key.removeprefix(f"{case}."): value for key, value in topk.items() if case in key}
    sizes = read("hard_topk.json")[case]
    scores = part["scores"].clone().requires_grad_()
    logs = log_probabilities(scores)
    logs.retain_grad()
    close(logs, part["logprob"])

    out = VARIANTS[variant](logs + part["gumbel"], sizes["k"], sizes["tau"])
    wanted = part[f"{variant}.out"]
    if case == "extreme" and variant == "hard1_sum1":
        # Seven frames have the same sum: the first of them are ours, any were the original's.
        sums = part["hard0_sum1.out"]
        assert out.round().bool()[0].tolist() == [True] * sizes["k"] + [False] * 4
        close((out * sums).sum(), (wanted * sums).sum())
    else:
        close(out, wanted)
        assert not variant.startswith("hard1") or torch.equal(out.round(), wanted.round())

    cotangent = "cotangent_sum" if "sum1" in variant else "cotangent"
    torch.autograd.backward((out * part[cotangent]).sum())
    assert logs.grad is not None and scores.grad is not None
    close(logs.grad, part[f"{variant}.grad_logprob"], gradient=True)
    close(scores.grad, part[f"{variant}.grad_scores"], gradient=True)


def test_every_recorded_variant_of_the_top_k_is_looked_at(golden_root: Path) -> None:
    seen = list(recorded_variants())
    assert {case for case, _ in seen} == set(read("hard_topk.json"))
    assert {variant for _, variant in seen} == set(VARIANTS)
    assert len(seen) == len(read("hard_topk.json")) * len(VARIANTS)


def test_temperature_and_kept_frames_follow_the_originals_schedules(golden_root: Path) -> None:
    recorded = read("schedules.json")
    tau = recorded["tau"]
    setting = tau["cfg"]
    for epoch, value in enumerate(tau["by_epoch"]):
        ours = temperature_at(
            epoch, setting["init_tau"], setting["min_tau"], setting["exp_decay_factor"]
        )
        assert ours == pytest.approx(value, rel=1e-12)
    anneal = recorded["top_k_anneal"]
    sizes = anneal["cfg"]["top_k"], anneal["cfg"]["num_frm"]
    for epoch, (_, used) in enumerate(anneal["by_epoch_float_and_used_int"]):
        assert num_kept_at(epoch, *sizes, anneal["warmup_epochs"]) == used


@pytest.fixture(scope="module")
def raw(golden_root: Path) -> dict[str, Tensor]:
    """Recorded inputs and outputs of policies on raw pictures."""
    return recorded_tensors(golden_root, "sampler_raw")


def raw_weights(raw: dict[str, Tensor], sequence: str, head: str) -> dict[str, Tensor]:
    """The recorded weights of one policy, in the original's names."""
    weights = dict[str, Tensor]()
    for start in (f"{sequence}.w.", f"{sequence}_{head}.w."):
        weights |= {k.removeprefix(start): v for k, v in raw.items() if k.startswith(start)}
    return weights


def raw_policy(raw: dict[str, Tensor], sequence: str, head: str) -> Policy:
    """A policy with the recorded weights of one kind."""
    sizes = read("sampler_raw.json")["cfg"]
    hidden = sizes.get(f"hidden_dim_{sequence}", sizes["hidden_dim_lstm_bilstm"])
    config = PolicyConfig(
        encoder="raw",
        sequence=sequence,  # type: ignore[arg-type]
        head=head,  # type: ignore[arg-type]
        num_frames=sizes["num_frm"],
        raw_side=sizes["rescale_size"],
        hidden_width=hidden,
        head_width=sizes["mlp_hidden_dim"],
    )
    policy = Policy(config)
    policy.load_state_dict(from_original(raw_weights(raw, sequence, head)))
    return policy


RAW_KINDS = [key.split("_") for key in read("sampler_raw.json") if key != "cfg"]


@pytest.mark.parametrize(("sequence", "head"), RAW_KINDS)
def test_a_policy_on_raw_pictures_chooses_as_the_original(
    raw: dict[str, Tensor], sequence: str, head: str
) -> None:
    policy, name = raw_policy(raw, sequence, head), f"{sequence}_{head}"
    num_kept = read("sampler_raw.json")["cfg"]["top_k"]
    scores = policy(raw["policy_images"])
    close(scores, raw[f"{name}.logits"])
    kept = keep_best(scores, num_kept)
    assert torch.equal(kept.matrix, raw[f"{name}.eval_actions"])

    logs = log_probabilities(scores) + raw["gumbel"]
    matrix = hard_topk(logs, num_kept, 1.5).matrix
    recorded = raw[f"{name}.train_actions_tau1.5"]
    close(matrix, recorded)
    assert torch.equal(matrix.round(), recorded.round())
    weights = torch.arange(matrix.numel()).reshape(matrix.shape)
    torch.autograd.backward((matrix * weights).sum())
    gradient = policy.get_parameter("head.0.weight").grad
    assert gradient is not None
    close(gradient, raw[f"{name}.grad.linear.0.weight"], gradient=True)


def test_all_eight_policies_on_raw_pictures_are_looked_at(golden_root: Path) -> None:
    wanted = {(s, h) for s in ("transformer", "lstm", "bilstm", "none") for h in ("mlp", "fc")}
    assert {(sequence, head) for sequence, head in RAW_KINDS} == wanted


@pytest.mark.parametrize(("sequence", "head"), RAW_KINDS)
def test_a_policys_weights_go_back_to_the_originals_names(
    raw: dict[str, Tensor], sequence: str, head: str
) -> None:
    weights = raw_weights(raw, sequence, head)
    back = to_original(raw_policy(raw, sequence, head).state_dict())
    assert {key.removeprefix("sampler.") for key in back} == set(weights)
    assert all(torch.equal(back[f"sampler.{key}"], value) for key, value in weights.items())


def formula(shape: torch.Size, key: str, number: int) -> Tensor:
    """The README's weights for the number-th entry of a state."""
    if not shape:
        return torch.zeros((), dtype=torch.int64)
    size = int(np.prod(shape))
    wave = np.sin((np.arange(size) + 1.0) * 12.9898 + (number + 1) * 78.233) * 43758.5453
    u = (wave - np.floor(wave)).reshape(shape)
    if len(shape) >= 2:
        values = (2 * u - 1) * np.sqrt(3 / (size / shape[0]))
    elif key.endswith("running_var"):
        values = 0.5 + u
    elif key.endswith("weight"):
        values = 0.8 + 0.4 * u
    else:
        values = 0.2 * (u - 0.5)
    return torch.from_numpy(values).float()


def formula_state(shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Weights by formula for every entry, in the order given."""
    return {key: formula(shape, key, j) for j, (key, shape) in enumerate(shapes.items())}


def mobilenet_policy(name: str) -> Policy:
    """A policy with the formula's weights, made under the original's names."""
    recorded = read("sampler_mobilenet.json")
    shapes = {k: torch.Size(v) for k, v in recorded[name]["cnn_keys"].items()}
    cnn = build_mobilenet(name)  # type: ignore[arg-type]
    config = PolicyConfig(name, num_frames=4, hidden_width=64, head_width=32)  # type: ignore[arg-type]
    policy = Policy(config, cnn)
    own = {k.removeprefix("sampler."): v for k, v in to_original(policy.state_dict()).items()}
    assert {k: v.shape for k, v in own.items() if k.startswith("cnn_model.")} == shapes
    others = {key: own[key].shape for key in recorded["other_keys_in_order"]}
    policy.load_state_dict(from_original(formula_state(shapes) | formula_state(others)))
    return policy


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenet_v2"])
def test_a_policy_on_a_mobilenet_chooses_as_the_original(golden_root: Path, name: str) -> None:
    recorded = recorded_tensors(golden_root, "sampler_mobilenet")
    policy = mobilenet_policy(name).eval()
    first = [v.flatten()[:8] for v in policy.cnn.state_dict().values() if v.is_floating_point()]  # type: ignore[union-attr]
    close(torch.stack(first[:5]), recorded[f"{name}.check.first8"])

    pictures = recorded["policy_images"].float()
    close(policy.encode(pictures).flatten(0, 1), recorded[f"{name}.features"])
    scores = policy(pictures)
    close(scores, recorded[f"{name}.logits"])
    wanted = recorded[f"{name}.eval_actions"]
    chosen: Selection = keep_best(scores, wanted.shape[1])
    assert torch.equal(chosen.matrix, wanted)


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenet_v2"])
def test_a_batchs_statistics_are_used_as_in_the_original_when_asked_for(
    golden_root: Path, name: str
) -> None:
    recorded = recorded_tensors(golden_root, "sampler_mobilenet")
    pictures = recorded["policy_images"].float()
    policy = mobilenet_policy(name)
    drifting = Policy(
        PolicyConfig(name, num_frames=4, hidden_width=64, batch_statistics=True),  # type: ignore[arg-type]
        policy.cnn,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as recorded: batch statistics magnify another order of summing
    try:
        features = drifting.train().encode(pictures).flatten(0, 1)
    finally:
        torch.set_num_threads(threads)
    close(features, recorded[f"{name}.features_trainmode_batchstats"])
