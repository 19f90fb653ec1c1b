"""`vcap train`: captioned videos in, a model folder out."""

from typing import Annotated

import typer

from vcap.cli import options
from vcap.cli.boundary import pasteable
from vcap.cli.output import echo_costs, echo_json, echo_plan
from vcap.engine import registry

EXAMPLE = """
vcap download shapes:clips -o clips --limit 50
vcap train lm --data clips/shapes-clips.jsonl -o run --set train.steps=20
"""

Method = Annotated[
    str,
    typer.Argument(
        metavar="METHOD", help=f"What to train: {', '.join(registry.METHODS)}.", show_default=False
    ),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="NAME|FILE",
        help="Settings: shipped, or YAML.",
        show_default=False,
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help="What to train on: a manifest, or MSR-VTT's JSON; may come again.",
        show_default=False,
    ),
]
Features = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        metavar="STORE",
        help="Features of the videos; default: made on the way.",
        show_default=False,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting.", show_default=False),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Start over in the folder of an earlier training; with --resume, go on although "
        "settings differ.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", min=0, help="Seed of everything drawn.", show_default=False
    ),
]
Flops = Annotated[
    bool,
    typer.Option(
        "--flops", help="Of retrieval: tell what a video costs, and train nothing; wants no -o."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="auto|cpu|cuda[:N]", help="Where to train.", show_default=False
    ),
]


def command(
    method: Method,
    *,
    config: Config = None,
    data: Data = None,
    features: Features = None,
    output: options.Output = None,
    settings: Set = None,
    resume: Resume = False,
    limit: options.Limit = None,
    seed: Seed = None,
    device: Device = None,
    force: Force = False,
    as_json: options.Json = False,
    dry_run: options.DryRun = False,
    flops: Flops = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a model; DIR/model is the best one, with a card that tells its scores.

    An interrupted training goes on with --resume and ends with the same bytes as an unbroken one.
    """
    from vcap.engine.processes import is_helper, launcher
    from vcap.engine.reporter import make_reporter
    from vcap.engine.train import describe, resolve, train_method
    from vcap.errors import UsageError

    if output is None and not flops:
        raise UsageError("missing option '--output' / '-o'", hint="vcap train --help")
    flags = {
        "data.train": data,
        "data.features": features,
        "data.limit": limit,
        "train.seed": seed,
        "train.device": device,
    }
    resolved = resolve(
        method, config=config, overrides=settings or (), flags=flags, need_data=not flops
    )
    if output is None or flops:
        return echo_costs(resolved, as_json)
    if dry_run:
        return echo_plan(describe(resolved, output), as_json)
    reporter = make_reporter(quiet, verbose)
    result = train_method(resolved, output, reporter=reporter, resume=resume, force=force)
    if is_helper():  # the first of several processes tells how it went
        raise typer.Exit(result.exit_code)
    if result.exit_code:
        again = launcher() + (pasteable() if resume else pasteable("--resume"))
        reporter.warn(f"stopped at step {result.step} of {result.total}; go on with: {again}")
        raise typer.Exit(result.exit_code)
    if as_json:
        model = str((output / "model").resolve())
        echo_json(
            {"id": str(output), "model": model, "step": result.step, "scores": dict(result.scores)}
        )
        return
    for name, value in result.scores.items():
        typer.echo(f"{name}\t{value:.4f}")
