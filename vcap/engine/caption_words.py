"""What a user asks of the words, what a model makes of it, and N different captions a clip."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vcap.engine.run import free_memory, is_memory_full
from vcap.errors import UsageError
from vcap.types import FrameFeatures

if TYPE_CHECKING:
    from vcap.engine.captioner import Candidate, Captioner
    from vcap.models.generation import GenerationSettings

MOST_ROWS = 512  # captions in the making; each takes memory for a number a word of the vocabulary
ROUNDS = 8  # of draws, after which a clip has no more different captions
NEXT_ROUND = 1 << 32  # added to the seed; far from the seeds that people try one after the other
LARGEST_SEED = 1 << 63
STRATEGIES = {  # of each setting that not every strategy has a use for
    "beam": ("beam",),
    "top_p": ("sample",),
    "top_k": ("sample",),
    "seed": ("sample",),
    "temperature": ("beam", "sample"),
}
SAME = ("max_length", "min_length", "temperature", "top_p", "top_k", "repetition_penalty", "seed")


class WordSettings(BaseModel):
    """How captions are worded; what is None is left to the model.

    Attributes:
        num_captions: different captions of each video or segment, best first.
        strategy: `beam`, `greedy`, or `sample` (drawn at random, seeded).
        beam: width of the search.
        top_p: the likeliest words with this much probability are drawn from.
        top_k: that many of the likeliest words are drawn from.
        temperature: below 1 for surer words, above 1 for more variety.
        repetition_penalty: above 1 makes words of the caption less likely again.
        min_length: fewest tokens of a caption, its end included.
        max_length: most tokens of a caption, its end included.
        seed: of the draws.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_captions: int = Field(default=1, ge=1)
    strategy: Literal["beam", "greedy", "sample"] | None = None
    beam: int | None = Field(default=None, ge=1)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, gt=0)
    repetition_penalty: float | None = Field(default=None, gt=0)
    min_length: int | None = Field(default=None, ge=0)
    max_length: int | None = Field(default=None, ge=1)
    seed: int | None = Field(default=None, ge=0, lt=LARGEST_SEED)


OF_THE_MODEL = WordSettings()  # one caption, as the model makes it


def check_words(words: WordSettings) -> None:
    """See that settings agree, as far as they say so themselves, before a model is loaded.

    Raises:
        UsageError: what contradicts what.
    """
    strategy = _strategy(words)
    lengths = (words.min_length or 0, words.max_length or LARGEST_SEED)
    _refuse(words, strategy or "sample", f"--strategy {strategy}", lengths)


def settled(words: WordSettings, own: "GenerationSettings") -> "GenerationSettings":
    """The settings of a model with what is asked in their place.

    A search that nobody gave a width is as wide as there are captions to find.

    Raises:
        UsageError: what is asked contradicts itself or what the model does.
    """
    asked = _strategy(words)
    strategy = asked or own.strategy
    told = f"--strategy {asked}" if asked else f"the model's own strategy, {strategy},"
    changes: dict[str, Any] = {
        name: value for name in SAME if (value := getattr(words, name)) is not None
    }
    shortest = changes.get("min_length", own.min_length)
    _refuse(words, strategy, told, (shortest, changes.get("max_length", own.max_length)))
    width = words.beam or own.num_beams
    if strategy == "beam":
        width = max(width, words.num_captions)
    changes |= {"strategy": strategy, "num_beams": width, "num_return": words.num_captions}
    return replace(own, **changes)


def _strategy(words: WordSettings) -> Literal["beam", "greedy", "sample"] | None:
    """What is asked for; a width of the search asks for a search."""
    return words.strategy or ("beam" if words.beam else None)


def _refuse(words: WordSettings, strategy: str, told: str, lengths: tuple[int, int]) -> None:
    """One error about all that does not go together; `lengths` are the least and the most."""
    problems, ways_out = [], []
    useless = [
        name
        for name, uses in STRATEGIES.items()
        if getattr(words, name) is not None and strategy not in uses
    ]
    if useless:
        problems.append(f"{told} has no use for {', '.join(map(_flag, useless))}")
        ways_out.append(f"--strategy {STRATEGIES[useless[0]][-1]}")
    number = words.num_captions
    if strategy == "greedy" and number > 1:
        problems.append(f"{told} gives one caption, not --num-captions {number}")
        ways_out.append("--strategy beam")
    if words.beam and words.beam < number:
        problems.append(f"--beam {words.beam} is too narrow for --num-captions {number}")
        ways_out.append(f"--beam {number}")
    if lengths[0] > lengths[1]:
        least, most = lengths
        problems.append(f"no caption has --min-length {least} tokens but --max-length {most}")
        ways_out.append(f"--min-length {most} --max-length {least}")
    if problems:
        raise UsageError("; ".join(problems), hint=ways_out[0])


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def caption_clips(
    captioner: "Captioner", clips: Sequence[FrameFeatures], settings: "GenerationSettings"
) -> "list[list[Candidate]]":
    """Captions of each clip, best first and no two alike; at most `num_return` of them.

    One caption is the first of what the model gives. For more, all beams of a search count, so that
    the first is still that one; where draws gave a caption twice, it is drawn again.
    """
    wanted = settings.num_return
    if wanted == 1:
        return [each[:1] for each in _generate(captioner, clips, settings)]
    ask = settings
    if settings.strategy == "beam":
        ask = replace(settings, num_return=settings.num_beams)
    found = [_different(each) for each in _generate(captioner, clips, ask)]
    for number in range(1, ROUNDS):
        short = [place for place, each in enumerate(found) if len(each) < wanted]
        if settings.strategy != "sample" or not short:
            break
        seed = (settings.seed + number * NEXT_ROUND) % LARGEST_SEED
        more = _generate(captioner, [clips[place] for place in short], replace(ask, seed=seed))
        for place, each in zip(short, more, strict=True):
            found[place] = _different([*found[place], *each])
    return [each[:wanted] for each in found]


def _generate(
    captioner: "Captioner", clips: Sequence[FrameFeatures], settings: "GenerationSettings"
) -> "list[list[Candidate]]":
    """Candidates of each clip; fewer clips at once where each takes many rows, or memory is short.

    Raises:
        MemoryError: not even one clip fits; from a device its own kind of RuntimeError.
    """
    rows = settings.num_beams if settings.strategy == "beam" else settings.num_return
    found: list[list[Candidate]] = []
    while len(found) < len(clips):
        size = max(1, min(captioner.batch_size, MOST_ROWS // rows))
        try:
            found += captioner.generate(clips[len(found) : len(found) + size], settings)
        except (MemoryError, RuntimeError) as error:
            if not is_memory_full(error) or size == 1:
                raise
            captioner.batch_size = size // 2
        if captioner.batch_size < size:
            free_memory()  # no sooner: the error holds on to what was in use
    return found


def _different(candidates: "Sequence[Candidate]") -> "list[Candidate]":
    """Best first, each text once; blanks make no difference."""
    found: dict[str, Candidate] = {}
    for each in sorted(candidates, key=lambda one: -one.score):
        found.setdefault(" ".join(each.text.split()), each)
    return list(found.values())
