"""Policies score frames, whatever they see of them, and padding never matters."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from vcap.models.mobilenet import build_mobilenet
from vcap.models.policy import Policy, PolicyConfig, from_original, to_original
from vcap.models.selection import gumbel_noise, hard_topk, keep_best, log_probabilities

SMALL = PolicyConfig(num_frames=6, feature_width=32, hidden_width=64, head_width=16)
SEQUENCES = ("transformer", "lstm", "bilstm", "none")


class TinyCnn(nn.Module):
    """Stands for a MobileNet: one layer with statistics of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.linear = nn.Linear(3, 1280)

    def forward(self, pictures: Tensor) -> Tensor:
        """pictures [M, 3, H, W] -> [M, 1280]."""
        out: Tensor = self.linear(self.norm(pictures).mean(dim=(2, 3)))
        return out


def policy(**changes: object) -> Policy:
    """A small policy with the same random weights every time."""
    torch.manual_seed(0)
    config = replace(SMALL, **changes)  # type: ignore[arg-type]
    return Policy(config, TinyCnn() if config.uses_cnn else None)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("head", ["mlp", "fc"])
def test_a_policy_learns_in_all_its_parts(sequence: str, head: str) -> None:
    model = policy(sequence=sequence, head=head)
    scores = model(torch.randn(3, 6, 32))
    assert scores.shape == (3, 6)
    noisy = log_probabilities(scores) + gumbel_noise(scores)
    torch.autograd.backward((hard_topk(noisy, 2, 1.0).matrix * torch.randn(3, 2, 6)).sum())
    last = f"head.{len(model.head) - 1}.bias"  # moves all scores alike, so nothing teaches it
    silent = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent <= {last}


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_padded_frames_change_no_score_and_have_none(sequence: str) -> None:
    model = policy(sequence=sequence).eval()
    frames = torch.randn(2, 4, 32)
    mask = torch.tensor([[True] * 4, [True] * 3 + [False]])
    alone = model(frames[:1]), model(frames[1:, :3])
    rubbish = torch.full((2, 2, 32), torch.nan)
    frames = torch.cat([frames.masked_fill(~mask[..., None], torch.inf), rubbish], dim=1)
    mask = torch.cat([mask, torch.zeros(2, 2, dtype=torch.bool)], dim=1)
    scores = model(frames, mask)
    torch.testing.assert_close(scores[:1, :4], alone[0])
    torch.testing.assert_close(scores[1:, :3], alone[1])
    assert scores[~mask].eq(0).all()


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_frames_may_be_encoded_apart_from_their_scoring(sequence: str) -> None:
    model, frames = policy(encoder="raw", raw_side=4, sequence=sequence), torch.rand(1, 5, 1, 4, 4)
    apart = torch.cat([model.encode(frames[:, :2]), model.encode(frames[:, 2:])], dim=1)
    torch.testing.assert_close(model.score_encoded(apart), model(frames))


@pytest.mark.parametrize("sequence", ["lstm", "bilstm"])
def test_a_recurrent_policy_reads_on_over_gaps(sequence: str) -> None:
    model = policy(sequence=sequence).eval()
    frames = torch.randn(1, 5, 32)
    mask = torch.tensor([[True, False, True, True, False]])
    torch.testing.assert_close(model(frames, mask)[:, [0, 2, 3]], model(frames[:, [0, 2, 3]]))


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_video_of_padding_alone_gives_zeros(sequence: str) -> None:
    scores = policy(sequence=sequence)(torch.randn(2, 4, 32), torch.zeros(2, 4, dtype=torch.bool))
    assert scores.eq(0).all()


def test_the_length_of_a_feature_does_not_matter_to_a_policy_on_features() -> None:
    model, frames = policy(), torch.randn(2, 6, 32)
    torch.testing.assert_close(model(frames * 10), model(frames))
    torch.testing.assert_close(model(frames.half()), model(frames), rtol=0, atol=1e-3)


def test_a_policy_without_places_scores_any_number_of_frames() -> None:
    assert policy(sequence="none")(torch.randn(1, 50, 32)).shape == (1, 50)
    assert policy(sequence="bilstm")(torch.randn(1, 50, 32)).shape == (1, 50)


def test_a_policy_tells_the_same_frame_at_two_places_apart() -> None:
    scores = policy()(torch.ones(1, 6, 32))
    assert len(set(scores[0].tolist())) == 6


def test_more_frames_than_places_are_refused_by_number() -> None:
    with pytest.raises(ValueError, match="places for 6 frames, got 7"):
        policy()(torch.randn(1, 7, 32))


def test_frames_of_another_width_are_refused_by_number() -> None:
    with pytest.raises(ValueError, match="frames of 32 numbers"):
        policy()(torch.randn(1, 6, 16))


def test_raw_pictures_are_scored_pixel_by_pixel() -> None:
    model = policy(encoder="raw", raw_side=4)
    pictures = torch.rand(2, 6, 1, 4, 4)
    assert torch.equal(model(pictures), model(pictures.flatten(2)))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"encoder": "resnet50"}, "encoder"),
        ({"sequence": "gru"}, "sequence"),
        ({"head": "linear"}, "head"),
        ({"num_frames": 0}, "num_frames"),
        ({"hidden_width": 0}, "hidden_width"),
        ({"hidden_width": 200}, "hidden_width"),
    ],
)
def test_what_cannot_be_built_is_refused_by_its_field(
    changes: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=f"^{named}: "):
        replace(SMALL, **changes)  # type: ignore[arg-type]


