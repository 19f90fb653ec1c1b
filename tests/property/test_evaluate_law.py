"""Laws of every evaluation on any values: order, perfection, repetition, weights and merging.

A case is a list of rows: the id of a unit, what is predicted for it (None: nothing) and what is
true of it. Text tools are plain ones, but for the last tests.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.caption_tools import PlainTools
from vcap.engine.evaluation.tools import open_tools
from vcap.metrics.caption import score_captions
from vcap.metrics.classification import score_classification
from vcap.metrics.dense import DenseProtocol, score_dense
from vcap.metrics.grounding import score_grounding
from vcap.metrics.outcome import Outcome, TextTools, merge
from vcap.metrics.paragraph import score_paragraphs
from vcap.metrics.qa import Answer, score_qa
from vcap.metrics.repetition import score_repetition
from vcap.metrics.retrieval import BACK, score_retrieval
from vcap.metrics.soda import score_soda
from vcap.types import Event, Segment

Row = tuple[str, Any, Any]
quick = settings(max_examples=30, deadline=None)

WORDS = st.sampled_from(["a", "dog", "cat", "runs", "sits", "Park.", "the", "red"])
TEXT = st.lists(WORDS, min_size=1, max_size=7).map(" ".join)
LONG = st.lists(WORDS, min_size=4, max_size=8).map(" ".join)  # has n-grams of every order
TIME = st.integers(0, 12).map(float)
EVENT = st.builds(lambda start, end, text: Event(Segment(start, end), text), TIME, TIME, TEXT)
EVENTS = st.lists(EVENT, min_size=1, max_size=4)
PAIR = st.tuples(TIME, TIME)
ANSWER = st.sampled_from(["yes", "no", "two dogs", "red, blue", "blue"])
LABEL = st.sampled_from(["run", "sit", "jump", "swim"])


@dataclass(frozen=True)
class Task:
    """How an evaluation scores rows, what stands in them, and which figures are no means.

    Attributes:
        corpus: figures that weigh words by all units: a copy of a unit changes them.
    """

    prediction: st.SearchStrategy[Any]
    reference: st.SearchStrategy[Any]
    score: Callable[[dict[str, Any], dict[str, Any], TextTools], Outcome]
    corpus: frozenset[str] = frozenset()


def same_or(word: str, other: str) -> float:
    """Stands for the similarity of two words."""
    return 0.95 if word[:1] == other[:1] else 0.25


CORPUS = frozenset(["CIDEr"])
TASKS = {
    "caption": Task(
        TEXT,
        st.lists(TEXT, min_size=1, max_size=3),
        score_captions,
        CORPUS,
    ),
    "clip by clip": Task(
        TEXT,
        st.lists(TEXT, min_size=1, max_size=3),
        lambda m, t, tools: score_captions(m, t, tools, mean_per_item=True),
    ),
    "paragraph": Task(
        st.lists(TEXT, max_size=3),
        TEXT,
        lambda m, t, tools: score_paragraphs(m, [t], tools),
        CORPUS,
    ),
    "dense": Task(EVENTS, EVENTS, lambda m, t, tools: score_dense(m, [t], tools)),
    "SODA_a": Task(EVENTS, EVENTS, lambda m, t, tools: score_soda(m, [t], tools, variant="a")),
    "SODA_c": Task(EVENTS, EVENTS, lambda m, t, tools: score_soda(m, [t], tools)),
    "SODA_c, CIDEr": Task(
        EVENTS, EVENTS, lambda m, t, tools: score_soda(m, [t], tools, scorer="CIDEr")
    ),
    "repetition": Task(EVENTS, EVENTS, lambda m, t, tools: score_repetition(m, [t])),
    "grounding": Task(st.lists(PAIR, max_size=6), PAIR, lambda m, t, tools: score_grounding(m, t)),
    "grounding, charades": Task(
        st.lists(PAIR, max_size=2), PAIR, lambda m, t, tools: score_grounding(m, t, form="charades")
    ),
    "qa": Task(
        ANSWER,
        st.builds(Answer, ANSWER, st.sampled_from([None, 0, 3, 5, 8])),
        lambda m, t, tools: score_qa(m, t, wup=same_or),
    ),
    "classification": Task(
        st.lists(LABEL, min_size=1, max_size=4, unique=True),
        LABEL,
        lambda m, t, tools: score_classification(m, t),
    ),
}
every_task = pytest.mark.parametrize("name", TASKS)


def rows_of(task: Task, *, most: int = 5) -> st.SearchStrategy[list[Row]]:
    """Cases of a task, with units that nothing is predicted for."""
    row = st.tuples(st.none() | task.prediction, task.reference)
    return st.lists(row, min_size=1, max_size=most).map(
        lambda values: [(f"v_{number}", *value) for number, value in enumerate(values)]
    )


def score(task: Task, rows: Sequence[Row], tools: TextTools | None = None) -> Outcome:
    """The outcome of a case."""
    made = {unit: told for unit, told, _ in rows if told is not None}
    return task.score(made, {unit: true for unit, _, true in rows}, tools or PlainTools())


def repeated(rows: Sequence[Row], times: Sequence[int]) -> list[Row]:
    """Each unit so often, every time under another name."""
    return [
        (f"{unit} {turn}", told, true)
        for (unit, told, true), number in zip(rows, times, strict=True)
        for turn in range(number)
    ]


def assert_same(found: dict[str, float], wanted: dict[str, float], besides: Any = ()) -> None:
    """The figures that both have are equal; of zero matches BLEU keeps a trace of how many."""
    for name in (found.keys() & wanted.keys()) - {*besides}:
        slack = 1e-3 if name.startswith("BLEU") else 1e-9
        assert found[name] == pytest.approx(wanted[name], abs=slack), name


@every_task
@quick
@given(data=st.data())
def test_the_order_of_the_units_changes_no_figure(name: str, data: st.DataObject) -> None:
    task = TASKS[name]
    rows = data.draw(rows_of(task))
    mixed = data.draw(st.permutations(rows))
    first, again = score(task, rows), score(task, mixed)
    assert again.scores == pytest.approx(first.scores, abs=1e-9)
    assert [*again.units] == [unit for unit, *_ in mixed]
    items = {item["id"]: item["scores"] for item in first.items}
    for item in again.items:
        assert item["scores"] == pytest.approx(items[item["id"]], abs=1e-9)


def counted(drawn: dict[str, float]) -> dict[str, float]:
    """The figures of a draw; one that nothing counts for is a score of 0."""
    return {name: 0.0 if np.isnan(value) else value for name, value in drawn.items()}


@every_task
@quick
@given(data=st.data())
def test_weights_of_one_give_the_scores(name: str, data: st.DataObject) -> None:
    outcome = score(TASKS[name], data.draw(rows_of(TASKS[name])))
    again = outcome.rescore(np.ones(len(outcome.units)))
    assert list(again) == list(outcome.scores)
    assert counted(again) == pytest.approx(outcome.scores, abs=1e-12)


@every_task
@quick
@given(data=st.data())
def test_a_copy_of_every_unit_changes_only_what_weighs_words_by_all_units(
    name: str, data: st.DataObject
) -> None:
    task = TASKS[name]
    rows = data.draw(rows_of(task))
    once, twice = score(task, rows), score(task, repeated(rows, [2] * len(rows)))
    assert list(twice.scores) == list(once.scores)
    assert_same(twice.scores, once.scores, besides=task.corpus)


@every_task
@quick
@given(data=st.data())
def test_a_weight_is_how_often_a_unit_is_there(name: str, data: st.DataObject) -> None:
    task = TASKS[name]
    rows = data.draw(rows_of(task))
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    assume(any(times))
    drawn = score(task, rows).rescore(np.array(times, dtype=np.float64))
    chosen = repeated(rows, times)
    assume(any(told is not None for _, told, _ in chosen))
    assert_same(drawn, score(task, chosen).scores, besides=task.corpus)


@every_task
@quick
@given(data=st.data())
def test_predictions_for_units_without_a_truth_change_nothing(
    name: str, data: st.DataObject
) -> None:
    task = TASKS[name]
    rows = data.draw(rows_of(task))
    assume(any(told is not None for _, told, _ in rows))
    made = {unit: told for unit, told, _ in rows if told is not None}
    truth = {unit: true for unit, _, true in rows}
    more = {**made, "v_else": data.draw(task.prediction)}
    found, wanted = (task.score(said, truth, PlainTools()) for said in (more, made))
    assert_same(found.scores, wanted.scores)
    assert found.units == wanted.units


def apart(texts: Sequence[str]) -> list[Event]:
    """Events that do not touch each other, ten seconds each."""
    return [Event(Segment(20.0 * n, 20.0 * n + 10), text) for n, text in enumerate(texts)]


SETS = st.lists(st.lists(LONG, min_size=1, max_size=4), min_size=1, max_size=4)


def videos_of(texts: Sequence[Sequence[str]]) -> dict[str, list[Event]]:
    """A video a list of captions, of events apart."""
    return {f"v_{number}": apart(said) for number, said in enumerate(texts)}


def just_under_one(value: float) -> bool:
    """Whether only the protocol's small constants are missing."""
    return 1 - 1e-6 < value < 1


