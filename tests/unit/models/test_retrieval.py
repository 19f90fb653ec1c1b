"""The retrieval model: what it refuses, what it encodes, and what gradients reach."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vcap.models.policy import Policy, PolicyConfig
from vcap.models.retrieval import (
    Matcher,
    Relaxation,
    RetrievalConfig,
    RetrievalModel,
    best_of_captions,
    clamp_scale,
    from_original,
    symmetric_loss,
    to_original,
)

WIDTH, NUM_FRAMES, NUM_KEPT = 8, 6, 3


class CountingTowers(nn.Module):
    """Towers whose picture is its mean colours, and which note how many they were given."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(2.0))
        self.project = nn.Linear(3, WIDTH)
        self.num_encoded = 0

    def encode_image(self, pictures: Tensor) -> Tensor:
        """pictures [M, 3, H, W] -> [M, D]."""
        self.num_encoded += len(pictures)
        features: Tensor = self.project(pictures.mean(dim=(2, 3)))
        return features


def small_config(**changes: Any) -> RetrievalConfig:
    """Three of six frames of width 8."""
    sizes: dict[str, Any] = {"num_frames": NUM_FRAMES, "num_kept": NUM_KEPT, "num_heads": 2}
    return RetrievalConfig(WIDTH, **{**sizes, **changes})


def small_policy(encoder: Any = "features", **changes: Any) -> Policy:
    """A policy with a hidden width of 64."""
    sizes = {"num_frames": NUM_FRAMES, "feature_width": WIDTH, "raw_side": 4, "head_width": 8}
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(encoder, hidden_width=64, **{**sizes, **changes}))
    for weight in policy.head.parameters():  # far enough from equal that choices are clear
        nn.init.normal_(weight)
    return policy


def small_model(with_policy: bool = True, **changes: Any) -> RetrievalModel:
    """A model on stored features."""
    policy = small_policy() if with_policy else None
    torch.manual_seed(0)
    return RetrievalModel(small_config(**changes), policy).eval()


