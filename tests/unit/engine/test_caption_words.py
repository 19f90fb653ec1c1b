"""What a user asks of the words, against what a model does of itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from vcap.engine.caption_words import WordSettings, caption_clips, check_words, settled
from vcap.errors import UsageError
from vcap.models.generation import GenerationSettings
from vcap.types import FrameFeatures

OWN = GenerationSettings(max_length=30, num_beams=3)
SAMPLER = GenerationSettings(strategy="sample", top_p=0.9)
Given = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """A caption."""

    text: str
    score: float


@dataclass
class Scripted:
    """A captioner that says what is written down, one entry a call."""

    script: list[list[list[Said]]]
    batch_size: int = 16
    room: int = 99  # clips that fit into memory
    asked: list[tuple[int, GenerationSettings]] = field(default_factory=list)

    def generate(
        self, clips: Sequence[FrameFeatures], settings: GenerationSettings
    ) -> list[list[Said]]:
        """The next entry."""
        if len(clips) > self.room:
            raise MemoryError
        self.asked.append((len(clips), settings))
        if not self.script:
            return [[Said(str(clip.times[0]), 0.0)] for clip in clips]
        return self.script[min(len(self.asked), len(self.script)) - 1]


def say(captioner: Scripted, settings: GenerationSettings, num_clips: int = 1) -> list[list[str]]:
    """The texts for some clips, each best first."""
    clips = [FrameFeatures(np.zeros((1, 2)), np.zeros(1))] * num_clips
    model: Any = captioner
    return [[one.text for one in each] for each in caption_clips(model, clips, settings)]


def test_nothing_asked_is_what_the_model_does() -> None:
    assert settled(WordSettings(), OWN) == OWN
    assert settled(WordSettings(), SAMPLER) == SAMPLER


def test_what_is_asked_takes_the_place_of_what_the_model_does_and_the_rest_stays() -> None:
    asked = WordSettings(
        strategy="sample", top_p=0.5, top_k=9, temperature=0.7, seed=4, num_captions=2
    )
    assert settled(asked, OWN) == replace(
        OWN, strategy="sample", top_p=0.5, top_k=9, temperature=0.7, seed=4, num_return=2
    )
    lengths = WordSettings(min_length=5, max_length=12, repetition_penalty=1.2)
    found = settled(lengths, OWN)
    assert (found.min_length, found.max_length, found.repetition_penalty) == (5, 12, 1.2)
    assert (found.strategy, found.num_beams) == ("beam", 3)


def test_a_width_asks_for_a_search_of_a_model_that_draws() -> None:
    assert settled(WordSettings(beam=4), SAMPLER) == replace(SAMPLER, strategy="beam", num_beams=4)


@pytest.mark.parametrize(("number", "width"), [(1, 3), (3, 3), (7, 7)])
def test_a_search_is_as_wide_as_there_are_captions_to_find(number: int, width: int) -> None:
    found = settled(WordSettings(num_captions=number), OWN)
    assert (found.num_beams, found.num_return) == (width, number)


def test_a_model_that_gives_several_of_itself_gives_as_many_as_are_asked_for() -> None:
    several = replace(OWN, num_return=3)
    assert settled(WordSettings(), several).num_return == 1
    assert settled(WordSettings(strategy="greedy"), several).strategy == "greedy"


CONTRADICTIONS: list[tuple[Given, str, str]] = [
    ({"strategy": "beam", "top_p": 0.9}, "--strategy beam has no use for --top-p", "sample"),
    ({"strategy": "beam", "seed": 0}, "--strategy beam has no use for --seed", "sample"),
    (
        {"beam": 2, "top_k": 5, "seed": 1},
        "--strategy beam has no use for --top-k, --seed",
        "--strategy sample",
    ),
    ({"strategy": "sample", "beam": 2}, "--strategy sample has no use for --beam", "beam"),
    (
        {"strategy": "greedy", "temperature": 0.5},
        "--strategy greedy has no use for --temperature",
        "--strategy sample",
    ),
    (
        {"strategy": "greedy", "num_captions": 2},
        "--strategy greedy gives one caption, not --num-captions 2",
        "--strategy beam",
    ),
    (
        {"beam": 2, "num_captions": 3},
        "--beam 2 is too narrow for --num-captions 3",
        "--beam 3",
    ),
    (
        {"min_length": 9, "max_length": 8},
        "no caption has --min-length 9 tokens but --max-length 8",
        "--min-length 8 --max-length 9",
    ),
]


@pytest.mark.parametrize(("given", "told", "way_out"), CONTRADICTIONS)
def test_options_that_contradict_each_other_are_refused_before_a_model_is_known(
    given: Given, told: str, way_out: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(told)) as caught:
        check_words(WordSettings(**given))
    assert way_out in str(caught.value.hint)
    with pytest.raises(UsageError, match=re.escape(told)):
        settled(WordSettings(**given), OWN)


def test_all_contradictions_are_told_in_one_error() -> None:
    given = WordSettings(strategy="greedy", beam=2, num_captions=3, min_length=5, max_length=4)
    with pytest.raises(UsageError) as caught:
        check_words(given)
    assert str(caught.value).count("; ") == 3


@pytest.mark.parametrize(
    ("given", "own", "told"),
    [
        ({"top_p": 0.9}, OWN, "the model's own strategy, beam, has no use for --top-p"),
        ({"min_length": 40}, OWN, "no caption has --min-length 40 tokens but --max-length 30"),
        (
            {"max_length": 4},
            replace(OWN, min_length=5),
            "no caption has --min-length 5 tokens but --max-length 4",
        ),
        (
            {"num_captions": 2},
            GenerationSettings(strategy="greedy"),
            "the model's own strategy, greedy, gives one caption, not --num-captions 2",
        ),
    ],
)
def test_what_only_the_model_rules_out_is_refused_once_it_is_known(
    given: Given, own: GenerationSettings, told: str
) -> None:
    check_words(WordSettings(**given))
    with pytest.raises(UsageError, match=re.escape(told)):
        settled(WordSettings(**given), own)


@pytest.mark.parametrize(
    ("given", "own"),
    [
        ({"top_p": 0.9, "seed": 0}, SAMPLER),
        ({"temperature": 2.0, "num_captions": 9}, OWN),
        ({"temperature": 2.0, "num_captions": 9}, SAMPLER),
        ({"strategy": "greedy", "repetition_penalty": 1.3, "min_length": 3}, SAMPLER),
        ({"beam": 9, "num_captions": 9}, OWN),
    ],
)
def test_options_that_go_together_are_taken(given: Given, own: GenerationSettings) -> None:
    check_words(WordSettings(**given))
    assert settled(WordSettings(**given), own).num_return == given.get("num_captions", 1)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"num_captions": 0}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_k": 0}),
        *({"temperature": 0.0}, {"seed": -1}, {"max_length": 0}, {"strategy": "best"}),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(wrong: Given) -> None:
    [name] = wrong
    with pytest.raises(ValueError, match=name):
        WordSettings(**wrong)


def test_one_caption_is_the_first_that_the_model_gives() -> None:
    captioner = Scripted([[[Said("a", -1.0), Said("b", -2.0)]]])
    assert say(captioner, OWN) == [["a"]]
    assert captioner.asked == [(1, OWN)]


def test_captions_that_read_the_same_count_once_and_the_next_beam_comes_instead() -> None:
    beams = [Said("a dog", -1.0), Said("a  dog", -1.5), Said("a cat", -2.0), Said("b", -3.0)]
    captioner = Scripted([[beams]])
    settings = replace(OWN, num_beams=4, num_return=2)
    assert say(captioner, settings) == [["a dog", "a cat"]]
    assert captioner.asked == [(1, replace(settings, num_return=4))]


def test_a_search_is_not_done_again_where_it_found_too_few() -> None:
    captioner = Scripted([[[Said("a", -1.0), Said("a", -1.5)]]])
    assert say(captioner, replace(OWN, num_return=2)) == [["a"]]
    assert len(captioner.asked) == 1


def test_only_clips_that_lack_a_caption_are_drawn_again_all_of_them_at_once() -> None:
    same, other = [Said("a", -1.0), Said("a", -1.0)], [Said("a", -1.0), Said("b", -2.0)]
    captioner = Scripted([[same, other, same], [[Said("c", -0.5), Said("a", -1.0)], same], [other]])
    settings = replace(SAMPLER, num_return=2, seed=7)
    assert say(captioner, settings, num_clips=3) == [["c", "a"], ["a", "b"], ["a", "b"]]
    assert [num_clips for num_clips, _ in captioner.asked] == [3, 2, 1]
    seeds = [settings.seed for _, settings in captioner.asked]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3


def test_drawing_ends_where_the_model_has_nothing_else_to_say() -> None:
    captioner = Scripted([[[Said("a", -1.0), Said("a", -1.0)]]])
    assert say(captioner, replace(SAMPLER, num_return=2)) == [["a"]]
    assert 1 < len(captioner.asked) <= 10


def test_the_largest_seed_can_be_drawn_with_again() -> None:
    captioner = Scripted([[[Said("a", -1.0)]]])
    say(captioner, replace(SAMPLER, num_return=2, seed=(1 << 63) - 1))
    assert all(0 <= settings.seed < 1 << 63 for _, settings in captioner.asked)


def numbered(num_clips: int) -> list[FrameFeatures]:
    """Clips that a captioner without a script tells by their numbers."""
    return [FrameFeatures(np.zeros((1, 2)), np.array([number])) for number in range(num_clips)]


@pytest.mark.parametrize(("width", "sizes"), [(5, [16, 4]), (100, [5] * 4), (9999, [1] * 20)])
def test_fewer_clips_share_a_batch_where_each_takes_much_memory(
    width: int, sizes: list[int]
) -> None:
    captioner = Scripted([])
    model: Any = captioner
    found = caption_clips(model, numbered(20), replace(OWN, num_beams=width))
    assert [size for size, _ in captioner.asked] == sizes
    assert [each[0].text for each in found] == [str(number) for number in range(20)]
    assert captioner.batch_size == 16


def test_where_memory_is_used_up_fewer_clips_share_a_batch_from_then_on() -> None:
    captioner = Scripted([], room=6)
    model: Any = captioner
    found = caption_clips(model, numbered(10), OWN)
    assert [size for size, _ in captioner.asked] == [4, 4, 2]
    assert [each[0].text for each in found] == [str(number) for number in range(10)]
    assert captioner.batch_size == 4


def test_a_clip_that_does_not_fit_alone_is_not_tried_for_ever() -> None:
    model: Any = Scripted([], room=0)
    with pytest.raises(MemoryError):
        caption_clips(model, numbered(2), OWN)
    assert model.batch_size == 1


def test_what_has_nothing_to_do_with_memory_is_told_as_it_is() -> None:
    class Broken(Scripted):
        def generate(self, *_: Any) -> Any:
            raise RuntimeError("shapes")

    model: Any = Broken([])
    with pytest.raises(RuntimeError, match="shapes"):
        caption_clips(model, numbered(2), OWN)
    assert model.batch_size == 16
