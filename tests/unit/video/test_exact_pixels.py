"""The way of resizing that published numbers were made with, and the default beside it."""

import av
import numpy as np
import pytest
from PIL import Image

from vcap.video.decode import read_frames
from vcap.video.picture import Painter, Size
from vcap.video.sample import Sampler


def reference(picture, side, method=Image.Resampling.BICUBIC):
    """Short side and centre crop as the usual preprocessing of pictures has them."""
    height, width = picture.shape[:2]
    short = min(width, height)
    size = (int(side * width / short), int(side * height / short))
    resized = Image.fromarray(np.ascontiguousarray(picture)).resize(size, method)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return np.asarray(resized)[top : top + side, left : left + side]


def differences(pixels, wanted):
    """How many levels apart each value is."""
    return np.abs(pixels.astype(int) - np.asarray(wanted).astype(int))


def noise(height, width):
    """A picture in which every pixel differs from its neighbours."""
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def paint(picture, size):
    """The picture as a frame, brought to a size."""
    return Painter(size, None).paint(av.VideoFrame.from_ndarray(picture, format="rgb24"))


@pytest.mark.media
@pytest.mark.parametrize("side", [96, 224])
@pytest.mark.parametrize(
    "name",
    [
        *("v_GGSY1Qvo990.mp4", "flipping_a_pancake.mkv", "rabbit320.webm", "fire2.mp4"),
        *("video_90.mov", "hdr10-av1.mp4", "bear-vp9-odd-dimensions.webm"),
    ],
)
def test_exact_pixels_equal_those_of_the_reference_path(media_root, decode_all, name, side):
    size = Size(short_side=side, crop=True, exact=True)
    frames = read_frames(media_root / name, Sampler("uniform", 3), size=size)
    decoded = decode_all(media_root / name)
    for time, pixels in zip(frames.times.tolist(), frames.pixels, strict=True):
        wanted = reference(decoded.frames[decoded.times.index(time)], side)
        assert differences(pixels, wanted).max() <= 2


@pytest.mark.parametrize("shape", [(240, 320), (181, 97), (60, 50)])
def test_another_antialiased_bicubic_agrees_within_two_levels(shape):
    import torch

    picture = 64 + noise(*shape) // 2  # away from the ends, where each clips at another step
    pixels = paint(picture, Size(64, 64, exact=True))
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None]
    wanted = torch.nn.functional.interpolate(planes, (64, 64), mode="bicubic", antialias=True)
    assert differences(pixels, wanted[0].permute(1, 2, 0).numpy()).max() <= 2


def test_a_bilinear_encoder_has_its_exact_pixels_too():
    picture = noise(90, 120)
    size = Size(short_side=32, crop=True, interpolation="bilinear", exact=True)
    wanted = reference(picture, 32, Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(paint(picture, size), wanted)


def test_a_size_without_a_crop_is_exact_too():
    picture = noise(90, 120)
    wanted = Image.fromarray(picture).resize((40, 30), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(paint(picture, Size(short_side=30, exact=True)), wanted)


def test_an_exact_picture_of_the_wanted_size_is_untouched():
    picture = noise(30, 30)
    np.testing.assert_array_equal(paint(picture, Size(30, 30, exact=True)), picture)


def test_exact_pixels_have_a_name_of_their_own():
    assert str(Size(20, 10, exact=True)) == "20x10 exact"
    assert str(Size(short_side=8, crop=True, exact=True)) == "short 8 crop exact"


@pytest.mark.media
@pytest.mark.parametrize("name", ["v_GGSY1Qvo990.mp4", "flipping_a_pancake.mkv", "cups.mp4"])
def test_the_fast_default_stays_near_the_exact_pixels(media_root, name):
    sizes = [Size(short_side=224, crop=True, exact=exact) for exact in (False, True)]
    fast, exact = (
        read_frames(media_root / name, Sampler("uniform", 3), size=size).pixels for size in sizes
    )
    assert differences(fast, exact).mean() < 1.5
    assert abs(float(fast.mean()) - float(exact.mean())) < 1.5


@pytest.mark.parametrize("side", [24, 25, 96, 97])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le", "rgb24", "gray"])
def test_colours_keep_their_places_whatever_the_layout_and_the_width(side, pix_fmt):
    picture = np.zeros((48, 48, 3), np.uint8)
    picture[:] = (120, 120, 120) if pix_fmt == "gray" else (200, 120, 40)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
    pixels = Painter(Size(side, side), None).paint(frame)
    assert pixels.shape == (side, side, 3)
    assert differences(pixels, np.broadcast_to(picture[0, 0], pixels.shape)).max() <= 4


@pytest.mark.parametrize("width", [30, 31])
def test_a_scaled_picture_has_no_rows_of_padding_in_it(width):
    picture = np.zeros((40, 62, 3), np.uint8)
    picture[:, :, 0] = np.linspace(0, 255, 62).astype(np.uint8)
    pixels = paint(picture, Size(width, 20)).astype(int)
    assert (np.diff(pixels[:, :, 0], axis=1) >= -1).all()  # the ramp goes up in every row
    assert pixels[:, :, 1:].max() <= 1
