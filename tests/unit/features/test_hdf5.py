"""The HDF5 feature file of the MSR-VTT notebook."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.feature_files import features_of, notebook_file
from vcap.errors import FeatureError
from vcap.features.hdf5 import Hdf5Features, is_hdf5


def test_every_number_comes_back_as_it_was_written(tmp_path: Path) -> None:
    file = Hdf5Features(notebook_file(tmp_path / "a.hdf5", ["video0", "video7009"]))
    assert file.kind == (512, "float16")
    for name in ("video0", "video7009"):
        assert np.array_equal(file.read(name), features_of(name))


def test_videos_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = ["video10", "video2", "video0", "video7009", "video100", "clip7"]
    file = Hdf5Features(notebook_file(tmp_path / "a.hdf5", names, width=2))
    assert file.ids == ["clip7", "video0", "video2", "video10", "video100", "video7009"]


def test_a_single_vector_counts_as_one_frame(tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", ["video0"], video0=np.ones(6, np.float32))
    assert Hdf5Features(path).read("video0").shape == (1, 6)
    assert Hdf5Features(path).kind == (6, "float32")


def test_compressed_features_are_read_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("video0", data=features_of("video0"), compression="gzip")
    assert np.array_equal(Hdf5Features(tmp_path / "a.hdf5").read("video0"), features_of("video0"))


def test_the_file_is_not_changed_and_may_be_read_only(tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", ["video0"])
    before = path.read_bytes()
    path.chmod(0o444)
    Hdf5Features(path).read("video0")
    assert path.read_bytes() == before


def test_a_file_is_known_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    assert is_hdf5(notebook_file(tmp_path / "features.bin", ["video0"]))
    (tmp_path / "a.hdf5").write_bytes(b"no such thing")
    assert not is_hdf5(tmp_path / "a.hdf5")
    assert not is_hdf5(tmp_path / "absent.hdf5")


def odd(file: Any, secret: Path) -> None:
    """Everything at the root that is no data set of features."""
    file["soft"] = h5py.SoftLink("/video0")
    file["external"] = h5py.ExternalLink(str(secret), "/video0")
    file.create_group("group")
    file["numbers"] = np.zeros((2, 3), np.int64)
    file["text"] = "a sentence"
    file["empty"] = h5py.Empty("f4")
    file["cube"] = np.zeros((2, 3, 4), np.float32)
    file["none"] = np.zeros((0, 3), np.float32)
    file.create_dataset("huge", shape=(2**40, 512), dtype="f2", chunks=(1, 512))
    layout = h5py.VirtualLayout(shape=(28, 512), dtype="f2")
    layout[:] = h5py.VirtualSource(str(secret), "video0", shape=(28, 512))
    file.create_virtual_dataset("virtual", layout)
    raw = [(str(secret), 0, 100)]
    file.create_dataset("outside", shape=(5, 10), dtype="f2", external=raw)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("soft", "a link to elsewhere, which is not followed"),
        ("external", "a link to elsewhere, which is not followed"),
        ("group", "got a group"),
        ("numbers", r"want floats \[T, D\], got int64 \[2, 3\]"),
        ("text", "want floats"),
        ("empty", "a.hdf5: empty"),
        ("cube", r"got float32 \[2, 3, 4\]"),
        ("none", r"got float32 \[0, 3\]"),
        ("huge", "features of 1125899906842624 bytes are not those of one video"),
        ("virtual", "in another file, which is not opened"),
        ("outside", "in another file, which is not opened"),
    ],
)
def test_what_is_no_data_set_of_features_is_refused_by_name(
    tmp_path: Path, name: str, told: str
) -> None:
    secret = notebook_file(tmp_path / "secret.hdf5", ["video0"])
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["video0"] = features_of("video0")
        odd(file, secret)
    found = Hdf5Features(tmp_path / "a.hdf5")
    with pytest.raises(FeatureError, match=told) as caught:
        found.read(name)
    assert f"a.hdf5: {name}: " in str(caught.value)
    assert np.array_equal(found.read("video0"), features_of("video0"))


def test_a_damaged_or_empty_file_is_named(tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", ["video0", "video1"])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FeatureError, match=r"a\.hdf5: cannot be read as HDF5"):
        Hdf5Features(path)
    with h5py.File(path, "w"):
        pass
    with pytest.raises(FeatureError, match="no data set at its root"):
        Hdf5Features(path)


def test_damage_within_one_video_is_told_of_that_one(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        for name in ("video0", "video1"):
            file.create_dataset(name, data=features_of(name), compression="gzip", chunks=(28, 512))
        offset = file["video1"].id.get_chunk_info(0).byte_offset
    spoilt = bytearray(path.read_bytes())
    spoilt[offset : offset + 64] = b"\x00" * 64
    path.write_bytes(spoilt)
    found = Hdf5Features(path)
    assert found.read("video0").shape == (28, 512)
    with pytest.raises(FeatureError, match="video1: cannot be read"):
        found.read("video1")
