"""The pictures of a training run: which videos are left, what a batch holds, what is kept."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_videos import make_video
from vcap.data.records import Record
from vcap.engine import pictures as module
from vcap.engine.lock import hold
from vcap.engine.pictures import PictureTable
from vcap.engine.run import Run
from vcap.engine.training_data import Example
from vcap.errors import InputError, OutputError, VideoError
from vcap.types import Segment
from vcap.video.decode import read_frames
from vcap.video.picture import Size
from vcap.video.pictures import raw, read_pictures
from vcap.video.sample import Sampler, parse_sampler

CLIP = Size(short_side=24, crop=True)
KINDS = {"clip": CLIP, "raw": raw(16)}
UNIFORM = Sampler("uniform", 4)
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos of 12, 6, 12, 12 and 3 frames, and one that is none."""
    place = tmp_path_factory.mktemp("videos")
    for number, count in enumerate((12, 6, 12, 12, 3)):
        make_video(place / f"{number}.mp4", number, num_frames=count)
    (place / "bad.mp4").write_text("no video")
    return place


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture(params=["live", "cache"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """No cache, and a folder that is one."""
    return str(tmp_path / "cache") if request.param == "cache" else None


def example(folder: Path, name: str, **fields: Any) -> Example:
    return Example(Record(id=fields.pop("id", name), path=f"{name}.mp4", **fields), folder)


def examples(folder: Path, names: str = "01234") -> list[Example]:
    return [example(folder, name) for name in names]


def rows(*numbers: int) -> Any:
    return np.array(numbers, dtype=np.int64)


def said(run: Run) -> list[str]:
    return run.reporter.lines  # type: ignore[attr-defined, no-any-return]


def test_a_batch_holds_every_kind_of_picture_of_each_video(
    folder: Path, run: Run, cache: str | None
) -> None:
    with PictureTable(examples(folder), UNIFORM, 4, KINDS, cache, run) as table:
        found = table.gather(rows(3, 0, 3))
    assert found.mask.all() and found.mask.shape == (3, 4)
    assert {kind: [*part.shape] for kind, part in found.pictures.items()} == {
        "clip": [3, 4, 24, 24, 3],
        "raw": [3, 4, 16, 16, 1],
    }
    for place, name in enumerate("303"):
        wanted, _ = read_pictures(folder / f"{name}.mp4", UNIFORM, list(KINDS.values()))
        for kind, pixels in zip(KINDS, wanted, strict=True):
            np.testing.assert_array_equal(found.pictures[kind][place].numpy(), pixels)


def test_short_videos_are_padded_with_zeros_under_the_mask(
    folder: Path, run: Run, cache: str | None
) -> None:
    with PictureTable(examples(folder), Sampler("all"), 12, KINDS, cache, run) as table:
        found = table.gather(rows(1, 4, 2))
    assert found.mask.sum(dim=1).tolist() == [6, 3, 12]
    assert found.mask[1].tolist() == [True] * 3 + [False] * 9
    assert not found.pictures["clip"][0, 6:].any() and not found.pictures["raw"][1, 3:].any()


def test_long_videos_give_the_frames_that_stored_features_would(
    folder: Path, run: Run, cache: str | None
) -> None:
    import torch

    from vcap.engine.methods.pairs import candidate_frames

    with PictureTable(examples(folder), Sampler("all"), 5, KINDS, cache, run) as table:
        found = table.gather(rows(0, 4))
    whole = read_frames(folder / "0.mp4", Sampler("all"), size=CLIP).pixels
    stored = torch.from_numpy(whole)[None]
    wanted, mask = candidate_frames(stored, torch.ones(1, len(whole), dtype=torch.bool), 5)
    np.testing.assert_array_equal(found.pictures["clip"][:1].numpy(), wanted.numpy())
    assert torch.equal(found.mask[:1], mask)


def test_segments_of_one_video_are_videos_of_their_own(
    folder: Path, run: Run, cache: str | None
) -> None:
    parts = [example(folder, "0", id="a", segment=[0.0, 1.0])]
    parts += [example(folder, "0", id="b", segment=[1.5, 3.0]), example(folder, "0", id="c")]
    with PictureTable(parts, UNIFORM, 4, KINDS, cache, run) as table:
        found = table.gather(rows(0, 1, 2))
    for place, segment in enumerate((Segment(0.0, 1.0), Segment(1.5, 3.0), None)):
        wanted = read_frames(folder / "0.mp4", UNIFORM, segment=segment, size=CLIP).pixels
        np.testing.assert_array_equal(found.pictures["clip"][place].numpy(), wanted)


def test_a_video_that_several_examples_are_about_is_decoded_once(
    folder: Path, run: Run, cache: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = counted(monkeypatch)
    many = [example(folder, "0", id=f"one {number}") for number in range(6)]
    with PictureTable(many, UNIFORM, 4, KINDS, cache, run) as table:
        seen.clear() if cache is None else None
        found = table.gather(rows(*range(6)))
    assert len(table) == 6 and len(seen) == 1
    assert (found.pictures["clip"] == found.pictures["clip"][0]).all()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The videos that are read from here on, in the order in which that begins."""
    seen: list[Path] = []

    def read(path: Path, *arguments: Any, **options: Any) -> Any:
        seen.append(path)
        return read_pictures(path, *arguments, **options)

    monkeypatch.setattr(module, "read_pictures", read)
    return seen


def test_videos_that_do_not_decode_are_named_and_left_out(
    folder: Path, run: Run, cache: str | None
) -> None:
    some = [*examples(folder, "01"), example(folder, "bad"), example(folder, "gone")]
    some += [Example(Record(id="far", url="https://example.org/a.mp4"), folder)]
    some += [example(folder, "2"), example(folder, "bad", id="again")]
    with PictureTable(some, UNIFORM, 4, KINDS, cache, run) as table:
        assert [one.record.id for one in table.examples] == ["0", "1", "2"]
        assert table.kept.tolist() == [0, 1, 5]
        found = table.gather(rows(2))
    wanted = read_frames(folder / "2.mp4", UNIFORM, size=CLIP).pixels
    np.testing.assert_array_equal(found.pictures["clip"][0].numpy(), wanted)
    bad, gone, far = (line for line in said(run) if "left out" in line)
    assert "bad left out" in bad and "not a video" in bad
    assert "gone left out" in gone and "no such file" in gone
    assert "far left out" in far and "url" in far


def test_of_many_videos_that_fail_every_one_is_still_named(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_NAMED", 2)
    some = [*(example(folder, f"x{number}") for number in range(5)), example(folder, "0")]
    PictureTable(some, UNIFORM, 4, KINDS, None, run).close()
    assert len(said(run)) == 3
    assert "3 more videos left out: x2, x3, x4" in said(run)[-1]


def test_a_run_without_any_video_left_says_why(folder: Path, run: Run, cache: str | None) -> None:
    some = [example(folder, "bad"), example(folder, "gone")]
    with pytest.raises(VideoError, match=r"none of 2 videos decodes; the first: .*not a video"):
        PictureTable(some, UNIFORM, 4, KINDS, cache, run)
    with pytest.raises(InputError, match="no videos"):
        PictureTable([], UNIFORM, 4, KINDS, cache, run)
    assert cache is None or left_in(cache) == [".vcap"]


def left_in(cache: str) -> list[str]:
    return [path.name for path in (Path(cache) / "pictures").iterdir()]


def test_a_size_that_differs_from_video_to_video_is_refused(folder: Path, run: Run) -> None:
    with pytest.raises(ValueError, match="clip: want a size that is the same for every video"):
        PictureTable(examples(folder), UNIFORM, 4, {"clip": Size(short_side=9)}, None, run)


def test_damage_is_told_once_and_the_video_stays(
    tmp_path: Path, run: Run, cache: str | None
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in (1, 3):
        (frames / f"{number:06d}.png").write_bytes(picture_bytes())
    (frames / "000002.png").write_bytes(b"nothing")
    (frames / "times.txt").write_text("0\n1\n2\n3\n")
    one = Example(Record(id="odd", path="frames"), tmp_path)
    with PictureTable([one], Sampler("all"), 4, KINDS, cache, run) as table:
        for _ in range(3):
            assert table.gather(rows(0)).mask.sum() == 2
    assert len(said(run)) == 1 and "odd: pictures missing or damaged" in said(run)[0]


def picture_bytes() -> bytes:
    from vcap.video.image import encode_image

    return encode_image(np.full((30, 40, 3), 77, np.uint8), "png")


def test_the_next_batch_is_decoded_while_nobody_waits_for_it(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PictureTable(examples(folder), UNIFORM, 4, KINDS, None, run) as table:
        seen = counted(monkeypatch)
        table.expect(rows(0, 1))
        wait_until(lambda: len(seen) == 2)
        monkeypatch.setattr(module, "read_pictures", None)  # nothing is decoded again
        assert table.gather(rows(1, 0)).mask.all()


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_was_expected_and_not_asked_for_does_not_pile_up(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_BYTES", 0)
    with PictureTable(examples(folder), UNIFORM, 4, KINDS, None, run) as table:
        for number in (0, 1, 2, 3, 4):
            table.expect(rows(number))
        assert list(table._source._pending) == [4]  # type: ignore[attr-defined]
        wanted = table.gather(rows(0)).pictures["clip"]
        assert (wanted == table.gather(rows(0)).pictures["clip"]).all()
    assert "do not stay in memory" in said(run)[0] and "data.cache" in said(run)[0]


def test_memory_keeps_so_many_pictures_and_no_more(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_video = 4 * (24 * 24 * 3 + 16 * 16)
    monkeypatch.setattr(module, "KEEP_BYTES", 2 * a_video)
    with PictureTable(examples(folder), UNIFORM, 4, KINDS, None, run) as table:
        first = table.gather(rows(0, 1, 2, 3))
        seen = counted(monkeypatch)
        second = table.gather(rows(0, 1, 2, 3))
        assert sorted(path.stem for path in seen) == ["2", "3"]
    assert all((first.pictures[kind] == second.pictures[kind]).all() for kind in KINDS)


def test_a_video_that_vanishes_later_is_named(folder: Path, run: Run, tmp_path: Path) -> None:
    path = make_video(tmp_path / "short-lived.mp4", 9)
    some = [Example(Record(id="it", path=path.name), tmp_path)]
    with PictureTable(some, UNIFORM, 4, KINDS, None, run) as table:
        path.unlink()
        with pytest.raises(VideoError, match=r"^it decoded when the run began .*no such file"):
            table.gather(rows(0))


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that take turns by chance."""
    chance = random.Random()

    def read(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.01 * chance.random())
        return read_pictures(*arguments, **options)

    monkeypatch.setattr(module, "read_pictures", read)


@pytest.mark.usefixtures("restless")
def test_which_thread_is_first_changes_no_byte(folder: Path, tmp_path: Path, run: Run) -> None:
    some = examples(folder, "0123443210")
    some = [example(folder, one.record.id, id=f"{n}") for n, one in enumerate(some)]
    batches, files = [], []
    for number in range(2):
        cache = tmp_path / f"cache{number}"
        for place in (None, str(cache)):
            with PictureTable(some, UNIFORM, 4, KINDS, place, run) as table:
                table.expect(rows(7, 2))
                batches.append(table.gather(rows(5, 7, 2, 0)))
        parts = sorted((cache / "pictures").glob("*.*"))
        files.append([(path.name, path.read_bytes()) for path in parts if path.is_file()])
    assert files[0] == files[1] and len(files[0]) == 3
    for batch in batches[1:]:
        assert all((batch.pictures[k] == batches[0].pictures[k]).all() for k in KINDS)


def test_a_second_run_decodes_nothing(
    folder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = str(tmp_path / "cache")
    first = PictureTable(examples(folder), UNIFORM, 4, KINDS, cache, run).gather(rows(1, 4))
    monkeypatch.setattr(module, "read_pictures", None)
    second = PictureTable(examples(folder), UNIFORM, 4, KINDS, cache, run).gather(rows(1, 4))
    assert all((first.pictures[kind] == second.pictures[kind]).all() for kind in KINDS)


@pytest.mark.parametrize("change", ["video", "sampler", "frames", "size", "examples"])
def test_what_decides_the_pictures_decides_which_files_are_taken(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    for number in range(2):
        make_video(tmp_path / f"{number}.mp4", number)
    asked: dict[str, Any] = {"sampler": UNIFORM, "frames": 4, "size": CLIP, "examples": "01"}

    def table() -> PictureTable:
        some = examples(tmp_path, asked["examples"])
        kinds = {"clip": asked["size"]}
        cache = str(tmp_path / "cache")
        return PictureTable(some, asked["sampler"], asked["frames"], kinds, cache, run)

    table().close()
    new = {"sampler": parse_sampler("fps 2"), "frames": 3, "size": Size(24, 24), "examples": "10"}
    if change == "video":
        make_video(tmp_path / "0.mp4", 5)
    else:
        asked[change] = new[change]
    seen = counted(monkeypatch)
    table().close()
    assert len(seen) == 2


@pytest.mark.parametrize("damage", ["cut", "gone", "header"])
def test_files_that_are_not_whole_are_made_anew(
    folder: Path, tmp_path: Path, run: Run, damage: str
) -> None:
    cache = tmp_path / "cache"
    table = PictureTable(examples(folder), UNIFORM, 4, KINDS, str(cache), run)
    wanted = {kind: part.clone() for kind, part in table.gather(rows(0, 1)).pictures.items()}
    path = next((cache / "pictures").glob("*-raw.u8"))
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        next((cache / "pictures").glob("*.json")).write_text('{"counts": [4')
    found = PictureTable(examples(folder), UNIFORM, 4, KINDS, str(cache), run).gather(rows(0, 1))
    assert all((found.pictures[kind] == wanted[kind]).all() for kind in KINDS)


def test_a_video_that_comes_back_is_taken_up_into_the_cache(
    folder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = VideoError("the disk is away")

    def read(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.stem == "1":
            raise away
        return read_pictures(path, *arguments, **options)

    cache = str(tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_pictures", read)
        for _ in range(2):
            table = PictureTable(examples(folder), UNIFORM, 4, KINDS, cache, run)
            assert [one.record.id for one in table.examples] == ["0", "2", "3", "4"]
    table = PictureTable(examples(folder), UNIFORM, 4, KINDS, cache, run)
    assert len(table) == 5
    wanted = read_frames(folder / "1.mp4", UNIFORM, size=CLIP).pixels
    np.testing.assert_array_equal(table.gather(rows(1)).pictures["clip"][0].numpy(), wanted)


def test_two_runs_that_want_the_same_cache_decode_it_once(
    folder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = counted(monkeypatch)
    tables: list[PictureTable] = []

    def open_table() -> None:
        cache = str(tmp_path / "cache")
        tables.append(PictureTable(examples(folder), UNIFORM, 4, KINDS, cache, run))

    with hold(tmp_path / "cache" / "pictures"):
        others = [threading.Thread(target=open_table) for _ in range(2)]
        for other in others:
            other.start()
        wait_until(lambda: sum("waiting" in line for line in said(run)) == 2)
    for other in others:
        other.join(PATIENCE_SECONDS)
    assert [len(table) for table in tables] == [5, 5]
    assert len(seen) == 5


def test_a_request_to_stop_is_obeyed_while_waiting_for_another_run(
    folder: Path, tmp_path: Path, run: Run
) -> None:
    run.stop.request()
    with hold(tmp_path / "cache" / "pictures"), pytest.raises(KeyboardInterrupt):
        PictureTable(examples(folder), UNIFORM, 4, KINDS, str(tmp_path / "cache"), run)


def test_a_request_to_stop_while_decoding_leaves_nothing_behind(
    folder: Path, tmp_path: Path, cache: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)

    def read(*arguments: Any, **options: Any) -> Any:
        run.stop.request()
        return read_pictures(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_pictures", read)
        with pytest.raises(KeyboardInterrupt):
            PictureTable(examples(folder), UNIFORM, 4, KINDS, cache, run)
    if cache is not None:
        assert left_in(cache) == [".vcap"]


def test_a_cache_that_cannot_be_written_is_named(folder: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file"):
        PictureTable(examples(folder), UNIFORM, 4, KINDS, str(tmp_path / "file"), run)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Tables that are forgotten take their threads along."""
    yield
    wait_until(lambda: not any(thread.name == "decode" for thread in threading.enumerate()))
