"""A language model that only reads from now on, its weights laid out as oneDNN multiplies them.

A step of generation multiplies few rows with all weights. With weights in blocks a processor does
that several times faster than with plain ones; the sums are rounded in another order, no more.
"""

from typing import Any

import torch
from torch import Tensor, nn

LEAST_WEIGHTS = 1 << 18  # of a layer; below that little is gained


class PackedLinear(nn.Module):
    """A linear layer that multiplies with a second copy of its weights, made once.

    The plain weights stay under their names, so that what is saved or compared does not change;
    changing them changes nothing here.
    """

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None, *, flipped: bool) -> None:
        """weight [out, in] or, `flipped`, [in, out]; bias [out]."""
        super().__init__()
        self.weight, self.bias = weight, bias
        rows = (weight.t() if flipped else weight).detach().contiguous()  # [out, in]
        self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(rows, None)

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs [..., in] -> [..., out]."""
        multiply = torch.ops.mkldnn._linear_pointwise
        out: Tensor = multiply(inputs, self._packed, self.bias, "none", [], "")  # [..., out]
        return out


def pack(lm: Any, least: int = LEAST_WEIGHTS) -> None:
    """Replace the large linear layers of a GPT-2 on the processor, in place; leave others alone.

    It takes as much memory again, and no training reaches the model any more.

    Args:
        lm: a language model of any kind.
        least: weights of the smallest layer that is replaced.
    """
    if getattr(lm.config, "model_type", "") != "gpt2" or not _can_pack(next(lm.parameters())):
        return
    for parent in [*lm.modules()]:
        for name, layer in [*parent.named_children()]:
            kind = type(layer).__name__
            if kind in ("Conv1D", "Linear") and layer.weight.numel() >= least:
                flipped = kind == "Conv1D"
                setattr(parent, name, PackedLinear(layer.weight, layer.bias, flipped=flipped))


def _can_pack(weight: Tensor) -> bool:
    """Whether this torch and this processor multiply such weights in blocks."""
    operations = torch.ops.mkldnn
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if weight.device.type != "cpu" or not has_onednn:
        return False
    if not all(hasattr(operations, n) for n in ("_reorder_linear_weight", "_linear_pointwise")):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(operations._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32
