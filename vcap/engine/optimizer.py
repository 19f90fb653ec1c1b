"""The optimisers of the training loop.

Source: Loshchilov and Hutter, "AdamW", arXiv:1711.05101; BertAdam as CLIP4Clip (arXiv:2104.08860)
and AdaCLIP (doi 10.1145/3581783.3612161) use it. Departures: its rates come from the loop; moments
are float32 whatever the weights are (in float16 the second one vanishes for gradients below about
1e-3, and a step is then a thousand times what was asked for).
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from vcap.engine.schedule import TrainSettings


class BertAdam(torch.optim.Optimizer):
    """Adam without the corrections for the first steps, each tensor's gradient clipped by itself.

    Weight decay is added to the step and not to the gradient.

    Args:
        params: weights, or groups of them.
        lr: learning rate.
        betas: how slowly the means of the gradients and of their squares change.
        eps: added to the root of the second.
        weight_decay: share of a weight that is added to its step.
        clip_norm: largest norm of the gradient of one tensor; 0 leaves them alone.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 0.2,
        clip_norm: float = 1.0,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps}
        super().__init__(params, {**settings, "weight_decay": weight_decay, "clip_norm": clip_norm})

    def step(self, closure: Any = None) -> Any:
        """Change every weight that has a gradient.

        Raises:
            ValueError: there is a closure.
        """
        if closure is not None:
            raise ValueError("BertAdam takes no closure")
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        weight.sub_(group["lr"] * self._direction(weight, group))

    def _direction(self, weight: Tensor, group: dict[str, Any]) -> Tensor:
        """What a weight is changed by at rate 1; its means are brought up to date."""
        assert weight.grad is not None
        gradient = weight.grad.float()
        if group["clip_norm"]:
            norm = torch.linalg.vector_norm(gradient)  # []
            gradient = gradient * (group["clip_norm"] / (norm + 1e-6)).clamp(max=1.0)
        state = self.state[weight]
        if not state:
            state["mean"] = torch.zeros_like(gradient, memory_format=torch.preserve_format)
            state["square"] = torch.zeros_like(gradient, memory_format=torch.preserve_format)
        first, second = group["betas"]
        mean = state["mean"].mul_(first).add_(gradient, alpha=1 - first)
        square = state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        decay = group["weight_decay"] * weight.float()
        direction: Tensor = mean / (square.sqrt() + group["eps"]) + decay
        return direction.to(weight.dtype)


def make_optimizer(groups: list[dict[str, Any]], settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name, over a method's groups."""
    filled = [{"lr_scale": 1.0, "weight_decay": settings.weight_decay, **group} for group in groups]
    rate, betas, eps = settings.learning_rate, settings.betas, settings.eps
    if settings.optimizer == "bertadam":
        return BertAdam(filled, rate, betas, eps, clip_norm=settings.clip_norm)
    # The fused step, which small models gain most from.
    return torch.optim.AdamW(filled, lr=rate, betas=betas, eps=eps, fused=True)
