"""Retrieval: texts find videos by the frames that a policy keeps.

Source: AdaCLIP, ACM MM 2023, doi 10.1145/3581783.3612161, and its published code. Checked against
recorded runs of that system.
Departures: padded frames are never kept; where nothing is trained only the kept frames are encoded;
frames and texts may be features of a store; kept frames may be brought back to the order of time;
a video that comes twice in a batch need not count against itself.
Shapes: B videos, N candidate frames, K kept, Q texts, L words, D width.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vcap.models import policy as policies
from vcap.models import selection
from vcap.models.matching import Matcher, RetrievalConfig
from vcap.models.policy import Policy
from vcap.models.selection import Selection
from vcap.models.words import TextFeatures, text_features

__all__ = [
    "Embedded",
    "Matcher",
    "Relaxation",
    "RetrievalConfig",
    "RetrievalModel",
    "best_of_captions",
    "clamp_scale",
    "from_original",
    "symmetric_loss",
    "to_original",
]

MOST_SCALE = math.log(100)


@dataclass(frozen=True)
class Relaxation:
    """How frames are chosen while the policy learns.

    Attributes:
        temperature: of the relaxed choice.
        num_kept: frames kept while that is annealed; None for the model's own number.
        noise: [B, N] Gumbel noise; None draws it.
        generator: what it is drawn from.
    """

    temperature: float
    num_kept: int | None = None
    noise: Tensor | None = None
    generator: torch.Generator | None = None


class Embedded(NamedTuple):
    """A batch before its texts meet its videos; processes that train together gather these.

    Attributes:
        texts: [Q, D] of any length, as the tower or the store gives them.
        words: [Q, L, D] where words are aggregated.
        word_mask: [Q, L] bool with them.
        frames: [B, K, D] kept, of any length.
        mask: [B, K] bool, True where a frame is real.
        scores: [B, K] of the policy; zero without one.
    """

    texts: Tensor
    words: Tensor | None
    word_mask: Tensor | None
    frames: Tensor
    mask: Tensor
    scores: Tensor


class RetrievalModel(nn.Module):
    """A policy that keeps frames, both towers, and the matcher.

    Frames are features [B, N, D], or pictures [B, N, C, H, W] for the towers; texts are features
    [Q, D], or tokens [Q, L] int64 for the towers.

    Args:
        config: of the matcher.
        policy: scores frames; None keeps all.
        clip: both towers, of open_clip's kinds; None where all is stored features.
        logit_scale: logarithm of the scale, without towers that bring their own.

    Raises:
        ValueError: the parts do not fit each other.
    """

    def __init__(
        self,
        config: RetrievalConfig,
        policy: Policy | None = None,
        clip: nn.Module | None = None,
        logit_scale: float = MOST_SCALE,
    ) -> None:
        super().__init__()
        if policy is None and config.reuse_scores:
            raise ValueError("reuse_scores: wants a policy")
        if clip is None and config.word_aggregation != "none":
            raise ValueError("word_aggregation: wants the text tower")
        if policy is None:
            config.refuse_more_frames("num_frames, as no policy chooses,", config.num_frames)
        else:
            _refuse_other_sizes(config, policy)
        self.config = config
        self.matcher = Matcher(config, num_kept=config.num_kept if policy else config.num_frames)
        self.policy = policy
        self.clip = clip
        if clip is None:
            self.own_scale = nn.Parameter(torch.tensor(float(logit_scale)))  # []

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of what cosines are multiplied by []."""
        tower: Any = self.clip
        scale: Tensor = self.own_scale if tower is None else tower.logit_scale  # []
        return scale

    @property
    def selects_by_features(self) -> bool:
        """Whether frames have to be encoded before some of them can be kept."""
        return self.policy is None or self.policy.config.encoder == "features"

    def encode(self, frames: Tensor, mask: Tensor) -> Tensor:
        """frames [B, N, ...], mask [B, N] -> features [B, N, D]; padded pictures give zeros.

        Raises:
            ValueError: pictures, and no tower to encode them.
        """
        if frames.dim() == 3:
            return frames.float()  # [B, N, D], stores hold halves
        features: Tensor = self._towers.encode_image(frames[mask])  # [real, D]
        out = features.new_zeros(*mask.shape, features.shape[-1])  # [B, N, D]
        return out.masked_scatter(mask[..., None], features)  # [B, N, D]

    def read(self, texts: Tensor) -> TextFeatures | tuple[Tensor, None, None]:
        """texts [Q, D] or tokens [Q, L] -> features of the texts, and of their words of tokens.

        Raises:
            ValueError: tokens, and no tower to read them.
        """
        if texts.is_floating_point():
            return texts.float(), None, None  # [Q, D]
        return text_features(self._towers, texts)

    @property
    def _towers(self) -> Any:
        if self.clip is None:
            raise ValueError("the model has no towers; it wants stored features")
        return self.clip

    def score(self, frames: Tensor, mask: Tensor) -> Tensor:
        """What the policy thinks of frames [B, N, ...] with mask [B, N]: [B, N], or zeros.

        Raises:
            ValueError: features for a policy that reads pictures, or the other way round.
        """
        if self.policy is None:
            return torch.zeros(mask.shape, device=mask.device)  # [B, N]
        if (frames.dim() == 3) != self.selects_by_features:
            raise ValueError(
                f"the policy reads {self.policy.config.encoder}, got frames {[*frames.shape]}"
            )
        scores: Tensor = self.policy(frames, mask)  # [B, N]
        return scores

    def select(self, scores: Tensor, mask: Tensor, relaxation: Relaxation | None) -> Selection:
        """scores [B, N], mask [B, N] -> the kept frames; all, in order, without a policy."""
        if self.policy is None:
            return selection.keep_best(scores, scores.shape[1], mask)
        if relaxation is None:
            chosen = selection.keep_best(scores, self.config.num_kept, mask)
        else:
            noise = relaxation.noise
            if noise is None:
                noise = selection.gumbel_noise(scores, relaxation.generator)  # [B, N]
            logs = selection.log_probabilities(scores, mask) + noise  # [B, N]
            k = relaxation.num_kept or self.config.num_kept
            chosen = selection.hard_topk(logs, k, relaxation.temperature, mask)
        return chosen.in_time_order() if self.config.in_time_order else chosen

    def keep(
        self,
        frames: Tensor,
        mask: Tensor,
        policy_frames: Tensor | None = None,
        relaxation: Relaxation | None = None,
    ) -> tuple[Tensor, Selection, Tensor]:
        """Choose frames and encode what is needed for it.

        Args:
            frames: [B, N, D] features or [B, N, C, H, W] pictures for the towers.
            mask: [B, N] bool, True where a frame is real.
            policy_frames: [B, N, C, H, W] pictures for a policy that reads them.
            relaxation: lets gradients reach the policy, which takes the features of all frames;
                None keeps the best, and encodes no others where the policy reads pictures.

        Returns:
            Features of the kept frames [B, K, D], the selection, and their scores [B, K].
        """
        if relaxation is not None or self.selects_by_features:
            frames = self.encode(frames, mask)  # [B, N, D]
        scores = self.score(frames if policy_frames is None else policy_frames, mask)  # [B, N]
        chosen = self.select(scores, mask, relaxation)
        if relaxation is None:
            kept = self.encode(_pick(frames, chosen.indices), chosen.mask)  # [B, K, D]
            kept = kept * chosen.mask[..., None]  # [B, K, D]
        else:
            with torch.autocast(frames.device.type, enabled=False):
                kept = chosen.matrix @ frames.float()  # [B, K, D]
        return kept, chosen, scores.gather(1, chosen.indices)

    def embed(
        self,
        frames: Tensor,
        mask: Tensor,
        texts: Tensor,
        policy_frames: Tensor | None = None,
        relaxation: Relaxation | None = None,
    ) -> Embedded:
        """All that can be said of videos and of texts apart; arguments as of `keep` and `read`."""
        kept, chosen, scores = self.keep(frames, mask, policy_frames, relaxation)
        whole, words, word_mask = self.read(texts)
        if self.config.word_aggregation == "none":
            words = word_mask = None
        return Embedded(whole, words, word_mask, kept, chosen.mask, scores)

    def similarity(self, batch: Embedded) -> Tensor:
        """Scaled cosines of all texts with all videos of a batch [Q, B].

        In float32 always: at a scale of 100 a half's cosine is off by several hundredths.
        """
        with torch.autocast(batch.frames.device.type, enabled=False):
            words = None if batch.words is None else batch.words.float()  # [Q, L, D]
            texts = self.matcher.text_vector(batch.texts.float(), words, batch.word_mask)  # [Q, D]
            frames, scores = batch.frames.float(), batch.scores.float()  # [B, K, D], [B, K]
            cosines = self.matcher.cosines(texts, frames, batch.mask, scores)  # [Q, B]
            return self.logit_scale.float().exp() * cosines  # [Q, B]

    def forward(
        self,
        frames: Tensor,
        mask: Tensor,
        texts: Tensor,
        policy_frames: Tensor | None = None,
        relaxation: Relaxation | None = None,
    ) -> Tensor:
        """Scaled cosines [Q, B]; arguments as of `embed`."""
        return self.similarity(self.embed(frames, mask, texts, policy_frames, relaxation))

    def video_vector(
        self, frames: Tensor, mask: Tensor, policy_frames: Tensor | None = None
    ) -> Tensor:
        """One unit vector a video [B, D], to be stored; arguments as of `keep`.

        Raises:
            ValueError: the aggregation depends on the query.
        """
        kept, chosen, scores = self.keep(frames, mask, policy_frames)
        return self.matcher.video_vector(kept, chosen.mask, scores)  # [B, D]

    def text_vector(self, texts: Tensor) -> Tensor:
        """texts [Q, D] or tokens [Q, L] -> unit vectors [Q, D]."""
        return self.matcher.text_vector(*self.read(texts))  # [Q, D]