def test_a_cnn_is_wanted_where_it_is_used_and_only_there() -> None:
    with pytest.raises(ValueError, match="wants a CNN"):
        Policy(replace(SMALL, encoder="mobilenet_v2"))
    with pytest.raises(ValueError, match="has no CNN"):
        Policy(SMALL, TinyCnn())


def test_a_frozen_cnn_learns_nothing_and_keeps_its_statistics_and_weights() -> None:
    cnn = TinyCnn()
    before = {name: value.clone() for name, value in cnn.state_dict().items()}
    model = Policy(replace(SMALL, encoder="mobilenet_v3_large"), cnn)
    for _ in range(2):
        model(torch.randn(2, 6, 3, 8, 8)).sum().backward()
        model.eval().train()
    assert all(torch.equal(before[name], value) for name, value in cnn.state_dict().items())
    assert all(parameter.grad is None for parameter in cnn.parameters())
    assert model.head[0].weight.grad is not None


def test_a_frozen_cnns_statistics_drift_in_training_only_when_asked_for() -> None:
    cnn = TinyCnn()
    model = Policy(replace(SMALL, encoder="mobilenet_v2", batch_statistics=True), cnn)
    model(torch.randn(2, 6, 3, 8, 8) + 5)
    assert int(cnn.norm.num_batches_tracked or 0) == 1
    model.eval()(torch.randn(2, 6, 3, 8, 8))
    assert int(cnn.norm.num_batches_tracked or 0) == 1


def test_an_unfrozen_cnn_learns() -> None:
    cnn = TinyCnn()
    model = Policy(replace(SMALL, encoder="mobilenet_v2", freeze_cnn=False), cnn)
    model(torch.randn(2, 6, 3, 8, 8)).square().sum().backward()
    assert cnn.linear.weight.grad is not None and cnn.linear.weight.grad.any()


def test_padded_pictures_are_no_part_of_a_batchs_statistics() -> None:
    pictures = torch.randn(2, 3, 3, 8, 8)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    pictures[0, 2] = torch.nan
    model = policy(encoder="mobilenet_v2", batch_statistics=True)
    features = model.encode(pictures, mask)
    assert features.isfinite().all() and features[0, 2].eq(0).all()
    again = policy(encoder="mobilenet_v2", batch_statistics=True)
    assert again.cnn is not None
    torch.testing.assert_close(features[mask], again.cnn(pictures[mask]))


def test_pixels_become_what_a_policy_was_trained_on() -> None:
    grey = torch.tensor([[0, 51], [102, 255]], dtype=torch.uint8).view(1, 1, 2, 2, 1)
    plain = policy(encoder="raw", raw_side=2).pictures(grey)
    assert plain.shape == (1, 1, 1, 2, 2)
    torch.testing.assert_close(plain.flatten(), torch.tensor([0.0, 0.2, 0.4, 1.0]))
    colours = torch.tensor([124, 116, 104], dtype=torch.uint8).expand(2, 3, 4, 5, 3)
    normed = policy(encoder="mobilenet_v2").pictures(colours)
    assert normed.shape == (2, 3, 3, 4, 5)
    assert normed.abs().max() < 0.02, "the mean colour of the CNN's training is zero"
    white = policy(encoder="mobilenet_v2").pictures(torch.full_like(colours, 255))
    wanted = torch.tensor([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])
    torch.testing.assert_close(white[0, 0, :, 0, 0], wanted)


def test_weights_go_to_the_originals_names_and_back() -> None:
    for sequence in SEQUENCES:
        state = policy(sequence=sequence, encoder="mobilenet_v2").state_dict()
        theirs = to_original(state)
        assert all(key.startswith("sampler.") for key in theirs)
        assert from_original(theirs).keys() == state.keys()


def test_a_key_of_no_part_of_a_policy_is_named() -> None:
    with pytest.raises(KeyError, match="frozen_clip"):
        from_original({"sampler.frozen_clip.logit_scale": torch.ones(())})


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenet_v2"])
def test_a_mobilenet_takes_the_weights_of_the_whole_classifier(name: str) -> None:
    from torchvision import models

    torch.manual_seed(0)
    whole = getattr(models, name)().eval()
    model = Policy(
        replace(SMALL, encoder=name),  # type: ignore[arg-type]
        build_mobilenet(name, whole.state_dict()),  # type: ignore[arg-type]
    )
    pictures = torch.randn(1, 2, 3, 64, 64)
    features = model.encode(pictures)
    torch.testing.assert_close(whole.classifier[-1](features[0]), whole(pictures[0]))
    assert keep_best(model(pictures), 1).indices.shape == (1, 1)


def test_a_mobilenet_refuses_the_weights_of_another() -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        build_mobilenet("mobilenet_v2", {"features.0.0.weight": torch.ones(1)})
