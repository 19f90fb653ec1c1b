"""`vcap evaluate`: predictions and references in, scores out."""

from pathlib import Path
from typing import Any

import typer

from vcap.cli import evaluate_options as own
from vcap.cli import options
from vcap.cli.output import echo_plan
from vcap.errors import UsageError

EXAMPLE = """
vcap download shapes:clips -o clips --limit 20
vcap caption clips/shapes-clips.jsonl --json > predictions.jsonl
vcap evaluate caption predictions.jsonl --references clips/shapes-clips.jsonl
"""


def command(
    task: own.Task,
    predictions: own.Predictions,
    *,
    references: own.References,
    metrics: own.Metrics = None,
    split: own.Split = None,
    missing: own.Missing = None,
    java: own.Java = None,
    full_paraphrase_table: own.FullTable = False,
    ci: own.Ci = False,
    compare: own.Compare = None,
    resamples: own.Resamples = 1000,
    seed: own.Seed = 0,
    raw: own.Raw = False,
    per_clip: own.PerClip = False,
    protocol: own.Protocol = None,
    tiou: own.Tiou = None,
    max_proposals: own.MaxProposals = None,
    cider: own.Cider = None,
    soda_files: own.SodaFiles = None,
    ties: own.Ties = None,
    text_features: own.TextFeatures = None,
    grounding: own.Grounding = None,
    form: own.Format = None,
    output: own.OutputFile = None,
    per_item: own.PerItem = None,
    force: own.Force = False,
    as_json: own.Json = False,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score predictions against references, with the numbers of the official evaluators.

    Prints a table; its stamp says how it was made. What is wrong with the input is counted.
    """
    from vcap.engine.evaluation.publish import choose_format, refuse_targets
    from vcap.engine.reporter import make_reporter

    given: dict[str, Any] = {"metrics": _parts(metrics), "tiou": _numbers(tiou)}
    given |= {"raw": raw or None, "per_clip": per_clip or None, "protocol": protocol}
    given |= {"max_proposals": max_proposals, "cider": cider, "soda_files": soda_files}
    given |= {"missing": missing, "ties": ties, "split": split, "java": java}
    given |= {"text_features": text_features, "grounding": grounding}
    given |= {"full_paraphrase_table": full_paraphrase_table or None}
    settings = _settings(task, given)
    output = None if str(output) == "-" else output
    chosen = choose_format(form, output, as_json)
    draw: dict[str, Any] = {"ci": ci, "resamples": resamples, "seed": seed}
    sources, targets = (predictions, compare, *references), (output, _file(per_item))
    refuse_targets(targets, sources, force=force, make=not dry_run)
    if dry_run:
        plan: dict[str, Any] = {"task": task, "predictions": predictions, "references": references}
        files = {"compare": compare, "format": chosen, "output": output, "per_item": per_item}
        return echo_plan({**plan, **settings.model_dump(), **draw, **files}, as_json)
    reporter = make_reporter(quiet, verbose)
    draw |= {"other": compare, "reporter": reporter}
    verdict = _judged(task, predictions, references, settings, **draw)
    _publish(verdict, chosen, output, per_item, as_json, reporter)


def _settings(task: str, given: dict[str, Any]) -> Any:
    """The settings of the flags that were given, all of which the task must read."""
    from vcap.engine.evaluate import EvaluateSettings
    from vcap.engine.evaluation.tasks import refuse_options
    from vcap.engine.flags import from_flags

    settings = from_flags("evaluate", EvaluateSettings, given)
    refuse_options(task, [name for name, value in given.items() if value not in (None, False)])
    return settings


def _judged(*things: Any, **draw: Any) -> Any:
    """The scores and what was asked for besides, with an ear for the signal that ends vcap."""
    from vcap.engine.evaluation.compare import evaluate_and_judge
    from vcap.engine.interrupt import leaving_in_order

    with leaving_in_order():
        return evaluate_and_judge(*things, **draw)


def _parts(given: list[str] | None) -> list[str] | None:
    """`A,B` and repeated options alike as one list."""
    if given is None:
        return None
    parts = [part.strip() for text in given for part in text.split(",") if part.strip()]
    if not parts:
        raise UsageError(f"--metrics {','.join(given)}: names none", hint="--metrics BLEU,CIDEr")
    return parts


def _file(path: Path | None) -> Path | None:
    if str(path) == "-":
        raise UsageError(
            "--per-item wants a file; stdout is for the scores", hint="--per-item FILE"
        )
    return path


def _numbers(given: str | None) -> list[float] | None:
    """`0.3,0.5` as numbers; whether they make sense is for the settings to say."""
    try:
        return None if given is None else [float(part) for part in given.split(",")]
    except ValueError:
        raise UsageError(f"--tiou {given}: want numbers", hint="--tiou 0.3,0.5,0.7,0.9") from None


def _publish(
    verdict: Any, form: Any, output: Path | None, per_item: Path | None, as_json: bool, told: Any
) -> None:
    """Files first; what stdout gets comes last, so that a closed pipe costs no file."""
    from vcap.engine.evaluation.publish import item_lines, rendered, write

    if per_item is not None:
        write(per_item, item_lines(verdict))
        told.info(f"wrote {per_item}")
    if output is not None:
        write(output, rendered(verdict, form))
        told.info(f"wrote {output}")
    if output is None or as_json:
        typer.echo(rendered(verdict, "json" if as_json else form, told=True), nl=False)
