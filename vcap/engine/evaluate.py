"""`vcap evaluate`: predictions against references, by the field's own protocols."""

import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

import vcap
from vcap.engine.evaluation.inputs import Given, open_given
from vcap.engine.evaluation.problems import Problems
from vcap.engine.evaluation.report import Report, groups_of
from vcap.engine.evaluation.tasks import CAPTION_METRICS, TASKS, Task
from vcap.engine.reporter import Reporter
from vcap.errors import DeviceError, UnavailableError, UsageError
from vcap.metrics.outcome import Outcome

if TYPE_CHECKING:
    from vcap.engine.evaluation.tools import Tools

Threshold = Annotated[float, Field(gt=0, lt=1)]
Year = Annotated[Literal["2018", "2021"], BeforeValidator(str)]  # YAML reads a number


class EvaluateSettings(BaseModel):
    """What may be chosen; a task reads what concerns it.

    Attributes:
        metrics: only these; None for all that can be had.
        raw: caption: no tokenizer, words are what stands between blanks.
        per_clip: caption: score each clip as a set of its own, and take the mean.
        protocol: dense: of which year.
        tiou: dense, grounding: thresholds; None for those of the protocol.
        max_proposals: dense: how many predictions of a video count, the first ones.
        cider: dense: document frequencies within a video, or over all pairs of a threshold.
        missing: caption, dense: a video without prediction counts 0, or is left out.
        soda_files: dense: several reference files: mean of each alone, merged, or the best.
        ties: retrieval: equal similarities count against the model, or for it.
        text_features: retrieval: the store of texts, where the predictions are a store of videos.
        grounding: which form the predictions have; None to see by the file.
        split: of reference files that hold more than one.
        full_paraphrase_table: METEOR reads all of its table, not what the captions need.
        java: None: where it is there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    raw: bool = False
    per_clip: bool = False
    protocol: Year = "2018"
    tiou: Annotated[tuple[Threshold, ...], Field(min_length=1)] | None = None
    max_proposals: Annotated[int, Field(ge=1)] = 1000
    cider: Literal["video", "corpus"] = "video"
    missing: Literal["zero", "skip"] = "zero"
    soda_files: Literal["mean", "merged", "best"] = "mean"
    ties: Literal["worst", "best"] = "worst"
    text_features: str | None = None
    grounding: Literal["activitynet", "charades"] | None = None
    split: str | None = None
    full_paraphrase_table: bool = False
    java: bool | None = None

    @field_validator("tiou")
    @classmethod
    def _refuse_twins(cls, tiou: tuple[float, ...] | None) -> tuple[float, ...] | None:
        """A threshold that stands twice would count twice in the mean."""
        if tiou is not None and len(set(tiou)) < len(tiou):
            raise ValueError("a threshold stands twice")
        return tiou


Run = Callable[[Given, Sequence[Given], EvaluateSettings, Problems, Any], Outcome]


def evaluate(
    task: str,
    predictions: Path | str | Given,
    references: Sequence[Path | str | Given],
    settings: EvaluateSettings | None = None,
    *,
    stdin: BinaryIO | None = None,
    reporter: Reporter | None = None,
    tools: "Tools | None" = None,
) -> Report:
    """Score predictions.

    Args:
        task: one of `TASKS`.
        predictions: a file, a folder of features, or `-` for stdin.
        references: one or more files.
        settings: what was chosen.
        stdin: what `-` stands for; that of the process if not given.
        reporter: who hears warnings.
        tools: open text tools to share with other evaluations; opened for this one if not given.

    Raises:
        UsageError: there is no such task or metric, or no reference, or it is stdin.
        InputError: a file cannot be used, or no id is in both.
        UnavailableError: a metric that was asked for by name cannot be had.
    """
    settings, reporter = settings or EvaluateSettings(), reporter or Reporter()
    kind = _task(task)
    settings = settings.model_copy(update={"metrics": _metrics(task, kind, settings)})
    if not references:
        raise UsageError("nothing to compare with", hint="--references FILE")
    source = stdin if stdin is not None else getattr(sys.stdin, "buffer", None)
    if "-" in map(str, references):
        raise UsageError("references are files; only predictions, or --compare, can be stdin")
    given = open_given(predictions, source)
    truth = [open_given(path) for path in references]
    with nullcontext(tools) if tools is not None else text_tools(settings, reporter) as opened:
        return _evaluate(task, given, truth, settings, reporter, opened)


def text_tools(settings: EvaluateSettings, reporter: Reporter) -> "AbstractContextManager[Tools]":
    """The tokenizer and the programs that these settings ask for."""
    from vcap.engine.evaluation.tools import open_tools

    full = settings.full_paraphrase_table
    return open_tools(java=settings.java, full_paraphrase_table=full, reporter=reporter)


def _evaluate(
    task: str,
    given: Given,
    truth: Sequence[Given],
    settings: EvaluateSettings,
    reporter: Reporter,
    tools: "Tools",
) -> Report:
    if TASKS[task].text:
        _refuse_unavailable(settings, tools.unavailable)
    outcome, problems = _scored(task, given, truth, settings, tools)
    _refuse_unavailable(settings, outcome.unavailable)
    stamp = _tools_stamp(task, settings, outcome, tools.stamp()) if TASKS[task].text else {}
    for text in (*_absent(outcome.unavailable), *outcome.warnings, *problems.lines()):
        reporter.warn(text)
    groups = groups_of(outcome)
    facts = _facts(task, outcome, problems, groups)
    names = {"predictions": given.name, "references": [each.name for each in truth]}
    return Report(task, outcome, problems, {**facts, **names, **stamp}, groups)


def _scored(
    task: str, given: Given, truth: Sequence[Given], settings: EvaluateSettings, tools: "Tools"
) -> tuple[Outcome, Problems]:
    """Figures and complaints; again without a program that failed and that nobody asked for."""
    run: Run = getattr(import_module(f"vcap.engine.evaluation.{task}"), f"evaluate_{task}")
    problems, absent = Problems(), set(tools.unavailable)
    try:
        return run(given, truth, settings, problems, tools), problems
    except (DeviceError, UnavailableError):
        if settings.metrics is not None or settings.java or absent.issuperset(tools.unavailable):
            raise
    return _scored(task, given, truth, settings, tools)


def _absent(unavailable: Mapping[str, str]) -> list[str]:
    """One line a reason."""
    names: dict[str, list[str]] = {}
    for name, reason in unavailable.items():
        names.setdefault(reason, []).append(name)
    return [
        f"{', '.join(found)} {'is' if len(found) == 1 else 'are'} not available: {reason}"
        for reason, found in names.items()
    ]


def _tools_stamp(
    task: str, settings: EvaluateSettings, outcome: Outcome, stamp: Mapping[str, Any]
) -> dict[str, Any]:
    """What the tools say of themselves; None for those that had no part in the scores."""
    found, scores = dict(stamp), outcome.scores.keys()
    meteor, spice = bool({"METEOR", "SODA_c"} & scores), "SPICE" in scores
    if task == "caption" and settings.raw:
        found["tokenizer"] = "none: words as they stand between blanks"
    elif task == "paragraph":
        found["tokenizer"] = "none: runs of ASCII letters, lower case"
    elif not any(name.startswith((*CAPTION_METRICS, "SODA_c")) for name in scores):
        found["tokenizer"] = None
    java = meteor or spice or "(Java)" in (found.get("tokenizer") or "")
    idle = [("METEOR", meteor), ("paraphrase_table", meteor), ("SPICE", spice)]
    idle += [("java", java), ("pycocoevalcap", java)]
    return found | {name: None for name, used in idle if name in found and not used}


def _facts(
    task: str, outcome: Outcome, problems: Problems, groups: Sequence[str]
) -> dict[str, Any]:
    return {
        "vcap": vcap.__version__,
        "task": task,
        "protocol": outcome.protocol,
        "num_videos": len(set(groups)),
        "num_units": len(outcome.units),
        "num_missing": problems.count("missing"),
        "num_extra": problems.count("extra"),
    }


def _task(name: str) -> Task:
    if name in TASKS:
        return TASKS[name]
    near = difflib.get_close_matches(name, TASKS, n=1)
    offer = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"no task {name}{offer} There are {', '.join(TASKS)}")


def _metrics(task: str, kind: Task, settings: EvaluateSettings) -> tuple[str, ...] | None:
    """The metrics asked for, spelled as they are known; `bleu-4` asks for the whole of BLEU."""
    if settings.metrics is None:
        return None
    if not kind.metrics:
        raise UsageError(f"{task} has no metrics to choose from; all are computed")
    known = {_plain(name): name for name in kind.metrics}
    found = []
    for name in settings.metrics:
        plain = _plain(name)
        if plain[:4] == "bleu" and plain[4:] in ("1", "2", "3", "4"):
            plain = "bleu"
        if plain not in known:
            near = difflib.get_close_matches(plain, known, n=1)
            offer = f"; did you mean {known[near[0]]}?" if near else ""
            raise UsageError(f"{task} has no metric {name}{offer} ({', '.join(kind.metrics)})")
        found.append(known[plain])
    return tuple(dict.fromkeys(found))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _refuse_unavailable(settings: EvaluateSettings, unavailable: Mapping[str, str]) -> None:
    for name in settings.metrics or ():
        reason = next((text for key, text in unavailable.items() if key.startswith(name)), None)
        if reason is not None:
            raise UnavailableError(f"{name} is not available: {reason}", hint="vcap doctor")
