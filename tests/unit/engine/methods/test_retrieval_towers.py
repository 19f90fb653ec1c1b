"""Training a retrieval model's towers, its words and a policy that looks at pictures."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import models

from tests.unit.engine.towers import (
    BATCH,
    NUM_FRAMES,
    NUM_KEPT,
    SIDE,
    WIDTH,
    config,
    look,
    moved,
    weights,
    write_sources,
)
from vcap.engine.encode import encode
from vcap.engine.methods.pairs import PairTable
from vcap.engine.methods.retrieval import RetrievalMethod
from vcap.engine.reporter import Silent
from vcap.engine.retriever import load_retriever
from vcap.engine.run import Run
from vcap.engine.train import train_method
from vcap.engine.training_data import load_splits
from vcap.errors import CheckpointError, ConfigError, FeatureError, InputError
from vcap.features.store import FeatureStore

POLICY = {"hidden_width": 64, "head_width": 8}
WORDS = {"word_aggregation": "mlp", "frame_aggregation": "mean"}
BATCHES = ("frames", "texts", "noise", "clip", "policy")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, videos and features of them."""
    return write_sources(tmp_path_factory.mktemp("sources"))


def method(sources: Path, **changes: Any) -> RetrievalMethod:
    settings = config(sources, **changes)
    torch.manual_seed(0)
    return RetrievalMethod(settings, load_splits(settings.data), Run(sources / "run"))


def trained(sources: Path, run: Path, **changes: Any) -> Path:
    """The model folder of a run."""
    train_method(config(sources, **changes), run, reporter=Silent())
    return run / "model"


def scored(ours: RetrievalMethod) -> Any:
    ours.model.eval()
    with torch.no_grad():
        return ours.similarity(ours.train_pairs)


def steps(ours: RetrievalMethod, count: int, rate: float = 0.05) -> list[float]:
    """Losses of plain gradient steps on one and the same batch."""
    ours.model.train()
    optimizer = torch.optim.SGD(
        [weight for weight in ours.model.parameters() if weight.requires_grad], lr=rate
    )
    found, batch = [], ours.batch(0, 0)
    for _ in range(count):
        loss = ours.losses(batch)["contrastive"]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        found.append(float(loss.detach()))
    return found


def test_the_text_tower_trains_along_and_the_image_tower_stays(
    sources: Path, tmp_path: Path
) -> None:
    made = trained(sources, tmp_path / "run", options={"towers": "text", "policy": POLICY})
    changed = moved(weights(sources / "clip"), weights(made / "text"))
    assert {"text_projection", "ln_final.weight"} <= changed
    assert "transformer.resblocks.0.mlp.c_fc.weight" in changed
    assert not [name for name in changed if name.startswith(("visual.", "token_embedding"))]
    retriever = load_retriever(str(made), device="cpu")
    store = FeatureStore(sources / "store")
    assert retriever.encoder_fingerprint["weights"] == store.fingerprint["encoder"]["weights"]
    assert retriever.text_encoder.fingerprint["weights"] != retriever.encoder_fingerprint["weights"]


@pytest.mark.parametrize(("first", "blocks"), [(-1, {0, 1}), (0, {0, 1}), (1, {1}), (2, set())])
def test_the_ladder_leaves_lower_blocks_of_both_towers_as_they_were(
    sources: Path, tmp_path: Path, first: int, blocks: set[int]
) -> None:
    options = {"towers": "both", "freeze_layers": first, "policy": None, "tower_rate": 1.0}
    made = trained(sources, tmp_path / "run", options=options, train={"steps": 3})
    changed = moved(weights(sources / "clip"), weights(made / "encoder"))
    for tower in ("", "visual."):
        name = f"{tower}transformer.resblocks."
        assert {int(n.removeprefix(name)[0]) for n in changed if n.startswith(name)} == blocks
    assert {"visual.proj", "text_projection", "visual.ln_post.weight"} <= changed
    before = {"visual.conv1.weight", "visual.class_embedding", "positional_embedding"}
    assert (before <= changed) if first < 0 else not (before & changed)


