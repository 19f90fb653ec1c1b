"""Light networks for a policy: cut where they should be, and the same when changed for speed."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from vcap.models.mobilenet import MobileNetName, build_mobilenet, for_reading

NAMES: list[MobileNetName] = ["mobilenet_v3_large", "mobilenet_v2"]


def lively(name: MobileNetName) -> nn.Module:
    """A network whose norms do something."""
    torch.manual_seed(0)
    network = build_mobilenet(name)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.2, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
            nn.init.uniform_(part.weight, 0.8, 1.2)
            nn.init.uniform_(part.bias, -0.1, 0.1)
    return network.eval()


@pytest.mark.parametrize("name", NAMES)
def test_a_network_changed_for_speed_says_the_same_of_pictures(name: MobileNetName) -> None:
    network, pictures = lively(name), torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        wanted = network(pictures)
        found = for_reading(deepcopy(network))(pictures)
    assert found.shape == (3, 1280)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_no_norm_is_left_in_it(name: MobileNetName) -> None:
    network = for_reading(build_mobilenet(name).train())
    assert not network.training
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.modules())


def test_weights_of_the_whole_classifier_and_of_the_part_are_both_taken() -> None:
    network = build_mobilenet("mobilenet_v2")
    own = network.state_dict()
    whole = {**own, "classifier.1.weight": torch.zeros(1000, 1280)}
    for weights in (own, whole):
        built = build_mobilenet("mobilenet_v2", weights).state_dict()
        assert all(torch.equal(built[key], own[key]) for key in own)
    with pytest.raises(RuntimeError, match="Missing key"):
        build_mobilenet("mobilenet_v3_large", own)
