"""Checkpoint files of AdaCLIP: every variant it could train, and files that are something else."""

import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tests.small_retrieval import (
    FLAGS,
    NUM_FRAMES,
    NUM_KEPT,
    original_weights,
    small_policy,
    write_original,
)
from vcap.engine.encode import encode
from vcap.engine.encoders import load_encoder
from vcap.engine.original_retrieval import is_original_retrieval, read_original_retrieval
from vcap.engine.retriever import load_retriever
from vcap.errors import CheckpointError, UsageError
from vcap.features.store import FeatureStore


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Of a small model with a policy on grey pixels and MLP-Score."""
    return dict(original_weights())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, weights: Any) -> Path:
    """Its file."""
    return write_original(tmp_path_factory.mktemp("adaclip") / "trained_model.pth", weights)


VARIANTS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"sequence": "lstm"}, {}, {"rnn": "lstm"}),
    ({"sequence": "bilstm", "head": "fc"}, {}, {"rnn": "bilstm", "mlp_type": "fc"}),
    ({"sequence": "none"}, {}, {"use_rnn": False}),
    ({"encoder": "mobilenet_v2"}, {}, {"policy_backbone": "mobilenet_v2"}),
    ({}, {"frame_aggregation": "mean"}, {"frame_agg": None}),
    ({}, {"frame_aggregation": "transformer"}, {"frame_agg": "transformer"}),
    ({}, {"header": "seqTransf"}, {"sim_header": "seqTransf"}),
    ({}, {"header": "transformer"}, {"sim_header": "transformer"}),
    ({}, {"reuse_scores": True, "frame_aggregation": "mean"},
     {"reuse_scores": True, "frame_agg": None}),
    ({}, {"frame_aggregation": "mean", "word_aggregation": "mlp"},
     {"frame_agg": None, "word_agg": "mlp", "word_agg_temp": 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "sizes", "flags"), VARIANTS)
def test_every_variant_comes_back_with_all_its_weights(
    tmp_path: Path, policy: dict[str, Any], sizes: dict[str, Any], flags: dict[str, Any]
) -> None:
    theirs = original_weights(0, small_policy(**policy), **sizes)
    found = read_original_retrieval(write_original(tmp_path / "a.pth", theirs, **flags))
    for name, value in {**policy, **sizes}.items():
        config = found.model.config if name in sizes else found.model.policy.config  # type: ignore[union-attr]
        assert getattr(config, name) == value
    again = {k: v for k, v in found.model.state_dict().items() if v.is_floating_point()}
    assert sum(float(v.double().sum()) for v in again.values()) == pytest.approx(
        sum(float(v.double().sum()) for v in theirs.values() if v.is_floating_point())
    )


def test_what_the_original_builds_without_using_it_is_left_out(
    tmp_path: Path, weights: Any
) -> None:
    more = {**weights, "word_agg_mlp.0.weight": torch.ones(2, 2)}
    found = read_original_retrieval(write_original(tmp_path / "a.pth", more, word_agg="mlp"))
    assert found.model.config.word_aggregation == "none"
    plain = {name: value for name, value in weights.items() if not name.startswith("sampler.")}
    flags = {"use_policy": False, "policy_backbone": "resnet50", "segment_sampling": True}
    found = read_original_retrieval(write_original(tmp_path / "b.pth", plain, **flags))
    assert found.model.policy is None
    assert found.sampler == f"adaclip-segments {NUM_FRAMES}"
    with pytest.raises(CheckpointError, match=r"does not fit .*unknown: sampler\."):
        read_original_retrieval(write_original(tmp_path / "c.pth", weights, use_policy=False))


def test_flags_in_an_easydict_are_read_though_nobody_has_installed_it(
    tmp_path: Path, weights: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("easydict")
    kind = type("EasyDict", (dict,), {"__module__": "easydict"})
    module.EasyDict = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "easydict", module)
    flags = kind(FLAGS)
    vars(flags).update(FLAGS)  # as easydict does it
    torch.save({"state_dict": weights, "config": flags}, tmp_path / "a.pth")
    monkeypatch.delitem(sys.modules, "easydict")
    assert read_original_retrieval(tmp_path / "a.pth").model.config.num_kept == NUM_KEPT


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"policy_backbone": "resnet50"}, "policy_backbone: want mobilenet_v3_large"),
        ({"frame_agg": ["mlp"]}, "frame_agg: want None, mlp"),
        ({"num_frm": 0}, "num_frm: want 1 to"),
        ({"num_frm": 10**9}, "num_frm: want 1 to"),
        ({"num_frm": 7}, r"sampler\.frame_position_embeddings\.weight \[6, 64\] for \[7, 64\]"),
        ({"rescale_size": 9}, r"sampler\.projection\.0\.weight \[64, 64\] for \[64, 81\]"),
        ({"rnn": "lstm"}, r"missing: sampler\.rnn\.weight_ih_l0"),
        ({"frame_agg_temp": float("nan")}, "frame_agg_temp: want a number above 0"),
        ({"num_frm_subset": 9}, r"num_frm_subset: want at most 6"),
        (
            {"sim_header": "seqTransf"},
            r"missing: frame_position_embeddings\.weight, transformerClip",
        ),
    ],
)
def test_flags_that_do_not_go_with_the_weights_are_named(
    tmp_path: Path, weights: Any, flags: dict[str, Any], told: str
) -> None:
    with pytest.raises(CheckpointError, match=told):
        read_original_retrieval(write_original(tmp_path / "a.pth", weights, **flags))


class Evil:
    """Would run code where a pickle is trusted."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('code ran')",)


