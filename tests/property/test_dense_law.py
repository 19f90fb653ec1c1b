"""Laws of dense captioning on any events: order, repetition, and the definition itself."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plain_tools import PlainTools
from vcap.metrics.bleu import bleu_of_groups, bleu_statistics
from vcap.metrics.cider import cider
from vcap.metrics.dense import DenseProtocol, score_dense
from vcap.metrics.meteor import meteor_of_groups
from vcap.metrics.outcome import Outcome
from vcap.metrics.rouge import rouge_l
from vcap.types import Event, Segment

WORDS = st.lists(st.sampled_from(["a", "b", "c", "dog", "cat"]), min_size=1, max_size=6).map(
    " ".join
)
TIMES = st.integers(0, 12).map(float)  # small and whole, so that exact overlaps are common
EVENTS = st.lists(
    st.builds(lambda s, e, c: Event(Segment(s, e), c), TIMES, TIMES, WORDS), max_size=4
)
IDS = st.sampled_from("uvwx")
FILE = st.dictionaries(IDS, EVENTS.filter(len), min_size=1, max_size=3)
FILES = st.lists(FILE, min_size=1, max_size=2)
PREDICTED = st.dictionaries(IDS, EVENTS, max_size=4)
TIOUS = (0.3, 0.5)

quick = settings(max_examples=40, deadline=None)


def score(made: Any, files: Any, **given_settings: Any) -> Outcome:
    """The outcome with plain tools at two thresholds."""
    return score_dense(made, files, PlainTools(), DenseProtocol(tious=TIOUS, **given_settings))


def tiou(first: Segment, second: Segment) -> float:
    """The formula for one pair."""
    overlap = max(0, min(first.end, second.end) - max(first.start, second.start))
    hull = max(first.end, second.end) - min(first.start, second.start)
    union = min(hull, (first.end - first.start) + (second.end - second.start))
    return overlap / (union + 1e-8)


def one_video(proposals: list[Event], files: list[list[Event]], limit: float) -> dict[str, float]:
    """The definition in plain loops: pairs of one video at one threshold, scored together."""
    pairs = []
    for made in proposals:
        met = [e for part in files for e in part if tiou(made.segment, e.segment) >= limit]
        pairs += [(made.caption, (e.caption,)) for e in met] or [(made.caption, ("abc123!@#",))]
    if not pairs:
        return dict.fromkeys(("BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "recall", "precision"), 0.0)
    group = np.zeros(len(pairs), dtype=np.int64)
    covered = [
        [[tiou(m.segment, e.segment) > limit for e in part] for m in proposals] for part in files
    ]
    return {
        "BLEU-4": bleu_of_groups(bleu_statistics(pairs), group, 1)[0, 3],
        "METEOR": meteor_of_groups(PlainTools().meteor(pairs), group, 1)[0],
        "ROUGE-L": rouge_l(pairs).mean(),
        "CIDEr": cider(pairs).mean(),
        "recall": max(np.mean(np.any(part, axis=0)) for part in covered),
        "precision": max(np.mean(np.any(part, axis=1)) for part in covered),
    }


@quick
@given(PREDICTED, FILES)
def test_the_figures_are_those_of_the_definition_in_loops(made: Any, files: Any) -> None:
    outcome = score(made, files)
    assert set(outcome.units) == {video for file in files for video in file}
    for row, limit in enumerate(TIOUS):
        each = [
            one_video(made.get(unit, []), [file[unit] for file in files if unit in file], limit)
            for unit in outcome.units
        ]
        for name in each[0]:
            wanted = np.mean([values[name] for values in each])
            assert outcome.details["per_tiou"][name][row] == pytest.approx(wanted, abs=1e-9), name


@quick
@given(PREDICTED, FILES, st.randoms(use_true_random=False))
def test_the_order_of_videos_files_and_proposals_changes_nothing(
    made: Any, files: Any, random: Any
) -> None:
    def shuffled(events: Any) -> dict[str, list[Event]]:
        videos = random.sample([*events], len(events))
        return {video: random.sample(events[video], len(events[video])) for video in videos}

    again = score(shuffled(made), [*map(shuffled, reversed(files))])
    assert again.scores == pytest.approx(score(made, files).scores, abs=1e-9)


@quick
@given(PREDICTED, FILES)
def test_giving_a_reference_file_twice_changes_no_coverage(made: Any, files: Any) -> None:
    once, twice = score(made, files), score(made, files + files)
    for name in ("recall", "precision", "F1", "F1 of means"):
        assert twice.scores[name] == once.scores[name]
    assert twice.details["num_events"] == 2 * once.details["num_events"]


@quick
@given(FILE)
def test_saying_the_truth_finds_every_event_that_has_a_length(truth: Any) -> None:
    outcome = score(truth, [truth])
    for item in outcome.items:
        forward = [e for e in truth[item["id"]] if e.segment.end > e.segment.start]
        least = len(forward) / len(truth[item["id"]])
        assert item["scores"]["recall"] == pytest.approx(least)
        assert item["scores"]["precision"] == pytest.approx(least)


@quick
@given(PREDICTED, FILES, st.sampled_from(["video", "corpus"]), st.booleans())
def test_drawing_every_video_alike_gives_the_scores(
    made: Any, files: Any, documents: str, skip: bool
) -> None:
    outcome = score(made, files, cider=documents, skip_missing=skip)
    threefold = outcome.rescore(np.full(len(outcome.units), 3.0))
    # where nothing counts, no draw has a value and the score is 0
    drawn = {name: 0.0 if np.isnan(value) else value for name, value in threefold.items()}
    assert drawn == pytest.approx(outcome.scores, abs=1e-9)
    assert all(np.isfinite(value) for value in outcome.scores.values())


@quick
@given(PREDICTED, FILES)
def test_leaving_missing_videos_out_is_scoring_the_predicted_ones(made: Any, files: Any) -> None:
    left_out = score(made, files, skip_missing=True)
    kept = [{video: events for video, events in file.items() if video in made} for file in files]
    if any(kept):
        assert left_out.scores == pytest.approx(score(made, kept).scores, abs=1e-9)
    else:
        assert set(left_out.scores.values()) == {0.0}