def test_towers_have_a_rate_of_their_own(sources: Path) -> None:
    ours = method(sources, options={"towers": "both", "tower_rate": 0.25})
    rates: dict[float, set[int]] = {}
    for group in ours.parameter_groups():
        rates.setdefault(group["lr_scale"], set()).update(id(own) for own in group["params"])
    towers = {id(own) for own in ours.retrieval.clip.parameters() if own.requires_grad}
    assert rates.keys() == {0.25, 1.0}
    assert rates[0.25] == towers
    frozen = method(sources, model=WORDS, options={"towers": "none", "tower_rate": 0.25})
    assert {group["lr_scale"] for group in frozen.parameter_groups()} == {1.0}


def test_the_scale_is_the_towers_own_where_they_train(sources: Path) -> None:
    own = float(weights(sources / "clip")["logit_scale"])
    still = method(sources, options={"towers": "none", "logit_scale": 3.5})
    words = method(sources, model=WORDS, options={"towers": "none", "logit_scale": 3.5})
    both = method(sources, options={"towers": "both", "logit_scale": 3.5})
    assert [one.retrieval.logit_scale.item() for one in (still, words)] == [3.5, 3.5]
    assert both.retrieval.logit_scale.item() == pytest.approx(own)
    assert words.retrieval.logit_scale.requires_grad


@pytest.mark.parametrize("towers", ["text", "both"])
def test_the_loss_falls_while_towers_and_a_policy_on_pictures_learn(
    sources: Path, towers: str
) -> None:
    options = {"towers": towers, "policy": look("raw"), "end_temperature": 0.5}
    ours = method(sources, model={"frame_aggregation": "mean"}, options=options)
    losses = steps(ours, 8, rate=0.02)
    assert losses[-1] < 0.9 * losses[0]
    policy = ours.retrieval.policy
    assert policy is not None
    assert any(bool(weight.grad.any()) for weight in policy.parameters() if weight.grad is not None)


