"""The training loop: steps, best checkpoint, log, and how it stops."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.fault.toy import Toy, train_toy, tree
from vcap.engine.checkpoint import list_checkpoints
from vcap.engine.interrupt import StopRequest
from vcap.errors import ConfigError, OutputError


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Stopping(Toy):
    """Asks to stop in the middle of its run."""

    stop = StopRequest()

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if len(self.seen) == 50:
            self.stop.request(signal.SIGINT)
        return super().losses(batch)


class Exploding(Toy):
    """Gives a loss that is no number from step 23 on."""

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        terms = super().losses(batch)
        if len(self.seen) == 46:
            terms["square"] = terms["square"] * torch.nan
        return terms


class Steep(Toy):
    """Has a finite loss with an infinite gradient at the second step."""

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        terms = super().losses(batch)
        if len(self.seen) == 4:
            flat = next(self.model.parameters()).sum() * 0.0
            terms["square"] = terms["square"] + flat.abs().sqrt()
        return terms


class Scripted(Toy):
    """Scores that were decided before."""

    script = (0.5, 0.2, 0.4, 0.2)

    def validation_metrics(self) -> dict[str, float]:
        self.count = getattr(self, "count", -1) + 1
        return {"error": self.script[min(self.count, 3)]}


class Unjudged(Toy):
    """Has no validation data."""

    def validation_metrics(self) -> dict[str, float]:
        return {}


class Empty(Toy):
    """Has no data at all."""

    num_batches = 0


class Plain(Toy):
    """No dropout, no noise, one weight; gradients can be worked out by hand."""

    num_batches = 2

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model.weight)
        self.gradients: list[float] = []

    def batch(self, epoch: int, index: int) -> dict[str, Tensor]:
        return {"slope": torch.tensor([[1.0], [3.0]])[index]}

    def parameter_groups(self) -> list[dict[str, Any]]:
        weight = self.model.weight
        assert isinstance(weight, nn.Parameter)
        weight.register_post_accumulate_grad_hook(lambda w: self.gradients.append(float(w.grad)))
        return [{"params": [weight]}]

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"line": (self.model(batch["slope"])).sum()}

    def loss_weights(self, step: int, total: int) -> dict[str, float]:
        return {}

    def validation_metrics(self) -> dict[str, float]:
        return {}


def test_a_run_leaves_model_scores_plot_log_and_its_last_checkpoints(tmp_path: Path) -> None:
    outcome, toy = train_toy(tmp_path)
    assert (outcome.step, outcome.total, outcome.interrupted) == (60, 60, False)
    assert {"model/config.json", "scores.json", "plots/loss.png", "config.yaml"} <= set(
        tree(tmp_path)
    )
    assert (tmp_path / "plots" / "loss.png").read_bytes()[:4] == b"\x89PNG"
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["scores"] == outcome.scores == json.loads(tree(tmp_path)["model/config.json"])
    kept = set(list_checkpoints(tmp_path / "checkpoints"))
    assert kept == {50, 60, outcome.best_step}
    assert len(toy.seen) == 120


def test_every_epoch_sees_every_batch_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    _, toy = train_toy(tmp_path, steps=8)
    assert toy.seen == [(epoch, index) for epoch in (0, 1) for index in range(8)]
    first, second = (toy.batch(epoch, 0)["inputs"] for epoch in (0, 1))
    assert not torch.equal(first, second)


def test_the_log_has_the_rate_the_mean_loss_and_each_term(tmp_path: Path) -> None:
    train_toy(tmp_path, steps=20, warmup=10, schedule="constant")
    training = [line for line in lines(tmp_path) if "loss" in line]
    assert [line["step"] for line in training] == [4, 8, 12, 16, 20]
    assert [line["epoch"] for line in training] == [0, 1, 2, 3, 4]
    rates = [round(line["learning_rate"], 4) for line in training]
    assert rates == [0.006, 0.014, 0.02, 0.02, 0.02]
    assert {"loss/square", "loss/size", "gradient_norm"} <= set(training[0])
    judged = [line["step"] for line in lines(tmp_path) if "val/error" in line]
    assert judged == [15, 20]


def test_nothing_in_the_log_depends_on_the_clock(tmp_path: Path) -> None:
    train_toy(tmp_path / "a", steps=10)
    train_toy(tmp_path / "b", steps=10, seconds=0.002)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_the_best_of_the_validations_is_exported_and_the_first_of_equals(tmp_path: Path) -> None:
    outcome, _ = train_toy(tmp_path, Scripted)
    assert outcome.best_step == 30
    assert outcome.scores["val/error"] == 0.2
    checkpoint = tmp_path / "checkpoints" / "step-00000030" / "model.safetensors"
    exported = tmp_path / "model" / "model.safetensors"
    assert_same_weights(checkpoint, exported)


def assert_same_weights(one: Path, other: Path) -> None:
    from safetensors.torch import load_file

    ours, theirs = load_file(one), load_file(other)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_without_validation_the_last_weights_are_the_model(tmp_path: Path) -> None:
    outcome, _ = train_toy(tmp_path, Unjudged, steps=12)
    assert outcome.best_step is None
    last = tmp_path / "checkpoints" / "step-00000012" / "model.safetensors"
    assert_same_weights(last, tmp_path / "model" / "model.safetensors")


def test_exported_half_precision_is_what_was_scored(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    train_toy(tmp_path, steps=10, weights="fp16")
    weight = load_file(tmp_path / "model" / "model.safetensors")["0.weight"]
    assert torch.equal(weight, weight.half().float())


def test_accumulated_batches_make_one_step_with_their_mean_gradient(tmp_path: Path) -> None:
    _, toy = train_toy(tmp_path, Plain, steps=1, accumulation=2, clip_norm=0.0)
    assert toy.gradients == [0.5, 2.0]  # half of 1, then half of 1 plus half of 3


def test_a_gradient_is_cut_to_the_norm_and_told_as_it_was(tmp_path: Path) -> None:
    train_toy(tmp_path, Plain, steps=2, accumulation=1, clip_norm=0.5, log_every=2)
    assert lines(tmp_path)[0]["gradient_norm"] == 2.0  # the mean of 1 and 3


def test_a_loss_that_is_no_number_stops_naming_step_and_term(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"at step 23: .*loss/square nan") as caught:
        train_toy(tmp_path, Exploding)
    assert "train.learning_rate=" in str(caught.value.hint)
    assert max(list_checkpoints(tmp_path / "checkpoints")) == 20
    assert not (tmp_path / "model").exists()
    assert b"NaN" not in (tmp_path / "metrics.jsonl").read_bytes()


def test_a_gradient_without_end_stops_before_it_reaches_the_weights(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"step 2: gradient_norm (nan|inf)"):
        train_toy(tmp_path, Steep)


def test_a_request_to_stop_leaves_a_checkpoint_of_that_very_step(tmp_path: Path) -> None:
    Stopping.stop = StopRequest()
    outcome, _ = train_toy(tmp_path, Stopping, stop=Stopping.stop)
    assert outcome.interrupted
    assert outcome.step == 25
    assert 25 in list_checkpoints(tmp_path / "checkpoints")
    assert not (tmp_path / "model").exists()


def test_an_interrupted_run_ends_with_the_bytes_of_an_unbroken_one(tmp_path: Path) -> None:
    Stopping.stop = StopRequest()
    train_toy(tmp_path / "broken", Stopping, stop=Stopping.stop)
    train_toy(tmp_path / "broken")
    train_toy(tmp_path / "whole")
    assert tree(tmp_path / "broken") == tree(tmp_path / "whole")


def test_a_request_before_the_first_step_changes_nothing_in_the_end(tmp_path: Path) -> None:
    stop = StopRequest()
    stop.request()
    outcome, toy = train_toy(tmp_path / "broken", stop=stop, steps=20, keep=9)
    assert (outcome.step, outcome.interrupted, toy.seen) == (0, True, [])
    train_toy(tmp_path / "broken", steps=20, keep=9)
    train_toy(tmp_path / "whole", steps=20, keep=9)
    assert tree(tmp_path / "broken") == tree(tmp_path / "whole")


def test_a_run_killed_while_it_exports_exports_again(tmp_path: Path) -> None:
    train_toy(tmp_path / "whole", steps=20)
    train_toy(tmp_path / "broken", steps=20)
    for path in (tmp_path / "broken" / "model").iterdir():
        path.unlink()
    (tmp_path / "broken" / "model").rmdir()
    (tmp_path / "broken" / ".vcap-model.part").mkdir()
    _, toy = train_toy(tmp_path / "broken", steps=20)
    assert toy.seen == []
    assert tree(tmp_path / "broken") == tree(tmp_path / "whole")


def test_a_kill_while_the_model_is_replaced_is_made_good_by_the_next_run(tmp_path: Path) -> None:
    train_toy(tmp_path / "whole", steps=20)
    run = tmp_path / "broken"
    train_toy(run, steps=20)
    shutil.copytree(run / "model", run / ".vcap-model.part")
    (run / "model").rename(run / ".vcap-model.old")
    train_toy(run, steps=20)
    assert tree(run) == tree(tmp_path / "whole")


def test_log_lines_after_the_checkpoint_are_cut_off_when_a_run_goes_on(tmp_path: Path) -> None:
    Stopping.stop = StopRequest()
    train_toy(tmp_path, Stopping, stop=Stopping.stop)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with (tmp_path / "metrics.jsonl").open("ab") as stream:
        stream.write(b'{"step": 28, "loss": 1.0}\n{"step": 3')
    train_toy(tmp_path)
    after = (tmp_path / "metrics.jsonl").read_bytes()
    assert after.startswith(before)
    assert [line["step"] for line in lines(tmp_path)].count(28) == 1


def test_half_precision_trains_too(tmp_path: Path) -> None:
    outcome, _ = train_toy(tmp_path / "bf16", precision="bf16", steps=20)
    other, _ = train_toy(tmp_path / "fp32", precision="fp32", steps=20)
    assert outcome.scores != other.scores
    assert outcome.scores["test/error"] == pytest.approx(other.scores["test/error"], rel=0.3)


def test_training_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no training data"):
        train_toy(tmp_path, Empty)


def test_a_file_in_the_place_of_the_log_is_told(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"metrics\.jsonl"):
        train_toy(tmp_path, steps=4)


def test_two_trainings_in_one_folder_keep_out_of_each_others_way(tmp_path: Path) -> None:
    from vcap.engine.lock import hold

    with hold(tmp_path), pytest.raises(OutputError, match="in use"):
        train_toy(tmp_path)
