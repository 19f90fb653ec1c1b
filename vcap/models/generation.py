"""Words from a prefix: greedy decoding, beam search and sampling, shared by all captioners.

Beam search is the one of Mokady et al., "ClipCap": scores are divided by their length *inside* the
search, so that a short finished caption competes by its mean; a library's beam search, which does
so at the end, gives other captions. **Departures:** many clips at a time; keys and values are kept
between steps; several stop tokens, a shortest length and a repetition penalty, all off by default.
Shapes: B clips, K captions a clip, N = B*K rows, P prefix, W width, V vocabulary, L tokens so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

Strategy = Literal["beam", "greedy", "sample"]


class Reader(Protocol):
    """A language model that remembers what it has read."""

    @property
    def num_positions(self) -> int:
        """The longest sequence the model has positions for."""
        ...

    def start(self, prefix: Tensor) -> Tensor:
        """prefix [B, P, W] -> logits of the first token [B, V]."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """tokens [N], one a row -> logits of the next token [N, V]."""
        ...

    def select(self, rows: Tensor) -> None:
        """Keep the rows [N] of what was read, in this order."""
        ...


@dataclass(frozen=True)
class GenerationSettings:
    """How captions are made.

    Attributes:
        strategy: `beam`, `greedy`, or `sample` (drawn at random, seeded).
        num_beams: beams a clip; `beam` only.
        max_length: most tokens of a caption, the stop token included.
        min_length: tokens before the stop token may come.
        temperature: divides the logits; 0 acts as 1.
        top_p: smallest set of tokens with this much probability is drawn from; 1 for all.
        top_k: number of tokens drawn from; 0 for all.
        repetition_penalty: above 1 makes tokens of the caption less likely again.
        num_return: captions a clip, best first.
        seed: of the draws; the same for each clip, whatever is beside it in the batch.
    """

    strategy: Strategy = "beam"
    num_beams: int = 5
    max_length: int = 67
    min_length: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    num_return: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other, naming the field."""
        if self.strategy not in ("beam", "greedy", "sample"):
            raise ValueError(f"strategy: want beam, greedy or sample, got {self.strategy}")
        if min(self.num_beams, self.max_length, self.num_return) < 1:
            raise ValueError("num_beams, max_length and num_return: want at least 1")
        if not 0 < self.top_p <= 1 or self.top_k < 0 or self.repetition_penalty <= 0:
            raise ValueError("top_p: want above 0 to 1; top_k: from 0; repetition_penalty: above 0")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length: {self.min_length} exceeds max_length {self.max_length}")
        most = {"beam": self.num_beams, "greedy": 1, "sample": self.num_return}[self.strategy]
        if self.num_return > most:
            raise ValueError(f"num_return: {self.strategy} gives {most}, asked {self.num_return}")


@dataclass(frozen=True)
class Words:
    """One generated caption.

    Attributes:
        ids: the tokens, the stop token included where there is one.
        score: mean log-probability of the tokens at the temperature used.
        stopped: False where the caption was cut at the greatest length.
    """

    ids: tuple[int, ...]
    score: float
    stopped: bool


@torch.inference_mode()
def generate(
    reader: Reader, prefix: Tensor, stop_ids: Sequence[int], settings: GenerationSettings
) -> list[list[Words]]:
    """prefix [B, P, W] -> for each clip its captions, best first.

    Raises:
        ValueError: the prefix leaves the model no position to write to.
    """
    room = reader.num_positions - prefix.shape[1] + 1
    if room < 1:
        raise ValueError(f"a prefix of {prefix.shape[1]} fills {reader.num_positions} positions")
    rules = _Rules(settings, torch.tensor(list(stop_ids), device=prefix.device))
    max_length = min(settings.max_length, room)
    if settings.strategy == "beam":
        found = _beam(reader, prefix, rules, max_length)
    else:
        found = _draw(reader, prefix, rules, max_length)
    return [sorted(each, key=lambda w: -w.score)[: settings.num_return] for each in found]


