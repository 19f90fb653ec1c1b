"""`vcap train` on a run's folder: what is refused, what goes on, what is done already."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fault.toy import tree
from tests.unit.engine.captioned import SIZES, captions
from vcap.engine.interrupt import StopRequest
from vcap.engine.reporter import Silent
from vcap.engine.schedule import TrainConfig
from vcap.engine.train import TrainResult, describe, resolve, train_method
from vcap.errors import AnnotationError, CheckpointError, ConfigError, OutputError, UsageError


def config(folder: Path, **train: Any) -> TrainConfig:
    """A language model of a few steps."""
    settings = {"steps": 4, "batch_size": 4, "log_every": 2, "device": "cpu", **train}
    return TrainConfig.model_validate(
        {
            "method": "lm",
            "model": SIZES,
            "options": {"vocabulary": 270},
            "data": {"train": str(captions(folder))},
            "train": settings,
        }
    )


def run(folder: Path, settings: TrainConfig, **flags: Any) -> tuple[TrainResult, list[str]]:
    reporter = Silent()
    reporter.quiet = False
    result = train_method(settings, folder / "run", reporter=reporter, **flags)
    return result, reporter.lines


def test_a_run_leaves_a_model_with_its_config_and_card(tmp_path: Path) -> None:
    result, lines = run(tmp_path, config(tmp_path))
    assert (result.step, result.total, result.exit_code) == (4, 4, 0)
    assert {"val/perplexity", "test/perplexity", "test/novel/perplexity"} <= set(result.scores)
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert f"{result.scores['test/perplexity']:.4f}" in card
    assert "vcap train lm" in card
    assert any("train 36" in line and "test/novel 6" in line for line in lines)
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert kept["train"]["steps"] == 4


def test_a_second_run_says_that_there_is_nothing_to_do(tmp_path: Path) -> None:
    first, _ = run(tmp_path, config(tmp_path))
    before = tree(tmp_path / "run")
    second, lines = run(tmp_path, config(tmp_path))
    assert second.done_before
    assert second.scores == first.scores
    assert any("nothing to do" in line for line in lines)
    assert tree(tmp_path / "run") == before


def test_a_run_of_another_config_is_refused_naming_the_keys(tmp_path: Path) -> None:
    run(tmp_path, config(tmp_path))
    with pytest.raises(ConfigError, match=r"train\.learning_rate: 0\.5 here, 0\.001 there") as e:
        run(tmp_path, config(tmp_path, learning_rate=0.5))
    assert "train.steps" not in e.value.message
    assert "--force" in str(e.value.hint)


@pytest.mark.parametrize("flag", ["force", "resume"])
def test_device_and_number_of_checkpoints_may_change(tmp_path: Path, flag: str) -> None:
    run(tmp_path, config(tmp_path))
    result, _ = run(tmp_path, config(tmp_path, keep=3), **{flag: True})
    assert result.done_before == (flag == "resume")


def test_force_starts_over_with_another_config(tmp_path: Path) -> None:
    run(tmp_path, config(tmp_path))
    result, _ = run(tmp_path, config(tmp_path, steps=2), force=True)
    assert result.total == 2
    checkpoints = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert checkpoints == ["step-00000002"]


def test_force_with_resume_goes_on_longer(tmp_path: Path) -> None:
    run(tmp_path, config(tmp_path))
    result, lines = run(tmp_path, config(tmp_path, steps=6), force=True, resume=True)
    assert result.step == 6
    assert any("going on from step 4 of 6" in line for line in lines)


def test_going_on_with_a_model_of_other_sizes_is_refused_with_the_way_to_start_over(
    tmp_path: Path,
) -> None:
    run(tmp_path, config(tmp_path))
    other = config(tmp_path, steps=6).model_copy(update={"model": {**SIZES, "num_layers": 2}})
    with pytest.raises(CheckpointError, match="does not fit the model of this run") as caught:
        run(tmp_path, other, force=True, resume=True)
    hint = str(caught.value.hint)
    assert hint == f"vcap train lm -o {tmp_path / 'run'} --force, without --resume, starts over"
    assert run(tmp_path, other, force=True)[0].step == 6


def test_a_finished_run_that_goes_on_longer_is_unfinished_until_then(tmp_path: Path) -> None:
    run(tmp_path, config(tmp_path))
    longer, stop = config(tmp_path, steps=6), StopRequest()
    stop.request()
    run(tmp_path, longer, force=True, resume=True, stop=stop)
    assert (tmp_path / "run" / "model").is_dir(), "the shorter run's, until there is a better one"
    with pytest.raises(UsageError, match="unfinished run"):
        run(tmp_path, longer)
    assert run(tmp_path, longer, resume=True)[0].step == 6


def test_an_unfinished_run_is_refused_with_the_option_that_goes_on(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").touch()
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(dumped(config(tmp_path))))
    with pytest.raises(UsageError, match="unfinished run") as caught:
        run(tmp_path, config(tmp_path))
    assert "--resume" in str(caught.value.hint)
    result, _ = run(tmp_path, config(tmp_path), resume=True)
    assert result.step == 4


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["model", "features", "plots", "checkpoints", "config.yaml"])
def test_what_no_training_made_is_refused_and_stays_whatever_is_forced(
    tmp_path: Path, name: str, force: bool
) -> None:
    mine = tmp_path / "run" / name
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=f"run holds {name}, and was not made by") as caught:
        run(tmp_path, config(tmp_path), force=force)
    assert caught.value.exit_code == 7
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in (tmp_path / "run").iterdir()] == [name]


def test_settings_that_the_user_wrote_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "config.yaml"
    path.write_text("method: lm  # my notes\n")
    with pytest.raises(OutputError, match=r"holds config\.yaml"):
        run(tmp_path, config(tmp_path))
    assert path.read_text() == "method: lm  # my notes\n"


def finished(folder: Path) -> Path:
    """What a training leaves that matters to the next one in its folder."""
    made = folder / "run"
    (made / "model").mkdir(parents=True)
    (made / "metrics.jsonl").touch()
    (made / "config.yaml").write_text(yaml.safe_dump(dumped(config(folder))))
    (made / "scores.json").write_text('{"step": 4, "scores": {"val/perplexity": 2.0}}')
    return made


def test_what_a_kill_at_the_very_end_left_is_swept(tmp_path: Path) -> None:
    (finished(tmp_path) / ".vcap-model.old").mkdir()
    assert run(tmp_path, config(tmp_path))[0].scores == {"val/perplexity": 2.0}
    assert not (tmp_path / "run" / ".vcap-model.old").exists()


def test_a_model_without_its_scores_is_unfinished(tmp_path: Path) -> None:
    (finished(tmp_path) / "scores.json").unlink()
    with pytest.raises(UsageError, match="unfinished run"):
        run(tmp_path, config(tmp_path))


def test_damaged_scores_are_told_with_the_command_that_mends_them(tmp_path: Path) -> None:
    (finished(tmp_path) / "scores.json").write_text('{"step": ')
    with pytest.raises(OutputError, match=r"scores\.json is damaged") as caught:
        run(tmp_path, config(tmp_path))
    assert "--resume --force" in str(caught.value.hint)


def test_a_link_that_is_cleared_away_leaves_what_it_points_to(tmp_path: Path) -> None:
    made, elsewhere = finished(tmp_path), tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (made / "features").symlink_to(elsewhere)
    wrong = config(tmp_path).model_copy(update={"model": {**SIZES, "num_heads": 3}})
    with pytest.raises(ConfigError):  # after the folder was cleared
        run(tmp_path, wrong, force=True)
    assert (elsewhere / "deep").is_dir()
    assert not os.path.lexists(made / "features") and not (made / "model").exists()


def dumped(settings: TrainConfig) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(settings.model_dump_json())
    return plain


def test_a_run_that_failed_before_its_first_step_leaves_the_folder_free(tmp_path: Path) -> None:
    wrong = config(tmp_path).model_copy(update={"model": {**SIZES, "num_heads": 3}})
    with pytest.raises(ConfigError, match="model: a width of 16"):
        run(tmp_path, wrong)
    result, _ = run(tmp_path, config(tmp_path))
    assert result.step == 4


def test_flags_are_stronger_than_set_and_set_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("method: lm\ndata: {train: a.jsonl}\ntrain: {seed: 1, steps: 1, keep: 1}\n")
    settings = resolve(
        "lm",
        config=path,
        overrides=["train.seed=2", "train.steps=2"],
        flags={"train.seed": 3, "data.limit": None},
    )
    assert (settings.train.seed, settings.train.steps, settings.train.keep) == (3, 2, 1)


def test_a_manifest_on_the_command_line_replaces_all_splits_of_the_recipe() -> None:
    recipe = resolve("prefix", config="tiny-prefix")
    assert recipe.data.val and recipe.data.test
    mine = resolve("prefix", config="tiny-prefix", flags={"data.train": ["mine.jsonl"]})
    assert (mine.data.train, mine.data.val, mine.data.test) == (("mine.jsonl",), (), ())
    both = resolve(
        "prefix",
        config="tiny-prefix",
        overrides=["data.val=other.jsonl"],
        flags={"data.train": ["mine.jsonl"]},
    )
    assert both.data.val == ("other.jsonl",)


def test_a_config_of_another_method_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("method: prefix\ndata: {train: a.jsonl}\n")
    with pytest.raises(ConfigError, match="for the method prefix"):
        resolve("lm", config=path)


def test_a_method_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="prefix"):
        resolve("prefx")


def test_a_key_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"train\.learning_rate"):
        resolve("lm", overrides=["train.learnin_rate=1"])


@pytest.mark.parametrize(
    "wish",
    [
        *("seed=-1", f"seed={2**63}", "steps=0", "batch_size=0", "accumulation=0", "log_every=0"),
        *("learning_rate=0", "learning_rate=.inf", "betas=[0.9, 1]", "weight_decay=-1", "keep=0"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_by_its_key(wish: str) -> None:
    with pytest.raises(ConfigError, match=rf"train\.{wish.partition('=')[0]}.*: must be"):
        resolve("lm", overrides=[f"train.{wish}"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {**SIZES, "num_heads": 0}}, "every size of a language model is at least 1"),
        ({"model": {**SIZES, "dropout": 1.5}}, "its dropout below 1"),
        ({"options": {"vocabulary": 0}}, "vocabulary: must be greater"),
        ({"options": {"first_position": -1}}, "first_position: must be greater"),
    ],
)
def test_a_size_that_makes_no_sense_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        run(tmp_path, config(tmp_path).model_copy(update=changes))


def test_training_on_nothing_names_the_option() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("lm")
    assert "--data" in str(caught.value.hint)


def test_a_dry_run_counts_the_records_and_writes_nothing(tmp_path: Path) -> None:
    told = describe(config(tmp_path), tmp_path / "run")
    assert (told["train"], told["val"], told["test"]) == (36, 12, {"test": 6, "test/novel": 6})
    assert told["settings"]["train"]["steps"] == 4
    assert not (tmp_path / "run").exists()


def test_an_option_of_another_method_is_refused(tmp_path: Path) -> None:
    wrong = config(tmp_path).model_copy(update={"options": {"aux_weight": 1.0}})
    with pytest.raises(ConfigError, match="options: unknown setting aux_weight"):
        run(tmp_path, wrong)


def test_records_without_captions_cannot_train_a_language_model(tmp_path: Path) -> None:
    manifest = tmp_path / "bare.jsonl"
    manifest.write_text('{"id": "a", "path": "a.mp4"}\n')
    data = {"train": (str(manifest),)}
    bare = config(tmp_path).model_copy(
        update={"data": config(tmp_path).data.model_copy(update=data)}
    )
    with pytest.raises(AnnotationError, match="no record of the training split has a caption"):
        run(tmp_path, bare)


class TestCommand:
    """The same from the command line."""

    def words(self, folder: Path) -> list[object]:
        sizes = "model={width: 16, num_layers: 1, num_heads: 2, num_positions: 40}"
        train = "train={steps: 2, batch_size: 4, device: cpu}"
        given = ["--set", sizes, "--set", train, "--set", "options.vocabulary=270"]
        return ["train", "lm", "--data", captions(folder), "-o", folder / "run", *given]

    def test_scores_are_printed_for_eyes_and_as_json(self, vcap: Any, tmp_path: Path) -> None:
        plain = vcap(*self.words(tmp_path))
        assert plain.exit_code == 0, plain.stderr
        assert plain.stdout.splitlines()[0].startswith("val/perplexity\t")
        again = vcap(*self.words(tmp_path), "--json")
        line = json.loads(again.stdout)
        assert Path(line["model"]).name == "model"
        assert line["step"] == 2
        assert "nothing to do" in again.stderr
        assert f"{line['scores']['val/perplexity']:.4f}" in plain.stdout

    def test_a_dry_run_prints_the_settings(self, vcap: Any, tmp_path: Path) -> None:
        result = vcap(*self.words(tmp_path), "--dry-run", "--json", "--limit", 3, "--seed", 9)
        plan = json.loads(result.stdout)
        assert plan["train"] == 3
        assert "'seed': 9" in str(plan["settings"]) or plan["settings"]["train"]["seed"] == 9

    def test_an_unknown_method_is_told_in_one_line(self, vcap: Any, tmp_path: Path) -> None:
        result = vcap("train", "prefx", "-o", tmp_path / "run")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "did you mean prefix" in result.stderr
