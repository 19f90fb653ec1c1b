"""The one training loop: every method brings batches and losses, nothing else loops.

A batch is a pure function of (epoch, index), so the place in the data is one number, the step.
With weights, moments and random states of a checkpoint that makes a resumed run end with the
same bytes as an unbroken one. Clock readings therefore stay out of metrics.jsonl; they are in
timing.jsonl.
"""

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from vcap.engine.checkpoint import (
    list_checkpoints,
    load_optimizer,
    load_tensors,
    optimizer_tensors,
    prune_checkpoints,
    random_states,
    read_state,
    read_tensors,
    restore_random_states,
    saved_tensors,
    sweep_checkpoints,
    write_checkpoint,
)
from vcap.engine.files import (
    ensure_folder,
    output_errors,
    part_of,
    replace_folder,
    settle_folder,
    write_atomic,
)
from vcap.engine.methods import Method, Objective
from vcap.engine.metrics_log import MetricsLog, size_of
from vcap.engine.optimizer import make_optimizer
from vcap.engine.processes import (
    launcher,
    make_accelerator,
    refuse_other_number,
    telling_lost_processes,
)
from vcap.engine.reporter import Reporter
from vcap.engine.run import Run
from vcap.engine.schedule import TrainSettings, is_due, learning_rate_scale, rate_steps, total_steps
from vcap.errors import CheckpointError, ConfigError


@dataclass
class Position:
    """Where a run stands; all of it goes into a checkpoint."""

    step: int = 0
    best_step: int | None = None
    best_score: float | None = None
    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    step: int
    total: int
    best_step: int | None
    scores: dict[str, float]
    interrupted: bool = False


