"""One file of a feature store."""

import json

import numpy as np
import pytest

from vcap.errors import FeatureError
from vcap.features.shard import feature_key, read_entries, shard_bytes, times_key

AWKWARD = [
    "a",
    "f:a",
    "t:a",
    "__metadata__",
    "",
    "a\\",
    "a\\\\",
    "\udc80",
    "\\udc80",
    "ä/b c.mp4",
    "\n",
]


def items(ids, width=4):
    """Features of 0, 1, 2, ... frames for these ids."""
    rng = np.random.default_rng(3)
    return [
        (video_id, rng.normal(size=(count, width)), np.arange(count) / 3)
        for count, video_id in enumerate(ids)
    ]


@pytest.fixture
def shard(tmp_path):
    """A valid file of three videos."""
    path = tmp_path / "shard-00000.safetensors"
    path.write_bytes(shard_bytes(items(["a", "b", "c"])))
    return path


def header_of(path):
    """The JSON header and the data behind it."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_header(path, header, data):
    """Write a file with a header of our own."""
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_different_ids_have_different_keys():
    keys = {feature_key(name) for name in AWKWARD} | {times_key(name) for name in AWKWARD}
    assert len(keys) == 2 * len(AWKWARD)
    assert "__metadata__" not in keys
    assert all(key.encode() for key in keys)


def test_the_same_items_give_the_same_bytes():
    assert shard_bytes(items(AWKWARD)) == shard_bytes(items(AWKWARD))


def test_other_programs_read_a_shard(shard):
    from safetensors.numpy import load_file

    arrays = load_file(shard)
    assert sorted(arrays) == ["f:a", "f:b", "f:c", "t:a", "t:b", "t:c"]
    assert arrays["f:c"].dtype == np.float16
    assert arrays["t:c"].dtype == np.float32
    np.testing.assert_array_equal(arrays["f:c"], items("abc")[2][1].astype(np.float16))


def test_other_programs_read_awkward_ids(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "a.safetensors"
    path.write_bytes(shard_bytes(items(AWKWARD)))
    with safe_open(path, "np") as file:
        assert json.loads(file.metadata()["ids"]) == AWKWARD


def test_entries_keep_the_order_of_the_items(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(shard_bytes(items(["z", "a", "m"])))
    entries = read_entries(path, 4)
    assert list(entries) == ["z", "a", "m"]
    assert [entry.features.shape for entry in entries.values()] == [(0, 4), (1, 4), (2, 4)]


def test_every_array_lies_aligned(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(shard_bytes(items(["a", "b", "c", "d"], width=3)))
    for entry in read_entries(path, 3).values():
        assert entry.times.offset % 4 == entry.features.offset % 2 == 0


def test_an_id_comes_once():
    with pytest.raises(ValueError, match="twice"):
        shard_bytes(items(["a", "a"]))


@pytest.mark.parametrize(("features", "times"), [((3, 4), (2,)), ((4,), (4,)), ((2, 2), (2, 1))])
def test_features_and_times_fit_together(features, times):
    with pytest.raises(ValueError, match=r"a: want \[T, D\] and \[T\], got"):
        shard_bytes([("a", np.zeros(features), np.zeros(times))])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_features_that_float16_cannot_hold_are_refused_by_name(value):
    with pytest.raises(FeatureError, match=r"clip\.mp4: its features are not finite"):
        shard_bytes([("clip.mp4", np.full((2, 4), value), np.zeros(2))])


def test_a_missing_shard_is_named(tmp_path):
    with pytest.raises(FeatureError, match=r"gone\.safetensors: cannot be read"):
        read_entries(tmp_path / "gone.safetensors", 4)


def test_another_width_is_refused(shard):
    with pytest.raises(FeatureError, match="width 4 in a store of width 512"):
        read_entries(shard, 512)


def test_a_shard_cut_anywhere_is_refused(shard):
    whole = shard.read_bytes()
    for length in range(len(whole)):
        shard.write_bytes(whole[:length])
        with pytest.raises(FeatureError, match=shard.name):
            read_entries(shard, 4)


def test_a_longer_shard_is_refused(shard):
    shard.write_bytes(shard.read_bytes() + b"\0")
    with pytest.raises(FeatureError, match="bytes of data"):
        read_entries(shard, 4)


def test_a_flipped_byte_in_the_header_is_an_error_or_harmless(shard):
    whole = shard.read_bytes()
    size = len(whole)
    for place in range(8 + int.from_bytes(whole[:8], "little")):
        damaged = bytearray(whole)
        damaged[place] ^= 0x15
        shard.write_bytes(damaged)
        try:
            entries = read_entries(shard, 4)
        except FeatureError:
            continue
        for entry in entries.values():
            assert 0 <= entry.features.offset <= size - 8 * entry.features.shape[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dtype", "F32"),
        ("shape", [-1, 4]),
        ("shape", [2**70, 4]),
        ("shape", [2.0, 4]),
        ("shape", "24"),
        ("shape", [2]),
        ("data_offsets", [0, 2**60]),
        ("data_offsets", [-16, 0]),
        ("data_offsets", [16, 0]),
        ("data_offsets", [0]),
        ("data_offsets", None),
    ],
)
def test_impossible_numbers_in_the_header_are_refused(shard, key, value):
    header, data = header_of(shard)
    header["f:c"][key] = value
    write_header(shard, header, data)
    with pytest.raises(FeatureError, match="is damaged"):
        read_entries(shard, 4)


@pytest.mark.parametrize(
    "ids", ['["a"]', '["a", "b", "c", "d"]', '["a", "a", "b", "c"]', "[1]", "{"]
)
def test_ids_that_do_not_fit_the_arrays_are_refused(shard, ids):
    header, data = header_of(shard)
    header["__metadata__"]["ids"] = ids
    write_header(shard, header, data)
    with pytest.raises(FeatureError, match="is damaged"):
        read_entries(shard, 4)


@pytest.mark.parametrize("header", [[], 3, {}, {"__metadata__": {}}, {"__metadata__": 5}])
def test_a_header_of_another_kind_is_refused(shard, header):
    write_header(shard, header, b"")
    with pytest.raises(FeatureError, match="is damaged"):
        read_entries(shard, 4)
