"""`train`: a config and manifests in, a run folder with a model in it out."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcap.engine import registry
from vcap.engine.files import has_leftovers, output_errors, settle_folder
from vcap.engine.fingerprint import differences
from vcap.engine.interrupt import StopRequest
from vcap.engine.lock import PRIVATE, hold
from vcap.engine.processes import is_helper, num_started, own_device
from vcap.engine.reporter import Reporter
from vcap.engine.run import Run, choose_device, open_run, seed_everything
from vcap.engine.schedule import TrainConfig
from vcap.engine.settings import dump_yaml, load_settings, parse_yaml
from vcap.errors import ConfigError, InputError, OutputError, UsageError

if TYPE_CHECKING:
    from vcap.engine.training_data import Splits

FREE = {"train.device", "train.keep"}  # may differ between the parts of one run
MADE = ("checkpoints", "features", "plots", "model", "metrics.jsonl", "timing.jsonl", "scores.json")
CONFIG, LOG = "config.yaml", "metrics.jsonl"


@dataclass(frozen=True)
class TrainResult:
    """How a training ended.

    Attributes:
        done_before: nothing was done, as the run was finished already.
        exit_code: 130 or 143 where it was interrupted.
    """

    folder: Path
    step: int
    total: int
    scores: Mapping[str, float] = field(default_factory=dict)
    done_before: bool = False
    exit_code: int = 0


def resolve(
    method: str,
    *,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    need_data: bool = True,
) -> TrainConfig:
    """The whole config of a training, from a file, the environment and the command line.

    Args:
        flags: dotted key -> value of other options; None leaves a key alone.
        need_data: refuse a config that names nothing to train on.

    Raises:
        UsageError: there is no such method, or nothing to train on.
        ConfigError: a key is unknown, a value wrong, or the file is for another method.
    """
    registry.find(registry.METHODS, method, "method")
    wishes = {key: value for key, value in (flags or {}).items() if value is not None}
    given = [f"{key}={json.dumps(value)}" for key, value in wishes.items()]
    extra = [] if config else [f"method={method}"]
    if "data.train" in wishes:  # the splits of one's own manifest, not those of the file's
        extra += ["data.val=[]", "data.test=[]"]
    settings = load_settings(TrainConfig, config=config, overrides=[*extra, *overrides, *given])
    if settings.method != method:
        raise ConfigError(
            f"{config} is for the method {settings.method}",
            hint=f"vcap train {settings.method} -c {config}",
        )
    if need_data and not settings.data.train:
        raise UsageError(
            "nothing to train on", hint=f"vcap train {method} --data MANIFEST.jsonl -o RUN"
        )
    return settings


def train_method(
    settings: TrainConfig,
    output: Path,
    *,
    reporter: Reporter,
    resume: bool = False,
    force: bool = False,
    stop: StopRequest | None = None,
) -> TrainResult:
    """Train in a folder, go on where an interrupted training stopped, or say that all is done.

    Args:
        resume: go on from the newest checkpoint.
        force: start over; with `resume`, go on although the config differs.

    Raises:
        UsageError: the folder holds an unfinished run, and `resume` is not given.
        ConfigError: the folder holds a run of another config.
        OutputError: the folder holds something that no training put there.
    """
    refuse_what_is_not_ours(output)
    refuse_other_config(settings, output, force)
    if not force and (output / "model").is_dir() and (output / "scores.json").is_file():
        _settle(output)
        reporter.info(f"nothing to do: {output} holds the finished model")
        return _finished(output, settings.method)
    begun = (output / LOG).exists() and not is_helper()
    if begun and not (resume or force):
        raise UsageError(
            f"{output} holds an unfinished run",
            hint=f"vcap train {settings.method} -o {output} --resume, with the same options",
        )
    device, seed = settings.train.device, settings.train.seed
    if is_helper():
        seed_everything(seed)
        with stop or StopRequest() as helper_stop:
            place = choose_device(device)
            return _train(
                settings, Run(output, settings, device=place, seed=seed, stop=helper_stop)
            )
    with open_run(output, settings, reporter=reporter, device=device, seed=seed, stop=stop) as run:
        if force and not resume:
            _clear(output)
        elif force:  # unfinished from now on: the scores are those of other settings
            (output / "scores.json").unlink(missing_ok=True)
        return _train(settings, run)


def _train(settings: TrainConfig, run: Run) -> TrainResult:
    import torch

    from vcap.engine.trainer import train
    from vcap.engine.training_data import load_splits

    if settings.train.threads:
        torch.set_num_threads(settings.train.threads)
    run.device = own_device(run.device)
    kind = _method(settings)
    splits = load_splits(settings.data)
    sizes = {"train": len(splits.train), "val": len(splits.val)}
    sizes |= {name: len(part) for name, part in splits.test.items()}
    run.reporter.info("records: " + ", ".join(f"{name} {n}" for name, n in sizes.items()))
    if kind.reads_features(settings) and not settings.data.features:
        if num_started() > 1:
            raise UsageError(
                "several processes need --features", hint="vcap encode VIDEOS -o STORE"
            )
        settings = _encoded(settings, splits, run)
        if run.stop.requested:
            return TrainResult(run.folder, 0, 0, exit_code=run.stop.exit_code)
    method = kind(settings, splits, run)
    outcome = train(method, settings.train, run)
    code = run.stop.exit_code if outcome.interrupted else 0
    return TrainResult(run.folder, outcome.step, outcome.total, outcome.scores, exit_code=code)


def _method(settings: TrainConfig) -> Any:
    """The method of these settings; features that are not as they say are refused first."""
    from vcap.engine.given_features import refuse_other_features

    kind = registry.load(registry.find(registry.METHODS, settings.method, "method"))
    if kind.reads_features(settings):
        refuse_other_features(settings)
    return kind


def _encoded(settings: TrainConfig, splits: "Splits", run: Run) -> TrainConfig:
    """Put the features of all videos into the run's folder; what is there is not done again."""
    from vcap.engine.encode import encode
    from vcap.engine.inputs import Source

    store = run.folder / "features"
    absent = [one.record.id for one in splits.everything if one.record.path is None]
    if absent:
        raise InputError(
            f"{len(absent)} of {len(splits.everything)} records have no video here, such as "
            f"{absent[0]}",
            hint=f"vcap train {settings.method} --features STORE, with the same options",
        )
    sources = [
        Source(one.record.id, one.path, one.segment, one.record) for one in splits.everything
    ]
    encode(
        sources,
        store,
        reporter=run.reporter,
        model=settings.encoder,
        features=settings.features,
        sampler=settings.sampler,
        device=settings.train.device,
        stop=run.stop,
    )
    data = settings.data.model_copy(update={"features": (str(store),)})
    return settings.model_copy(update={"data": data})