def _refuse_other_sizes(config: RetrievalConfig, policy: Policy) -> None:
    """Refuse a policy that cannot read the frames there will be."""
    own = policy.config
    if policy.positions is not None and own.num_frames < config.num_frames:
        wanted = f"at most the policy's ({own.num_frames})"
        raise ValueError(f"num_frames: want {wanted}, got {config.num_frames}")
    if own.encoder == "features" and own.feature_width != config.feature_width:
        wanted = f"the policy's ({own.feature_width})"
        raise ValueError(f"feature_width: want {wanted}, got {config.feature_width}")


def _pick(frames: Tensor, indices: Tensor) -> Tensor:
    """frames [B, N, ...] at indices [B, K] -> [B, K, ...]."""
    rows = torch.arange(len(frames), device=frames.device)[:, None]  # [B, 1]
    return frames[rows, indices]  # [B, K, ...]


def symmetric_loss(similarity: Tensor, positives: Tensor | None = None) -> Tensor:
    """Mean of the text-to-video and the video-to-text cross-entropies.

    Args:
        similarity: [Q, V] already scaled.
        positives: [Q, V] bool, True where a text is of a video, shared equally where several are,
            and nothing is asked of one without any; absent, text i is of video i alone, and a
            video that comes twice counts against itself.

    Returns:
        [].
    """
    if positives is None:
        if similarity.shape[0] != similarity.shape[1]:
            raise ValueError(f"want one text a video, got {[*similarity.shape]}")
        target = torch.arange(len(similarity), device=similarity.device)  # [B]
        both = cross_entropy(similarity, target) + cross_entropy(similarity.T, target)  # []
        return both / 2  # []
    wanted = positives.to(similarity.dtype)  # [Q, V]
    rows = wanted / wanted.sum(dim=1, keepdim=True).clamp(min=1)  # [Q, V]
    columns = (wanted / wanted.sum(dim=0, keepdim=True).clamp(min=1)).T  # [V, Q]
    return (cross_entropy(similarity, rows) + cross_entropy(similarity.T, columns)) / 2  # []


