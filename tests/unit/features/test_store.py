"""A folder of features that is read while it grows."""

import pickle

import numpy as np
import pytest

from vcap.errors import FeatureError
from vcap.features import store as storing
from vcap.features.store import FeatureStore, header_bytes, shard_bytes, shard_name

FINGERPRINT = {"encoder": "tiny", "sampler": "fps 1"}


def features_of(number, width=4):
    """Features and times that belong to the video of this number."""
    rng = np.random.default_rng(number)
    count = number % 3 + 1
    return rng.normal(size=(count, width)).astype(np.float16), np.arange(count) / 2 + number


def add_shard(folder, number, videos):
    """Write the shard of that number with these videos."""
    items = [(f"v{video}", *features_of(video)) for video in videos]
    (folder / shard_name(number)).write_bytes(shard_bytes(items))


@pytest.fixture
def folder(tmp_path):
    """A store of five videos in two shards."""
    (tmp_path / "store.json").write_bytes(header_bytes(FINGERPRINT, 4))
    add_shard(tmp_path, 0, [3, 1, 2])
    add_shard(tmp_path, 1, [5, 4])
    return tmp_path


def test_a_store_gives_back_what_was_put_in(folder):
    store = FeatureStore(folder)
    assert (store.width, store.fingerprint) == (4, FINGERPRINT)
    for number in range(1, 6):
        features, times = features_of(number)
        np.testing.assert_array_equal(store.features(f"v{number}"), features)
        np.testing.assert_array_equal(store.times(f"v{number}"), times.astype(np.float32))
        assert store.num_frames(f"v{number}") == len(times)


def test_ids_keep_the_order_in_which_they_were_stored(folder):
    store = FeatureStore(folder)
    assert store.ids == list(store) == ["v3", "v1", "v2", "v5", "v4"]
    assert len(store) == 5
    assert "v4" in store
    assert "v9" not in store


def test_shards_are_ordered_by_number_not_by_name(folder):
    add_shard(folder, 100000, [9])
    add_shard(folder, 99999, [8])
    assert FeatureStore(folder).ids[-2:] == ["v8", "v9"]


def test_features_are_mapped_and_cannot_be_changed(folder):
    features = FeatureStore(folder).features("v2")
    assert not features.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        features[0, 0] = 1


def test_a_growing_store_shows_new_shards_when_refreshed(folder):
    store = FeatureStore(folder)
    early = store.features("v3")
    add_shard(folder, 2, [6, 7])
    assert "v6" not in store
    assert store.refresh() == 2
    assert store.refresh() == 0
    np.testing.assert_array_equal(store.features("v6"), features_of(6)[0])
    np.testing.assert_array_equal(early, features_of(3)[0])


def test_files_that_are_still_being_written_are_not_read(folder):
    (folder / "shard-00002.safetensors.tmp").write_bytes(b"half")
    (folder / ".shard-00002.safetensors").write_bytes(b"half")
    assert len(FeatureStore(folder)) == 5


def test_a_store_without_shards_is_empty(tmp_path):
    (tmp_path / "store.json").write_bytes(header_bytes({}, 8))
    assert FeatureStore(tmp_path).ids == []


def test_few_files_are_open_at_a_time(folder, monkeypatch):
    monkeypatch.setattr(storing, "MAX_OPEN_SHARDS", 1)
    store = FeatureStore(folder)
    given = {video_id: store.features(video_id) for video_id in ["v3", "v5", "v1", "v4"]}
    for video_id, features in given.items():
        np.testing.assert_array_equal(features, features_of(int(video_id[1]))[0])
    assert len(store._maps) == 1


def test_a_store_goes_to_another_process_as_its_folder(folder):
    store = FeatureStore(folder)
    store.features("v1")
    data = pickle.dumps(store)
    assert len(data) < 500
    np.testing.assert_array_equal(pickle.loads(data).features("v1"), store.features("v1"))


def test_the_same_header_has_the_same_bytes():
    assert header_bytes({"a": 1, "b": 2}, 4) == header_bytes({"b": 2, "a": 1}, 4)


def test_no_store_is_answered_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(FeatureError, match="no feature store here") as caught:
        FeatureStore(tmp_path / "gone")
    assert str(caught.value.hint).startswith("vcap encode")


def test_a_video_that_is_not_in_the_store_is_named(folder):
    with pytest.raises(FeatureError, match="no features of 'v77'"):
        FeatureStore(folder).features("v77")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"schema": 1}',
        '{"schema": 1, "fingerprint": 3, "width": 4}',
        '{"schema": 1, "fingerprint": {}, "width": 0}',
        '{"schema": 1, "fingerprint": {}, "width": "4"}',
        "\udc80",
    ],
)
def test_a_damaged_header_is_named(folder, text):
    (folder / "store.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FeatureError, match=r"store\.json"):
        FeatureStore(folder)


def test_a_store_of_a_later_version_is_refused(folder):
    (folder / "store.json").write_text('{"schema": 2, "fingerprint": {}, "width": 4}')
    with pytest.raises(FeatureError, match="schema 2 is not known"):
        FeatureStore(folder)


def test_a_damaged_shard_is_named(folder):
    path = folder / shard_name(1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FeatureError, match=path.name):
        FeatureStore(folder)


def test_an_id_in_two_shards_is_refused(folder):
    add_shard(folder, 2, [1])
    with pytest.raises(FeatureError, match=r"'v1' is in shard-00000\.safetensors too"):
        FeatureStore(folder)


def test_a_shard_that_shrinks_or_goes_while_in_use_is_an_error(folder):
    store = FeatureStore(folder)
    (folder / shard_name(0)).write_bytes(b"short")
    (folder / shard_name(1)).unlink()
    for video_id in ["v1", "v5"]:
        with pytest.raises(FeatureError, match="shard-0000"):
            store.features(video_id)
