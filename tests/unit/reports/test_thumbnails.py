"""Pictures of frames that stand in a page."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.small_videos import make_video
from vcap.errors import VideoError
from vcap.reports.thumbnails import SHORT_SIDE, Thumbnail, thumbnails, thumbnails_or_reason
from vcap.types import Segment
from vcap.video.write import write_mp4


@pytest.fixture(scope="module")
def greys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight frames of a quarter second, each brighter than the one before."""
    path = tmp_path_factory.mktemp("greys") / "v.mp4"
    levels = np.arange(20, 220, 25, dtype=np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (8, 48, 64, 3)).copy()
    write_mp4(path, frames, frames_per_second=4)
    return path


def picture(thumbnail: Thumbnail) -> Image.Image:
    """The picture that an address holds."""
    head, _, data = thumbnail.address.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(BytesIO(base64.b64decode(data)))


def level(thumbnail: Thumbnail) -> float:
    """How bright a picture is."""
    return float(np.asarray(picture(thumbnail)).mean())


def test_the_frames_of_the_wanted_times_are_shown(greys: Path) -> None:
    found = thumbnails(greys, [1.5, 0.25])
    assert [each.time for each in found] == [0.25, 1.5]
    assert [level(each) for each in found] == pytest.approx([45, 170], abs=4)


def test_a_time_between_two_frames_gives_the_one_that_is_on_screen(greys: Path) -> None:
    [found] = thumbnails(greys, [0.6])
    assert found.time == 0.5
    assert level(found) == pytest.approx(70, abs=4)


def test_a_frame_is_shown_once(greys: Path) -> None:
    assert [each.time for each in thumbnails(greys, [0.5, 0.6, 99.0, 100.0])] == [0.5, 1.75]


def test_without_times_the_middle_is_shown(greys: Path) -> None:
    assert [each.time for each in thumbnails(greys)] == [1.0]
    assert [each.time for each in thumbnails(greys, segment=Segment(1.0, 2.0))] == [1.5]


def test_thumbnails_are_small_and_keep_their_shape(greys: Path) -> None:
    [found] = thumbnails(greys, [0.0])
    assert picture(found).size == (SHORT_SIDE * 64 // 48, SHORT_SIDE)


def test_the_same_frame_gives_the_same_address(greys: Path) -> None:
    assert thumbnails(greys, [1.0]) == thumbnails(greys, [1.0])


def test_an_image_is_its_own_frame(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), (250, 0, 0)).save(tmp_path / "a.png")
    [found] = thumbnails(tmp_path / "a.png", [3.0])
    assert found.time == 0
    assert picture(found).size == (2 * SHORT_SIDE, SHORT_SIDE)


def test_a_video_that_is_gone_gives_a_reason_instead(tmp_path: Path) -> None:
    path = tmp_path / "gone.mp4"
    with pytest.raises(VideoError):
        thumbnails(path)
    assert thumbnails_or_reason(path) == ([], f"{path}: no such file")
    found, reason = thumbnails_or_reason(make_video(path, 1))
    assert (len(found), reason) == (1, "")


def test_a_file_that_is_no_video_gives_a_reason_instead(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("no video")
    found, reason = thumbnails_or_reason(path, [1.0])
    assert found == []
    assert str(path) in reason
