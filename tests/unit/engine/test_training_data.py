"""Records dealt to splits, and tables that batches are gathered from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.engine.captioned import captions, record, rendered, store, write_manifest
from vcap.engine.reporter import Silent
from vcap.engine.run import Run
from vcap.engine.schedule import DataSettings
from vcap.engine.training_data import (
    Example,
    FeatureTable,
    FrameTable,
    TokenTable,
    decode_table,
    dice,
    load_splits,
    permutation,
    with_features,
)
from vcap.errors import AnnotationError, FeatureError, InputError, VideoError
from vcap.features.store import FeatureStore
from vcap.video.decode import Size, read_frames
from vcap.video.sample import Sampler

RUN = Run(Path("unused"))


def settings(**given: Any) -> DataSettings:
    return DataSettings.model_validate({name: str(path) for name, path in given.items()})


def ids(examples: list[Example]) -> list[str]:
    return [one.record.id for one in examples]


def test_one_manifest_serves_train_val_and_test_by_its_splits(tmp_path: Path) -> None:
    splits = load_splits(settings(train=captions(tmp_path, 20)))
    assert ids(splits.train)[:3] == ["v0", "v1", "v3"]
    assert ids(splits.val) == ["v2", "v7", "v12", "v17"]
    assert {name: ids(part) for name, part in splits.test.items()} == {
        "test": ["v4", "v14"],
        "test/novel": ["v9", "v19"],
    }


def test_manifests_of_their_own_take_the_place_of_the_splits(tmp_path: Path) -> None:
    train = captions(tmp_path, 10)
    val = write_manifest(tmp_path / "val.jsonl", [{"id": "x", "path": "x.mp4"}])
    splits = load_splits(settings(train=train, val=val))
    assert ids(splits.val) == ["x"]
    assert "test" in splits.test


def test_a_split_of_another_name_is_a_test_of_its_own(tmp_path: Path) -> None:
    rows = [record(0, "train"), record(1, "shift")]
    splits = load_splits(settings(train=write_manifest(tmp_path / "m.jsonl", rows)))
    assert list(splits.test) == ["shift"]


def test_a_limit_is_for_each_split(tmp_path: Path) -> None:
    data = DataSettings(train=(str(captions(tmp_path)),), limit=2)
    splits = load_splits(data)
    assert [len(part) for part in (splits.train, splits.val, *splits.test.values())] == [2] * 4


def test_a_manifest_without_training_records_says_what_it_has(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "m.jsonl", [record(0, "val"), record(1, "extra")])
    with pytest.raises(AnnotationError, match=r"no record of split train; .*extra, val"):
        load_splits(settings(train=path))


def test_a_val_manifest_without_val_records_is_refused(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "m.jsonl", [record(0, "train")])
    with pytest.raises(AnnotationError, match="no record of split val"):
        load_splits(settings(train=path, val=path))


def test_paths_are_looked_for_beside_the_manifest(tmp_path: Path) -> None:
    splits = load_splits(settings(train=captions(tmp_path)))
    assert splits.train[0].path == tmp_path / "v0.mp4"


NAMES = [f"v{number}" for number in reversed(range(10))]


def letters(text: str) -> list[int]:
    return [ord(letter) - 96 for letter in text]


TEXTS = [["a"], ["bc", "d"], ["efg"]]


def test_captions_are_gathered_padded_with_their_mask() -> None:
    table = TokenTable(TEXTS, letters)
    tokens, mask = table.gather(np.array([1, 0]))
    assert tokens.tolist() == [[2, 3], [1, 0]]
    assert mask.tolist() == [[True, True], [True, False]]
    assert tokens.dtype == torch.int64
    assert (len(table), table.longest) == (4, 3)


def test_the_first_caption_of_a_clip_is_its_first() -> None:
    assert TokenTable(TEXTS, letters).first(np.array([2, 1])).tolist() == [3, 1]


def test_a_drawn_caption_is_one_of_the_clips_own_and_each_has_its_turn() -> None:
    table = TokenTable(TEXTS, letters)
    drawn = table.draw(np.array([1] * 200 + [2]), np.random.default_rng(0))
    assert set(drawn[:200].tolist()) == {1, 2}
    assert drawn[200] == 3


def test_a_clip_without_captions_cannot_be_in_the_table() -> None:
    with pytest.raises(ValueError, match="clip 1 has no caption"):
        TokenTable([["a"], []], letters)


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone() -> None:
    first = permutation(0, 1, 50).tolist()
    permutation.cache_clear()
    assert permutation(0, 1, 50).tolist() == first
    assert sorted(first) == list(range(50))
    assert permutation(0, 2, 50).tolist() != first
    assert permutation(1, 1, 50).tolist() != first


def test_draws_of_a_batch_depend_on_its_place_alone() -> None:
    ours, theirs = dice(0, 3, 4), dice(0, 3, 4)
    assert ours.random(3).tolist() == theirs.random(3).tolist()
    assert dice(0, 3, 5).random() != dice(0, 3, 4).random() != dice(0, 4, 3).random()


def test_features_come_back_as_stored_in_full_precision(tmp_path: Path) -> None:
    kept = FeatureStore(store(tmp_path / "store"))
    table = FeatureTable([kept], ["v3", "v1"])
    features, times, mask = table.gather(np.array([1]))
    assert features.dtype == torch.float32
    assert np.array_equal(features[0].numpy(), kept.features("v1").astype(np.float32))
    assert times.tolist() == [[0.0, 0.5, 1.0, 1.5]]
    assert mask.all()
    assert np.allclose(table.clip_means()[1], features[0].mean(dim=0), atol=1e-6)


def test_features_of_unequal_length_are_padded_and_masked(tmp_path: Path) -> None:
    from vcap.features.store import header_bytes, shard_bytes, shard_name

    rows = [
        (f"v{n}", np.full((n, 2), n, np.float16), np.arange(n, dtype=np.float32)) for n in (1, 3)
    ]
    (tmp_path / "store.json").write_bytes(header_bytes({}, 2))
    (tmp_path / shard_name(0)).write_bytes(shard_bytes(rows))
    table = FeatureTable([FeatureStore(tmp_path)], ["v1", "v3"])
    features, _, mask = table.gather(np.array([0, 1]))
    assert mask.tolist() == [[True, False, False], [True, True, True]]
    assert features[0].tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]
    assert table.clip_means().tolist() == [[1.0, 1.0], [3.0, 3.0]]


def test_features_are_read_where_they_lie_when_a_batch_needs_them(tmp_path: Path) -> None:
    from vcap.features.store import shard_name

    kept = FeatureStore(store(tmp_path / "store", 3))
    table = FeatureTable([kept], ["v2", "v1"])
    old = kept.features("v1")
    new = np.full_like(old, 7)
    path = tmp_path / "store" / shard_name(0)
    place = path.read_bytes().index(old.tobytes())
    with path.open("r+b") as stream:
        stream.seek(place)
        stream.write(new.tobytes())
    assert (table.gather(np.array([1]))[0] == 7).all(), "the whole store was copied into memory"


def test_clips_of_several_stores_and_of_many_shards_come_in_the_order_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vcap.features.store import header_bytes, shard_bytes, shard_name

    monkeypatch.setattr("vcap.features.store.MAX_OPEN_SHARDS", 2)
    for part in range(2):
        folder = tmp_path / str(part)
        folder.mkdir()
        (folder / "store.json").write_bytes(header_bytes({}, 1))
        for number in range(5):
            value = np.full((1, 1), 5 * part + number, np.float16)
            items = [(f"v{5 * part + number}", value, np.zeros(1, np.float32))]
            (folder / shard_name(number)).write_bytes(shard_bytes(items))
    table = FeatureTable([FeatureStore(tmp_path / "0"), FeatureStore(tmp_path / "1")], NAMES)
    asked = np.random.default_rng(0).integers(0, 10, 40)
    assert table.gather(asked)[0].flatten().tolist() == (9 - asked).tolist()


def test_features_that_are_no_numbers_are_refused_before_any_training(tmp_path: Path) -> None:
    from vcap.features.store import shard_name

    kept = FeatureStore(store(tmp_path / "store", 4))
    path, old = tmp_path / "store" / shard_name(0), kept.features("v2").tobytes()
    path.write_bytes(
        path.read_bytes().replace(old, np.full_like(kept.features("v2"), np.nan).tobytes())
    )
    with pytest.raises(FeatureError, match="v2 hold numbers that are not finite"):
        FeatureTable([FeatureStore(tmp_path / "store")], ["v1", "v2"])


def test_a_video_without_features_is_named(tmp_path: Path) -> None:
    kept = FeatureStore(store(tmp_path / "store", 2))
    with pytest.raises(FeatureError, match="v9"):
        FeatureTable([kept], ["v1", "v9"])


def test_records_without_features_or_captions_are_left_out_and_counted(tmp_path: Path) -> None:
    kept = FeatureStore(store(tmp_path / "store", 4))
    rows = [
        record(0, "train"),
        {"id": "v1", "path": "v1.mp4"},
        record(2, "train"),
        record(50, "train"),
    ]
    examples = load_splits(settings(train=write_manifest(tmp_path / "m.jsonl", rows))).train
    reporter = Silent()
    assert ids(with_features(examples, [kept], reporter)) == ["v0", "v2"]
    assert "2 records" in reporter.lines[0]
    with pytest.raises(FeatureError, match="none of 1 records"):
        with_features(examples[3:], [kept], reporter)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short clips and a still."""
    counts = {("clips", "train"): 2, ("frames", "train"): 1}
    return rendered(tmp_path_factory.mktemp("rendered"), counts)