def test_hostile_and_damaged_files_are_refused_and_nothing_in_them_runs(
    tmp_path: Path, path: Path, weights: Any
) -> None:
    file = tmp_path / "trained_model.pth"
    whole = path.read_bytes()
    wide = torch.ones(1).expand(10**12)
    contents: list[Any] = [
        b"",
        b"not a file of torch",
        whole[: len(whole) // 2],
        whole[:100],
        pickle.dumps(Evil()),
        pickle.dumps({"state_dict": Evil()}),
        {"state_dict": weights},
        {"state_dict": weights, "config": 3},
        {"state_dict": {}, "config": {}},
        {"state_dict": {"a": 1}, "config": {}},
        {"state_dict": {"a": torch.ones(1)}, "config": FLAGS},
        {"state_dict": {**weights, "frame_agg_mlp.0.bias": wide}, "config": FLAGS},
        {"state_dict": {**weights, "clip.text_projection": torch.ones(3)}, "config": FLAGS},
        {"state_dict": {**weights, "clip.logit_scale": torch.tensor(torch.nan)}, "config": FLAGS},
        [1, 2],
        torch.ones(3),
    ]
    for content in contents:
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            torch.save(content, file)
        with pytest.raises(CheckpointError, match="trained_model"):
            load_retriever(str(file), device="cpu")
    del weights  # of the fixture, which stays as it is


def test_the_file_serves_as_an_encoder_and_as_a_retrieval_model(
    path: Path, small_videos: Path, tmp_path: Path
) -> None:
    assert is_original_retrieval(str(path))
    found = load_retriever(str(path), device="cpu")
    assert found.encoder.fingerprint["weights"] == load_encoder(str(path)).fingerprint["weights"]
    assert found.encoder.fingerprint["quick_gelu"]
    encode([small_videos / "0.mp4"], tmp_path / "store", model=str(path), device="cpu")
    kept = FeatureStore(tmp_path / "store")
    assert kept.fingerprint["pixels"] == "exact"
    assert kept.num_frames("0.mp4") == NUM_KEPT
    found.check(kept)
    assert np.isfinite(found.video_vectors([kept.features("0.mp4")])).all()


def test_texts_are_cut_to_as_many_tokens_as_the_original_read(path: Path) -> None:
    found = load_retriever(str(path), device="cpu")
    said: list[str] = []
    long = "a cat and a dog and a bird"
    vectors = found.text_vectors(["a cat", long, "a cat and a dog"], said.append)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[1], found.text_vectors(["a cat and a"])[0], atol=1e-5)
    assert len(said) == 2
    assert said[0] == f"{long!r} has 10 tokens; only the first 6 count"
    assert found.text_vectors([]).shape == (0, found.width)


def test_a_scorer_that_depends_on_the_query_is_refused(tmp_path: Path) -> None:
    theirs = original_weights(frame_aggregation="qscore")
    file = write_original(tmp_path / "a.pth", theirs, frame_agg="qscore")
    with pytest.raises(UsageError, match="weighs frames by what is asked"):
        load_retriever(str(file), device="cpu")