def refuse_what_is_not_ours(output: Path) -> None:
    """Leave a folder alone that no training made, whatever is forced.

    Raises:
        OutputError: a file or folder is there that a training would replace.
    """
    if is_run(output) or is_helper():
        return
    for name in (*MADE, CONFIG):
        if os.path.lexists(output / name):
            raise OutputError(
                f"{output} holds {name}, and was not made by vcap train",
                hint="another folder after -o",
            )


def is_run(folder: Path) -> bool:
    """Whether a training began in a folder, by the settings and the traces it left there."""
    if not ((folder / LOG).is_file() or (folder / PRIVATE).is_dir()):
        return False
    try:
        settings = parse_yaml((folder / CONFIG).read_text(encoding="utf-8"), CONFIG)
    except (OSError, UnicodeDecodeError, ConfigError):
        return False
    return isinstance(settings, Mapping) and {"method", "data", "train"} <= settings.keys()


def refuse_other_config(settings: TrainConfig, output: Path, force: bool) -> None:
    """Compare with the config that the folder was made by.

    Raises:
        ConfigError: they differ in what decides the result; the keys are named.
    """
    path = output / CONFIG
    if force or not (path.is_file() and (output / LOG).is_file()):
        return
    there = _flat(parse_yaml(path.read_text(encoding="utf-8"), str(path)))
    here = _flat(parse_yaml(dump_yaml(settings), "settings"))
    found = [line for line in differences(here, there) if line.partition(":")[0] not in FREE]
    if found:
        raise ConfigError(
            f"{output} holds a run of another config; " + "; ".join(found),
            hint="another folder with -o, or --force to start over in this one",
        )


def _flat(values: Any, above: str = "") -> dict[str, Any]:
    """Nested settings under dotted keys."""
    if not isinstance(values, Mapping):
        return {above.removesuffix("."): values}
    return {
        key: value
        for name, inner in values.items()
        for key, value in _flat(inner, f"{above}{name}.").items()
    }


def _finished(output: Path, method: str) -> TrainResult:
    path = output / "scores.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        step, scores = int(content["step"]), dict(content["scores"])
    except (ValueError, KeyError, TypeError) as error:
        again = f"vcap train {method} -o {output} --resume --force, with the same options"
        raise OutputError(f"{path} is damaged", hint=again) from error
    return TrainResult(output, step, step, scores, done_before=True)


def _settle(output: Path) -> None:
    """Finish what a kill at the very end of the run left open, unless another run does."""
    if has_leftovers(output / "model"):
        with hold(output):
            settle_folder(output / "model")


def _clear(output: Path) -> None:
    settle_folder(output / "model")
    for name in MADE:
        path = output / name
        with output_errors(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def describe(settings: TrainConfig, output: Path) -> dict[str, Any]:
    """What a dry run tells: where, on how many records, and the resolved settings."""
    from vcap.engine.training_data import load_splits

    _method(settings)
    splits = load_splits(settings.data)
    return {
        "method": settings.method,
        "output": str(output),
        "train": len(splits.train),
        "val": len(splits.val),
        "test": {name: len(part) for name, part in splits.test.items()},
        "settings": settings.model_dump(mode="json"),
    }
