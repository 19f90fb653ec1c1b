"""`vcap evaluate dense`: events with times and captions, by ActivityNet's protocol and SODA."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vcap.engine.evaluation.events import read_predicted_events, read_reference_events
from vcap.engine.evaluation.inputs import Given
from vcap.engine.evaluation.problems import Problems
from vcap.metrics.dense import SCORES, DenseProtocol, score_dense
from vcap.metrics.outcome import Outcome, TextTools, merge, within
from vcap.metrics.soda import score_soda

if TYPE_CHECKING:
    from vcap.engine.evaluate import EvaluateSettings

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
SODA = "SODA_c"


def evaluate_dense(
    predictions: Given,
    references: Sequence[Given],
    settings: "EvaluateSettings",
    problems: Problems,
    tools: TextTools,
) -> Outcome:
    """Captions where segments overlap, localisation, and SODA_c.

    Raises:
        InputError: a file cannot be used, or no id is in both.
    """
    problems.ascii_only = True
    truth = read_reference_events(references, settings.split, problems)
    predicted = read_predicted_events(predictions, problems, truth.durations)
    problems.compare(predicted, truth.videos, name=predictions.name)
    asked = SCORES if settings.metrics is None else _named(settings.metrics, SCORES)
    outcomes = []
    if asked:
        protocol = DenseProtocol(
            tious=settings.tiou or THRESHOLDS,
            max_proposals=settings.max_proposals,
            year=int(settings.protocol),
            cider=settings.cider,
            skip_missing=settings.missing == "skip",
        )
        found = score_dense(predicted, truth.files, tools, protocol, metrics=asked)
        for video, count in found.details["beyond_max_proposals"].items():
            problems.add("beyond max proposals", f"{predictions.short}: {video}", count)
        outcomes.append(found)
    if settings.metrics is None or SODA in settings.metrics:
        outcomes.append(score_soda(predicted, truth.files, tools, files=settings.soda_files))
    found = merge(outcomes)
    if settings.missing == "skip":
        found = within(found, predicted)
    return replace(found, warnings=(*truth.warnings, *found.warnings))


def _named(metrics: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The figures that are asked for; `BLEU` asks for all four."""
    return tuple(name for name in known if name in metrics or name.split("-")[0] in metrics)