@quick
@given(texts=SETS)
def test_the_truth_itself_scores_nearly_one_as_dense_captions(texts: list[list[str]]) -> None:
    videos = videos_of(texts)
    outcome = score_dense(videos, [videos], PlainTools())
    for order in (1, 2, 3, 4):
        assert just_under_one(outcome.scores[f"BLEU-{order}"])
    for figure in ("METEOR", "ROUGE-L", "recall", "precision", "F1", "F1 of means"):
        assert outcome.scores[figure] == pytest.approx(1.0), figure
    single = [item["scores"]["CIDEr"] for item in outcome.items if "\n" not in item["prediction"]]
    assert single == [0.0] * len(single)  # one pair has no words that are rare


@quick
@given(texts=SETS, variant=st.sampled_from("acd"))
def test_the_truth_itself_scores_just_under_one_as_a_story(
    texts: list[list[str]], variant: Any
) -> None:
    videos = videos_of(texts)
    found = score_soda(videos, [videos], PlainTools(), variant=variant)
    value = found.scores[f"SODA_{variant}"]
    assert value == pytest.approx(1.0) if variant == "a" else just_under_one(value)


@quick
@given(texts=SETS)
def test_a_repeated_prediction_costs_soda_precision_alone(texts: list[list[str]]) -> None:
    truth = videos_of(texts)
    twice = {video: [event for event in events for _ in "12"] for video, events in truth.items()}
    once, again = (score_soda(m, [truth], PlainTools()).details["SODA_c"] for m in (truth, twice))
    assert again["recall"] == pytest.approx(once["recall"])
    assert again["precision"] == pytest.approx(once["precision"] / 2)
    assert again["F1"] == pytest.approx(2 / 3, abs=1e-6)


