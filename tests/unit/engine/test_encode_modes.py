"""Exact pixels and fast frames: what they change in a store, and how a store says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_videos import ColourCaptioner, ColourEncoder
from vcap.engine import encode as encode_module
from vcap.engine.caption import caption
from vcap.engine.caption_work import manner
from vcap.engine.encode import EncodeSettings, encode, made_from, settings_digest
from vcap.engine.encode_text import encode_text
from vcap.engine.extract import Wish, extract
from vcap.engine.inputs import Source, gather
from vcap.engine.reporter import Silent
from vcap.errors import FeatureError, UsageError
from vcap.features.store import FeatureStore
from vcap.types import Frames
from vcap.video import decode as decoding
from vcap.video.decode import Size, read_frames
from vcap.video.sample import parse_sampler


class Listener(Silent):
    """Keeps what was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def info(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> ColourEncoder:
    encoder = ColourEncoder()
    monkeypatch.setattr(encode_module, "load_named", lambda *_: encoder)
    monkeypatch.setattr("vcap.engine.encode_text.load_named", lambda *_: encoder)
    return encoder


def features_of(encoder: ColourEncoder, frames: Frames) -> Any:
    """As a store keeps them."""
    return encoder.encode_frames(frames.pixels).astype(np.float16)


def test_exact_pixels_are_what_is_encoded_and_the_store_says_so(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    video = small_videos / "0.mp4"
    encode([str(video)], tmp_path / "exact", sampler="uniform 3", exact_pixels=True)
    encode([str(video)], tmp_path / "plain", sampler="uniform 3")
    exact, plain = FeatureStore(tmp_path / "exact"), FeatureStore(tmp_path / "plain")
    size = Size(encoder.size.width, encoder.size.height, exact=True)
    frames = read_frames(video, parse_sampler("uniform 3"), size=size)
    assert np.array_equal(exact.features("0.mp4"), features_of(encoder, frames))
    assert not np.array_equal(exact.features("0.mp4"), plain.features("0.mp4"))
    assert exact.fingerprint["pixels"] == "exact"
    assert "pixels" not in plain.fingerprint


def test_pixels_of_two_kinds_do_not_go_into_one_store(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    encode([str(small_videos / "0.mp4")], tmp_path, exact_pixels=True)
    with pytest.raises(FeatureError, match="pixels"):
        encode([str(small_videos / "0.mp4")], tmp_path)


def test_stores_of_before_still_count_as_done() -> None:
    plain = made_from({"weights": "a"}, "fps 1")
    assert sorted(plain) == ["decoder", "encoder", "sampler"]
    exact = made_from({"weights": "a"}, "fps 1", exact=True)
    assert settings_digest(plain) != settings_digest(exact)


def test_fast_frames_are_told_once_and_stand_in_the_fingerprint(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    listener = Listener()
    encode([str(small_videos)], tmp_path, sampler="fps 2", fast_frames=True, reporter=listener)
    store = FeatureStore(tmp_path)
    assert store.fingerprint["sampler"] == "fps 2 keyframes-only"
    assert len([text for text in listener.told if "approximate" in text]) == 1
    frames = read_frames(
        small_videos / "3.mp4", parse_sampler("fps 2 keyframes-only"), size=encoder.size
    )
    assert np.array_equal(store.features("3.mp4"), features_of(encoder, frames))
    assert store.times("3.mp4").tolist() == frames.times.tolist()


def test_exact_frames_are_not_called_approximate(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    listener = Listener()
    encode([str(small_videos / "0.mp4")], tmp_path, reporter=listener)
    assert not [text for text in listener.told if "approximate" in text]


def test_the_flag_and_the_sampler_name_the_same_frames() -> None:
    assert EncodeSettings(sampler="fps 2", fast_frames=True).rule == "fps 2 keyframes-only"
    named = "uniform 4 keyframes-only"
    assert EncodeSettings(sampler=named).rule == named
    assert EncodeSettings(sampler=named, fast_frames=True).rule == named
    assert EncodeSettings(sampler="uniform  4").rule == "uniform 4"


@pytest.mark.parametrize("sampler", ["all", "keyframes"])
def test_samplers_that_go_by_frames_cannot_be_fast(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path, sampler: str
) -> None:
    with pytest.raises(UsageError, match="cannot be fast"):
        encode([str(small_videos)], tmp_path, sampler=sampler, fast_frames=True)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["exact_pixels", "fast_frames"])
def test_texts_have_neither_pixels_nor_frames(
    encoder: ColourEncoder, tmp_path: Path, option: str
) -> None:
    with pytest.raises(UsageError, match="are for videos, not for --text"):
        encode_text([], tmp_path, **{option: True})


def test_a_list_of_times_is_encoded_frame_by_frame(
    encoder: ColourEncoder, small_videos: Path, tmp_path: Path
) -> None:
    encode([str(small_videos / "0.mp4")], tmp_path, sampler="times 0.1,0.6,2,9")
    assert FeatureStore(tmp_path).times("0.mp4").tolist() == [0.0, 0.5, 2.0, 2.75]
    assert FeatureStore(tmp_path).fingerprint["sampler"] == "times 0.1,0.6,2,9"


def run_encode(sources: list[Source], folder: Path) -> None:
    encode(sources, folder)


def run_caption(sources: list[Source], folder: Path) -> None:
    caption(sources, ColourCaptioner(), manner(every=1.0))


def run_extract(sources: list[Source], folder: Path) -> None:
    extract(sources, folder, Wish("uniform 2"), reporter=Silent())


def run_extract_scenes(sources: list[Source], folder: Path) -> None:
    extract(sources, folder, Wish("scenes"), reporter=Silent())


@pytest.mark.parametrize("names", [["0.mp4"], ["0.mp4", "1.mp4"]])
@pytest.mark.parametrize("work", [run_encode, run_caption, run_extract, run_extract_scenes])
def test_only_one_video_by_itself_may_use_threads(
    encoder: ColourEncoder,
    small_videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[list[Source], Path], None],
    names: list[str],
) -> None:
    asked: list[bool] = []
    open_video = decoding.open_video

    def listen(path: Path, stream: int | None = None, *, alone: bool = False) -> Any:
        asked.append(alone)
        return open_video(path, stream, alone=alone)

    monkeypatch.setattr(decoding, "open_video", listen)
    work(gather([str(small_videos / name) for name in names]), tmp_path)
    assert asked
    assert any(asked) == (len(names) == 1)
