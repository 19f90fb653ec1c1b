"""Each task reads its own choices, and refuses those of others by name."""

import subprocess
import sys

import pytest

from vcap.engine.evaluate import EvaluateSettings
from vcap.engine.evaluation.tasks import TASKS, refuse_options
from vcap.errors import UsageError


@pytest.mark.parametrize(
    ("task", "option", "complaint"),
    [
        ("caption", "tiou", "caption does not read --tiou, which is for dense and grounding"),
        ("dense", "raw", "dense does not read --raw, which is for caption"),
        ("paragraph", "per_clip", "paragraph does not read --per-clip, which is for caption"),
        ("classification", "ties", "which is for retrieval"),
        ("qa", "full_paraphrase_table", "which is for caption and dense and paragraph"),
        ("dense", "grounding", "which is for grounding"),
    ],
)
def test_a_choice_of_another_task_is_refused(task: str, option: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        refuse_options(task, [option])


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("caption", ["raw", "per_clip", "metrics", "missing", "java"]),
        ("dense", ["protocol", "tiou", "max_proposals", "cider", "soda_files", "split"]),
        ("retrieval", ["ties", "text_features", "missing"]),
        ("grounding", ["grounding", "tiou"]),
    ],
)
def test_what_a_task_reads_may_be_chosen(task: str, options: list[str]) -> None:
    refuse_options(task, options)


def test_every_choice_belongs_to_a_task() -> None:
    for name in EvaluateSettings.model_fields:
        assert any(task.reads(name) for task in TASKS.values()), name


@pytest.mark.parametrize("task", TASKS)
def test_every_task_says_what_it_is_for(task: str) -> None:
    assert TASKS[task].summary


def test_the_tasks_are_known_without_what_takes_long_to_load() -> None:
    heavy = "{'pydantic', 'numpy', 'torch'} & sys.modules.keys()"
    code = f"import sys, vcap.engine.evaluation.tasks; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
