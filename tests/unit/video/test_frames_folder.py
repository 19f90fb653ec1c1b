"""Numbered pictures with their times, read as the video that they came from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vcap.errors import VideoError
from vcap.types import Segment
from vcap.video.decode import read_frames
from vcap.video.parts import iter_parts
from vcap.video.sample import Sampler, parse_sampler
from vcap.video.scenes import find_scenes

GREYS = (10, 60, 110, 160, 210)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five grey pictures, half a second each, from one second on."""
    for number, grey in enumerate(GREYS, 1):
        Image.new("RGB", (32, 24), (grey, grey, grey)).save(tmp_path / f"{number:06d}.png")
    write_times(tmp_path, [1.0, 1.5, 2.0, 2.5, 3.0, 3.5])
    return tmp_path


def write_times(folder: Path, times: list[float]) -> None:
    """The file of times, as extract writes it."""
    (folder / "times.txt").write_text("".join(f"{time}\n" for time in times))


def greys(folder: Path, sampler: str, segment: Segment | None = None) -> list[tuple[float, int]]:
    """Time and grey of each wanted picture."""
    frames = read_frames(folder, parse_sampler(sampler), segment=segment)
    return [(float(t), int(p[0, 0, 0])) for t, p in zip(frames.times, frames.pixels, strict=True)]


def test_pictures_come_at_their_times(folder: Path) -> None:
    assert greys(folder, "all") == [*zip((1.0, 1.5, 2.0, 2.5, 3.0), GREYS, strict=True)]


def test_the_last_line_is_the_end(folder: Path) -> None:
    write_times(folder, [1.0, 1.5, 2.0, 2.5, 3.0, 21.0])
    assert greys(folder, "uniform 2") == [(3.0, 210), (3.0, 210)]


def test_a_segment_is_in_the_seconds_of_the_video(folder: Path) -> None:
    assert greys(folder, "all", Segment(1.5, 2.5)) == [(1.5, 60), (2.0, 110)]
    with pytest.raises(VideoError, match="lies outside the video"):
        greys(folder, "all", Segment(0.0, 1.0))


def test_every_picture_is_a_keyframe(folder: Path) -> None:
    assert len(greys(folder, "keyframes")) == 5


def test_many_parts_are_read_in_one_pass(folder: Path) -> None:
    segments = [Segment(1.0, 2.0), Segment(2.0, 3.5)]
    parts = list(iter_parts(folder, Sampler("all"), lambda *_: segments))
    assert [(part, len(frames.times)) for part, frames in parts] == [
        (segments[0], 2),
        (segments[1], 3),
    ]


@pytest.mark.parametrize("damage", ["missing", "text", "empty"])
def test_a_bad_picture_is_left_out_and_counted(folder: Path, damage: str) -> None:
    bad = folder / "000003.png"
    bad.unlink()
    if damage != "missing":
        bad.write_text("words" if damage == "text" else "")
    frames = read_frames(folder, Sampler("all"))
    assert frames.times.tolist() == [1.0, 1.5, 2.5, 3.0]
    assert frames.warnings == ("pictures missing or damaged: 1 of 5, the first is number 000003",)


def test_the_picture_before_stands_for_a_bad_one_where_times_are_asked_for(folder: Path) -> None:
    (folder / "000001.png").write_text("words")
    (folder / "000003.png").unlink()
    assert [grey for _, grey in greys(folder, "fps 2")] == [60, 60, 60, 160, 210]


def test_a_folder_without_any_good_picture_is_named(folder: Path) -> None:
    for path in folder.glob("*.png"):
        path.write_text("words")
    for sampler in ("all", "uniform 3"):
        with pytest.raises(VideoError, match="none of its pictures can be read") as caught:
            greys(folder, sampler)
        assert str(folder) in str(caught.value)
    with pytest.raises(VideoError, match="none of its pictures"):
        find_scenes(folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 times and an end for 5 pictures"),
        ("1\n2\n3\n", "2 times and an end for 5 pictures"),
        ("1\n2\n3\n4\n5\nsoon\n", "want a time in seconds a line"),
        ("1\n2\n3\n5\n4\n6\n", "not in order"),
        ("1\n2\n3\n4\n5\nnan\n", "not in order"),
    ],
)
def test_times_that_make_no_sense_are_refused(folder: Path, text: str, reason: str) -> None:
    (folder / "times.txt").write_text(text)
    with pytest.raises(VideoError, match=reason) as caught:
        greys(folder, "all")
    assert str(folder / "times.txt") in str(caught.value)


def test_shots_are_found_though_the_first_picture_is_bad(folder: Path) -> None:
    (folder / "000001.png").unlink()
    assert find_scenes(folder) == [Segment(1.5, 3.5)]


def test_a_folder_without_times_is_still_no_video(folder: Path) -> None:
    (folder / "times.txt").unlink()
    with pytest.raises(VideoError, match="a folder, not a video"):
        read_frames(folder, Sampler("all"))


def test_pictures_are_scaled_as_a_video_is(folder: Path) -> None:
    from vcap.video.picture import Size

    frames = read_frames(folder, Sampler("all"), size=Size(short_side=12, crop=True))
    assert frames.pixels.shape == (5, 12, 12, 3)
    assert np.abs(frames.pixels[:, 0, 0, 0].astype(int) - GREYS).max() <= 1