def best_of_captions(similarity: Tensor, video_of_text: Tensor) -> Tensor:
    """Of several captions of a video the most similar, video by video.

    Args:
        similarity: [Q, V].
        video_of_text: [Q] int64, the column that answers each row; every video has a text.

    Returns:
        [V, V], as a loss over videos takes it.
    """
    num_videos = similarity.shape[1]
    out = similarity.new_full((num_videos, num_videos), -torch.inf)  # [V, V]
    rows = video_of_text[:, None].expand_as(similarity)  # [Q, V]
    return out.scatter_reduce(0, rows, similarity, "amax")  # [V, V]


@torch.no_grad()
def clamp_scale(logit_scale: Tensor) -> None:
    """Keep the logarithm of the scale [] at most ln 100, in place, as after every step."""
    logit_scale.clamp_(max=MOST_SCALE)


_PARTS = {
    "clip.": "clip.",
    "frame_agg_mlp.": "matcher.frame_scorer.mlp.",
    "frame_agg_transformer.resblocks.0.": "matcher.frame_scorer.block.",
    "frame_agg_proj.": "matcher.frame_scorer.project.",
    "word_agg_mlp.": "matcher.word_scorer.mlp.",
    "word_agg_transformer.resblocks.0.": "matcher.word_scorer.block.",
    "word_agg_proj.": "matcher.word_scorer.project.",
    "frame_position_embeddings.": "matcher.header.positions.",
    "transformerClip.resblocks.": "matcher.header.blocks.",
    "transformer.resblocks.": "matcher.header.blocks.",
}


def from_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the original's whole model to ours.

    Raises:
        KeyError: a key that belongs to no part of the original.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith("sampler."):
            own = policies.from_original({key: value})
            renamed |= {f"policy.{name}": part for name, part in own.items()}
        else:
            renamed[policies.swap_start(key, _PARTS.items())] = value
    return renamed


def to_original(state: Mapping[str, Tensor], header: str = "meanP") -> dict[str, Tensor]:
    """Rename our weights to the original's; its two headers have names of their own.

    Raises:
        KeyError: a part the original does not have: an LSTM, or a scale without towers.
    """
    left_out = "transformer" if header == "seqTransf" else "transformerClip"
    parts = [(b, a) for a, b in _PARTS.items() if not a.startswith(f"{left_out}.")]
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith("policy."):
            renamed |= policies.to_original({key.removeprefix("policy."): value})
        else:
            renamed[policies.swap_start(key, parts)] = value
    return renamed