@pytest.mark.parametrize("words", ["mlp", "transformer"])
def test_words_are_weighed_by_what_trains_beside_a_tower_that_does_not(
    sources: Path, tmp_path: Path, words: str
) -> None:
    model = {"word_aggregation": words, "frame_aggregation": "mean"}
    options = {"towers": "none", "policy": POLICY}
    ours = method(sources, model=model, options=options)
    losses = steps(ours, 6)
    assert losses[-1] < losses[0]
    assert not [n for n, p in ours.retrieval.clip.named_parameters() if p.grad is not None][1:]
    made = trained(sources, tmp_path / "run", model=model, options=options)
    found = load_retriever(str(made), device="cpu")
    vectors = found.text_vectors(["a small red circle spins.", "there is a star"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("most", [None, 5])
def test_texts_become_tokens_that_end_where_they_are_cut(sources: Path, most: int | None) -> None:
    options = {"towers": "text", "max_tokens": most}
    ours = method(sources, options=options)
    texts = ours.batch(0, 0)["texts"]
    assert texts.dtype == torch.int64
    assert texts.shape[1] == 5 if most else 5 < texts.shape[1] <= 24
    end = int(texts.max())
    assert bool((texts == end).any(dim=1).all())
    assert bool((texts == end).sum(dim=1).eq(1).all())


@pytest.mark.parametrize(
    ("towers", "name"),
    [("none", "raw"), ("none", "mobilenet_v2"), ("both", "raw"), ("both", "mobilenet_v3_large")],
)
def test_vectors_of_what_was_exported_are_those_of_the_training(
    sources: Path, tmp_path: Path, towers: str, name: str
) -> None:
    model = {"num_kept": NUM_KEPT, "in_time_order": True}
    options = {"towers": towers, "policy": look(name)}
    ours = method(sources, model=model, options=options)
    cosines = scored(ours)
    (tmp_path / "model").mkdir()
    ours.export(tmp_path / "model", {})
    found = load_retriever(str(tmp_path / "model"), device="cpu")
    manifest = sources / "videos" / "videos.jsonl"
    encode([manifest], tmp_path / "kept", model=str(tmp_path / "model"), device="cpu")
    kept, names = FeatureStore(tmp_path / "kept"), ours.train_pairs.names
    assert {kept.num_frames(one) for one in names} == {NUM_KEPT}
    videos = found.video_vectors([kept.features(one) for one in names])
    texts = [one.texts[0] for one in load_splits(ours.config.data).train]
    said = found.text_vectors(texts) @ videos.T
    np.testing.assert_allclose(said, cosines[ours.train_pairs.texts.starts], atol=2e-3)


@pytest.mark.parametrize("towers", ["text", "both"])
def test_a_policy_on_features_sees_those_of_the_tower_that_trains(
    sources: Path, tmp_path: Path, towers: str
) -> None:
    made = trained(sources, tmp_path / "run", options={"towers": towers, "policy": POLICY})
    found = load_retriever(str(made), device="cpu")
    manifest, ours = sources / "videos" / "videos.jsonl", {"model": str(made), "device": "cpu"}
    encode([manifest], tmp_path / "store", **ours)
    store = FeatureStore(tmp_path / "store")
    found.check(store)
    assert store.num_frames("v0") == NUM_FRAMES
    assert len(found.kept_frames(store.features("v0"))) == NUM_KEPT
    old = FeatureStore(sources / "store")
    if towers == "both":
        with pytest.raises(FeatureError, match="weights"):
            found.check(old)
    else:
        np.testing.assert_array_equal(store.features("v0"), old.features("v0"))


def test_only_kept_frames_are_encoded_where_the_policy_looks_at_pictures(sources: Path) -> None:
    ours = method(sources, options={"towers": "both", "policy": look("raw")})
    seen: list[int] = []
    visual = ours.retrieval.clip.visual  # type: ignore[union-attr]
    visual.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    scored(ours)
    assert sum(seen) == NUM_KEPT * len(ours.train_pairs)
    with torch.no_grad():
        assert not [name for name in ours.test_metrics() if "mean of all frames" in name]
    seen.clear()
    ours.losses(ours.batch(0, 0))
    assert sum(seen) == NUM_FRAMES * BATCH


@pytest.mark.parametrize("drifts", [False, True])
def test_a_frozen_cnn_keeps_weights_and_statistics_unless_told_to_drift(
    sources: Path, drifts: bool
) -> None:
    policy = look("mobilenet_v3_large", batch_statistics=drifts)
    ours = method(sources, options={"towers": "none", "policy": policy})
    before = {name: value.clone() for name, value in cnn_of(ours).items()}
    steps(ours, 2)
    changed = moved(before, cnn_of(ours))
    assert bool(changed) is drifts
    assert not [name for name in changed if not name.endswith(STATISTICS)]


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def cnn_of(ours: RetrievalMethod) -> dict[str, Tensor]:
    """Weights and statistics of the policy's CNN."""
    policy = ours.retrieval.policy
    assert policy is not None
    assert policy.cnn is not None
    return policy.cnn.state_dict()


def test_a_cnn_that_is_not_frozen_learns(sources: Path) -> None:
    policy = look("mobilenet_v3_large", freeze_cnn=False)
    ours = method(sources, options={"towers": "none", "policy": policy, "num_used": 2})
    before = {name: value.clone() for name, value in cnn_of(ours).items()}
    steps(ours, 1)
    assert "features.0.0.weight" in moved(before, cnn_of(ours))


def test_half_weights_are_those_that_the_scores_are_of(sources: Path, tmp_path: Path) -> None:
    options = {"towers": "both", "policy": look("raw")}
    made = trained(sources, tmp_path / "run", options=options, train={"weights": "fp16"})
    for folder in (made, made / "encoder"):
        kinds = {value.dtype for value in weights(folder).values()}
        assert kinds == {torch.float16}
    found = load_retriever(str(made), device="cpu")
    assert found.encoder.fingerprint["weights"] == found.encoder_fingerprint["weights"]


def test_every_batch_of_pictures_is_the_same_when_asked_for_again(sources: Path) -> None:
    ours = method(sources, options={"towers": "both", "policy": look("raw")})
    first, other, again = ours.batch(0, 1), ours.batch(1, 0), ours.batch(0, 1)
    assert first["clip"].shape == (BATCH, NUM_FRAMES, SIDE, SIDE, 3)
    assert first["policy"].shape == (BATCH, NUM_FRAMES, 8, 8, 1)
    assert first["clip"].dtype == first["policy"].dtype == torch.uint8
    for name in first.keys() & set(BATCHES):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize("towers", ["none", "both"])
def test_a_training_on_pictures_that_goes_on_ends_with_the_same_bytes(
    sources: Path, tmp_path: Path, towers: str
) -> None:
    policy = look("mobilenet_v2", batch_statistics=True)
    changes: dict[str, Any] = {
        "options": {"towers": towers, "policy": policy},
        "train": {"steps": 2, "checkpoint_every": 1, "keep": 9},
    }
    made, run = trained(sources, tmp_path / "run", **changes), tmp_path / "run"
    unbroken = {path.relative_to(made): path.read_bytes() for path in made.rglob("*.safetensors")}
    shutil.rmtree(max((run / "checkpoints").iterdir()))
    shutil.rmtree(made)
    (run / "scores.json").unlink()
    torch.manual_seed(7)  # whatever was drawn before
    train_method(config(sources, **changes), run, reporter=Silent(), resume=True)
    assert len(unbroken) == 2
    for path, content in unbroken.items():
        assert (made / path).read_bytes() == content


def test_a_run_does_not_go_on_with_another_frozen_cnn(sources: Path, tmp_path: Path) -> None:
    path = tmp_path / "cnn.pth"
    torch.save(models.mobilenet_v2().state_dict(), path)
    policy = {"policy": look("mobilenet_v2"), "policy_weights": str(path)}
    ours = method(sources, options={"towers": "none", **policy})
    state = ours.extra_state()
    ours.load_extra_state(state)
    torch.save(models.mobilenet_v2().state_dict(), path)
    other = method(sources, options={"towers": "none", **policy})
    with pytest.raises(CheckpointError, match=r"options\.policy_weights: .*cnn\.pth"):
        other.load_extra_state(state)


def test_a_subset_of_the_sampled_frames_makes_the_candidates(sources: Path) -> None:
    ours = method(sources, options={"towers": "none", "num_used": 3, "policy": POLICY})
    assert (ours.sizes.num_frames, ours.sizes.num_kept) == (3, NUM_KEPT)
    store, batch = FeatureStore(sources / "store"), ours.batch(0, 0)
    names = [ours.train_pairs.names[int(video)] for video in batch["video_ids"]]
    for row, name in enumerate(names):
        taken = torch.from_numpy(store.features(name)[[0, 1, 2]].astype(np.float32))
        assert torch.equal(batch["frames"][row], taken)
    few = method(sources, options={"towers": "both", "num_used": 2, "policy": look("raw")})
    assert few.batch(0, 0)["clip"].shape[1] == 2


def test_pictures_and_features_of_other_frames_are_refused(sources: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sources / "store", tmp_path / "store")
    header = folder / "store.json"
    header.write_text(header.read_text().replace("uniform 4", "uniform 3"))
    ours = method(
        sources,
        data={"train": [str(sources / "videos" / "videos.jsonl")], "features": [str(folder)]},
        options={"towers": "none", "policy": look("raw")},
    )
    with pytest.raises(FeatureError, match="4 candidate frames in the feature store, 3 pictures"):
        ours.batch(0, 0)


def test_records_without_a_video_are_left_out_unless_none_has_one(
    sources: Path, tmp_path: Path
) -> None:
    lines = (sources / "videos" / "videos.jsonl").read_text().splitlines()
    some = [line.replace('"path"', '"url"') if '"v3"' in line else line for line in lines]
    folder = shutil.copytree(sources / "videos", tmp_path / "videos")
    (folder / "some.jsonl").write_text("\n".join(some))
    ours = method(sources, data={"train": [str(folder / "some.jsonl")]})
    assert ours.train_pairs.names == ["v0", "v1", "v2", "v4", "v5", "v6", "v7"]
    (folder / "none.jsonl").write_text("\n".join(lines).replace('"path"', '"url"'))
    with pytest.raises(InputError, match="none of 8 records has a video here, such as v0"):
        method(sources, data={"train": [str(folder / "none.jsonl")]})


def test_a_video_that_does_not_decode_is_left_out(sources: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sources / "videos", tmp_path / "videos")
    (folder / "v3.mp4").write_bytes(b"no video")
    ours = method(sources, data={"train": [str(folder / "videos.jsonl")]})
    assert "v3" not in ours.train_pairs.names
    assert len(ours.train_pairs) == 7
    assert isinstance(ours.train_pairs, PairTable)
    assert len(ours.train_pairs.texts) == 14


def test_towers_without_blocks_are_named_by_the_key_that_helps(sources: Path) -> None:
    with pytest.raises(ConfigError, match=r"options.freeze_layers: .*want -1"):
        method(sources, encoder="tiny", options={"towers": "both", "policy": None})
    ours = method(
        sources, encoder="tiny", options={"towers": "both", "policy": None, "freeze_layers": -1}
    )
    assert ours.sizes.feature_width != WIDTH
    assert steps(ours, 1)[0] > 0
