"""The packaged video."""

from pathlib import Path

import numpy as np
import pytest

from vcap.engine.inputs import gather
from vcap.engine.sample import DRAWING, references, remake, sample_path


def test_the_video_is_in_the_package_and_small() -> None:
    assert sample_path().is_file()
    assert sample_path().stat().st_size < 100_000


def test_remaking_it_gives_the_same_pictures(tmp_path: Path) -> None:
    from vcap.video.decode import read_frames
    from vcap.video.sample import Sampler

    remake(tmp_path / "again.mp4")
    there = read_frames(sample_path(), Sampler("all")).pixels.astype(int)
    again = read_frames(tmp_path / "again.mp4", Sampler("all")).pixels.astype(int)
    assert there.shape == again.shape
    assert np.abs(there - again).mean() < 2  # the encoder's build may differ, the drawing may not


def test_no_model_was_trained_on_it() -> None:
    assert DRAWING.split == "test"


def test_what_is_true_of_it_is_said_in_several_words() -> None:
    texts = references()
    assert len(set(texts)) >= 5
    assert all("red triangle" in text for text in texts)


def test_the_word_sample_means_the_packaged_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (source,) = gather(["sample"])
    assert (source.path, source.id) == (sample_path(), "sample.mp4")


def test_a_file_of_the_users_named_sample_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sample").touch()
    (source,) = gather(["sample"])
    assert source.path == tmp_path / "sample"
