"""Videos and their texts for retrieval: which frames are candidates, which texts go with a video.

Source: AdaCLIP, doi 10.1145/3581783.3612161. Departures: a short video is padded under a mask and
not filled up with frames that come twice; every distinct text is encoded once.
Shapes: V videos, T frames, N candidate frames, C captions, B batch, D feature width.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vcap.engine.training_data import Example, FeatureTable, Indices
from vcap.features.store import FeatureStore

CaptionMode = Literal["concat", "indep-one", "indep-all"]
EncodeTexts = Callable[[Sequence[str]], npt.NDArray[np.float32]]


def join_captions(texts: Sequence[str], mode: CaptionMode) -> list[str]:
    """The texts that ask for a video: one of all its captions, or each caption for itself."""
    return [" ".join(texts)] if mode == "concat" else list(texts)


def candidate_frames(features: Tensor, mask: Tensor, num_frames: int) -> tuple[Tensor, Tensor]:
    """N frames of each video, evenly from its first on; all of them where it has fewer.

    Args:
        features: [B, T, ...], real frames first.
        mask: [B, T] bool.
        num_frames: N.

    Returns:
        Frames [B, N, ...] and their mask [B, N].
    """
    lengths = mask.sum(dim=1, keepdim=True)  # [B, 1]
    places = torch.arange(num_frames, device=mask.device).expand(len(mask), -1)  # [B, N]
    real = places < lengths  # [B, N]
    spread = torch.where(lengths > num_frames, places * lengths // num_frames, places)  # [B, N]
    spread = spread.clamp(max=mask.shape[1] - 1)  # [B, N]
    rows = torch.arange(len(mask), device=mask.device)[:, None]  # [B, 1]
    chosen = features[rows, spread]  # [B, N, ...]
    shape = (*real.shape, *[1] * (chosen.ndim - 2))
    return chosen * real.view(shape), real


class TextTable:
    """Vectors of all captions, with the captions of each video side by side."""

    def __init__(self, texts: Sequence[Sequence[str]], encode: EncodeTexts) -> None:
        """texts: what asks for each video, at least one each."""
        flat = [text for own in texts for text in own]
        distinct = list(dict.fromkeys(flat))
        numbers = {text: number for number, text in enumerate(distinct)}
        self.vectors = torch.from_numpy(encode(distinct))  # [U, D]
        self.ids = np.array([numbers[text] for text in flat], dtype=np.int64)  # [C]
        self.counts = np.array([len(own) for own in texts], dtype=np.int64)  # [V]
        self.starts = np.cumsum(self.counts) - self.counts  # [V]
        self.videos = np.repeat(np.arange(len(texts)), self.counts)  # [C]

    def __len__(self) -> int:
        """Number of captions."""
        return len(self.ids)

    def draw(self, videos: Indices, generator: np.random.Generator) -> Indices:
        """One caption row [B] for each of the videos [B]."""
        return self.starts[videos] + generator.integers(self.counts[videos])

    def gather(self, rows: Indices) -> Tensor:
        """Caption rows [B] -> vectors [B, D]."""
        return self.vectors[self.ids[rows]]


class PairTable:
    """One split: features of its videos where they lie, and the vectors of their texts."""

    def __init__(
        self,
        examples: Sequence[Example],
        stores: Sequence[FeatureStore],
        mode: CaptionMode,
        encode: EncodeTexts,
    ) -> None:
        self.names = [one.record.id for one in examples]
        self.features = FeatureTable(stores, self.names)
        self.texts = TextTable([join_captions(one.texts, mode) for one in examples], encode)

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.names)

    def frames(self, videos: Indices, num_frames: int) -> tuple[Tensor, Tensor]:
        """Videos [B] -> candidate frames [B, N, D] and mask [B, N]."""
        features, _, mask = self.features.gather(videos)
        return candidate_frames(features, mask, num_frames)
