"""Videos in, a feature store out: what is in it, and what a second run does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_videos import ColourEncoder, make_video
from vcap.engine import encode as encode_module
from vcap.engine.decoding import CHUNK
from vcap.engine.encode import choose_sampler, encode, made_from, settings_digest
from vcap.engine.reporter import Silent
from vcap.engine.store_output import StoreOutput
from vcap.errors import ConfigError, FeatureError, UsageError
from vcap.features.store import FeatureStore
from vcap.types import Segment
from vcap.video.decode import read_frames
from vcap.video.sample import parse_sampler

Use = Callable[[ColourEncoder], ColourEncoder]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Have `encode` use the encoder that is handed over."""

    def patch(encoder: ColourEncoder) -> ColourEncoder:
        monkeypatch.setattr(encode_module, "load_named", lambda *_: encoder)
        return encoder

    return patch


@pytest.fixture
def encoder(use: Use) -> ColourEncoder:
    return use(ColourEncoder())


def contents(store: Path) -> dict[str, bytes]:
    """What readers of a store see."""
    return {path.name: path.read_bytes() for path in store.iterdir() if path.is_file()}


def test_each_video_has_float16_features_and_the_times_of_its_frames(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    summary = encode([str(small_videos)], tmp_path / "store", sampler="fps 2")
    store = FeatureStore(tmp_path / "store")
    assert (summary.done, summary.exit_code) == (7, 0)
    assert store.ids == [f"{number}.mp4" for number in range(7)]
    sampler = parse_sampler("fps 2")
    for name in store:
        frames = read_frames(small_videos / name, sampler, size=encoder.size)
        assert store.times(name).tolist() == frames.times.astype(np.float32).tolist()
        wanted = encoder.encode_frames(frames.pixels).astype(np.float16)
        assert np.array_equal(store.features(name), wanted)


def test_the_store_says_what_made_it(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    encode([str(small_videos / "0.mp4")], tmp_path, sampler="uniform 3")
    fingerprint = FeatureStore(tmp_path).fingerprint
    assert fingerprint["encoder"] == encoder.fingerprint
    assert fingerprint["sampler"] == "uniform 3"
    assert "PyAV" in fingerprint["decoder"]


def test_a_second_run_does_nothing_and_changes_no_byte(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    encode([str(small_videos)], tmp_path)
    before, encoder.num_calls = contents(tmp_path), 0
    summary = encode([str(small_videos)], tmp_path)
    assert (summary.done, summary.skipped, encoder.num_calls) == (0, 7, 0)
    assert contents(tmp_path) == before


def test_how_many_videos_share_batches_changes_no_byte(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode([str(small_videos)], tmp_path / "a", shard_size=3)
    monkeypatch.setattr(encode_module, "GROUP", 1)
    encode([str(small_videos)], tmp_path / "b", shard_size=3, workers=1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) == 5  # shards, header and records


def test_new_videos_come_into_new_shards_and_the_old_ones_stay(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    some = [str(small_videos / f"{number}.mp4") for number in (1, 3)]
    encode(some, tmp_path)
    before = contents(tmp_path)
    summary = encode([str(small_videos)], tmp_path)
    after = contents(tmp_path)
    assert (summary.done, summary.skipped) == (5, 2)
    listed = "records.jsonl"  # grows at its end
    assert after.pop(listed).startswith(before.pop(listed))
    assert before.items() <= after.items()
    assert len(FeatureStore(tmp_path)) == 7


def test_a_video_that_changed_is_done_again_in_its_place(
    encoder: ColourEncoder, tmp_path: Path
) -> None:
    videos, store = tmp_path / "videos", tmp_path / "store"
    for number in range(3):
        make_video(videos / f"{number}.mp4", number)
    encode([str(videos)], store)
    kept = np.array(FeatureStore(store).features("0.mp4"))
    make_video(videos / "1.mp4", 99, num_frames=20)
    summary = encode([str(videos)], store)
    assert (summary.done, summary.skipped) == (1, 2)
    assert FeatureStore(store).ids == ["0.mp4", "1.mp4", "2.mp4"]
    assert FeatureStore(store).num_frames("1.mp4") == 5
    assert np.array_equal(FeatureStore(store).features("0.mp4"), kept)


def test_one_bad_video_costs_one_entry_and_the_others_are_kept(
    encoder: ColourEncoder, tmp_path: Path
) -> None:
    videos, store = tmp_path / "videos", tmp_path / "store"
    for number in range(4):
        make_video(videos / f"{number}.mp4", number)
    (videos / "1.mp4").write_text("no video at all")
    summary = encode([str(videos)], store, shard_size=2)
    assert (summary.done, summary.exit_code) == (3, 3)
    assert [failure.key for failure in summary.failed] == ["1.mp4"]
    assert FeatureStore(store).ids == ["0.mp4", "2.mp4", "3.mp4"]
    again = encode([str(videos)], store, shard_size=2)
    assert (again.done, again.skipped, again.exit_code) == (0, 3, 3)


def test_a_video_that_changed_and_then_fails_has_no_features_of_before(
    encoder: ColourEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, store, fresh = tmp_path / "videos", tmp_path / "store", tmp_path / "fresh"
    for number in range(4):
        make_video(videos / f"{number}.mp4", number)
    encode([str(videos)], store, shard_size=3)
    (videos / "1.mp4").write_text("no video any more")
    make_video(videos / "2.mp4", 99, num_frames=20)
    (videos / "3.mp4").write_text("no video any more")
    with monkeypatch.context() as killed:
        killed.setattr(StoreOutput, "forget", lambda *_: None)  # after the journal's entry
        encode([str(videos)], store, shard_size=3)
    assert "1.mp4" in FeatureStore(store)
    for _ in range(2):
        told: dict[str, int] = {}
        summary = encode([str(videos)], store, shard_size=3, on_result=told.__setitem__)
        assert (summary.done, summary.skipped, len(summary.failed)) == (0, 2, 2)
        assert list(told) == FeatureStore(store).ids == ["0.mp4", "2.mp4"]
    encode([str(videos)], fresh, shard_size=3)
    assert contents(store) == contents(fresh)


def test_what_fails_when_it_is_forced_leaves_the_others_of_its_shard(
    encoder: ColourEncoder, tmp_path: Path
) -> None:
    videos, store = tmp_path / "videos", tmp_path / "store"
    for number in range(3):
        make_video(videos / f"{number}.mp4", number)
    encode([str(videos)], store)
    before = contents(store)
    good = (videos / "1.mp4").read_bytes()
    (videos / "1.mp4").write_bytes(b"")
    encode([str(videos)], store, force=True)
    assert FeatureStore(store).ids == ["0.mp4", "2.mp4"]
    (videos / "1.mp4").write_bytes(good)
    assert encode([str(videos)], store).done == 1
    assert contents(store) == before


def test_a_video_that_is_mended_comes_to_the_place_it_would_have_had(
    encoder: ColourEncoder, tmp_path: Path
) -> None:
    videos, whole, mended = tmp_path / "videos", tmp_path / "whole", tmp_path / "mended"
    for number in range(4):
        make_video(videos / f"{number}.mp4", number)
    encode([str(videos)], whole, shard_size=3)
    good = (videos / "1.mp4").read_bytes()
    (videos / "1.mp4").write_bytes(b"")
    encode([str(videos)], mended, shard_size=3)
    (videos / "1.mp4").write_bytes(good)
    summary = encode([str(videos)], mended, shard_size=3, retry_failed=True)
    assert summary.done == 1
    assert contents(mended) == contents(whole)


def test_when_nothing_can_be_used_the_run_has_failed(
    encoder: ColourEncoder, tmp_path: Path
) -> None:
    summary = encode([str(tmp_path / "absent.mp4")], tmp_path / "store")
    assert (summary.exit_code, summary.done) == (4, 0)
    assert "no such file" in summary.failed[0].reason


@pytest.mark.parametrize(
    ("change", "named"),
    [({"sampler": "fps 2"}, ["fps 1", "fps 2"]), ({"weights": "c1"}, ["c0", "c1"])],
)
def test_a_store_of_other_features_is_refused_and_both_sides_are_named(
    use: Use, small_videos: Path, tmp_path: Path, change: dict[str, str], named: list[str]
) -> None:
    use(ColourEncoder())
    encode([str(small_videos)], tmp_path)
    before = contents(tmp_path)
    use(ColourEncoder(change.pop("weights", "c0")))
    with pytest.raises(FeatureError) as caught:
        encode([str(small_videos)], tmp_path, **change)
    assert all(side in str(caught.value) for side in [*named, str(tmp_path)])
    assert contents(tmp_path) == before


def test_another_build_of_the_decoder_only_warns(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    encode([str(small_videos)], tmp_path)
    header = json.loads((tmp_path / "store.json").read_text())
    header["fingerprint"]["decoder"] = "PyAV 1.0"
    (tmp_path / "store.json").write_text(json.dumps(header))
    reporter = Silent()
    summary = encode([str(small_videos)], tmp_path, reporter=reporter)
    assert (summary.skipped, summary.exit_code) == (7, 0)
    assert any("PyAV 1.0" in line for line in reporter.lines)


def test_another_name_of_the_same_encoder_is_no_difference() -> None:
    ours, theirs = ColourEncoder(), ColourEncoder()
    theirs.fingerprint["name"] = "somewhere/colour"
    digests = {settings_digest(made_from(one.fingerprint, "fps 1")) for one in (ours, theirs)}
    assert len(digests) == 1


def test_a_long_video_gives_what_it_gives_in_one_read(
    encoder: ColourEncoder, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", 1, num_frames=2 * CHUNK + 9, rate=8)
    encode([str(video)], tmp_path / "store", sampler="all")
    frames = read_frames(video, parse_sampler("all"), size=encoder.size)
    stored = FeatureStore(tmp_path / "store").features("a.mp4")
    assert np.array_equal(stored, encoder.encode_frames(frames.pixels).astype(np.float16))


def test_a_record_with_a_segment_has_the_features_of_that_segment(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "m.jsonl"
    record = {"id": "part", "path": str(small_videos / "2.mp4"), "segment": [1.0, 2.0]}
    manifest.write_text(json.dumps(record))
    encode([str(manifest)], tmp_path / "store", sampler="all")
    sampler, segment = parse_sampler("all"), Segment(1.0, 2.0)
    frames = read_frames(small_videos / "2.mp4", sampler, segment=segment)
    assert FeatureStore(tmp_path / "store").times("part").tolist() == frames.times.tolist()


def test_features_that_are_not_numbers_cost_their_video_only(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    whole = encoder.encode_frames

    def broken(pixels: Any) -> Any:
        features = whole(pixels)
        features[0, 0] = np.inf  # of the first video of the group
        return features

    encoder.encode_frames = broken  # type: ignore[method-assign]
    summary = encode([str(small_videos)], tmp_path)
    assert [failure.key for failure in summary.failed] == ["0.mp4"]
    assert "not finite" in summary.failed[0].reason
    assert len(FeatureStore(tmp_path)) == 6


def test_every_video_is_told_once_those_of_earlier_runs_at_the_end(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    told: list[tuple[str, int]] = []
    encode([str(small_videos / "6.mp4")], tmp_path)
    encode([str(small_videos)], tmp_path, on_result=lambda *one: told.append(one))
    assert told == [(f"{number}.mp4", 3) for number in range(7)]


@pytest.mark.parametrize(
    ("options", "sampler"),
    [
        ((None, None, None), None),
        ((2.0, None, None), "fps 2.0"),
        ((0.5, None, None), "fps 0.5"),
        ((None, 8, None), "uniform 8"),
        ((None, None, "keyframes"), "keyframes"),
    ],
)
def test_three_options_name_one_sampler(options: Any, sampler: str | None) -> None:
    assert choose_sampler(*options) == sampler


def test_two_samplers_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="--fps and --frames"):
        choose_sampler(1.0, 2, None)


def test_a_misspelt_setting_of_the_python_face_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"modle.*did you mean model"):
        encode(["a.mp4"], tmp_path, modle="tiny")


@pytest.mark.parametrize("setting", ["batch_size", "shard_size"])
def test_a_size_of_nothing_is_refused(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match=f"{setting}: .*greater than or equal to 1"):
        encode(["a.mp4"], tmp_path / "store", **{setting: 0})
    assert not (tmp_path / "store").exists()


@pytest.mark.media
def test_another_video_stream_of_a_file_can_be_encoded_and_is_told_apart(
    encoder: ColourEncoder, media_root: Path, tmp_path: Path
) -> None:
    video = media_root / "nasa_13013.mp4"
    counts = {}
    for stream in (None, 0, 3):
        store = tmp_path / str(stream)
        encode([str(video)], store, sampler="all", stream=stream)
        counts[stream] = FeatureStore(store).num_frames(video.name)
        assert FeatureStore(store).fingerprint.get("stream", "best") == (
            "best" if stream is None else stream
        )
    assert counts == {None: 390, 0: 325, 3: 390}
    with pytest.raises(FeatureError, match=r"stream 0.*stream 3"):
        encode([str(video)], tmp_path / "0", sampler="all", stream=3)
    summary = encode([str(video)], tmp_path / "audio", sampler="all", stream=1)
    assert "stream 1 is no video; video streams: 0, 3" in summary.failed[0].reason
