"""A video's features do not depend on what is encoded with it, to the last bit."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcap.engine.encode import EncodeVideos, encode
from vcap.engine.encoders import ClipEncoder, load_encoder
from vcap.engine.inputs import gather
from vcap.engine.reporter import Silent
from vcap.engine.store_output import Encoded
from vcap.features.store import FeatureStore


@pytest.fixture(scope="module", params=["embedding", "grid"])
def encoder(model_folder: Path, request: pytest.FixtureRequest) -> ClipEncoder:
    """A real encoder with random weights."""
    return load_encoder(str(model_folder / "clip"), features=request.param)


@settings(max_examples=10, deadline=None)
@given(order=st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True))
def test_neighbours_in_the_batch_change_nothing(
    encoder: ClipEncoder, small_videos: Path, order: list[int]
) -> None:
    job = EncodeVideos(encoder, "uniform 5", Silent())
    sources = [gather([str(small_videos / f"{number}.mp4")])[0] for number in order]
    together = job.work([job.prepare(source) for source in sources])
    for source, result in zip(sources, together, strict=True):
        [alone] = job.work([job.prepare(source)])
        assert isinstance(result, Encoded)
        assert isinstance(alone, Encoded)
        assert np.array_equal(result.features, alone.features)
        assert np.array_equal(result.times, alone.times)


@pytest.mark.parametrize("pieces", [(1, 7), (3, 4, 7), (2, 3, 5, 7)])
def test_a_store_that_grew_in_pieces_holds_the_same_features(
    model_folder: Path, small_videos: Path, tmp_path: Path, pieces: tuple[int, ...]
) -> None:
    names = [str(small_videos / f"{number}.mp4") for number in range(7)]
    model = str(model_folder / "clip")
    for end in pieces:
        encode(names[:end], tmp_path / "grown", model=model, device="cpu", shard_size=4)
    encode(names, tmp_path / "whole", model=model, device="cpu", shard_size=4)
    grown, whole = FeatureStore(tmp_path / "grown"), FeatureStore(tmp_path / "whole")
    assert grown.ids == whole.ids
    assert all(np.array_equal(grown.features(one), whole.features(one)) for one in whole)