@quick
@given(made=EVENTS, truth=EVENTS, data=st.data())
def test_one_more_prediction_never_costs_soda_recall(
    made: list[Event], truth: list[Event], data: st.DataObject
) -> None:
    more = [*made, data.draw(st.sampled_from(made))]
    values = [
        score_soda({"v": told}, [{"v": truth}], PlainTools()).details["SODA_c"]["recall"]
        for told in (made, more)
    ]
    assert values[1] >= values[0] - 1e-12


@quick
@given(data=st.data(), files=st.sampled_from(["mean", "best"]))
def test_a_reference_file_given_twice_changes_no_soda(data: st.DataObject, files: Any) -> None:
    rows = data.draw(rows_of(TASKS["SODA_c"]))
    made = {unit: told for unit, told, _ in rows if told is not None}
    truth = {unit: true for unit, _, true in rows}
    once, twice = (
        score_soda(made, [truth] * number, PlainTools(), files=files).scores for number in (1, 2)
    )
    assert twice == pytest.approx(once, abs=1e-12)


@quick
@given(data=st.data())
def test_videos_without_a_prediction_are_no_part_of_soda(data: st.DataObject) -> None:
    rows = data.draw(rows_of(TASKS["SODA_c"]))
    kept = [row for row in rows if row[1] is not None]
    assume(kept)
    whole, part = score(TASKS["SODA_c"], rows), score(TASKS["SODA_c"], kept)
    assert whole.scores == pytest.approx(part.scores, abs=1e-12)
    assert len(whole.units) == len(rows)