def test_frames_are_those_the_sampler_gives_and_a_still_has_one(manifest: Path) -> None:
    examples = load_splits(settings(train=manifest)).train
    table = decode_table(examples, 4, 96, None, RUN)
    assert table.counts.tolist() == [4, 4, 1]
    wanted = read_frames(examples[1].path, Sampler("uniform", 4), size=Size(width=96, height=96))
    assert np.array_equal(table.gather(np.arange(4, 8)).numpy(), wanted.pixels)
    assert table.middle(np.array([1, 2])).tolist() == [6, 8]
    drawn = table.draw(np.array([0, 1, 2] * 50), np.random.default_rng(0)).reshape(50, 3)
    assert [set(column) for column in drawn.T.tolist()] == [{0, 1, 2, 3}, {4, 5, 6, 7}, {8}]


def test_decoded_frames_are_kept_for_the_next_run(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = load_splits(settings(train=manifest)).train
    first = decode_table(examples, 3, 32, str(tmp_path), RUN)
    monkeypatch.setattr("vcap.engine.training_data.read_frames", None)  # decoding would fail
    second = decode_table(examples, 3, 32, str(tmp_path), RUN)
    assert np.array_equal(first.frames, second.frames)
    assert first.frames.shape == (7, 32, 32, 3)


def test_frames_of_another_size_are_not_taken_from_the_cache(
    manifest: Path, tmp_path: Path
) -> None:
    examples = load_splits(settings(train=manifest)).train
    decode_table(examples, 3, 32, str(tmp_path), RUN)
    assert decode_table(examples, 3, 16, str(tmp_path), RUN).frames.shape == (7, 16, 16, 3)


def test_a_video_that_is_not_there_is_named_with_its_record(tmp_path: Path) -> None:
    examples = load_splits(settings(train=captions(tmp_path))).train
    with pytest.raises(VideoError, match=r"no such file: .*v0\.mp4 \(record v0\)"):
        decode_table(examples, 1, 16, None, RUN)


def test_nothing_to_decode_is_refused() -> None:
    with pytest.raises(InputError, match="no videos"):
        decode_table([], 1, 16, None, RUN)


def test_a_gathered_frame_may_be_changed_without_harm() -> None:
    table = FrameTable(np.zeros((2, 1, 1, 3), np.uint8), np.array([1, 1]))
    table.gather(np.array([0])).fill_(9)
    assert table.frames.max() == 0


def test_a_request_to_stop_ends_the_decoding_and_leaves_no_half_cache(
    manifest: Path, tmp_path: Path
) -> None:
    examples = load_splits(settings(train=manifest)).train
    run = Run(Path("unused"))
    run.stop.request()
    with pytest.raises(KeyboardInterrupt):
        decode_table(examples, 3, 32, str(tmp_path), run)
    assert list(tmp_path.iterdir()) == []
