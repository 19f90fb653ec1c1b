"""How far footage lies from what a captioner was trained on.

A clip's features are averaged over time, centred and whitened; the length of what comes out, per
dimension, is near one for training footage. Footage beyond the threshold gets a warning.
Shapes: N clips, D feature width, K whitened dimensions.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vcap.errors import CheckpointError

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Domain:
    """Where training footage lies.

    Attributes:
        mean: [D] of the clips' mean features.
        whitening: [D, K].
        threshold: distance beyond which a clip is unlike the training footage.
    """

    mean: Floats
    whitening: Floats
    threshold: float

    def distance(self, features: npt.NDArray[np.floating]) -> float:
        """features [T, D] of one clip -> root mean square of its whitened mean; 1 is usual."""
        centred = features.astype(np.float32).mean(axis=0) - self.mean  # [D]
        return float(np.sqrt(np.mean((centred @ self.whitening) ** 2)))


def fit_domain(
    pooled: npt.NDArray[np.floating],
    quantile: float = 0.999,
    margin: float = 1.25,
    directions: int = 0,
) -> Domain:
    """Learn where clips lie from their time-averaged features [N, D].

    Directions in which the clips hardly differ get the smallest deviation of the others, so that
    what leaves the training footage's subspace counts as far.

    Args:
        pooled: [N, D], two clips or more.
        quantile: share of the clips that lie within the threshold before the margin.
        margin: what the threshold is multiplied by.
        directions: K, those in which the clips differ least, as other footage is found out by what
            known footage never does; 0: all.

    Raises:
        ValueError: fewer than two clips.
    """
    if len(pooled) < 2:
        raise ValueError(f"want two clips or more, got {len(pooled)}")
    rows = pooled.astype(np.float64)
    mean = rows.mean(axis=0)  # [D]
    values, vectors = np.linalg.eigh(np.cov(rows, rowvar=False).reshape(2 * rows.shape[1:]))
    values, vectors = values[: directions or None], vectors[:, : directions or None]  # ascending
    floor = max(float(values.max()) * 1e-4, 1e-12)
    whitening = vectors / np.sqrt(np.maximum(values, floor))  # [D, K]
    lengths = np.sqrt(np.mean(((rows - mean) @ whitening) ** 2, axis=1))  # [N]
    threshold = float(np.quantile(lengths, quantile)) * margin
    return Domain(mean.astype(np.float32), whitening.astype(np.float32), threshold)


def save_domain(domain: Domain, path: Path) -> None:
    """Write mean and whitening; the threshold belongs into `config.json`."""
    from safetensors.numpy import save

    path.write_bytes(save({"mean": domain.mean, "whitening": domain.whitening}))


def load_domain(path: Path, threshold: float) -> Domain:
    """Read what `save_domain` wrote.

    Raises:
        CheckpointError: missing, damaged, or of another form.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
        mean, whitening = (found[key].astype(np.float32) for key in ("mean", "whitening"))
    except (OSError, SafetensorError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if mean.ndim != 1 or whitening.ndim != 2 or len(mean) != len(whitening):
        raise CheckpointError(
            f"{path}: want mean [D] and whitening [D, K], got {[*mean.shape]}, {[*whitening.shape]}"
        )
    return Domain(mean, whitening, threshold)
