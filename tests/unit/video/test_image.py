"""Pictures written as image files, and read as videos of one frame."""

import io

import numpy as np
import pytest
from PIL import Image

from vcap.errors import UsageError
from vcap.video.decode import read_frames
from vcap.video.image import FORMATS, encode_image
from vcap.video.probe import probe
from vcap.video.sample import parse_sampler

Y, X = np.mgrid[:40, :64]
SMOOTH = np.stack([X * 3, Y * 5, 255 - X * 3], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("format", FORMATS)
def test_an_image_holds_the_picture(format):
    data = encode_image(SMOOTH, format, quality=95)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[format]
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - SMOOTH).mean() < 3
    assert encode_image(SMOOTH, format, quality=95) == data


def test_png_loses_nothing():
    with Image.open(io.BytesIO(encode_image(SMOOTH, "png"))) as image:
        np.testing.assert_array_equal(np.asarray(image), SMOOTH)


def test_a_view_into_a_larger_picture_is_written_as_it_looks():
    with Image.open(io.BytesIO(encode_image(SMOOTH[::-1, ::2], "png"))) as image:
        np.testing.assert_array_equal(np.asarray(image), SMOOTH[::-1, ::2])


def test_quality_makes_files_larger():
    assert len(encode_image(SMOOTH, "jpg", 95)) > len(encode_image(SMOOTH, "jpg", 20))


@pytest.mark.parametrize(("format", "quality"), [("bmp", 90), ("jpg", 0), ("webp", 101)])
def test_an_impossible_format_or_quality_is_refused(format, quality):
    with pytest.raises(UsageError):
        encode_image(SMOOTH, format, quality)


@pytest.mark.parametrize("pixels", [SMOOTH[..., 0], SMOOTH[..., :2], SMOOTH.astype(np.float32)])
def test_what_is_no_picture_is_refused(pixels):
    with pytest.raises(ValueError, match=r"want \[H, W, 3\] uint8"):
        encode_image(pixels, "png")


@pytest.mark.parametrize("format", FORMATS)
def test_an_image_is_a_video_of_one_frame(tmp_path, format):
    path = tmp_path / f"frame %03d.{format}"
    path.write_bytes(encode_image(SMOOTH, format, quality=95))
    for text, count in [("all", 1), ("fps 100", 1), ("keyframes", 1), ("uniform 3", 3)]:
        frames = read_frames(path, parse_sampler(text))
        assert frames.times.tolist() == [0.0] * count
        assert np.abs(frames.pixels[-1].astype(int) - SMOOTH).mean() < 4
        assert frames.warnings == ()
    info = probe(path)
    assert (info.width, info.height, info.is_image) == (64, 40, True)
    assert (info.duration_seconds, info.frames_per_second) == (None, None)


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "1"])
def test_images_of_every_mode_become_rgb(tmp_path, mode):
    Image.fromarray(SMOOTH).convert(mode).save(tmp_path / "a.png")
    assert read_frames(tmp_path / "a.png", parse_sampler("all")).pixels.shape == (1, 40, 64, 3)


def test_a_photo_taken_sideways_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
    pixels = read_frames(tmp_path / "a.jpg", parse_sampler("all")).pixels[0]
    assert np.abs(pixels.astype(int) - np.rot90(SMOOTH, -1)).mean() < 3
