"""What a model knows, as statistics of its training features.

A clip's features are averaged over its frames; its distance from the training data is the length of
the whitened difference to their mean, divided by the square root of the width, so that a clip of
the training data lies at about 1. Shapes: N clips, D feature width, K whitened directions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SHRINKAGE = 0.01  # share of the mean variance added to every direction
QUANTILE = 0.995  # of the distances of known clips
MARGIN = 1.25  # how much farther than those a clip has to be to count as unknown


@dataclass(frozen=True)
class Domain:
    """Mean [D], whitening [D, K] and the distance from which on a clip counts as unknown.

    Features may be wider than D; what comes after is not looked at.
    """

    mean: Tensor
    whitening: Tensor
    threshold: float

    def distances(self, clips: Tensor) -> Tensor:
        """Mean features of clips [N, D] -> distances [N]."""
        centred = clips[:, : len(self.mean)].float() - self.mean  # [N, D]
        return (centred @ self.whitening).square().mean(dim=1).sqrt()  # [N]


def fit_domain(clips: Tensor, held_out: Tensor | None = None, width: int = 0) -> Domain:
    """Statistics of the mean features of training clips [N, D].

    Args:
        clips: what the model was trained on.
        held_out: clips of the same kind that it was not trained on; as they lie a little farther
            than training clips, the threshold leaves room for them too.
        width: only the first so many numbers of a feature count; 0 for all.
    """
    known = clips[:, : width or None].double()  # [N, D]
    mean = known.mean(dim=0)  # [D]
    centred = known - mean  # [N, D]
    covariance = centred.T @ centred / max(1, len(known) - 1)  # [D, D]
    spread = covariance.diagonal().mean().clamp(min=1e-12)
    covariance += SHRINKAGE * spread * torch.eye(len(mean), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(covariance)
    whitening = vectors / values.clamp(min=1e-12).sqrt()  # [D, D]
    domain = Domain(mean.float(), whitening.float(), 0.0)
    parts = [part for part in (clips, held_out) if part is not None and len(part)]
    farthest = max(float(domain.distances(part).quantile(QUANTILE)) for part in parts)
    return Domain(domain.mean, domain.whitening, MARGIN * farthest)
