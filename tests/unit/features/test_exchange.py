"""Features in and out as one array a video."""

import numpy as np
import pytest

from vcap.errors import FeatureError
from vcap.features.exchange import LIST_NAME, export_npy, import_npy
from vcap.features.store import FeatureStore, header_bytes, shard_bytes, shard_name


def name_of(video_id):
    """A file name for an id."""
    return video_id.replace("/", "%2F")


@pytest.fixture
def store(tmp_path):
    """Two videos, one below a folder."""
    folder = tmp_path / "store"
    folder.mkdir()
    rng = np.random.default_rng(0)
    items = [
        ("b/two.mp4", rng.normal(size=(2, 3)), np.array([0.5, 1.25])),
        ("a.mp4", rng.normal(size=(1, 3)), np.array([7.0])),
    ]
    (folder / "store.json").write_bytes(header_bytes({"encoder": "tiny"}, 3))
    (folder / shard_name(0)).write_bytes(shard_bytes(items))
    return FeatureStore(folder)


def test_an_export_holds_one_array_a_video(store, tmp_path):
    paths = export_npy(store, tmp_path / "out", name_of)
    assert [path.name for path in paths] == ["b%2Ftwo.mp4.npy", "a.mp4.npy"]
    np.testing.assert_array_equal(np.load(paths[0]), store.features("b/two.mp4"))


def test_what_goes_out_comes_back_byte_for_byte(store, tmp_path):
    export_npy(store, tmp_path / "out", name_of)
    again = shard_bytes(list(import_npy(tmp_path / "out")))
    assert again == (store.folder / shard_name(0)).read_bytes()


def test_arrays_of_other_programs_are_known_by_their_path(tmp_path):
    (tmp_path / "sub").mkdir()
    np.save(tmp_path / "sub" / "b.mp4.npy", np.ones((3, 2), dtype=np.float32))
    np.save(tmp_path / "a.npy", np.ones(2))
    first, second = import_npy(tmp_path, frames_per_second=2.0)
    assert (first[0], second[0]) == ("a", "sub/b.mp4")
    assert (first[1].shape, second[1].shape) == ((1, 2), (3, 2))
    assert second[2].tolist() == [0.0, 0.5, 1.0]


def test_a_folder_without_arrays_says_so(tmp_path):
    with pytest.raises(FeatureError, match=r"no \.npy file in it"):
        list(import_npy(tmp_path))


@pytest.mark.parametrize(
    "array", [np.ones((2, 2, 2)), np.ones(()), np.array(["a"]), np.array([[1, 2]])]
)
def test_an_array_that_holds_no_features_is_named(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(FeatureError, match=r"a\.npy: want floats \[T, D\] or \[D\]"):
        list(import_npy(tmp_path))


def test_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FeatureError, match=r"a\.npy: cannot be read as an array"):
        list(import_npy(tmp_path))


@pytest.mark.parametrize("content", [b"", b"junk", b"\x93NUMPY\x01\x00", b"PK\x03\x04 no archive"])
def test_a_damaged_array_is_named(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(FeatureError, match=r"a\.npy"):
        list(import_npy(tmp_path))


def test_an_array_cut_short_is_named(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 4)))
    data = (tmp_path / "a.npy").read_bytes()
    for length in range(0, len(data), 7):
        (tmp_path / "a.npy").write_bytes(data[:length])
        with pytest.raises(FeatureError, match=r"a\.npy"):
            list(import_npy(tmp_path))


@pytest.mark.parametrize(
    "line", ["{", '{"id": "a"}', '{"id": "a", "file": "a.npy", "times": "x"}', "[]"]
)
def test_a_wrong_line_of_the_list_is_named(tmp_path, line):
    np.save(tmp_path / "a.npy", np.ones((1, 2)))
    (tmp_path / LIST_NAME).write_text(line + "\n")
    with pytest.raises(FeatureError, match=rf"{LIST_NAME}:1: want id, file and times"):
        list(import_npy(tmp_path))


def test_times_of_another_number_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 2)))
    (tmp_path / LIST_NAME).write_text('{"id": "a", "file": "a.npy", "times": [0]}\n')
    with pytest.raises(FeatureError, match=r"1 times for 2 features of a\.npy"):
        list(import_npy(tmp_path))


def test_a_header_that_promises_more_than_the_file_holds_takes_no_memory(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (4_000_000_000_000, 512)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(64))
    with pytest.raises(FeatureError, match=r"a\.npy"):
        list(import_npy(tmp_path))


def test_a_flipped_byte_in_the_header_is_an_error_or_harmless(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 4)))
    whole = (tmp_path / "a.npy").read_bytes()
    for place in range(128):
        damaged = bytearray(whole)
        damaged[place] ^= 0x2B
        (tmp_path / "a.npy").write_bytes(damaged)
        try:
            ((_, features, times),) = import_npy(tmp_path)
        except FeatureError:
            continue
        assert features.shape[:1] == times.shape


def test_a_video_without_frames_survives_the_exchange(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((0, 3), dtype=np.float16))
    ((_, features, times),) = import_npy(tmp_path)
    assert (features.shape, times.shape) == ((0, 3), (0,))
