"""Several sizes from one decode: the same pixels, times, warnings and failures as one by one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.small_videos import make_video as small_video
from vcap.errors import VideoError
from vcap.types import Segment
from vcap.video import pictures as module
from vcap.video.decode import read_frames
from vcap.video.picture import Painter, Size
from vcap.video.pictures import MOBILENET, Look, raw, read_pictures
from vcap.video.sample import Sampler, parse_sampler

MakeVideo = Callable[..., Path]
SIZES = [
    Size(short_side=24, crop=True),
    Size(short_side=32, crop=True, exact=True),
    Size(width=31, height=17),
    Size(width=20, height=20, exact=True, interpolation="bilinear"),
    Size(short_side=40),
]


def assert_as_one_by_one(
    path: Path, sampler: Sampler, sizes: list[Size], segment: Segment | None = None
) -> None:
    """All sizes together are what each gives alone, and so are times and warnings."""
    said: list[str] = []
    found, times = read_pictures(path, sampler, sizes, segment=segment, on_warning=said.append)
    assert len(found) == len(sizes)
    for size, pixels in zip(sizes, found, strict=True):
        alone = read_frames(path, sampler, segment=segment, size=size)
        np.testing.assert_array_equal(pixels, alone.pixels)
        np.testing.assert_array_equal(times, alone.times)
        assert tuple(said) == alone.warnings


@pytest.mark.parametrize(
    "sampler", ["uniform 7", "fps 4", "all", "keyframes", "adaclip-linspace 5"]
)
def test_every_size_has_the_pixels_that_it_has_alone(make_video: MakeVideo, sampler: str) -> None:
    assert_as_one_by_one(make_video(), parse_sampler(sampler), SIZES)


def test_pixels_that_are_not_square_and_odd_sides_change_nothing(make_video: MakeVideo) -> None:
    path = make_video(size=(66, 50), aspect=2)
    assert_as_one_by_one(path, Sampler("uniform", 3), SIZES, Segment(0.2, 0.8))


def test_a_still_image_gives_the_frames_that_are_asked_for(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    path = tmp_path / "a.png"
    Image.fromarray(draws.integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(path)
    assert_as_one_by_one(path, Sampler("uniform", 4), SIZES)


def test_a_folder_of_extracted_frames_is_read_too(tmp_path: Path) -> None:
    folder = frames_folder(tmp_path / "frames", 6)
    assert_as_one_by_one(folder, Sampler("uniform", 4), SIZES)


def test_a_bad_picture_of_a_folder_is_told_once_for_all_sizes(tmp_path: Path) -> None:
    folder = frames_folder(tmp_path / "frames", 6)
    (folder / "000003.png").write_bytes(b"no picture")
    said: list[str] = []
    read_pictures(folder, Sampler("all"), SIZES, on_warning=said.append)
    assert len(said) == 1 and "000003" in said[0]
    assert_as_one_by_one(folder, Sampler("all"), SIZES)


def frames_folder(folder: Path, count: int) -> Path:
    """Numbered pictures with their times."""
    draws = np.random.default_rng(1)
    folder.mkdir()
    for number in range(1, count + 1):
        pixels = draws.integers(0, 256, (36, 52, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06d}.png")
    times = "".join(f"{number / 2}\n" for number in range(count + 1))
    (folder / "times.txt").write_text(times)
    return folder


def test_a_damaged_video_gives_what_can_be_decoded_and_one_warning(make_video: MakeVideo) -> None:
    path = make_video(number=60, g="10")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    assert_as_one_by_one(path, Sampler("uniform", 9), SIZES[:2])


@pytest.mark.parametrize("segment", [None, Segment(5.0, 9.0), Segment(0.5, 0.5)])
def test_what_read_frames_refuses_is_refused_with_the_same_words(
    make_video: MakeVideo, tmp_path: Path, segment: Segment | None
) -> None:
    path = tmp_path / "text.mp4" if segment is None else make_video(number=6)
    if segment is None:
        path.write_text("no video")
    with pytest.raises(VideoError) as alone:
        read_frames(path, Sampler("uniform", 2), size=SIZES[0], segment=segment)
    with pytest.raises(VideoError) as together:
        read_pictures(path, Sampler("uniform", 2), SIZES, segment=segment)
    assert str(together.value) == str(alone.value)
    assert together.value.hint == alone.value.hint


def test_frames_that_do_not_fit_into_memory_together_are_refused(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, size = make_video(), Size(width=10, height=10)
    monkeypatch.setattr(module, "MAX_BYTES", 4 * 300)
    assert len(read_pictures(path, Sampler("uniform", 4), [size])[1]) == 4
    with pytest.raises(VideoError, match="GiB at once"):
        read_pictures(path, Sampler("uniform", 4), [size, size])


def test_a_frame_is_decoded_once_and_painted_once_for_each_size(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted = []
    paint = Painter.paint
    monkeypatch.setattr(
        Painter, "paint", lambda self, frame: (painted.append(frame), paint(self, frame))[1]
    )
    read_pictures(make_video(number=3), Sampler("uniform", 9), SIZES[:2])
    assert len(painted) == 6
    assert len({id(frame) for frame in painted}) == 3


def test_of_more_frames_than_wanted_some_are_taken_evenly_from_the_first_on(tmp_path: Path) -> None:
    path = small_video(tmp_path / "a.mp4", 0, num_frames=20)
    _, everything = read_pictures(path, Sampler("all"), SIZES[:1])
    pictures, some = read_pictures(path, Sampler("all"), SIZES[:1], most=8)
    np.testing.assert_array_equal(some, everything[np.arange(8) * 20 // 8])
    assert len(pictures[0]) == 8
    assert len(read_pictures(path, Sampler("all"), SIZES[:1], most=21)[1]) == 20


def test_grey_pictures_are_the_whole_picture_weighed_as_pillow_does(make_video: MakeVideo) -> None:
    path = make_video()
    colours, grey = read_pictures(
        path, Sampler("uniform", 2), [Size(width=56, height=56, exact=True), raw(56)]
    )[0]
    assert grey.shape == (2, 56, 56, 1)
    for whole, small in zip(colours, grey, strict=True):
        np.testing.assert_array_equal(
            small[..., 0], np.asarray(Image.fromarray(whole).convert("L"))
        )


def test_grey_is_within_one_level_of_the_weights_of_torchvision(make_video: MakeVideo) -> None:
    colours, grey = read_pictures(
        make_video(), Sampler("all"), [Size(width=56, height=56, exact=True), raw(56)]
    )[0]
    wanted = (colours / 255) @ np.array([0.2989, 0.587, 0.114])
    assert np.abs(grey[..., 0] / 255 - wanted).max() <= 1 / 255


def test_the_middle_is_cut_from_the_resized_picture(make_video: MakeVideo) -> None:
    square = Size(short_side=256, crop=True, exact=True)
    whole, middle = read_pictures(make_video(), Sampler("uniform", 2), [square, MOBILENET])[0]
    np.testing.assert_array_equal(middle, whole[:, 16:240, 16:240])


def test_a_look_knows_its_shape_and_tells_all_that_decides_its_pixels() -> None:
    assert raw(56).shape == (56, 56, 1) and MOBILENET.shape == (224, 224, 3)
    assert Look(Size(short_side=8)).shape is None
    looks = [raw(56), raw(57), MOBILENET, Look(Size(56, 56)), Look(Size(56, 56), grey=True)]
    looks += [Look(Size(56, 56, interpolation="bilinear")), Look(Size(56, 56, exact=True))]
    assert len({str(look) for look in looks}) == len(looks)


def test_no_size_at_all_is_refused(make_video: MakeVideo) -> None:
    with pytest.raises(ValueError, match="at least one size"):
        read_pictures(make_video(), Sampler("all"), [])


@pytest.mark.parity
def test_pictures_of_a_policy_are_those_of_the_original(golden_root: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    wanted = load_file(golden_root / "adaclip" / "preprocess.safetensors")
    path = tmp_path / "a.png"
    Image.fromarray(wanted["image_uint8_hwc"]).save(path)
    clip = Size(short_side=224, crop=True, exact=True)
    grey, light, clips = read_pictures(path, Sampler("all"), [raw(56), MOBILENET, clip])[0]
    np.testing.assert_array_equal(grey[0, ..., 0], np.round(255 * wanted["raw_56"][0]))
    assert_normalised(light[0], wanted["mobilenet_256c224_every7"], IMAGENET)
    assert_normalised(clips[0], wanted["clip_224_every7"], CLIP)


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def assert_normalised(
    pixels: np.ndarray, wanted: np.ndarray, statistics: tuple[tuple[float, ...], tuple[float, ...]]
) -> None:
    mean, std = statistics
    found = (pixels[::7, ::7] / 255 - mean) / std
    np.testing.assert_allclose(found.transpose(2, 0, 1), wanted, atol=1e-5)


@pytest.mark.media
@pytest.mark.parametrize("name", ["bear-vp9-odd-dimensions.webm", "video_90.mov", "fire2.mp4"])
def test_real_videos_give_the_same_pixels_in_every_size(media_root: Path, name: str) -> None:
    if not (media_root / name).is_file():
        pytest.skip(f"no file {name}")
    assert_as_one_by_one(media_root / name, Sampler("uniform", 3), SIZES)


@pytest.mark.media
def test_broken_files_fail_or_warn_as_they_do_with_one_size(media_root: Path) -> None:
    for path in sorted((media_root / "broken").iterdir()):
        try:
            wanted = read_frames(path, Sampler("uniform", 3), size=SIZES[0])
        except VideoError as error:
            with pytest.raises(VideoError) as again:
                read_pictures(path, Sampler("uniform", 3), SIZES[:2])
            assert str(again.value) == str(error), path
        else:
            said: list[str] = []
            found, _ = read_pictures(path, Sampler("uniform", 3), SIZES[:2], on_warning=said.append)
            np.testing.assert_array_equal(found[0], wanted.pixels)
            assert tuple(said) == wanted.warnings