def videos(num_videos: int = 4) -> tuple[Tensor, Tensor]:
    """Features [B, N, D] and a mask [B, N] without padding."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(num_videos, NUM_FRAMES, WIDTH, generator=generator)
    return features, torch.ones(num_videos, NUM_FRAMES, dtype=torch.bool)


def texts(num_texts: int = 4) -> Tensor:
    """Text features [Q, D]."""
    return torch.randn(num_texts, WIDTH, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"header": "tight"}, "header: want meanP, seqTransf, transformer, seqLSTM, got tight"),
        ({"frame_aggregation": "max"}, "frame_aggregation: want mean, mlp"),
        ({"word_aggregation": "mean"}, "word_aggregation: want none, mlp"),
        ({"num_kept": 9}, r"num_kept: want at most num_frames \(6\), got 9"),
        ({"num_kept": 0}, "want at least 1"),
        (
            {"header": "seqTransf", "num_positions": 2},
            rf"num_positions: want at least num_kept \({NUM_KEPT}\) .*, got 2",
        ),
        ({"frame_temperature": 0.0}, "frame_temperature, word_temperature: want more than 0"),
        ({"word_temperature": math.nan}, "want more than 0"),
        ({"word_aggregation": "mlp"}, "word_aggregation: goes with frame_aggregation mean"),
        ({"num_heads": 3}, "num_heads: want a divisor of 8, got 3"),
    ],
)
def test_a_wrong_choice_is_refused_by_its_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_config(**changes)


def test_scores_that_words_would_hide_are_refused() -> None:
    with pytest.raises(ValueError, match="reuse_scores: has no effect"):
        small_config(frame_aggregation="mean", word_aggregation="mlp", reuse_scores=True)


def test_blocks_have_a_head_for_every_64_numbers_unless_told() -> None:
    assert [RetrievalConfig(width).heads for width in (512, 128, 32)] == [8, 2, 1]
    assert RetrievalConfig(512, num_heads=4).heads == 4


def test_parts_that_a_choice_needs_have_to_be_there() -> None:
    with pytest.raises(ValueError, match="reuse_scores: wants a policy"):
        small_model(with_policy=False, reuse_scores=True)
    with pytest.raises(ValueError, match="word_aggregation: wants the text tower"):
        small_model(frame_aggregation="mean", word_aggregation="mlp")
    few: dict[str, Any] = {"header": "seqTransf", "num_positions": NUM_KEPT}
    assert small_model(**few)
    with pytest.raises(ValueError, match=rf"num_positions: .* no policy .* \({NUM_FRAMES}\)"):
        small_model(with_policy=False, **few)
    matcher = Matcher(small_config(frame_aggregation="mean", word_aggregation="mlp"))
    with pytest.raises(ValueError, match="wants the features of the words"):
        matcher.text_vector(texts())
    with pytest.raises(ValueError, match="wants the policy's scores"):
        Matcher(small_config(reuse_scores=True)).video_vector(*videos())


def test_pictures_and_tokens_want_towers() -> None:
    model = small_model(with_policy=False)
    with pytest.raises(ValueError, match="it wants stored features"):
        model.encode(torch.zeros(1, NUM_FRAMES, 3, 4, 4), torch.ones(1, NUM_FRAMES).bool())
    with pytest.raises(ValueError, match="it wants stored features"):
        model.text_vector(torch.ones(1, 4, dtype=torch.int64))


def test_a_policy_on_pictures_does_not_take_features() -> None:
    model = RetrievalModel(small_config(), small_policy("raw"))
    with pytest.raises(ValueError, match=r"the policy reads raw, got frames \[4, 6, 8\]"):
        model.video_vector(*videos())


def test_without_a_policy_every_real_frame_is_used() -> None:
    model = small_model(with_policy=False, frame_aggregation="mean")
    features, mask = videos()
    mask[0, 2:] = False
    kept, chosen, _ = model.keep(features, mask)
    assert kept.shape == features.shape
    assert chosen.mask.sum(dim=1).tolist() == [2, 6, 6, 6]
    wanted = nn.functional.normalize(features, dim=-1)[0, :2].mean(dim=0)
    vector = model.video_vector(features, mask)[0]
    torch.testing.assert_close(vector, nn.functional.normalize(wanted, dim=0))


def test_the_policy_keeps_the_frames_of_its_highest_scores_in_their_order() -> None:
    model = small_model()
    features, mask = videos()
    best = model.score(features, mask).topk(NUM_KEPT).indices
    kept, chosen, scores = model.keep(features, mask)
    assert torch.equal(chosen.indices, best)
    assert (scores.diff(dim=1) <= 0).all()
    torch.testing.assert_close(kept, features.gather(1, best[..., None].expand(-1, -1, WIDTH)))


def test_kept_frames_can_be_brought_back_to_the_order_of_time() -> None:
    features, mask = videos()
    by_score, by_time = small_model(), small_model(in_time_order=True)
    theirs = by_score.keep(features, mask)[1].indices
    ours = by_time.keep(features, mask)[1].indices
    assert torch.equal(ours, theirs.sort(dim=1).values)
    assert not torch.equal(ours, theirs)


def test_a_video_of_fewer_frames_than_are_kept_leaves_the_rest_empty() -> None:
    model = small_model()
    features, mask = videos()
    mask[0, 1:] = False
    relaxed = Relaxation(1.0, noise=torch.zeros(mask.shape))
    for relaxation in (None, relaxed):
        kept, chosen, _ = model.keep(features, mask, relaxation=relaxation)
        assert chosen.mask[0].tolist() == [True, False, False]
        assert not kept[0, 1:].any()
        torch.testing.assert_close(kept[0, 0], features[0, 0])


def pixel_model(encoder: Any = "raw") -> tuple[RetrievalModel, CountingTowers]:
    """A model with towers that count."""
    torch.manual_seed(0)
    towers = CountingTowers()
    return RetrievalModel(small_config(), small_policy(encoder), towers).eval(), towers


def test_only_kept_frames_are_encoded_when_nothing_learns() -> None:
    pictures = torch.rand(2, NUM_FRAMES, 3, 4, 4)
    mask = torch.arange(NUM_FRAMES) < torch.tensor([[6], [2]])
    model, towers = pixel_model()
    model.video_vector(pictures, mask, pictures.mean(dim=2, keepdim=True))
    assert towers.num_encoded == 3 + 2
    model.keep(pictures, mask, pictures.mean(dim=2, keepdim=True), Relaxation(1.0))
    assert towers.num_encoded == 5 + 6 + 2, "the policy learns from the frames not kept, too"
    by_features, towers = pixel_model("features")
    by_features.video_vector(pictures, mask)
    assert towers.num_encoded == 6 + 2, "and one on features has to see them all"


def test_encoding_only_the_kept_gives_the_vectors_of_encoding_all() -> None:
    pictures, mask = torch.rand(2, NUM_FRAMES, 3, 4, 4), torch.ones(2, NUM_FRAMES).bool()
    grey = pictures.mean(dim=2, keepdim=True)
    model, _ = pixel_model()
    _, chosen, scores = model.keep(pictures, mask, grey)
    kept = chosen.matrix @ model.encode(pictures, mask)
    wanted = model.matcher.video_vector(kept, chosen.mask, scores)
    torch.testing.assert_close(model.video_vector(pictures, mask, grey), wanted)


def test_towers_bring_their_own_scale() -> None:
    model, towers = pixel_model()
    assert model.logit_scale is towers.logit_scale
    assert "own_scale" not in model.state_dict()
    assert small_model().logit_scale.item() == pytest.approx(math.log(100))


@pytest.mark.parametrize("aggregation", ["mean", "mlp", "transformer", "qscore"])
def test_gradients_reach_the_policy_through_the_kept_frames(aggregation: Any) -> None:
    model = small_model(frame_aggregation=aggregation).train()
    relaxation = Relaxation(1.0, generator=torch.Generator().manual_seed(0))
    symmetric_loss(model(*videos(), texts(), relaxation=relaxation)).backward()
    assert model.policy is not None
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
    assert model.policy.get_parameter("head.0.weight").grad.abs().max() > 0  # type: ignore[union-attr]


def test_the_same_generator_gives_the_same_choice() -> None:
    model = small_model()
    first, again, other = (
        model.keep(*videos(16), relaxation=Relaxation(1.0, generator=g))[1].indices
        for g in (torch.Generator().manual_seed(seed) for seed in (3, 3, 4))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_more_frames_can_be_kept_while_their_number_is_annealed() -> None:
    kept = small_model().keep(*videos(), relaxation=Relaxation(1.0, num_kept=5))[0]
    assert kept.shape == (4, 5, WIDTH)


def test_scores_of_the_policy_can_weigh_the_frames() -> None:
    model = small_model(frame_aggregation="mean", reuse_scores=True, frame_temperature=1e-4)
    features, mask = videos()
    best = model.score(features, mask).argmax(dim=1)
    wanted = nn.functional.normalize(features[torch.arange(4), best], dim=-1)
    torch.testing.assert_close(model.video_vector(features, mask), wanted, atol=1e-4, rtol=1e-4)


def test_a_video_has_no_vector_where_the_query_weighs_its_frames() -> None:
    model = small_model(frame_aggregation="qscore", frame_temperature=0.05)
    assert model(*videos(), texts(3)).shape == (3, 4)
    with pytest.raises(ValueError, match="with qscore a video has no vector"):
        model.video_vector(*videos())


def test_similarity_is_the_scaled_product_of_what_would_be_stored() -> None:
    model = small_model(header="seqTransf")
    features, mask = videos()
    stored = model.text_vector(texts()) @ model.video_vector(features, mask).T
    torch.testing.assert_close(model(features, mask, texts()), 100 * stored, atol=1e-4, rtol=1e-4)


def test_half_precision_features_are_compared_in_full_precision() -> None:
    model = small_model()
    features, mask = videos()
    batch = model.embed(features.half(), mask, texts().half())
    wanted = model.similarity(batch)
    halves = batch._replace(texts=batch.texts.half(), frames=batch.frames.half())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.similarity(batch), wanted)
        assert torch.equal(model.similarity(halves), wanted)
    assert wanted.dtype == torch.float32


def test_reused_scores_weigh_the_frames_before_they_see_each_other() -> None:
    matcher = Matcher(small_config(frame_aggregation="mean", header="seqTransf", reuse_scores=True))
    for weight in matcher.parameters():
        nn.init.normal_(weight, std=0.4)
    assert matcher.header is not None
    features, mask = videos()
    scores = torch.randn(mask.shape)
    weights = scores.softmax(dim=1)[..., None]
    wanted = matcher.header(features * weights).sum(dim=1)
    found = matcher.video_vector(features, mask, scores)
    torch.testing.assert_close(found, nn.functional.normalize(wanted, dim=-1))
    after = (matcher.header(features) * weights).sum(dim=1)
    assert (found - nn.functional.normalize(after, dim=-1)).abs().max() > 1e-3


def test_an_aggregation_runs_on_frames_that_reused_scores_have_weighed() -> None:
    matcher = Matcher(small_config(frame_aggregation="mlp", reuse_scores=True))
    for weight in matcher.parameters():
        nn.init.normal_(weight, std=0.4)
    features, mask = videos()
    scores = torch.randn(mask.shape)
    plain = Matcher(small_config(frame_aggregation="mlp"))
    plain.load_state_dict(matcher.state_dict())
    wanted = plain.video_vector(features * scores.softmax(dim=1)[..., None], mask)
    torch.testing.assert_close(matcher.video_vector(features, mask, scores), wanted)


def test_the_loss_is_lowest_where_each_text_finds_its_video() -> None:
    right = 10 * torch.eye(4)
    assert symmetric_loss(right) < 0.01 < symmetric_loss(right.roll(1, dims=0))
    assert float(symmetric_loss(torch.zeros(4, 4))) == pytest.approx(math.log(4))


def test_a_video_that_comes_twice_can_be_right_twice() -> None:
    similarity = torch.tensor([[9.0, 9.0, 0.0], [9.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    alone = torch.eye(3).bool()
    assert symmetric_loss(similarity, same) == pytest.approx(math.log(2) * 2 / 3, abs=1e-3)
    torch.testing.assert_close(symmetric_loss(similarity, alone), symmetric_loss(similarity))
    others = similarity.clone()
    others[0, 1] = 0.0
    assert symmetric_loss(others, same) > symmetric_loss(similarity, same)


def test_several_texts_of_a_video_want_to_be_told() -> None:
    with pytest.raises(ValueError, match=r"want one text a video, got \[4, 2\]"):
        symmetric_loss(torch.zeros(4, 2))
    owners = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]]).bool()
    assert symmetric_loss(20.0 * owners, owners) < 2.0
    nobody = torch.tensor([[1, 0, 0], [0, 1, 0]]).bool()
    assert symmetric_loss(torch.zeros(2, 3), nobody).isfinite()


def test_the_best_caption_stands_for_its_video() -> None:
    similarity = torch.tensor([[1.0, 5.0], [3.0, 2.0], [0.0, 4.0]])
    best = best_of_captions(similarity, torch.tensor([0, 0, 1]))
    assert best.tolist() == [[3.0, 5.0], [0.0, 4.0]]


def test_the_scale_stays_at_most_a_hundred() -> None:
    scale = nn.Parameter(torch.tensor(7.0))
    clamp_scale(scale)
    assert scale.exp().item() == pytest.approx(100)
    low = nn.Parameter(torch.tensor(1.0))
    clamp_scale(low)
    assert low.item() == 1.0


@pytest.mark.parametrize("header", ["meanP", "seqTransf", "transformer"])
def test_weights_go_to_the_originals_names_and_back(header: Any) -> None:
    model = RetrievalModel(small_config(header=header), small_policy(), CountingTowers())
    theirs = to_original(model.state_dict(), header)
    assert "frame_agg_mlp.4.bias" in theirs
    assert any(name.startswith("sampler.linear.") for name in theirs)
    back = from_original(theirs)
    assert back.keys() == model.state_dict().keys()
    blocks = {"seqTransf": "transformerClip.resblocks.3.", "transformer": "transformer.resblocks."}
    if header in blocks:
        assert any(name.startswith(blocks[header]) for name in theirs)


def test_weights_of_no_known_part_are_refused() -> None:
    with pytest.raises(KeyError, match="decoder"):
        from_original({"decoder.weight": torch.zeros(1)})
    with pytest.raises(KeyError, match="own_scale"):
        to_original(small_model().state_dict())
    model = RetrievalModel(small_config(header="seqLSTM"), None, CountingTowers())
    with pytest.raises(KeyError, match="lstm"):
        to_original(model.state_dict())
