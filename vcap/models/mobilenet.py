"""Light networks for single pictures, for a policy to choose frames by.

Source: Howard et al., "MobileNetV3", arXiv:1905.02244, and Sandler et al., "MobileNetV2",
arXiv:1801.04381, cut where AdaCLIP cuts them. Departures: none.
Shapes: M pictures of H W pixels.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision import models

MobileNetName = Literal["mobilenet_v3_large", "mobilenet_v2"]


def build_mobilenet(name: MobileNetName, weights: Mapping[str, Tensor] | None = None) -> nn.Module:
    """A network that turns [M, 3, H, W] into [M, 1280].

    Args:
        name: which.
        weights: torchvision's of the whole classifier, or of the part that is kept; None leaves
            random ones.

    Raises:
        RuntimeError: weights of another network.
    """
    model: Any
    if name == "mobilenet_v3_large":
        model = models.mobilenet_v3_large()
        model.classifier = model.classifier[:2]  # the layer to 1280 and its activation
    else:
        model = models.mobilenet_v2()
        model.classifier = nn.Identity()
    if weights is not None:
        last = ("classifier.3.",) if name == "mobilenet_v3_large" else ("classifier.",)
        model.load_state_dict({k: v for k, v in weights.items() if not k.startswith(last)})
    assert isinstance(model, nn.Module)
    return model


def for_reading(network: nn.Module) -> nn.Module:
    """The same network, changed for speed in use: norms become part of the convolutions before.

    Colours lie side by side in memory, which small convolutions want on a processor. Results agree
    but for rounding; statistics stay as they are from here on.
    """
    return _merged(network.eval()).to(memory_format=torch.channels_last)


def _merged(module: nn.Module) -> nn.Module:
    """Each norm that follows a convolution taken into it."""
    children = [*module.named_children()]
    for (name, first), (after, second) in pairwise(children):
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(first, second))
            setattr(module, after, nn.Identity())
    for _, child in children:
        _merged(child)
    return module
