"""What a training of a retrieval model refuses, leaves out or warns of, once it sees the data."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.small_videos import make_video
from tests.unit.engine.towers import config, look, write_sources
from vcap.engine.methods.retrieval import RetrievalMethod
from vcap.engine.run import Run
from vcap.engine.training_data import load_splits
from vcap.errors import FeatureError


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, videos and features of them."""
    return write_sources(tmp_path_factory.mktemp("sources"))


def method(sources: Path, **changes: Any) -> RetrievalMethod:
    settings = config(sources, **changes)
    return RetrievalMethod(settings, load_splits(settings.data), Run(sources / "run"))


@pytest.mark.parametrize("cached", [False, True])
def test_features_of_other_frames_than_the_pictures_are_refused_by_the_video(
    sources: Path, tmp_path: Path, cached: bool
) -> None:
    cache = str(tmp_path / "cache") if cached else None
    shutil.copytree(sources, tmp_path / "s")
    options = {"towers": "none", "policy": look("raw")}
    data = {"features": [str(sources / "store")], "cache": cache}
    for _ in range(2):  # with a cache, the second time from it
        method(tmp_path / "s", options=options, data=data).batch(0, 0)
    for number in range(10):
        make_video(tmp_path / "s" / "videos" / f"v{number}.mp4", number, num_frames=12)
    for _ in range(2):
        ours = method(tmp_path / "s", options=options, data=data)
        with pytest.raises(FeatureError, match=r"v\d: the feature store has frames at 0\.\d+") as e:
            ours.batch(0, 0)
        assert "vcap encode" in str(e.value.hint)
