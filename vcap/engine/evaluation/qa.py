"""`vcap evaluate qa`: answers to questions about videos.

Predictions are ActivityNet-QA's `[{"question_id", "answer"}]`, `{question_id: answer}`, or records
with `qa`. References are `[{"question_id", "answer", "type"}]` or records with `qa`; a file of
questions beside them says which video each is about.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vcap.engine.evaluation.inputs import Given, id_of, records_in, usable_records
from vcap.engine.evaluation.problems import Problems
from vcap.engine.evaluation.splits import of_split
from vcap.errors import AnnotationError, UnavailableError
from vcap.metrics.outcome import Outcome, TextTools, only
from vcap.metrics.qa import WUPS_THRESHOLDS, Answer, Similarity, score_qa, type_number

if TYPE_CHECKING:
    from vcap.engine.evaluate import EvaluateSettings

NUMBERED = re.compile(r"(.+)_\d+")  # a question's id is its video's and a number
ID_KEYS = ("question_id", "id")
VIDEO_KEYS = ("video_name", "video_id", "video")


@dataclass
class Questions:
    """What was asked.

    Attributes:
        answers: the true answer of each question.
        videos: the video of each question, where a file says.
        texts: the question itself, where a file says.
        warnings: one sentence each.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    videos: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def video(self, question: str) -> str:
        """The video of a question, from its id where no file says."""
        numbered = NUMBERED.fullmatch(question)
        return self.videos.get(question, numbered[1] if numbered else question)


def evaluate_qa(
    predictions: Given,
    references: Sequence[Given],
    settings: "EvaluateSettings",
    problems: Problems,
    tools: TextTools,
) -> Outcome:
    """Accuracy, overall and by type, and WUPS where WordNet is at hand.

    Raises:
        InputError: a file cannot be used, or no question is in both.
    """
    questions = read_questions(references, settings.split, problems)
    answers = read_answers(predictions, problems)
    problems.compare(answers, questions.answers, what="question", name=predictions.name)
    wanted = settings.metrics or ("accuracy", "WUPS")
    wup, reason = _wordnet() if "WUPS" in wanted else (None, None)
    outcome = score_qa(answers, questions.answers, wup=wup, missing=settings.missing)
    items = [_with_question(item, questions) for item in outcome.items]
    warnings = (*questions.warnings, *outcome.warnings)
    outcome = replace(outcome, items=items, unavailable=reason or {}, warnings=warnings)
    if "accuracy" not in wanted and wup:
        return only(outcome, [name for name in outcome.scores if name.startswith("WUPS")])
    return outcome


def _wordnet() -> tuple[Similarity | None, dict[str, str] | None]:
    """Similarity of words, or why there is none."""
    from vcap.engine.evaluation.wordnet import open_wordnet

    try:
        return open_wordnet(), None
    except UnavailableError as error:
        return None, {f"WUPS@{threshold}": error.message for threshold in WUPS_THRESHOLDS}


def _with_question(item: Mapping[str, Any], questions: Questions) -> dict[str, Any]:
    text = questions.texts.get(item["id"])
    known = {} if text is None else {"query": text}
    return {**item, "video": questions.video(item["id"]), **known}


def read_questions(references: Sequence[Given], split: str | None, problems: Problems) -> Questions:
    """Questions of all files; one that is answered again is counted, and the first holds.

    Raises:
        AnnotationError: a file cannot be read, or none has answers.
        UsageError: no record of a file is of the split that is wanted.
    """
    questions = Questions()
    for given in references:
        value, told = of_split(given.load(problems), split, given.name)
        questions.warnings += told
        for where, name, entry in _entries(value, given, problems):
            _note(questions, name, entry)
            if "answer" not in entry:
                continue  # a file of questions
            if name in questions.answers:
                problems.add("duplicate", where)
                continue
            kind = type_number(entry.get("type"))
            if kind is None:
                problems.add("unknown type of question", f"{where}: {entry.get('type')}")
            text = _answer(entry["answer"], where, problems)
            questions.answers[name] = Answer("" if text is None else text, kind)
    if not questions.answers:
        raise AnnotationError(
            f"{references[0].name}: no answers in it; "
            "want [{question_id, answer, type}] or records with qa"
        )
    return questions


def _note(questions: Questions, name: str, entry: Mapping[str, Any]) -> None:
    named = (id_of(entry.get(key)) for key in VIDEO_KEYS)
    video = next((name for name in named if name is not None), None)
    if video is not None:
        questions.videos[name] = video
    if isinstance(entry.get("question"), str):
        questions.texts[name] = entry["question"]


def read_answers(given: Given, problems: Problems) -> dict[str, str]:
    """The answer to each question; one that comes again is counted, and the first holds.

    Raises:
        AnnotationError: the file cannot be read, or holds no answers.
    """
    found: dict[str, str] = {}
    for where, name, entry in _entries(given.load(problems), given, problems):
        if "answer" not in entry:
            problems.add("unusable record", where)
            continue
        if name in found:
            problems.add("duplicate", where)
            continue
        text = _answer(entry["answer"], where, problems)
        if text is not None:
            found[name] = text
    if not found:
        raise AnnotationError(f"{given.name}: no answers in it; want [{{question_id, answer}}]")
    return found


def _answer(value: Any, where: str, problems: Problems) -> str | None:
    """An answer as text; what is none is counted, and equals no answer."""
    if not isinstance(value, str):
        problems.add("unusable record", f"{where}: answer {value!r} is no text")
        return None
    problems.check_text(value, where)
    return value


def _entries(
    value: Any, given: Given, problems: Problems
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Where each question stands, its id, and what is said about it."""
    records = records_in(value)
    if records is not None:
        for name, record in usable_records(records, given, problems):
            yield from _of_record(name, record, given)
    elif isinstance(value, Mapping) and not {"question_id", "answer"} <= value.keys():
        for name, entry in value.items():
            known = entry if isinstance(entry, Mapping) else {"answer": entry}
            yield f"{given.name}: {name}", name, known
    else:
        for number, entry in enumerate(value if isinstance(value, list) else [value], start=1):
            known = entry if isinstance(entry, Mapping) else {}
            own = next((known[key] for key in ID_KEYS if known.get(key) is not None), None)
            if own is None:
                problems.add("unusable record", f"{given.name}: entry {number}")
            else:
                yield f"{given.name}: {own}", str(own), known


def _of_record(
    name: str, record: Mapping[str, Any], given: Given
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    listed = record.get("qa")
    if not isinstance(listed, list):
        yield f"{given.name}: {name}", name, record
        return
    for number, entry in enumerate(listed):
        known = dict(entry) if isinstance(entry, Mapping) else {}
        given_id = next((known[key] for key in ID_KEYS if known.get(key) is not None), None)
        own = f"{name}_{number}" if given_id is None else str(given_id)
        yield f"{given.name}: {own}", own, {"video_id": name, **known}
