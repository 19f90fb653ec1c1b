"""Long and many videos through a real model: loaded once, full batches, the same words."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.small_videos import make_video
from vcap.engine import captioner as captioner_module
from vcap.engine.caption import caption
from vcap.engine.caption_words import WordSettings
from vcap.engine.caption_work import Manner
from vcap.engine.captioner import Captioner, load_model
from vcap.engine.inputs import gather
from vcap.models import generation

Said = dict[str, list[tuple[str, float]]]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos of 2, 4, 6, 8 and 10 seconds."""
    folder = tmp_path_factory.mktemp("lengths")
    for number in range(5):
        make_video(folder / f"{number}.mp4", number, num_frames=8 * (number + 1))
    return folder


@pytest.fixture
def model(model_folder: Path) -> Captioner:
    return load_model(str(model_folder), device="cpu")


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many clips were captioned in each call of the search."""
    found: list[int] = []
    real = generation.generate

    def counted(reader: Any, prefix: Any, *rest: Any) -> Any:
        found.append(len(prefix))
        return real(reader, prefix, *rest)

    monkeypatch.setattr(captioner_module, "generate", counted)
    return found


def say(model: Captioner, videos: Path, group: int = 16, **words: Any) -> Said:
    """Texts and scores of a second of each video at a time."""
    said: Said = {}

    def keep(key: str, prediction: dict[str, Any]) -> None:
        said[key] = [(each["text"], each["score"]) for each in prediction["captions"]]

    how = Manner(every=1.0, words=WordSettings(**words))
    summary = caption(gather([str(videos)]), model, how, group=group, on_result=keep, workers=1)
    assert summary.exit_code == 0
    return said


def test_segments_of_all_videos_fill_the_batches_of_the_search(
    model: Captioner, videos: Path, sizes: list[int]
) -> None:
    said = say(model, videos)
    assert [len(some) for some in said.values()] == [2, 4, 6, 8, 10]
    assert sizes == [16, 14]


def test_a_batch_holds_as_many_clips_as_are_asked_for(
    model: Captioner, videos: Path, sizes: list[int]
) -> None:
    model.batch_size = 25
    say(model, videos)
    assert sizes == [25, 5]


@pytest.mark.parametrize("words", [{"num_captions": 3}, {"num_captions": 3, "strategy": "sample"}])
def test_several_captions_take_no_more_calls_for_each_video(
    model: Captioner, videos: Path, sizes: list[int], words: dict[str, Any]
) -> None:
    say(model, videos, **words)
    assert sizes[:2] == [16, 14]
    assert all(size < 16 for size in sizes[2:])  # what was drawn twice, all together


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"num_captions": 3},
        {"strategy": "greedy"},
        {"strategy": "sample", "num_captions": 3, "top_p": 0.9, "seed": 5},
    ],
    ids=["beam", "several", "greedy", "drawn"],
)
def test_captions_do_not_depend_on_what_shares_their_batch(
    model: Captioner, videos: Path, words: dict[str, Any]
) -> None:
    together = say(model, videos, **words)
    model.batch_size = 3
    apart = say(model, videos, group=1, **words)
    assert apart.keys() == together.keys()
    for key, some in together.items():
        assert [text for text, _ in apart[key]] == [text for text, _ in some]
        scores = [score for _, score in some]
        assert [score for _, score in apart[key]] == pytest.approx(scores, abs=2e-4)


def test_the_command_loads_the_model_once_and_searches_for_all_videos_together(
    vcap: Any,
    model_folder: Path,
    videos: Path,
    sizes: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []
    real = captioner_module.load_model

    def counted(name: str, **how: Any) -> Captioner:
        loaded.append(name)
        return real(name, **how)

    monkeypatch.setattr(captioner_module, "load_model", counted)
    asked = ("caption", videos, "--model", model_folder, "--every", "1s", "--json", "-q")
    result = vcap(*asked)
    assert result.exit_code == 0, result.stderr
    assert [len(json.loads(line)["captions"]) for line in result.stdout.splitlines()] == [
        2, 4, 6, 8, 10,
    ]  # fmt: skip
    assert (len(loaded), sizes) == (1, [16, 14])
    sizes.clear()
    assert vcap(*asked, "--batch-size", 30).stdout == result.stdout
    assert sizes == [30]