@quick
@given(texts=st.lists(LONG, min_size=1, max_size=4))
def test_perfect_paragraphs_score_one_but_for_the_cider_of_one_video(texts: list[str]) -> None:
    made = {f"v_{number}": [text] for number, text in enumerate(texts)}
    truth = {video: text for video, [text] in made.items()}
    scores = score_paragraphs(made, [truth], PlainTools()).scores
    assert all(just_under_one(scores[f"BLEU-{order}"]) for order in (1, 2, 3, 4))
    assert scores["METEOR"] == pytest.approx(1)
    assert scores["ROUGE-L"] == pytest.approx(1)
    if len({*texts}) == 1:
        assert scores["CIDEr"] == 0


@quick
@given(data=st.data(), every=st.booleans())
def test_a_reference_given_twice_changes_at_most_cider(data: st.DataObject, every: bool) -> None:
    task = TASKS["caption"]
    rows = data.draw(rows_of(task))
    more = [(unit, told, true + (true if every else true[:1])) for unit, told, true in rows]
    first, again = score(task, rows).scores, score(task, more).scores
    del first["SPICE"], again["SPICE"]
    besides = () if every else CORPUS  # which is a mean over the references
    assert {k: v for k, v in again.items() if k not in besides} == pytest.approx(
        {k: v for k, v in first.items() if k not in besides}, abs=1e-12
    )


@quick
@given(captions=st.lists(LONG, min_size=1, max_size=4))
def test_captions_that_are_said_twice_are_half_repetition(captions: list[str]) -> None:
    truth = {"v": apart(captions)}
    once, twice = (score_repetition({"v": captions * number}, [truth]).scores for number in (1, 2))
    for order in (1, 2, 3, 4):
        assert twice[f"R@{order}"] == pytest.approx((1 + once[f"R@{order}"]) / 2)
    for figure in ("Div@1", "Div@2", "RE@4"):  # only as many captions as there are events count
        assert twice[figure] == once[figure]


@quick
@given(truth=st.dictionaries(st.text(max_size=3), st.tuples(TIME, st.integers(1, 9)), min_size=1))
def test_the_true_segment_is_always_hit(truth: dict[str, tuple[float, int]]) -> None:
    true = {query: (start, start + length) for query, (start, length) in truth.items()}
    made = {query: [segment] for query, segment in true.items()}
    for form in ("activitynet", "charades"):
        scores = score_grounding(made, true, form=form).scores
        assert {v for k, v in scores.items() if k != "mIoU"} == {1.0}
        mean = scores["mIoU"]
        assert mean == 1 if form == "charades" else just_under_one(mean)


