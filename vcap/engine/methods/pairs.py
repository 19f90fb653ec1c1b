"""Videos and their texts for retrieval: which frames are candidates, which texts go with a video.

Source: AdaCLIP, doi 10.1145/3581783.3612161. Departures: a short video is padded under a mask and
not filled up with frames that come twice; every distinct text is encoded once.
Shapes: V videos, T frames, N candidate frames, C captions, U distinct texts, L tokens, B batch,
H W pixels, D feature width.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vcap.engine.training_data import Example, FeatureTable, Indices
from vcap.errors import FeatureError
from vcap.features.store import FeatureStore

if TYPE_CHECKING:
    from vcap.engine.pictures import PictureTable

CaptionMode = Literal["concat", "indep-one", "indep-all"]
ReadTexts = Callable[[Sequence[str]], npt.NDArray[Any]]  # to vectors [U, D] or tokens [U, L]


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
    """All captions as vectors or as tokens, with the captions of each video side by side."""

    def __init__(self, texts: Sequence[Sequence[str]], read: ReadTexts) -> None:
        """texts: what asks for each video, at least one each."""
        flat = [text for own in texts for text in own]
        distinct = list(dict.fromkeys(flat))
        numbers = {text: number for number, text in enumerate(distinct)}
        self.inputs = torch.from_numpy(read(distinct))  # [U, D] or [U, L]
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
        """Caption rows [B] -> vectors [B, D] or tokens [B, L]."""
        return self.inputs[self.ids[rows]]


class PairTable:
    """One split: its videos as features or pictures, or as both, and their texts.

    Attributes:
        names: ids of the videos.
        texts: what asks for them.
        features: of the videos, where they lie; None where frames are pictures.
        pictures: of the videos; None where nothing looks at any.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        mode: CaptionMode,
        read: ReadTexts,
        stores: Sequence[FeatureStore] = (),
        pictures: "PictureTable | None" = None,
    ) -> None:
        self.names = [one.record.id for one in examples]
        self.features = FeatureTable(stores, self.names) if stores else None
        self.pictures = pictures
        self.texts = TextTable([join_captions(one.texts, mode) for one in examples], read)

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.names)

    def expect(self, videos: Indices) -> None:
        """Say which videos come next, so that their pictures are made meanwhile."""
        if self.pictures is not None:
            self.pictures.expect(videos)

    def inputs(self, videos: Indices, num_frames: int) -> dict[str, Tensor]:
        """Videos [B] -> `mask` [B, N], `frames` of features [B, N, D], and pictures by their kind.

        Raises:
            FeatureError: a store has other frames of a video than its pictures are of.
        """
        pictures, mask = ({}, None) if self.pictures is None else self.pictures.gather(videos)
        found: dict[str, Tensor] = {**pictures}
        if self.features is not None:
            features, _, real = self.features.gather(videos)
            found["frames"], own = candidate_frames(features, real, num_frames)
            if mask is not None and not torch.equal(own, mask):
                row = int((own != mask).any(dim=1).nonzero()[0])
                raise FeatureError(
                    f"{self.names[int(videos[row])]}: {int(own[row].sum())} candidate frames in "
                    f"the feature store, {int(mask[row].sum())} pictures"
                )
            if mask is not None:
                self._refuse_other_times(videos, num_frames)
            mask = own
        assert mask is not None
        return {**found, "mask": mask}

    def _refuse_other_times(self, videos: Indices, num_frames: int) -> None:
        """Compare when the frames of the store are with when those of the pictures are.

        Raises:
            FeatureError: not at the same times; the video is named.
        """
        assert self.features is not None
        assert self.pictures is not None
        for video in videos.tolist():
            if self.features.is_imported(video):  # with times that nobody measured
                continue
            there = self.features.times[video, : self.features.lengths[video]]  # [T]
            if (count := len(there)) > num_frames:
                there = there[np.arange(num_frames) * count // num_frames]  # [N]
            here = np.asarray(self.pictures.times(video))  # [N]
            if here.shape == there.shape and np.allclose(there, here, rtol=1e-6, atol=1e-3):
                continue
            raise FeatureError(
                f"{self.names[video]}: the feature store has frames at {_shown(there)} s, its "
                f"pictures are at {_shown(here)} s: the features are of other frames",
                hint="vcap encode VIDEOS -o NEW-STORE  # of the videos that are here",
            )


def _shown(times: npt.NDArray[Any]) -> str:
    """The first few of some times."""
    return ", ".join(f"{time:.3f}" for time in times[:4]) + (", ..." if len(times) > 4 else "")
