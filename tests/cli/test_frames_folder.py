"""Frames that `vcap extract` wrote are a video to the other commands."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vcap.engine.inputs import gather, to_items
from vcap.engine.sample import sample_path
from vcap.features.store import FeatureStore


@pytest.fixture
def extracted(vcap: Any, tmp_path: Path) -> Path:
    """All frames of two videos, as png."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(sample_path().read_bytes())
    out = tmp_path / "frames"
    result = vcap("extract", "sample", clip, "-o", out, "--fps", 8, "--format", "png")
    assert result.exit_code == 0
    return out


def features(vcap: Any, source: object, store: Path, *options: object) -> list[np.ndarray]:
    """Features of each video that is encoded, in the order of ids."""
    result = vcap("encode", source, "-o", store, "--frames", 8, *options)
    assert result.exit_code == 0, result.stderr
    found = FeatureStore(store)
    return [np.asarray(found.features(key), np.float32) for key in sorted(found)]


def test_frames_give_the_features_of_their_video(vcap: Any, extracted: Path) -> None:
    folder, home = extracted / "sample.mp4", extracted.parent
    [direct] = features(vcap, "sample", home / "a", "--exact-pixels")
    [through] = features(vcap, folder, home / "b", "--exact-pixels")
    assert np.allclose(direct, through, atol=1e-3)
    [quick] = features(vcap, folder, home / "c")
    assert np.sum(direct * quick) / np.linalg.norm(direct) / np.linalg.norm(quick) > 0.99


def test_a_folder_of_two_extracted_videos_is_two_videos(vcap: Any, extracted: Path) -> None:
    assert [source.id for source in gather([str(extracted)])] == ["clip.mp4", "sample.mp4"]
    result = vcap("encode", extracted, "-o", extracted.parent / "s", "--frames", 8, "--json")
    assert result.exit_code == 0
    assert sorted(json.loads(line)["id"] for line in result.stdout.splitlines()) == [
        "clip.mp4",
        "sample.mp4",
    ]


def test_one_extracted_video_has_its_own_name(extracted: Path) -> None:
    [source] = gather([str(extracted / "clip.mp4")])
    assert (source.id, source.path) == ("clip.mp4", extracted / "clip.mp4")


def test_a_damaged_picture_costs_a_warning(vcap: Any, extracted: Path) -> None:
    folder = extracted / "sample.mp4"
    for path in folder.glob("00001*.png"):
        path.write_text("words")
    result = vcap("encode", folder, "-o", extracted.parent / "s", "--frames", 8)
    assert result.exit_code == 0
    assert "warning: sample.mp4: pictures missing or damaged: " in result.stderr


def test_a_shot_of_extracted_frames_can_be_captioned(vcap: Any, extracted: Path) -> None:
    result = vcap("caption", extracted / "sample.mp4", "--scenes", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[0])["captions"]


def test_pictures_without_times_are_images_as_before(extracted: Path) -> None:
    (extracted / "clip.mp4" / "times.txt").unlink()
    ids = [source.id for source in gather([str(extracted)])]
    assert (ids[0], ids[-1], len(ids)) == ("clip.mp4/000001.png", "sample.mp4", 31 + 1)


def test_videos_beside_a_file_of_times_are_videos_as_before(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(sample_path().read_bytes())
    (tmp_path / "times.txt").write_text("1\n")
    assert [source.id for source in gather([str(tmp_path)])] == ["clip.mp4"]


@pytest.mark.parametrize("checksum", [False, True])
def test_a_folder_that_lost_a_picture_is_another_input(extracted: Path, checksum: bool) -> None:
    def identity() -> Any:
        return to_items(gather([str(extracted / "clip.mp4")]), checksum=checksum)[0]

    before = identity()
    assert identity() == before
    (extracted / "clip.mp4" / "000002.png").unlink()
    assert identity() != before


def test_times_are_those_of_the_video_and_its_end(extracted: Path) -> None:
    lines = (extracted / "clip.mp4" / "times.txt").read_text().splitlines()
    assert [float(line) for line in lines] == [number / 8 for number in range(32)]


def test_frames_of_an_earlier_run_are_not_extracted_again(vcap: Any, extracted: Path) -> None:
    words = ["extract", extracted.parent, "-o", extracted, "--fps", 8, "--format", "png"]
    result = vcap(*words)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