class Trainer:
    """One run of one method; `fit` goes from the newest checkpoint to the end."""

    def __init__(self, method: Method, settings: TrainSettings, run: Run) -> None:
        if method.num_batches < 1:
            raise ConfigError("there is no training data for a single batch")
        self.method, self.settings, self.run = method, settings, run
        self.reporter: Reporter = run.reporter
        self.folder = Path(run.folder)
        self.checkpoints = self.folder / "checkpoints"
        self.accelerator = make_accelerator(settings, run)
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        if self.world > method.num_batches:
            raise ConfigError(
                f"train.batch_size: the data make {method.num_batches} batches, too few for "
                f"{self.world} processes"
            )
        self.batches_per_epoch = method.num_batches // self.world
        self.total = total_steps(settings, self.batches_per_epoch)
        count: int | None = getattr(method, "num_examples", None)
        self.rated = rate_steps(settings, self.total, count, self.world)
        per_epoch = max(1, self.batches_per_epoch // settings.accumulation)
        self.validate_every = settings.validate_every or per_epoch
        self.checkpoint_every = settings.checkpoint_every or self.validate_every
        self.position = Position()
        self.committed: int | None = None  # step of the newest checkpoint
        method.model.to(self.accelerator.device)
        self.groups = method.parameter_groups()
        self.optimizer = make_optimizer(self.groups, settings)
        self.names = {id(weight): name for name, weight in method.model.named_parameters()}
        self.objective, self.prepared = self.accelerator.prepare(Objective(method), self.optimizer)

    def fit(self) -> Outcome:
        """Train to the end or to a request to stop, then export the best model."""
        ensure_folder(self.checkpoints)
        with ExitStack() as stack:
            stack.enter_context(telling_lost_processes(launcher() + self._again))
            self.accelerator.wait_for_everyone()
            self._open_logs(stack)
            task = stack.enter_context(self.reporter.task("train", self.total, "steps"))
            task.advance(self.position.step)
            for _ in self._steps():
                task.advance(1)
            return self._finish()

    @property
    def _again(self) -> str:
        """The command that goes on."""
        return f"vcap train {self.method.name} -o {self.folder} --resume, with the same options"

    def _open_logs(self, stack: ExitStack) -> None:
        """Take up the logs; of several processes only the first leaves files behind."""
        folder = self.folder
        if not self.accelerator.is_main_process:
            folder = Path(stack.enter_context(TemporaryDirectory()))
        self.log = MetricsLog(folder / "metrics.jsonl", self._resume())
        stack.callback(self.log.close)
        self.timing = MetricsLog(folder / "timing.jsonl", size_of(folder / "timing.jsonl"))
        stack.callback(self.timing.close)
        self.timing.write({"event": "start", "step": self.position.step})

    def _steps(self) -> Iterator[int]:
        self.objective.train()
        self._clock = time.perf_counter()
        while self.position.step < self.total and not self._stopping():
            self._step()
            step = self.position.step
            if is_due(step, self.settings.log_every, self.total):
                self._write_log()
            improved = is_due(step, self.validate_every, self.total) and self._validate()
            if improved or is_due(step, self.checkpoint_every, self.total):
                self._save()
            yield step

    def _stopping(self) -> bool:
        """Whether any of the processes was asked to stop; all have to stop at the same step."""
        requested = bool(self.run.stop is not None and self.run.stop.requested)
        if self.world == 1:
            return requested
        votes = torch.tensor(float(requested), device=self.accelerator.device)
        return bool(self.accelerator.reduce(votes) > 0)

    def _step(self) -> None:
        """One optimiser step over `accumulation` batches."""
        settings, step = self.settings, self.position.step
        rate = settings.learning_rate * learning_rate_scale(settings, step, self.rated)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        for part in range(settings.accumulation):
            batch = self._batch(step * settings.accumulation + part)
            with self.accelerator.accumulate(self.objective):
                terms = self.objective(batch)
                loss = self._total(terms)
                self.accelerator.backward(loss)
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        norm = self.accelerator.clip_grad_norm_(weights, settings.clip_norm or math.inf)
        self._count(terms, loss, norm)
        self.prepared.step()
        self.prepared.zero_grad()
        self.position.step += 1

    def _batch(self, number: int) -> Any:
        from accelerate.utils import send_to_device

        epoch, index = divmod(number, self.batches_per_epoch)
        batch = self.method.batch(epoch, index * self.world + self.rank)
        return send_to_device(batch, self.accelerator.device)

    def _total(self, terms: dict[str, Tensor]) -> Tensor:
        weights = self.method.loss_weights(self.position.step, self.total)
        parts = [terms[name] * weights.get(name, 1.0) for name in terms]
        return torch.stack(parts).sum()

    def _count(self, terms: dict[str, Tensor], loss: Tensor, norm: Tensor) -> None:
        """Add to the means of the next log line; refuse numbers that are none."""
        names = ["loss", "gradient_norm", *(f"loss/{name}" for name in terms if len(terms) > 1)]
        tensors = [loss, norm, *(terms.values() if len(terms) > 1 else ())]
        values = torch.stack([tensor.detach().float() for tensor in tensors]).tolist()
        numbers = dict(zip(names, values, strict=True))
        bad = [name for name, value in numbers.items() if not math.isfinite(value)]
        if bad:
            shown = ", ".join(f"{name} {numbers[name]}" for name in bad)
            raise ConfigError(
                f"training left the finite numbers at step {self.position.step + 1}: {shown}; "
                f"nothing of this step was saved",
                hint=f"vcap train {self.method.name} -o {self.folder} --resume --force "
                f"--set train.learning_rate={self.settings.learning_rate / 3:.2g}",
            )
        for name, value in numbers.items():
            self.position.sums[name] = self.position.sums.get(name, 0.0) + value
        self.position.count += 1

    def _write_log(self) -> None:
        position = self.position
        rate = learning_rate_scale(self.settings, position.step - 1, self.rated)
        means = {name: value / position.count for name, value in position.sums.items()}
        self.log.write(
            {
                "step": position.step,
                "epoch": (position.step - 1) * self.settings.accumulation // self.batches_per_epoch,
                "learning_rate": self.settings.learning_rate * rate,
                **means,
            }
        )
        seconds = time.perf_counter() - self._clock
        self.timing.write({"step": position.step, "steps": position.count, "seconds": seconds})
        self.reporter.detail(f"step {position.step}: loss {means['loss']:.4f}")
        position.sums, position.count = {}, 0
        self._clock = time.perf_counter()

    def _validate(self) -> bool:
        """Write the validation metrics; whether they are the best so far."""
        metrics = self._validation_metrics()
        if not metrics:
            return False
        self.log.write(
            {"step": self.position.step} | {f"val/{name}": metrics[name] for name in metrics}
        )
        shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.reporter.info(f"step {self.position.step}: val {shown}")
        self._clock = time.perf_counter()
        return self._is_best(metrics)

    def _validation_metrics(self) -> dict[str, float]:
        """The first process judges, and tells the others."""
        from accelerate.utils import broadcast_object_list

        told: list[dict[str, float]] = [{}]
        if self.accelerator.is_main_process:
            self.objective.eval()
            with torch.no_grad():
                told = [self.method.validation_metrics()]
            self.objective.train()
        if self.world > 1:
            broadcast_object_list(told)
        return told[0]

    def _is_best(self, metrics: dict[str, float]) -> bool:
        name, direction = self.method.best
        score, best = metrics.get(name, math.nan), self.position.best_score
        better = best is None or (score > best if direction == "max" else score < best)
        if better and math.isfinite(score):
            self.position.best_step, self.position.best_score = self.position.step, score
            return True
        return False

    def _save(self) -> None:
        """Commit a checkpoint of this step."""
        if self.accelerator.is_main_process:
            position = self.position
            state = {
                "position": vars(position),
                "metrics_bytes": self.log.sync(),
                "processes": self.world,
                "random": random_states(),
                "extra": self.method.extra_state(),
            }
            moments = optimizer_tensors(self.optimizer, self.names)
            tensors = saved_tensors(self.method.model)
            write_checkpoint(self.checkpoints, position.step, tensors, moments, state)
            self._prune()
        self.committed = self.position.step
        self.accelerator.wait_for_everyone()

    def _prune(self) -> None:
        prune_checkpoints(
            self.checkpoints,
            self.settings.keep,
            self.position.best_step,
            self.checkpoint_every,
            self.total,
        )

    def _resume(self) -> int:
        """Take up the newest checkpoint, if any; gives the length of its metrics.jsonl."""
        if self.accelerator.is_main_process:
            sweep_checkpoints(self.checkpoints)
            settle_folder(self.folder / "model")
        found = list_checkpoints(self.checkpoints)
        if not found:
            return 0
        path = found[max(found)]
        state = read_state(path)
        refuse_other_number(state.get("processes", 1), self.world, self._again)
        self.position = Position(**state["position"])
        self.committed = self.position.step
        self._load(path)
        self.method.load_extra_state(state["extra"])
        restore_random_states(state["random"])
        if self.accelerator.is_main_process:  # the newest, which others may still read, stays
            self._prune()
        self.reporter.info(f"going on from step {self.position.step} of {self.total}")
        return int(state["metrics_bytes"])

    def _load(self, path: Path) -> None:
        """Take weights and moments of a checkpoint."""
        try:
            load_tensors(self.method.model, read_tensors(path / "model.safetensors"), path)
            load_optimizer(self.optimizer, self.names, read_tensors(path / "optimizer.safetensors"))
        except CheckpointError as error:
            anew = f"vcap train {self.method.name} -o {self.folder} --force"
            raise CheckpointError(
                error.message, hint=f"{anew}, without --resume, starts over"
            ) from error

    def _finish(self) -> Outcome:
        position = self.position
        if position.step < self.total:
            if position.step != self.committed:
                self._save()
            return Outcome(position.step, self.total, position.best_step, {}, interrupted=True)
        scores = self._export() if self.accelerator.is_main_process else {}
        self.accelerator.wait_for_everyone()
        return Outcome(position.step, self.total, position.best_step, scores)

    def _export(self) -> dict[str, float]:
        """Score the best weights on test, write scores, plot and, last of all, model/."""
        best = self.position.best_step or self.position.step
        path = list_checkpoints(self.checkpoints)[best]
        load_tensors(self.method.model, read_tensors(path / "model.safetensors"), path)
        self.objective.eval()
        with torch.no_grad():
            if self.settings.weights == "fp16":
                round_weights(self.method.model)
            scores = self.method.test_metrics()
            if self.position.best_score is not None:
                scores = {f"val/{self.method.best[0]}": self.position.best_score, **scores}
            self._write_results(best, scores)
        return scores

    def _write_results(self, best: int, scores: dict[str, float]) -> None:
        from vcap.reports.plot import loss_plot, read_curves

        target = self.folder / "model"
        partial = part_of(target)
        plots = ensure_folder(self.folder / "plots")
        with output_errors(target):
            content = json.dumps({"step": best, "scores": scores}, indent=2)
            write_atomic(self.folder / "scores.json", content.encode())
            curves = read_curves(self.folder / "metrics.jsonl")
            write_atomic(plots / "loss.png", loss_plot(curves))
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            self.method.export(partial, scores)
        replace_folder(target)


def round_weights(model: nn.Module) -> None:
    """Round every weight to float16, so that scores are those of the exported model."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())


def train(method: Method, settings: TrainSettings, run: Run) -> Outcome:
    """Train a method in a run's folder, from its newest checkpoint where it has one.

    Raises:
        ConfigError: a loss is not finite, or there is no data.
        OutputError: the folder cannot be written.
    """
    return Trainer(method, settings, run).fit()