@quick
@given(data=st.data())
def test_a_proposal_said_twice_changes_no_first_hit(data: st.DataObject) -> None:
    task = TASKS["grounding"]
    rows = data.draw(rows_of(task))
    twice = [(u, None if m is None else [p for p in m for _ in "12"], t) for u, m, t in rows]
    first, again = score(task, rows).scores, score(task, twice).scores
    for figure, value in first.items():
        if figure.startswith("R@5"):
            assert again[figure] <= value  # fewer different ones are among the first five
        else:
            assert again[figure] == value


@quick
@given(data=st.data())
def test_right_answers_score_everything(data: st.DataObject) -> None:
    rows = data.draw(rows_of(TASKS["qa"]))
    right = [(unit, answer.text, answer) for unit, _, answer in rows]
    scores = score(TASKS["qa"], right).scores
    for figure, value in scores.items():
        assert value == pytest.approx(100 if figure.startswith("WUPS") else 1), figure


@quick
@given(data=st.data())
def test_the_true_label_first_is_always_right(data: st.DataObject) -> None:
    rows = data.draw(rows_of(TASKS["classification"]))
    right = [(unit, [label, "other"], label) for unit, _, label in rows]
    assert score(TASKS["classification"], right).scores == {"top-1": 1, "top-5": 1}


