"""Feature files of other programs become feature stores that say where they are from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.feature_files import clipcap_content, clipcap_file, features_of, notebook_file
from tests.small_models import write_encoder
from vcap.engine.encode import EncodeSettings
from vcap.engine.encoders import load_encoder
from vcap.engine.import_features import assumed, gather_features, import_features
from vcap.engine.items import Summary
from vcap.engine.reporter import Silent
from vcap.errors import FeatureError, InputError, UsageError, VcapError
from vcap.features.store import FeatureStore

IDS = [f"video{number}" for number in (0, 1, 2, 10)]


def put(path: Path | list[Path], store: Path, **options: Any) -> Summary:
    """Import one file or several."""
    paths = path if isinstance(path, list) else [path]
    return import_features(gather_features(paths), store, **options)


def test_the_notebooks_file_becomes_a_store_number_for_number(tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", IDS)
    assert put(path, tmp_path / "store").done == 4
    store = FeatureStore(tmp_path / "store")
    assert store.ids == IDS
    for name in IDS:
        assert np.array_equal(store.features(name), features_of(name))
        assert store.times(name).tolist() == list(range(28))


def test_the_store_says_which_encoder_and_frames_its_features_are_said_to_be_of(
    tmp_path: Path,
) -> None:
    put(notebook_file(tmp_path / "a.hdf5", IDS), tmp_path / "store")
    found = FeatureStore(tmp_path / "store").fingerprint
    encoder = {"name": "ViT-B-32:openai", "features": "embedding", "dtype": "float16"}
    assert found == {
        "encoder": encoder,
        "sampler": "msrvtt-notebook 28",
        "imported": "ViT-B-32:openai",
    }


def test_clipcaps_pickle_becomes_a_store_of_pictures(tmp_path: Path) -> None:
    content = clipcap_content()
    put(clipcap_file(tmp_path / "a.pkl", content), tmp_path / "store")
    store = FeatureStore(tmp_path / "store")
    assert store.ids == ["000000000000", "000000000001", "000000000002"]
    assert store.fingerprint["sampler"] == "uniform 1"
    found = store.features("000000000001")
    assert np.array_equal(found, content["clip_embedding"][2:3].numpy())


def test_wide_features_are_taken_to_be_those_of_clipcaps_other_encoder(tmp_path: Path) -> None:
    put(notebook_file(tmp_path / "a.hdf5", IDS, width=640), tmp_path / "store")
    assert FeatureStore(tmp_path / "store").fingerprint["imported"] == "RN50x4:openai"


def test_what_the_user_says_goes_before_what_is_usual(tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", IDS)
    put(path, tmp_path / "store", model="ViT-B-16:openai", sampler="fps 2")
    store = FeatureStore(tmp_path / "store")
    assert store.fingerprint["encoder"]["name"] == "ViT-B-16:openai"
    assert store.fingerprint["sampler"] == "fps 2"
    assert store.times("video0")[:4].tolist() == [0.0, 0.5, 1.0, 1.5]


def test_an_encoder_that_is_here_gives_its_whole_fingerprint(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "clip")
    put(notebook_file(tmp_path / "a.hdf5", IDS, width=8), tmp_path / "store", model=str(encoder))
    found = FeatureStore(tmp_path / "store").fingerprint["encoder"]
    assert found == load_encoder(str(encoder)).fingerprint


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": "RN50x4:openai"}, "512 wide are not of the encoder RN50x4:openai, .* 640"),
        ({"model": "ViT-L-14:openai"}, "512 wide are not of the encoder ViT-L-14:openai, .* 768"),
        ({"model": "tiny"}, "512 wide are not of the encoder tiny"),
        ({"model": "ViT-B-23:openai"}, "no encoder named ViT-B-23:openai; did you mean"),
        ({"sampler": "sometimes"}, "no sampler 'sometimes'"),
        ({"features": "grid"}, "--features says how to encode"),
        ({"exact_pixels": True}, "--exact-pixels says how to encode"),
        ({"stream": 1}, "--stream says how to encode"),
    ],
)
def test_what_cannot_be_is_refused_before_a_store_is_made(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    path = notebook_file(tmp_path / "a.hdf5", IDS)
    with pytest.raises(VcapError, match=told):
        put(path, tmp_path / "store", **options)
    assert not (tmp_path / "store").exists()


def test_features_of_an_unusual_width_need_the_encoders_name(tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", IDS, width=7)
    with pytest.raises(UsageError, match="does not say which encoder made its features, 7 wide"):
        put(path, tmp_path / "store")
    put(path, tmp_path / "store", model="hf:someone/something")
    assert FeatureStore(tmp_path / "store").width == 7


def test_a_store_of_another_encoder_or_sampler_is_refused_naming_both(tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", IDS)
    put(path, tmp_path / "store")
    with pytest.raises(FeatureError, match=r"ViT-B-32:openai.*here encoder ViT-B-16:openai"):
        put(path, tmp_path / "store", model="ViT-B-16:openai")
    with pytest.raises(FeatureError, match=r"msrvtt-notebook 28.*uniform 28"):
        put(path, tmp_path / "store", sampler="uniform 28")


def test_a_second_import_does_nothing_and_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", IDS)
    put(path, tmp_path / "store")
    assert (again := put(path, tmp_path / "store")).skipped == 4 and not again.done
    notebook_file(path, [*IDS, "video11"], video2=np.ones((3, 512), np.float16))
    assert put(path, tmp_path / "store").done == 5
    assert FeatureStore(tmp_path / "store").features("video2").shape == (3, 512)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", [f"video{number}" for number in range(70)], width=512)
    for name in ("one", "two"):
        put(path, tmp_path / name)
    shards = sorted(one.name for one in (tmp_path / "one").glob("shard-*"))
    assert len(shards) == 2
    for name in [*shards, "store.json"]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_one_bad_video_costs_itself_and_is_told(tmp_path: Path) -> None:
    bad = {
        "video1": np.full((28, 512), np.nan, np.float16),
        "video2": np.ones((28, 640), np.float16),
        "video10": np.full((28, 512), 1e30, np.float32),
    }
    summary = put(notebook_file(tmp_path / "a.hdf5", IDS, **bad), tmp_path / "store")
    assert {one.key for one in summary.failed} == {"video1", "video2", "video10"}
    assert FeatureStore(tmp_path / "store").ids == ["video0"]
    assert any("640 wide among features 512" in str(one) for one in summary.failed)


def test_several_files_make_one_store_unless_an_id_comes_twice(tmp_path: Path) -> None:
    one = notebook_file(tmp_path / "one.hdf5", ["video0"])
    two = notebook_file(tmp_path / "two.hdf5", ["video1"])
    put([one, two], tmp_path / "store")
    assert FeatureStore(tmp_path / "store").ids == ["video0", "video1"]
    with pytest.raises(FeatureError, match=r"video0 is in .*one\.hdf5 and in .*copy\.hdf5"):
        gather_features([one, notebook_file(tmp_path / "copy.hdf5", ["video0"])])


def test_a_file_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", ["video0"])
    assert put([path, path], tmp_path / "store").done == 1


def test_a_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file: .*absent\.pkl"):
        gather_features([tmp_path / "absent.pkl"])


def test_a_limit_takes_the_first(tmp_path: Path) -> None:
    path = notebook_file(tmp_path / "a.hdf5", IDS)
    assert [one.id for one in gather_features([path], limit=2)] == ["video0", "video1"]


def test_what_is_assumed_is_told(tmp_path: Path) -> None:
    told: list[str] = []

    class Listener(Silent):
        def info(self, message: str) -> None:
            told.append(message)

    put(notebook_file(tmp_path / "a.hdf5", IDS), tmp_path / "store", reporter=Listener())
    assert "taken to be of the encoder ViT-B-32:openai, frames by msrvtt-notebook 28" in told[0]


def test_settings_tell_what_will_be_written(tmp_path: Path) -> None:
    things = gather_features([clipcap_file(tmp_path / "a.pkl")])
    found = assumed(things, EncodeSettings(sampler="all"))
    assert (found.model, found.sampler) == ("ViT-B-32:openai", "all")
