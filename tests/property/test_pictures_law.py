"""Whatever the sizes and the batches are, pictures are those of a decode for each alone."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.small_videos import make_video
from vcap.data.records import Record
from vcap.engine.pictures import PictureTable
from vcap.engine.run import Run
from vcap.engine.training_data import Example
from vcap.video.decode import read_frames
from vcap.video.picture import Size
from vcap.video.pictures import Look, as_look, read_pictures
from vcap.video.sample import Sampler

sides = st.integers(1, 70)
KIND = st.sampled_from(["bicubic", "bilinear"])
whole = st.builds(Size, width=sides, height=sides, interpolation=KIND, exact=st.booleans())
square = st.builds(
    Size, short_side=sides, crop=st.just(True), interpolation=KIND, exact=st.booleans()
)
SAMPLERS = [Sampler("uniform", 3), Sampler("fps", 2.0), Sampler("all"), Sampler("keyframes")]


@st.composite
def looks(draw: st.DrawFn) -> Look:
    """A size, with a middle that it has, in colour or grey."""
    size = draw(whole | square)
    height, width, _ = as_look(size).shape or (0, 0, 0)
    middle = st.none() | st.integers(1, min(height, width))
    return Look(size, draw(middle), draw(st.booleans()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of 1, 5 and 9 frames."""
    place = tmp_path_factory.mktemp("videos")
    for number in range(3):
        make_video(place / f"{number}.mp4", number, num_frames=4 * number + 1)
    return place


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=st.lists(whole | square, min_size=1, max_size=4),
    sampler=st.sampled_from(SAMPLERS),
    video=st.integers(0, 2),
)
def test_sizes_together_give_what_each_gives_alone(
    folder: Path, sizes: list[Size], sampler: Sampler, video: int
) -> None:
    path = folder / f"{video}.mp4"
    together, times = read_pictures(path, sampler, sizes)
    for size, pixels in zip(sizes, together, strict=True):
        alone = read_frames(path, sampler, size=size)
        np.testing.assert_array_equal(pixels, alone.pixels)
        np.testing.assert_array_equal(times, alone.times)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(look=looks(), video=st.integers(0, 2))
def test_a_look_has_the_shape_that_it_announces(folder: Path, look: Look, video: int) -> None:
    (pixels,), _ = read_pictures(folder / f"{video}.mp4", Sampler("all"), [look])
    assert pixels.shape == (4 * video + 1, *(look.shape or ()))
    assert pixels.dtype == np.uint8


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    look=looks(),
    num_frames=st.integers(1, 11),
    batches=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=1, max_size=4),
    expected=st.lists(st.integers(0, 5), max_size=8),
)
def test_batches_in_any_order_hold_the_pictures_of_their_rows(
    folder: Path,
    look: Look,
    num_frames: int,
    batches: list[list[int]],
    expected: list[int],
) -> None:
    examples = [Example(Record(id=f"{n}", path=f"{n % 3}.mp4"), folder) for n in range(6)]
    wanted = [
        read_pictures(folder / f"{n}.mp4", Sampler("all"), [look], most=num_frames)[0][0]
        for n in range(3)
    ]
    run = Run(folder)
    with PictureTable(examples, Sampler("all"), num_frames, {"it": look}, None, run) as table:
        for rows in batches:
            table.expect(np.array(expected, dtype=np.int64))
            found = table.gather(np.array(rows, dtype=np.int64))
            for place, row in enumerate(rows):
                real = found.mask[place].numpy()
                assert real.sum() == min(num_frames, 4 * (row % 3) + 1)
                pixels = found.pictures["it"][place].numpy()
                np.testing.assert_array_equal(pixels[real], wanted[row % 3])
                assert real[: real.sum()].all() and not pixels[~real].any()