@st.composite
def similarities(draw: st.DrawFn, *, distinct: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A matrix of texts by videos, and the video of each text."""
    num_texts, num_videos = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    values = st.integers(0, 200) if distinct else st.integers(0, 4)
    shape = (num_texts, num_videos)
    matrix = draw(arrays(np.float64, shape, elements=values.map(float), unique=distinct))
    target = draw(arrays(np.int64, num_texts, elements=st.integers(0, num_videos - 1)))
    return matrix, target


@quick
@given(case=similarities(), ties=st.sampled_from(["worst", "best"]), data=st.data())
def test_the_order_of_texts_and_videos_changes_no_rank(
    case: Any, ties: str, data: st.DataObject
) -> None:
    matrix, target = case
    texts, videos = (data.draw(st.permutations(range(size))) for size in matrix.shape)
    moved = np.argsort(videos)[target[texts]]
    first = score_retrieval(matrix, target, ties=ties).scores
    again = score_retrieval(matrix[texts][:, videos], moved, ties=ties).scores
    assert again == pytest.approx(first, abs=1e-9)


@quick
@given(case=similarities())
def test_the_right_video_on_top_is_perfect_retrieval(case: Any) -> None:
    matrix, target = case
    matrix[np.arange(len(target)), target] = matrix.max() + 1
    outcome = score_retrieval(matrix, target)
    for figure, value in outcome.scores.items():
        assert value == (100 if "R@" in figure else 1), figure
    assert not outcome.warnings


@quick
@given(case=similarities(), ties=st.sampled_from(["worst", "best"]))
def test_every_text_given_twice_changes_no_rank_of_videos(case: Any, ties: str) -> None:
    matrix, target = case
    first = score_retrieval(matrix, target, ties=ties).scores
    again = score_retrieval(np.repeat(matrix, 2, axis=0), np.repeat(target, 2), ties=ties).scores
    for figure in (name for name in first if not name.startswith(BACK)):
        assert again[figure] == pytest.approx(first[figure]), figure


@quick
@given(case=similarities(distinct=True))
def test_a_video_that_is_there_twice_counts_against_the_model(case: Any) -> None:
    matrix, target = case
    once = score_retrieval(matrix, target).scores["MnR"]
    copies = np.concatenate([matrix, matrix], axis=1)
    worst, best = (score_retrieval(copies, target, ties=rule) for rule in ("worst", "best"))
    assert worst.scores["MnR"] == pytest.approx(2 * once)
    assert best.scores["MnR"] == pytest.approx(2 * once - 1)
    assert worst.scores["R@1"] == 0
    assert worst.warnings


@quick
@given(case=similarities(), ties=st.sampled_from(["worst", "best"]))
def test_weights_of_one_give_the_ranks_of_retrieval(case: Any, ties: str) -> None:
    outcome = score_retrieval(*case, ties=ties)
    assert outcome.rescore(np.ones(len(outcome.units))) == outcome.scores
    better = score_retrieval(*case, ties="best").scores
    assert all(better[name] >= value for name, value in outcome.scores.items() if "R@" in name)


@quick
@given(data=st.data())
def test_merged_outcomes_hold_the_figures_of_each(data: st.DataObject) -> None:
    rows = data.draw(rows_of(TASKS["dense"]))
    parts = [score(TASKS[name], rows) for name in ("dense", "SODA_c", "repetition")]
    merged, turned = merge(parts), merge(parts[::-1])
    weights = np.arange(1.0, len(rows) + 1)
    assert merged.scores == turned.scores == {k: v for p in parts for k, v in p.scores.items()}
    drawn = {k: v for p in parts for k, v in p.rescore(weights).items()}
    assert merged.rescore(weights) == pytest.approx(drawn, abs=0, nan_ok=True)
    assert counted(merged.rescore(np.ones(len(rows)))) == pytest.approx(merged.scores, abs=1e-12)
    for row, item in enumerate(merged.items):
        assert item["scores"] == {k: v for p in parts for k, v in p.items[row]["scores"].items()}
    assert merge(parts[:1]).scores == parts[0].scores


@quick
@given(data=st.data())
def test_outcomes_over_other_units_are_not_merged(data: st.DataObject) -> None:
    rows = data.draw(rows_of(TASKS["dense"]))
    more = [*rows, ("v_more", None, rows[0][2])]
    parts = [score(TASKS[name], some) for name, some in (("dense", rows), ("SODA_c", more))]
    with pytest.raises(ValueError, match="units"):
        merge(parts)


@quick
@given(data=st.data(), year=st.sampled_from([2018, 2021]))
def test_the_year_moves_nothing_but_meteor(data: st.DataObject, year: int) -> None:
    rows = data.draw(rows_of(TASKS["dense"]))
    made = {unit: told for unit, told, _ in rows if told is not None}
    truth = {unit: true for unit, _, true in rows}
    found = score_dense(made, [truth], PlainTools(), DenseProtocol(year=year)).scores
    assert_same(found, score_dense(made, [truth], PlainTools()).scores, besides=["METEOR"])


@pytest.fixture(scope="module")
def real_tools() -> Iterator[TextTools]:
    """Java's tokenizer and METEOR, or a skip."""
    if shutil.which("java") is None:
        pytest.skip("no Java")
    with open_tools() as tools:
        if "METEOR" in tools.unavailable:
            pytest.skip(tools.unavailable["METEOR"])
        tools.expect([WORDS_OF_ALL])
        yield tools


WORDS_OF_ALL = "a dog cat runs sits park the red"
SAID = ["A dog runs in the park.", "the red cat sits, and runs", "A dog and a cat", "the park"]


@pytest.mark.slow
def test_real_meteor_knows_no_order_of_clips_and_gives_the_truth_one(real_tools: TextTools) -> None:
    rows = [(f"v_{n}", text, [SAID[n - 1], text[2:]]) for n, text in enumerate(SAID)]
    first, again = (score(TASKS["caption"], some, real_tools) for some in (rows, rows[::-1]))
    assert 0 < first.scores["METEOR"] < 1
    assert again.scores == pytest.approx(first.scores, abs=1e-12)
    perfect = score(TASKS["caption"], [(u, text, [text]) for u, text, _ in rows], real_tools)
    assert perfect.scores["METEOR"] == pytest.approx(1)


@pytest.mark.slow
def test_real_meteor_gives_the_true_story_just_under_one(real_tools: TextTools) -> None:
    videos = videos_of([SAID, SAID[:1]])
    assert just_under_one(score_soda(videos, [videos], real_tools).scores["SODA_c"])
    dense = score_dense(videos, [videos], real_tools)
    assert dense.scores["METEOR"] == pytest.approx(1)