class _Rules:
    """What is done to logits before a token is chosen, and when a caption ends."""

    def __init__(self, settings: GenerationSettings, stop_ids: Tensor) -> None:
        self.settings = settings
        self.stop_ids = stop_ids  # [S]

    def log_probabilities(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """logits [N, V] after tokens [N, L] -> log-probabilities [N, V]."""
        penalty, temperature = self.settings.repetition_penalty, self.settings.temperature
        if penalty != 1 and tokens.shape[1]:
            seen = logits.gather(1, tokens)  # [N, L]
            seen = torch.where(seen > 0, seen / penalty, seen * penalty)  # [N, L]
            logits = logits.scatter(1, tokens, seen)  # [N, V]
        if tokens.shape[1] + 1 < self.settings.min_length:
            logits = logits.index_fill(1, self.stop_ids, -torch.inf)  # [N, V]
        return (logits / (temperature if temperature > 0 else 1.0)).log_softmax(dim=-1)  # [N, V]

    def stops(self, tokens: Tensor) -> Tensor:
        """tokens [...] -> True where one ends its caption [...]."""
        return torch.isin(tokens, self.stop_ids)


@dataclass
class _Beams:
    """The clips still searched: tokens [B, K, L], the rest [B, K]."""

    clips: Tensor  # [B], which of all clips a row is
    tokens: Tensor
    scores: Tensor
    lengths: Tensor
    stopped: Tensor

    def words(self, row: int) -> list[Words]:
        """The captions of a clip, each cut to its length."""
        means = (self.scores[row] / self.lengths[row]).tolist()
        lengths = self.lengths[row].tolist()
        return [
            Words(tuple(ids[:length]), mean, bool(stopped))
            for ids, length, mean, stopped in zip(
                self.tokens[row].tolist(), lengths, means, self.stopped[row].tolist(), strict=True
            )
        ]

    def keep(self, rows: Tensor) -> "_Beams":
        """Only the clips [b] named."""
        return _Beams(*(value[rows] for value in vars(self).values()))


def _beam(reader: Reader, prefix: Tensor, rules: _Rules, max_length: int) -> list[list[Words]]:
    found: list[list[Words]] = [[] for _ in prefix]
    beams = _first_beams(reader.start(prefix), rules)
    num_beams = beams.tokens.shape[1]
    reader.select(torch.arange(len(prefix), device=prefix.device).repeat_interleave(num_beams))
    for step in range(1, max_length + 1):
        finished = beams.stopped.all(dim=1) | (step == max_length)  # [B]
        for row in finished.nonzero()[:, 0].tolist():
            found[int(beams.clips[row])] = beams.words(row)
        if finished.all():
            return found
        if finished.any():
            left = (~finished).nonzero()[:, 0]  # [b]
            reader.select(_rows(left, num_beams))
            beams = beams.keep(left)
        logits = reader.step(beams.tokens[:, :, -1].flatten())  # [B*K, V]
        beams, sources = _next_beams(logits, beams, rules)
        reader.select(sources)
    return found


def _rows(clips: Tensor, num_beams: int) -> Tensor:
    """clips [b] -> the rows [b*K] that belong to them."""
    beam = torch.arange(num_beams, device=clips.device)  # [K]
    return (clips[:, None] * num_beams + beam).flatten()  # [b*K]


def _first_beams(logits: Tensor, rules: _Rules) -> _Beams:
    """logits [B, V] -> the best tokens of each clip, one a beam."""
    empty = logits.new_empty((len(logits), 0), dtype=torch.int64)  # [B, 0]
    num_beams = min(rules.settings.num_beams, logits.shape[1])
    scores, tokens = rules.log_probabilities(logits, empty).topk(num_beams)  # [B, K]
    clips = torch.arange(len(logits), device=logits.device)  # [B]
    lengths = torch.ones_like(tokens)  # [B, K]
    return _Beams(clips, tokens[..., None], scores, lengths, rules.stops(tokens))


def _next_beams(logits: Tensor, beams: _Beams, rules: _Rules) -> tuple[_Beams, Tensor]:
    """Lengthen each beam by a token; also the row [B*K] that each new beam came from."""
    num_clips, num_beams, _ = beams.tokens.shape
    logp = rules.log_probabilities(logits, beams.tokens.flatten(0, 1))  # [B*K, V]
    best, ids = logp.topk(num_beams)  # [B*K, K]: no beam can send more than K on
    best, ids = best.view(num_clips, num_beams, -1), ids.view(num_clips, num_beams, -1)
    # A stopped beam goes on once, with token 0 at no cost.
    done = beams.stopped[..., None]  # [B, K, 1]
    best = best.masked_fill(done, -torch.inf)  # [B, K, K]
    best[..., 0] = best[..., 0].masked_fill(beams.stopped, 0.0)  # [B, K]
    ids = ids.masked_fill(done, 0)  # [B, K, K]
    lengths = beams.lengths + (~beams.stopped).long()  # [B, K]
    means = (beams.scores[..., None] + best) / lengths[..., None]  # [B, K, K]
    means, chosen = means.flatten(1).topk(num_beams)  # [B, K]
    source = chosen // num_beams  # [B, K]
    tokens = ids.flatten(1).gather(1, chosen)  # [B, K]
    lengths = lengths.gather(1, source)  # [B, K]
    before = beams.tokens.gather(1, source[..., None].expand_as(beams.tokens))  # [B, K, L]
    stopped = beams.stopped.gather(1, source) | rules.stops(tokens)  # [B, K]
    after = torch.cat([before, tokens[..., None]], dim=2)  # [B, K, L+1]
    first = torch.arange(num_clips, device=source.device)[:, None] * num_beams  # [B, 1]
    longer = _Beams(beams.clips, after, means * lengths, lengths, stopped)
    return longer, (first + source).flatten()  # [B*K]


def _draw(reader: Reader, prefix: Tensor, rules: _Rules, max_length: int) -> list[list[Words]]:
    """One token after the other, the likeliest or a drawn one; finished rows leave the batch."""
    settings = rules.settings
    num_rows = settings.num_return
    found: list[list[Words]] = [[] for _ in prefix]
    logits = reader.start(prefix)  # [B, V]
    rows = torch.arange(len(prefix) * num_rows, device=prefix.device)  # [N]
    reader.select(rows // num_rows)
    logits = logits[rows // num_rows]  # [N, V]
    draws = _draws(settings, max_length).to(prefix.device)  # [L, K]
    tokens = rows.new_empty((len(rows), 0))  # [N, 0]
    scores = logits.new_zeros(len(rows))  # [N]
    for step in range(max_length):
        logp = rules.log_probabilities(logits, tokens)  # [N, V]
        chosen = _choose(logp, draws[step, rows % num_rows], settings)  # [N]
        scores = scores + logp.gather(1, chosen[:, None])[:, 0]  # [N]
        tokens = torch.cat([tokens, chosen[:, None]], dim=1)  # [N, L]
        stopped = rules.stops(chosen)  # [N]
        finished = stopped if step + 1 < max_length else torch.ones_like(stopped)  # [N]
        for row in finished.nonzero()[:, 0].tolist():
            mean = float(scores[row]) / (step + 1)
            words = Words(tuple(tokens[row].tolist()), mean, bool(stopped[row]))
            found[int(rows[row]) // num_rows].append(words)
        left = (~finished).nonzero()[:, 0]  # [n]
        if not len(left):
            break
        if len(left) < len(rows):
            reader.select(left)
            rows, tokens, scores = rows[left], tokens[left], scores[left]
        logits = reader.step(tokens[:, -1])  # [N, V]
    return found


def _draws(settings: GenerationSettings, max_length: int) -> Tensor:
    """Numbers in [0, 1) for each step and caption of a clip [L, K], the same on any device."""
    generator = torch.Generator().manual_seed(settings.seed)
    return torch.rand(max_length, settings.num_return, generator=generator, dtype=torch.float64)


def _choose(logp: Tensor, draw: Tensor, settings: GenerationSettings) -> Tensor:
    """logp [N, V], draw [N] in [0, 1) -> tokens [N]."""
    if settings.strategy == "greedy":
        return logp.argmax(dim=-1)  # [N]
    ordered, ids = logp.double().sort(dim=-1, descending=True)  # [N, V]
    share = ordered.exp()  # [N, V]
    before = share.cumsum(dim=-1) - share  # [N, V]
    outside = before >= settings.top_p  # [N, V]; the likeliest token is never outside
    if settings.top_k:
        outside[:, settings.top_k :] = True
    reached = share.masked_fill(outside, 0.0).cumsum(dim=-1)  # [N, V]
    wanted = draw[:, None] * reached[:, -1:]  # [N, 1]
    place = torch.searchsorted(reached, wanted, right=True).clamp(max=logp.shape[1] - 1)  # [N, 1]
    return ids.gather(1, place)[:, 0]  # [N]
