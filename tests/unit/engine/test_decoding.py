"""Long videos reach the model in chunks, decoded ahead."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.small_videos import make_video
from vcap.engine.decoding import CHUNK, ahead, frame_chunks, part_chunks, start
from vcap.engine.inputs import gather
from vcap.engine.segments import Cutter
from vcap.errors import VideoError
from vcap.video.decode import Size, read_frames
from vcap.video.sample import parse_sampler

SIZE = Size(width=16, height=16)


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two chunks and a half."""
    return make_video(tmp_path_factory.mktemp("long") / "a.mp4", 1, num_frames=160, rate=8)


def test_chunks_of_a_long_video_hold_the_frames_of_one_read(long_video: Path) -> None:
    [source] = gather([str(long_video)])
    whole = read_frames(long_video, parse_sampler("all"), size=SIZE)
    chunks = start(partial(frame_chunks, source, parse_sampler("all"), SIZE))
    parts = list(chunks)
    assert [len(part.times) for part in parts] == [CHUNK, CHUNK, 160 - 2 * CHUNK]
    assert np.array_equal(np.concatenate([part.pixels for part in parts]), whole.pixels)
    assert np.array_equal(np.concatenate([part.times for part in parts]), whole.times)


def test_a_short_video_is_one_chunk_and_its_file_is_closed_at_once(long_video: Path) -> None:
    [source] = gather([str(long_video)])
    chunks = start(partial(frame_chunks, source, parse_sampler("uniform 5"), SIZE))
    assert chunks.rest is None
    assert [len(part.times) for part in chunks] == [5]


def test_a_long_video_that_is_read_once_more_is_whole_again(long_video: Path) -> None:
    [source] = gather([str(long_video)])
    chunks = start(partial(frame_chunks, source, parse_sampler("all"), SIZE))
    reading = iter(chunks)
    next(reading), next(reading)  # what used them failed in the middle
    for _ in range(2):
        assert sum(len(part.times) for part in chunks) == 160


def test_segments_stay_together_until_a_chunk_is_full(long_video: Path) -> None:
    [source] = gather([str(long_video)])
    cutter = Cutter(None, every=1.0)
    parts = list(start(partial(part_chunks, source, parse_sampler("uniform 16"), cutter, SIZE)))
    assert [len(chunk) for chunk in parts] == [4, 4, 4, 4, 4]
    assert cutter.duration == 20.0


def test_a_file_that_is_absent_fails_when_it_is_prepared(tmp_path: Path) -> None:
    [source] = gather([str(tmp_path / "absent.mp4")])
    with pytest.raises(VideoError, match=r"absent\.mp4"):
        start(partial(frame_chunks, source, parse_sampler("fps 1"), None))


def test_what_decodes_to_nothing_is_a_failure_not_an_empty_result() -> None:
    def nothing(_: Callable[[str], None]) -> Iterator[int]:
        return iter(())

    with pytest.raises(VideoError):
        start(nothing)


def test_warnings_met_on_the_way_are_kept() -> None:
    def damaged(warn: Callable[[str], None]) -> Iterator[int]:
        yield 1
        warn("bad packets")
        yield 2

    chunks = start(damaged)
    assert list(chunks) == [1, 2]
    assert chunks.warnings == ["bad packets"]


def test_values_made_ahead_come_in_order() -> None:
    assert list(ahead(range(50))) == list(range(50))


def test_a_failure_while_reading_ahead_is_raised_where_the_values_are_used() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise VideoError("torn")

    values = ahead(failing())
    assert next(values) == 1
    with pytest.raises(VideoError, match="torn"):
        next(values)


def test_no_more_than_a_few_values_are_made_ahead() -> None:
    made: list[int] = []

    def counted() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    values = ahead(counted())
    next(values)
    time.sleep(0.1)
    assert len(made) <= 4


def test_a_reader_that_leaves_lets_the_thread_end() -> None:
    before = threading.active_count()
    values = ahead(iter(range(1000)))
    next(values)
    values.close()  # type: ignore[attr-defined]
    for _ in range(100):
        if threading.active_count() <= before:  # one of another test may end meanwhile
            break
        time.sleep(0.05)
    assert threading.active_count() <= before
