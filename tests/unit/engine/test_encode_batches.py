"""Frames of many videos fill the encoder's batches together, and each video keeps its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_videos import ColourEncoder, make_video
from vcap.engine import encode as encode_module
from vcap.engine.batches import BATCHES
from vcap.engine.decoding import CHUNK, Chunks
from vcap.engine.encode import EncodeVideos, encode
from vcap.engine.inputs import gather
from vcap.engine.reporter import Silent
from vcap.engine.store_output import Encoded
from vcap.errors import VideoError
from vcap.features.store import FeatureStore
from vcap.types import Frames
from vcap.video.decode import read_frames
from vcap.video.sample import parse_sampler


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> ColourEncoder:
    """The encoder that `encode` uses."""
    encoder = ColourEncoder()
    monkeypatch.setattr(encode_module, "load_named", lambda *_: encoder)
    return encoder


def note_sizes(encoder: ColourEncoder) -> list[int]:
    """How many frames each call of the encoder gets, from now on."""
    sizes: list[int] = []
    whole = encoder.encode_frames

    def noted(pixels: Any) -> Any:
        sizes.append(len(pixels))
        return whole(pixels)

    encoder.encode_frames = noted  # type: ignore[method-assign]
    return sizes


def test_frames_of_videos_of_any_length_fill_batches_together(
    encoder: ColourEncoder, tmp_path: Path
) -> None:
    lengths = [5, CHUNK + 3, 1, 2 * CHUNK + 9, 12, 7]
    videos = [
        make_video(tmp_path / f"{number}.mp4", number, num_frames=length, rate=8)
        for number, length in enumerate(lengths)
    ]
    everything, wanted = parse_sampler("all"), {}
    for video in videos:
        frames = read_frames(video, everything, size=encoder.size)
        wanted[video.name] = encoder.encode_frames(frames.pixels)
    sizes = note_sizes(encoder)
    encode([str(video) for video in videos], tmp_path / "store", sampler="all")
    assert sum(sizes) == sum(lengths)
    assert all(size % encoder.batch_size == 0 for size in sizes[:-1])  # the last alone is filled up
    assert max(sizes) <= BATCHES * encoder.batch_size + CHUNK
    store = FeatureStore(tmp_path / "store")
    for name, features in wanted.items():
        assert np.array_equal(store.features(name), features.astype(np.float16))


def test_few_frames_a_video_still_make_full_batches(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(32):
        (folder / f"{number:02d}.mp4").symlink_to(small_videos / f"{number % 7}.mp4")
    sizes = note_sizes(encoder)
    encode([str(folder)], tmp_path / "store", sampler="uniform 5")
    assert sum(sizes) == 160
    assert all(size % encoder.batch_size == 0 for size in sizes)


def test_a_video_that_breaks_off_leaves_the_numbers_of_the_others_alone(
    encoder: ColourEncoder, small_videos: Path
) -> None:
    def breaking() -> Iterator[Frames]:
        yield Frames(np.full((20, 32, 32, 3), 9, np.uint8), np.arange(20.0))
        raise VideoError("it ends in the middle")

    job = EncodeVideos(encoder, "uniform 5", Silent())  # type: ignore[arg-type]
    sources = gather([str(small_videos / f"{number}.mp4") for number in range(3)])
    alone = [job.work([job.prepare(source)])[0] for source in sources]
    prepared = [job.prepare(source) for source in sources]
    prepared[1] = (sources[1], Chunks(prepared[1][1].first, breaking()))
    together = job.work(prepared)
    assert isinstance(together[1], VideoError)
    for number in (0, 2):
        ours, wanted = together[number], alone[number]
        assert isinstance(ours, Encoded) and isinstance(wanted, Encoded)
        assert np.array_equal(ours.features, wanted.features)
        assert np.array_equal(ours.times, wanted.times)
