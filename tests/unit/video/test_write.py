"""MP4 files written from frames decode to the same pictures."""

import av
import numpy as np
import pytest

from vcap.data.shapes import describe, draw
from vcap.video.write import write_mp4


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = [(f.to_ndarray(format="rgb24"), f.time) for f in container.decode(stream)]
    return np.stack([picture for picture, _ in pictures]), [time for _, time in pictures]


def test_a_written_clip_decodes_to_nearly_the_same_pixels_at_the_right_times(tmp_path):
    frames = draw(describe(0, "clips", "train", 4))
    write_mp4(tmp_path / "a.mp4", frames, frames_per_second=8)
    pictures, times = decoded(tmp_path / "a.mp4")
    assert pictures.shape == frames.shape
    assert times == [k / 8 for k in range(len(frames))]
    assert np.abs(pictures.astype(int) - frames).mean() < 4


def test_the_same_frames_give_the_same_bytes(tmp_path):
    frames = draw(describe(0, "clips", "train", 1))
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, frames, frames_per_second=8)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_the_file_is_h264_in_yuv420p(tmp_path):
    write_mp4(tmp_path / "a.mp4", np.zeros((2, 48, 64, 3), np.uint8), frames_per_second=5)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (64, 48, 5)


def test_a_still_is_a_video_of_one_frame(tmp_path):
    frames = draw(describe(0, "frames", "train", 0))
    write_mp4(tmp_path / "a.mp4", frames, frames_per_second=8)
    pictures, times = decoded(tmp_path / "a.mp4")
    assert (pictures.shape, times) == ((1, 96, 96, 3), [0.0])


def test_any_file_name_is_written_exactly(tmp_path):
    path = tmp_path / "video.partial-17"
    write_mp4(path, np.zeros((1, 16, 16, 3), np.uint8), frames_per_second=8)
    assert [entry.name for entry in tmp_path.iterdir()] == ["video.partial-17"]


def test_a_lower_quality_makes_a_smaller_file(tmp_path):
    frames = draw(describe(0, "clips", "train", 5))
    write_mp4(tmp_path / "fine.mp4", frames, frames_per_second=8)
    write_mp4(tmp_path / "rough.mp4", frames, frames_per_second=8, crf=40)
    assert (tmp_path / "rough.mp4").stat().st_size < (tmp_path / "fine.mp4").stat().st_size / 2


def test_frames_that_are_not_contiguous_are_written_alike(tmp_path):
    frames = draw(describe(0, "clips", "train", 2))[::-1]
    write_mp4(tmp_path / "a.mp4", frames, frames_per_second=8)
    write_mp4(tmp_path / "b.mp4", frames.copy(), frames_per_second=8)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 16, 16, 3), np.uint8),
        np.zeros((16, 16, 3), np.uint8),
        np.zeros((1, 16, 16, 4), np.uint8),
        np.zeros((1, 16, 16, 3), np.float32),
        np.zeros((1, 15, 16, 3), np.uint8),
    ],
)
def test_frames_of_the_wrong_shape_or_type_are_refused(tmp_path, frames):
    with pytest.raises(ValueError, match="want"):
        write_mp4(tmp_path / "a.mp4", frames, frames_per_second=8)
    assert not list(tmp_path.iterdir())
