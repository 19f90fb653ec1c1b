"""Which frames a wish means, and folders that appear whole."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vcap.engine.extract import (
    Extracted,
    Frames,
    FramesOutput,
    Result,
    Wish,
    choose,
    parse_size,
    table,
)
from vcap.engine.inputs import gather
from vcap.engine.outputs import Item
from vcap.errors import OutputError, UsageError, VideoError
from vcap.video.picture import Size
from vcap.video.write import write_mp4


@pytest.mark.parametrize(
    ("fps", "frames", "scenes", "rule"),
    [
        (None, None, False, "fps 5"),
        (29.97, None, False, "fps 29.97"),
        (2.0, None, False, "fps 2"),
        (None, 16, False, "uniform 16"),
        (None, None, True, "scenes"),
    ],
)
def test_three_options_amount_to_one_rule(
    fps: float | None, frames: int | None, scenes: bool, rule: str
) -> None:
    assert choose(fps, frames, scenes) == rule


def test_all_three_at_once_are_named() -> None:
    with pytest.raises(UsageError, match="--fps and --frames and --scenes contradict"):
        choose(1.0, 2, True)


def test_a_size_is_the_short_side_or_both_sides() -> None:
    assert parse_size(None) is None
    assert parse_size("224") == Size(short_side=224)
    assert parse_size("320x240") == Size(width=320, height=240)


@pytest.mark.parametrize("text", ["", "x", "320x", "0x5", "12x0", "-3", "1e3", "999999"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        parse_size(text)


def made(folder: Path, name: str, content: str = "frame") -> Path:
    """A temporary folder with one frame in it."""
    part = folder / name
    part.mkdir(parents=True)
    (part / "000001.jpg").write_text(content)
    return part


@pytest.fixture
def output(tmp_path: Path) -> FramesOutput:
    """An output whose folder has been locked before, as map_items does."""
    (tmp_path / ".vcap").mkdir()
    return FramesOutput(tmp_path)


def never(_: Item) -> bool:
    """Nothing is done yet."""
    return False


def test_a_folder_gets_its_name_when_it_is_whole(output: FramesOutput) -> None:
    item = Item("a/b.mp4", None)
    assert output.write(item, Extracted(made(output.parts_dir, "1"), 1)) == [item]
    (name,) = output.files(item)
    assert (output.folder / name / "000001.jpg").read_text() == "frame"
    assert "/" not in name


def test_a_new_folder_takes_the_place_of_the_old_one_whole(output: FramesOutput) -> None:
    item = Item("a.mp4", None)
    output.write(item, Extracted(made(output.parts_dir, "1", "old"), 1))
    (output.path(item) / "000002.jpg").touch()
    output.write(item, Extracted(made(output.parts_dir, "2", "new"), 1))
    assert [p.read_text() for p in output.path(item).iterdir()] == ["new"]


def test_a_folder_renamed_just_before_a_kill_counts_as_ours(output: FramesOutput) -> None:
    item = Item("a.mp4", None)
    output.write(item, Extracted(made(output.parts_dir, "1"), 1))  # and no journal entry
    assert output.plan([item], never) == [[item]]


def test_what_a_killed_run_left_is_swept(output: FramesOutput) -> None:
    left = made(output.folder / ".vcap-0123456789abcdef.part", "1")
    output.plan([], never)
    assert not left.exists()


def test_a_folder_that_is_not_ours_is_refused_before_any_work(output: FramesOutput) -> None:
    item = Item("a.mp4", None)
    output.path(item).mkdir()
    with pytest.raises(OutputError, match="vcap did not make it"):
        output.plan([item], never)
    forced = FramesOutput(output.folder, force=True)
    assert forced.plan([item], never) == [[item]]


def test_nothing_stays_of_a_video_that_fails(tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("words")
    work = Frames(Wish("fps 1"), tmp_path / "parts")
    with pytest.raises(VideoError):
        work(gather([str(bad)])[0])
    assert not list((tmp_path / "parts").iterdir())


def test_the_table_quotes_what_a_reason_may_hold() -> None:
    rows = [Result("a,b.mp4", Path("x"), 3), Result("c.mp4", Path("y"), 0, 'no "frame"\nat all')]
    assert table(rows) == (
        'id,success,frames,reason\n"a,b.mp4",true,3,\nc.mp4,false,0,"no ""frame""\nat all"\n'
    )


def test_scenes_gives_the_middle_of_each_shot(tmp_path: Path) -> None:
    shots = np.repeat(np.array([40, 130, 220], np.uint8), 30)
    pixels = np.broadcast_to(shots[:, None, None, None], (90, 64, 64, 3)).copy()
    pixels[[15, 45, 75], :, 56:] = 0  # an edge of each middle frame is black
    path = tmp_path / "shots.mp4"
    write_mp4(path, pixels, frames_per_second=30)
    work = Frames(Wish("scenes", format="png"), tmp_path / "parts")
    extracted = work(gather([str(path)])[0])
    assert (extracted.num_frames, extracted.warnings) == (3, ())
    for name, grey in zip(sorted(extracted.part.glob("*.png")), (40, 130, 220), strict=True):
        picture = np.asarray(Image.open(name), np.int64)
        assert abs(picture[:, :48].mean() - grey) < 8
        assert picture[:, 59:].mean() < 12
