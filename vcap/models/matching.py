"""From kept frames and texts to the cosines between them.

Source: AdaCLIP, ACM MM 2023, doi 10.1145/3581783.3612161, and its published code. Checked against
recorded runs of that system.
Departures: padded frames and words are masked; the video vector is made once and can be stored;
choices that the original ignores beside others are refused.
Shapes: V videos, K kept frames, N candidate frames, Q texts, L words, D width.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor, nn
from torch.nn.functional import normalize

from vcap.models import aggregation
from vcap.models.aggregation import HeaderName, masked_softmax, mean_vector, weighted_sum

AggregationName = Literal["mean", "mlp", "transformer", "qscore"]
WordAggregationName = Literal["none", "mlp", "transformer"]


@dataclass(frozen=True)
class RetrievalConfig:
    """What turns frames and texts into what is compared, the encoder and the policy aside.

    Attributes:
        feature_width: D.
        num_frames: N, candidate frames of a video.
        num_kept: K, frames the policy keeps; without a policy all N are used.
        header: what frames tell each other before they are aggregated.
        frame_aggregation: `qscore` weighs frames by the query; the others give one vector a video.
        frame_temperature: of the softmax over frames.
        word_aggregation: `none` takes the encoder's text vector.
        word_temperature: of the softmax over words.
        reuse_scores: weigh frames by the policy's scores, before the header.
        in_time_order: bring kept frames back to the order of time, which a header can use; the
            original leaves them in the order of their scores.
        num_heads: of every block; 0 for one a 64 numbers of width.
        num_positions: most frames that seqTransf can tell apart.
    """

    feature_width: int = 512
    num_frames: int = 16
    num_kept: int = 12
    header: HeaderName = "meanP"
    frame_aggregation: AggregationName = "mlp"
    frame_temperature: float = 1.0
    word_aggregation: WordAggregationName = "none"
    word_temperature: float = 1.0
    reuse_scores: bool = False
    in_time_order: bool = False
    num_heads: int = 0
    num_positions: int = 77

    def __post_init__(self) -> None:
        """Refuse what cannot be built, or what the original ignores, naming the field."""
        _choice("header", self.header, HeaderName)
        _choice("frame_aggregation", self.frame_aggregation, AggregationName)
        _choice("word_aggregation", self.word_aggregation, WordAggregationName)
        if min(self.feature_width, self.num_kept, self.num_positions) < 1 or self.num_heads < 0:
            raise ValueError("feature_width, num_kept, num_positions: want at least 1")
        if self.num_kept > self.num_frames:
            wanted = f"at most num_frames ({self.num_frames})"
            raise ValueError(f"num_kept: want {wanted}, got {self.num_kept}")
        self.refuse_more_frames("num_kept", self.num_kept)
        if not (self.frame_temperature > 0 and self.word_temperature > 0):
            raise ValueError("frame_temperature, word_temperature: want more than 0")
        if self.word_aggregation != "none" and self.frame_aggregation != "mean":
            raise ValueError("word_aggregation: goes with frame_aggregation mean only")
        if self.word_aggregation != "none" and self.reuse_scores:
            raise ValueError("reuse_scores: has no effect beside word_aggregation")
        if self.feature_width % self.heads:
            wanted = f"a divisor of {self.feature_width}"
            raise ValueError(f"num_heads: want {wanted}, got {self.heads}")

    def refuse_more_frames(self, what: str, count: int) -> None:
        """Refuse more frames of a video than the header can tell apart.

        Args:
            what: says in the message what is counted.

        Raises:
            ValueError: there are more.
        """
        if self.header == "seqTransf" and count > self.num_positions:
            wanted = f"at least {what} ({count}) with the header seqTransf"
            raise ValueError(f"num_positions: want {wanted}, got {self.num_positions}")

    @property
    def heads(self) -> int:
        """Heads of every block."""
        return self.num_heads or max(1, self.feature_width // 64)

    @property
    def is_query_dependent(self) -> bool:
        """Whether a video has no vector of its own."""
        return self.frame_aggregation == "qscore"


def _choice(field: str, value: str, known: Any) -> None:
    if value not in get_args(known):
        raise ValueError(f"{field}: want {', '.join(get_args(known))}, got {value}")


class Matcher(nn.Module):
    """All that comes after the towers: header, aggregation of frames and of words, cosines.

    Args:
        config: what to build.
        num_kept: most frames of a video that come here; None for the config's.
    """

    def __init__(self, config: RetrievalConfig, num_kept: int | None = None) -> None:
        super().__init__()
        self.config = config
        width, heads = config.feature_width, config.heads
        few = config.num_kept if num_kept is None else num_kept
        rows = config.num_positions if config.header == "seqTransf" else few
        self.header = aggregation.build_header(config.header, width, heads, rows)
        self.frame_scorer: nn.Module | None = None
        if config.frame_aggregation in ("mlp", "transformer"):
            self.frame_scorer = aggregation.build_scorer(config.frame_aggregation, width, heads)
        self.word_scorer: nn.Module | None = None
        if config.word_aggregation != "none":
            name = config.word_aggregation
            self.word_scorer = aggregation.build_scorer(name, width, heads, 1e-12)

    def kept(
        self, frames: Tensor, mask: Tensor | None = None, scores: Tensor | None = None
    ) -> Tensor:
        """What is aggregated of the kept frames.

        Args:
            frames: [V, K, D] of any length.
            mask: [V, K] bool, True where a frame is real.
            scores: [V, K] of the policy, for `reuse_scores`.

        Returns:
            [V, K, D].

        Raises:
            ValueError: scores are to be reused and are absent.
        """
        if self.config.reuse_scores:
            if scores is None:
                raise ValueError("reuse_scores: wants the policy's scores of the kept frames")
            weights = masked_softmax(scores, mask, self.config.frame_temperature)  # [V, K]
            frames = frames * weights[..., None]  # [V, K, D]
        return frames if self.header is None else self.header(frames, mask)  # [V, K, D]

    def video_vector(
        self, frames: Tensor, mask: Tensor | None = None, scores: Tensor | None = None
    ) -> Tensor:
        """Kept frames to one unit vector a video, the same whatever is asked.

        Args:
            frames: [V, K, D] of any length.
            mask: [V, K] bool, True where a frame is real.
            scores: [V, K] of the policy, for `reuse_scores`.

        Returns:
            [V, D].

        Raises:
            ValueError: the aggregation depends on the query.
        """
        if self.config.is_query_dependent:
            raise ValueError("frame_aggregation: with qscore a video has no vector of its own")
        frames = self.kept(frames, mask, scores)  # [V, K, D]
        if self.frame_scorer is not None:
            logits = self.frame_scorer(frames, mask)  # [V, K]
            weights = masked_softmax(logits, mask, self.config.frame_temperature)  # [V, K]
            return normalize(weighted_sum(frames, weights), dim=-1)  # [V, D]
        if self.config.reuse_scores:
            if mask is not None:
                frames = frames * mask[..., None]  # [V, K, D]
            return normalize(frames.sum(dim=1), dim=-1)  # [V, D]
        return mean_vector(frames, mask)  # [V, D]

    def text_vector(
        self, texts: Tensor, words: Tensor | None = None, word_mask: Tensor | None = None
    ) -> Tensor:
        """Texts to unit vectors.

        Args:
            texts: [Q, D] of the text tower.
            words: [Q, L, D] of it, for a word aggregation.
            word_mask: [Q, L] bool, True from the start to the end of the text.

        Returns:
            [Q, D].

        Raises:
            ValueError: words are to be aggregated and are absent.
        """
        if self.word_scorer is not None:
            if words is None:
                raise ValueError("word_aggregation: wants the features of the words")
            logits = self.word_scorer(words, word_mask)  # [Q, L]
            weights = masked_softmax(logits, word_mask, self.config.word_temperature)  # [Q, L]
            texts = weighted_sum(words, weights)  # [Q, D]
        return normalize(texts, dim=-1)  # [Q, D]

    def cosines(
        self,
        texts: Tensor,
        frames: Tensor,
        mask: Tensor | None = None,
        scores: Tensor | None = None,
    ) -> Tensor:
        """Unit texts [Q, D] and kept frames [V, K, D] -> cosines [Q, V]."""
        if self.config.is_query_dependent:
            frames = self.kept(frames, mask, scores)  # [V, K, D]
            temperature = self.config.frame_temperature
            return aggregation.query_cosines(texts, frames, mask, temperature)  # [Q, V]
        return texts @ self.video_vector(frames, mask, scores).T  # [Q, V]
