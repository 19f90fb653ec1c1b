"""`vcap evaluate` as a user meets it: scores on stdout, complaints on stderr, exit codes."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest

from vcap.cli import evaluate_options
from vcap.engine.evaluation.tasks import TASKS

REFERENCES = {
    "a": ["a man plays the guitar", "someone is playing a guitar on stage"],
    "b": ["a dog is running on the grass", "the dog runs"],
    "c": ["a child sings a song", "singing"],
    "d": ["a cat sleeps on a red sofa", "the cat is asleep"],
}
PREDICTIONS = {
    "a": "a man is playing a guitar",
    "b": "a dog runs on the grass",
    "c": "a child is singing",
    "d": "a cat sleeps on the sofa",
}
SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "scores.json"


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """The references of four clips."""
    path = tmp_path / "references.json"
    path.write_text(json.dumps(REFERENCES))
    return path


@pytest.fixture
def score(vcap: Any, tmp_path: Path, truth: Path) -> Any:
    """Evaluate captions (a mapping, or text of a file) without Java; gives the result."""

    def run(predictions: Any, *options: Any, task: str = "caption", references: Any = truth) -> Any:
        path = tmp_path / "predictions.json"
        text = predictions if isinstance(predictions, str) else json.dumps(predictions)
        path.write_text(text, encoding="utf-8")
        return vcap("evaluate", task, path, "--references", references, "--no-java", *options)

    return run


def told(result: Any) -> dict[str, Any]:
    """The JSON on stdout, which must fit its schema."""
    assert result.exit_code == 0, result.stderr
    value: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(value, json.loads(SCHEMA.read_text()))
    return value


def test_the_tasks_of_the_command_are_those_of_the_engine() -> None:
    assert list(get_args(get_args(evaluate_options.Task)[0])) == list(TASKS)


def test_a_table_with_its_stamp_is_printed(score: Any) -> None:
    result = score(PREDICTIONS)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["metric", "score"]
    assert [line.split()[0] for line in lines[1:7]] == [
        *("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4"),
        *("ROUGE-L", "CIDEr"),
    ]
    assert "tokenizer: PTB 3.4.1 (Python)" in lines
    assert "num videos: 4" in lines
    assert "Fractions are shown times 100; --json has every value as it is." in lines


def test_what_java_would_give_is_said_to_be_absent_and_is_no_zero(score: Any) -> None:
    result = score(PREDICTIONS)
    assert "METEOR: not available: METEOR needs Java" in result.stdout
    assert "warning: METEOR is not available" in result.stderr
    value = told(score(PREDICTIONS, "--json"))
    assert "METEOR" in value["unavailable"]
    assert not {"METEOR", "SPICE"} & value["scores"].keys()


def test_asking_by_name_for_what_is_absent_ends_with_5(score: Any) -> None:
    result = score(PREDICTIONS, "--metrics", "CIDEr,METEOR")
    assert (result.exit_code, result.stdout) == (5, "")
    assert result.stderr.startswith("error: METEOR is not available: ")


def test_only_the_metrics_asked_for_are_computed(score: Any) -> None:
    value = told(score(PREDICTIONS, "--metrics", "cider, rouge-l", "--json"))
    assert set(value["scores"]) == {"CIDEr", "ROUGE-L"}
    assert value["unavailable"] == {}


def test_json_has_values_as_they_are_and_the_table_a_hundred_times_that(score: Any) -> None:
    value = told(score(PREDICTIONS, "--json"))
    table = score(PREDICTIONS).stdout.splitlines()
    bleu = value["scores"]["BLEU-1"]
    assert 0 < bleu < 1
    assert table[1].split() == ["BLEU-1", f"{100 * bleu:.2f}"]


def test_perfect_captions_score_one(score: Any) -> None:
    perfect = {name: texts[0] for name, texts in REFERENCES.items()}
    scores = told(score(perfect, "--json"))["scores"]
    assert scores["BLEU-4"] == pytest.approx(1)
    assert scores["ROUGE-L"] == 1


def test_the_order_of_the_predictions_changes_nothing(score: Any) -> None:
    there = told(score(PREDICTIONS, "--json"))["scores"]
    back = told(score(dict(reversed(PREDICTIONS.items())), "--json"))["scores"]
    assert there == pytest.approx(back, abs=1e-12)


def test_intervals_are_around_the_scores(score: Any) -> None:
    result = score(PREDICTIONS, "--ci", "--resamples", 50)
    assert "95 % interval" in result.stdout
    value = told(score(PREDICTIONS, "--ci", "--resamples", 50, "--json"))
    assert set(value["intervals"]) == set(value["scores"])
    low, high = value["intervals"]["BLEU-1"]
    assert low <= value["scores"]["BLEU-1"] <= high
    assert value["stamp"]["resampling"]["resamples"] == 50


def test_the_seed_decides_the_intervals(score: Any) -> None:
    draw = ("--ci", "--resamples", 30, "--json")
    first, again, other = (told(score(PREDICTIONS, *draw, "--seed", seed)) for seed in (1, 1, 2))
    assert first == again
    assert first["intervals"] != other["intervals"]


def test_a_comparison_tells_the_difference_and_its_chance(score: Any, tmp_path: Path) -> None:
    worse = tmp_path / "worse.json"
    worse.write_text(json.dumps(PREDICTIONS | {"a": "a dog", "b": "a cat"}))
    result = score(PREDICTIONS, "--compare", worse, "--resamples", 100)
    assert "against worse.json" in result.stdout.splitlines()[0]
    value = told(score(PREDICTIONS, "--compare", worse, "--resamples", 100, "--json"))
    compared = value["comparison"]
    assert compared["predictions"] == str(worse)
    difference = compared["differences"]["CIDEr"]
    assert difference["difference"] == value["scores"]["CIDEr"] - compared["scores"]["CIDEr"] > 0
    assert 0 < difference["p"] <= 1


def test_what_is_wrong_with_the_other_file_is_told_with_its_name(
    score: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(PREDICTIONS | {"z": "a horse"}))
    result = score(PREDICTIONS, "--compare", other, "--resamples", 5)
    assert f"warning: {other}: extra: 1 (z)" in result.stderr
    assert result.stderr.count("SPICE is not available") == 1


def test_a_line_an_item_is_written_where_asked(score: Any, tmp_path: Path) -> None:
    items = tmp_path / "new" / "items.jsonl"
    result = score(PREDICTIONS, "--per-item", items)
    assert f"wrote {items}" in result.stderr
    lines = [json.loads(line) for line in items.read_text().splitlines()]
    assert [line["id"] for line in lines] == list(REFERENCES)
    assert set(lines[0]["scores"]) >= {"BLEU-4", "ROUGE-L", "CIDEr"}
    assert score(PREDICTIONS, "--per-item", items).exit_code == 0  # ours may be replaced


def test_output_goes_to_a_file_and_stdout_stays_empty(score: Any, tmp_path: Path) -> None:
    for name, start in (("s.json", '{"task": "caption"'), ("s.txt", "metric"), ("s.html", "<!doc")):
        result = score(PREDICTIONS, "-o", tmp_path / name, "-q")
        assert (result.exit_code, result.stdout) == (0, "")
        assert (tmp_path / name).read_text().startswith(start)


def test_a_page_in_a_file_and_json_on_stdout_go_together(score: Any, tmp_path: Path) -> None:
    value = told(score(PREDICTIONS, "-f", "html", "-o", tmp_path / "page.html", "--json"))
    page = (tmp_path / "page.html").read_text()
    assert f"{100 * value['scores']['CIDEr']:.2f}" in page


def test_json_and_a_page_cannot_both_be_on_stdout(score: Any) -> None:
    result = score(PREDICTIONS, "-f", "html", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "both want stdout" in result.stderr


def test_a_file_of_somebody_else_is_not_replaced(score: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes.json"
    notes.write_text("my notes")
    result = score(PREDICTIONS, "-o", notes)
    assert (result.exit_code, notes.read_text()) == (7, "my notes")
    assert "--force" in result.stderr
    assert score(PREDICTIONS, "-o", notes, "--force").exit_code == 0


def test_the_references_are_never_overwritten(score: Any, truth: Path) -> None:
    before = truth.read_text()
    result = score(PREDICTIONS, "-o", truth, "--force")
    assert (result.exit_code, truth.read_text()) == (2, before)


def test_a_full_disk_ends_with_7(score: Any) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    result = score(PREDICTIONS, "-o", "/dev/full")
    assert result.exit_code == 7
    assert "disk is full" in result.stderr


def test_a_dry_run_prints_the_settings_and_reads_nothing(vcap: Any, tmp_path: Path) -> None:
    words = ("dense", "absent.json", "-r", "absent too.json", "--protocol", 2021, "-n")
    result = vcap("evaluate", *words)
    assert result.exit_code == 0
    assert "protocol: 2021" in result.stdout
    assert "references: ['absent too.json']" in result.stdout


def test_a_dry_run_tells_the_whole_plan_and_makes_no_folder(vcap: Any, tmp_path: Path) -> None:
    page, items = tmp_path / "new" / "page.html", tmp_path / "newer" / "items"
    words = ("--ci", "--seed", 3, "--compare", "other.json", "-o", page, "--per-item", items)
    result = vcap("evaluate", "qa", "p.json", "-r", "r.json", *words, "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert (plan["ci"], plan["seed"], plan["resamples"]) == (True, 3, 1000)
    assert (plan["compare"], plan["format"]) == ("other.json", "html")
    assert (plan["output"], plan["per_item"]) == (str(page), str(items))
    assert not (page.parent.exists() or items.parent.exists())


def test_a_dash_is_stdout_and_never_a_file(
    score: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert score(PREDICTIONS, "-o", "-").stdout == score(PREDICTIONS).stdout != ""
    assert score(PREDICTIONS, "-f", "html", "-o", "-").stdout.startswith("<!doctype html>")
    refused = score(PREDICTIONS, "--per-item", "-")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--per-item wants a file" in refused.stderr
    assert not (tmp_path / "-").exists()


def test_the_help_says_what_each_task_is(vcap: Any) -> None:
    text = vcap("evaluate", "--help").stdout
    for name, task in TASKS.items():
        assert f"{name}: {task.summary}" in text
    assert "A JSON line a video, query or question." in text


def test_predictions_of_classes_are_not_taken_for_scores_of_ours(
    score: Any, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text('{"id": "a", "scores": {"running": 0.9}}\n')
    result = score(PREDICTIONS, "--per-item", mine)
    assert (result.exit_code, mine.read_text()[:11]) == (7, '{"id": "a",')


def test_the_environment_holds_defaults(score: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCAP_SET__evaluate__metrics", "[CIDEr]")
    assert set(told(score(PREDICTIONS, "--json"))["scores"]) == {"CIDEr"}
    assert set(told(score(PREDICTIONS, "--metrics", "BLEU", "--json"))["scores"]) == {
        f"BLEU-{n}" for n in range(1, 5)
    }


class TestBadInput:
    """Counted, told on stderr and in the report, never dropped in silence."""

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            ({"d": None}, "missing"),
            ({"z": "a horse"}, "extra"),
            ({"a": ""}, "empty"),
            ({"a": "?! ..."}, "punctuation only"),
            ({"a": "a man 🎸"}, "characters outside the BMP"),
            ({"a": "a man\rplays"}, "line break"),
        ],
    )
    def test_odd_captions(self, score: Any, change: dict[str, str | None], kind: str) -> None:
        given = {name: text for name, text in (PREDICTIONS | change).items() if text is not None}
        (name,) = change
        result = score(given, "--json")
        problem = told(result)["problems"][kind]
        assert problem["count"] == 1
        assert name in problem["examples"][0]
        assert f"warning: {kind}: 1" in result.stderr

    def test_a_missing_caption_counts_as_an_empty_one(self, score: Any) -> None:
        some = {name: text for name, text in PREDICTIONS.items() if name != "d"}
        absent, empty = (told(score(given, "--json")) for given in (some, some | {"d": ""}))
        assert absent["scores"] == empty["scores"]
        assert (absent["stamp"]["num_missing"], empty["stamp"]["num_missing"]) == (1, 0)

    def test_missing_clips_can_be_left_out(self, score: Any) -> None:
        some = {name: text for name, text in PREDICTIONS.items() if name != "d"}
        value = told(score(some, "--missing", "skip", "--json"))
        assert value["stamp"]["num_units"] == 3
        assert value["stamp"]["num_missing"] == 1

    def test_an_extra_caption_changes_no_score(self, score: Any) -> None:
        plain, more = (told(score(PREDICTIONS | e, "--json")) for e in ({}, {"z": "a horse"}))
        assert plain["scores"] == more["scores"]
        assert more["stamp"]["num_extra"] == 1

    def test_a_second_prediction_of_a_clip_is_a_duplicate_and_the_first_one_holds(
        self, score: Any
    ) -> None:
        entries = [{"image_id": name, "caption": text} for name, text in PREDICTIONS.items()]
        value = told(score([*entries, {"image_id": "a", "caption": "other"}], "--json"))
        assert value["problems"]["duplicate"]["count"] == 1
        assert value["scores"] == told(score(PREDICTIONS, "--json"))["scores"]

    def test_no_id_in_common_ends_with_4(self, score: Any) -> None:
        result = score({"v1": "a dog", "v2": "a cat"})
        assert (result.exit_code, result.stdout) == (4, "")
        assert "no clip id in common (predicted: v1, v2; wanted: a, b, c, ...)" in result.stderr

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("", "predictions.json: the file is empty"),
            ("  \n\n", "predictions.json: the file is empty"),
            ('{"a": "a dog"', "predictions.json:1: not JSON"),
            ('{"id": "a"}\n{"id": \n', "predictions.json:2: not JSON"),
            ("[]", "predictions.json: no captions in it"),
            ("42", "predictions.json: no captions in it"),
        ],
    )
    def test_what_is_no_file_of_captions_ends_with_4(
        self, score: Any, text: str, complaint: str
    ) -> None:
        result = score(text)
        assert (result.exit_code, result.stdout) == (4, "")
        assert complaint in result.stderr
        assert "Traceback" not in result.stderr

    def test_what_is_no_caption_scores_as_an_empty_one_and_is_told(self, score: Any) -> None:
        odd, empty = (told(score(PREDICTIONS | {"a": a}, "--json")) for a in (7, ""))
        assert odd["problems"]["unusable record"]["count"] == 1
        assert odd["scores"] == empty["scores"]

    def test_bytes_that_are_no_text_end_with_4(
        self, vcap: Any, truth: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "p.json").write_bytes(b'{"a": "caf\xe9"}')
        result = vcap("evaluate", "caption", tmp_path / "p.json", "-r", truth)
        assert (result.exit_code, result.stdout) == (4, "")
        assert "not UTF-8" in result.stderr

    def test_a_file_that_is_not_there_ends_with_4(self, vcap: Any, truth: Path) -> None:
        for words in ((Path("absent.json"), "-r", truth), (truth, "-r", "absent.json")):
            result = vcap("evaluate", "caption", *words)
            assert (result.exit_code, result.stdout) == (4, "")
            assert result.stderr == "error: no such file: absent.json\n"


class TestWrongUsage:
    """Exit code 2, and what would have been right."""

    def test_a_wrong_task_is_answered_with_the_tasks(self, vcap: Any, truth: Path) -> None:
        result = vcap("evaluate", "captions", truth, "-r", truth)
        assert result.exit_code == 2
        assert "'captions' is not one of 'caption', 'dense'" in result.stderr

    def test_references_are_needed(self, vcap: Any, truth: Path) -> None:
        result = vcap("evaluate", "caption", truth)
        assert result.exit_code == 2
        assert "--references" in result.stderr

    def test_a_wrong_metric_is_answered_with_the_nearest(self, score: Any) -> None:
        result = score(PREDICTIONS, "--metrics", "CIDR")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "did you mean CIDEr?" in result.stderr

    @pytest.mark.parametrize("value", ["1.5", "0", "half", "nan", "0.3"])
    def test_a_threshold_is_between_zero_and_one(self, vcap: Any, value: str) -> None:
        result = vcap("evaluate", "dense", "p", "-r", "r", "--tiou", f"0.3,{value}")
        assert (result.exit_code, result.stdout) == (2, "")
        first, *more = result.stderr.splitlines()
        assert first.startswith("error: --tiou")
        assert all(line.startswith("  try: ") for line in more)

    @pytest.mark.parametrize(
        ("task", "flags"),
        [
            ("caption", ("--protocol", "2021")),
            ("caption", ("--grounding", "charades")),
            ("dense", ("--raw",)),
            ("paragraph", ("--per-clip",)),
            ("qa", ("--ties", "best")),
        ],
    )
    def test_an_option_of_another_task_is_refused(
        self, vcap: Any, task: str, flags: tuple[str, ...]
    ) -> None:
        result = vcap("evaluate", task, "p", "-r", "r", *flags)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"error: {task} does not read {flags[0]}, which is for " in result.stderr

    def test_a_default_of_the_environment_may_be_for_other_tasks(
        self, score: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VCAP_SET__evaluate__protocol", "2021")
        assert score(PREDICTIONS).exit_code == 0

    def test_a_list_without_a_metric_is_refused(self, score: Any) -> None:
        result = score(PREDICTIONS, "--metrics", ",")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("error: --metrics ,: names none")

    def test_references_cannot_be_stdin(self, vcap: Any, truth: Path) -> None:
        result = vcap("evaluate", "caption", truth, "-r", "-", stdin="{}")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "references are files" in result.stderr

    def test_two_files_cannot_both_be_stdin(self, vcap: Any, truth: Path) -> None:
        result = vcap("evaluate", "caption", "-", "-r", truth, "--compare", "-", stdin="{}")
        assert result.exit_code == 2
        assert "cannot both be stdin" in result.stderr


class TestWhereItComesFrom:
    """stdin, gzip, records and other layouts are one to the scores."""

    def test_stdin(self, vcap: Any, score: Any, truth: Path) -> None:
        words = ("evaluate", "caption", "-", "-r", truth, "--no-java", "--json")
        value = told(vcap(*words, stdin=json.dumps(PREDICTIONS)))
        assert value["stamp"]["predictions"] == "stdin"
        assert value["scores"] == told(score(PREDICTIONS, "--json"))["scores"]

    def test_gzip(self, vcap: Any, score: Any, truth: Path, tmp_path: Path) -> None:
        (tmp_path / "packed").write_bytes(gzip.compress(json.dumps(PREDICTIONS).encode()))
        words = ("evaluate", "caption", tmp_path / "packed", "-r", truth, "--no-java", "--json")
        assert told(vcap(*words))["scores"] == told(score(PREDICTIONS, "--json"))["scores"]

    def test_records_of_caption(self, score: Any) -> None:
        plain = told(score(PREDICTIONS, "--json"))["scores"]
        records = [
            {"id": name, "path": f"{name}.mp4", "captions": [{"text": text, "score": -1.5}]}
            for name, text in PREDICTIONS.items()
        ]
        lines = "".join(json.dumps(record) + "\n" for record in records)
        assert told(score(lines, "--json"))["scores"] == plain

    def test_two_reference_files_are_one_set(self, score: Any, truth: Path, tmp_path: Path) -> None:
        for number in (0, 1):
            part = {name: [texts[number]] for name, texts in REFERENCES.items()}
            (tmp_path / f"{number}.json").write_text(json.dumps(part))
        both = score(
            PREDICTIONS, "-r", tmp_path / "1.json", "--json", references=tmp_path / "0.json"
        )
        assert told(both)["scores"] == pytest.approx(
            told(score(PREDICTIONS, "--json"))["scores"], abs=1e-12
        )


@pytest.mark.slow
def test_caption_pipes_into_evaluate(tmp_path: Path) -> None:
    (tmp_path / "truth.json").write_text('{"sample.mp4": ["a red circle", "a blue square moves"]}')
    vcap = f"{sys.executable} -m vcap"
    done = subprocess.run(
        [
            *("bash", "-o", "pipefail", "-c"),
            f"{vcap} caption sample --json | {vcap} evaluate caption - -r truth.json"
            " --no-java --json",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert value["stamp"]["predictions"] == "stdin"
    assert value["scores"]["ROUGE-L"] > 0


def test_java_gives_meteor_and_the_same_other_scores(vcap: Any, score: Any, truth: Path) -> None:
    if shutil.which("java") is None:
        pytest.skip("no java")
    without = told(score(PREDICTIONS, "--json"))
    given = truth.with_name("predictions.json")
    value = told(vcap("evaluate", "caption", given, "-r", truth, "--json"))
    assert 0 < value["scores"].pop("METEOR") < 1
    assert value["scores"] == without["scores"]
    assert value["stamp"]["tokenizer"] == "PTB 3.4.1 (Java)"
