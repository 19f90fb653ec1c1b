"""`vcap evaluate dense`: events with times and captions, by ActivityNet's protocol and SODA."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vcap.engine.evaluation.events import read_predicted_events, read_reference_events
from vcap.engine.evaluation.inputs import Given
from vcap.engine.evaluation.problems import Problems
from vcap.metrics.outcome import Outcome, TextTools, merge

if TYPE_CHECKING:
    from vcap.engine.evaluate import EvaluateSettings

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)


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
    from vcap.metrics.dense import score_dense
    from vcap.metrics.soda import score_soda

    truth = read_reference_events(references, settings.split, problems)
    predicted = read_predicted_events(predictions, problems, truth.durations)
    problems.compare(predicted, truth.videos)
    asked = settings.metrics
    skip = settings.missing == "skip"
    outcomes = [
        score_dense(
            predicted,
            truth.files,
            tools,
            tious=settings.tiou or THRESHOLDS,
            max_proposals=settings.max_proposals,
            year=2021 if settings.protocol == "2021" else 2018,
            cider_corpus=settings.cider == "corpus",
            skip_missing=skip,
            metrics=None if asked is None else [name for name in asked if name != "SODA_c"],
        )
    ]
    if asked is None or "SODA_c" in asked:
        files = settings.soda_files
        soda = score_soda(predicted, truth.files, tools, files=files, skip_missing=skip)
        outcomes.append(soda)
    found = merge(outcomes)
    return replace(found, warnings=(*truth.warnings, *found.warnings))
