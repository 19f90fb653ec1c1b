"""Laws of samplers and of the feature store, whatever the numbers and the names."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vcap.features.store import FeatureStore, header_bytes, shard_bytes, shard_name
from vcap.types import Segment
from vcap.video.sample import Sampler, choose_frames, parse_sampler

GAPS = st.lists(st.integers(1, 500), min_size=1, max_size=40)
SAMPLERS = st.one_of(
    st.sampled_from([Sampler("all"), Sampler("keyframes")]),
    st.integers(1, 50).map(lambda number: Sampler("uniform", number)),
    st.floats(0.01, 60).map(lambda rate: Sampler("fps", rate)),
)
IDS = st.lists(st.text(st.characters(exclude_categories=[])), unique=True, max_size=8)


def timeline(gaps):
    """Times in milliseconds with these gaps, every third frame a keyframe, and the end."""
    times = np.cumsum([0, *gaps[:-1]]) / 1000 + 0.25
    return times, np.arange(len(gaps)) % 3 == 0, float(times[-1]) + gaps[-1] / 1000


@given(GAPS, SAMPLERS)
def test_chosen_frames_exist_and_never_go_back(gaps, sampler):
    times, keys, end = timeline(gaps)
    chosen = choose_frames(sampler, times, keys, end)
    assert chosen
    assert chosen == sorted(chosen)
    assert 0 <= chosen[0] <= chosen[-1] < len(times)
    assert sampler.name == "uniform" or chosen[0] == 0


@given(GAPS, st.integers(1, 60))
def test_uniform_gives_the_number_asked_for(gaps, number):
    assert len(choose_frames(Sampler("uniform", number), *timeline(gaps))) == number


@given(GAPS, SAMPLERS)
def test_a_segment_of_everything_is_no_segment(gaps, sampler):
    times, keys, end = timeline(gaps)
    whole = choose_frames(sampler, times, keys, end)
    assert choose_frames(sampler, times, keys, end, Segment(-1.0, end + 1)) == whole
    assert choose_frames(sampler, times, keys, end, Segment(float(times[0]), end)) == whole


@given(GAPS, st.integers(0, 39))
def test_the_two_halves_of_a_video_hold_all_its_frames_once(gaps, place):
    times, keys, end = timeline(gaps)
    border = float(times[min(place, len(times) - 1)])
    if border == times[0]:
        return
    first = choose_frames(Sampler("all"), times, keys, end, Segment(0.0, border))
    second = choose_frames(Sampler("all"), times, keys, end, Segment(border, end))
    assert first + second == list(range(len(times)))


@given(SAMPLERS)
def test_a_sampler_survives_being_written(sampler):
    assert parse_sampler(str(sampler)) == sampler


@settings(max_examples=40, deadline=None)
@given(IDS, st.integers(1, 5))
def test_a_store_gives_back_every_id_with_its_features(ids, width):
    rng = np.random.default_rng(len(ids))
    items = [
        (name, rng.normal(size=(count, width)).astype(np.float16), np.arange(count) / 4)
        for count, name in enumerate(ids)
    ]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "store.json").write_bytes(header_bytes({}, width))
        (Path(folder) / shard_name(0)).write_bytes(shard_bytes(items))
        store = FeatureStore(Path(folder))
        assert store.ids == ids
        for name, features, times in items:
            np.testing.assert_array_equal(store.features(name), features)
            np.testing.assert_array_equal(store.times(name), times)
