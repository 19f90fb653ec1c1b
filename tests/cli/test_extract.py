"""`vcap extract` as a user meets it, bad inputs included."""

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vcap.engine.sample import sample_path


def table(folder: Path) -> list[dict[str, str]]:
    """The rows of the summary."""
    with (folder / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def names(folder: Path) -> list[str]:
    """Files of a folder in order."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A good video under another name."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(sample_path().read_bytes())
    return path


def test_frames_are_numbered_from_one_in_a_folder_a_video(vcap: Any, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    result = vcap("extract", "sample", "-o", out, "--frames", 3)
    assert (result.exit_code, result.stdout) == (0, f"{out / 'sample.mp4'}\t3\n")
    assert result.stderr == "videos: 1 done\n"
    assert names(out / "sample.mp4") == [
        *(f"00000{number}.jpg" for number in (1, 2, 3)),
        "times.txt",
    ]
    assert table(out) == [{"id": "sample.mp4", "success": "true", "frames": "3", "reason": ""}]


def test_five_frames_a_second_without_being_told(vcap: Any, tmp_path: Path) -> None:
    vcap("extract", "sample", "-o", tmp_path)
    assert len(names(tmp_path / "sample.mp4")) == 20 + 1  # of 31 / 8 seconds, and their times


def test_png_keeps_the_decoded_pixels(vcap: Any, tmp_path: Path) -> None:
    from vcap.video.decode import read_frames
    from vcap.video.sample import Sampler

    vcap("extract", "sample", "-o", tmp_path, "--fps", 1, "--format", "png")
    wanted = read_frames(sample_path(), Sampler("fps", 1.0)).pixels
    paths = sorted(tmp_path.glob("sample.mp4/*.png"))
    assert len(paths) == len(wanted)
    for path, pixels in zip(paths, wanted, strict=True):
        with Image.open(path) as picture:
            assert np.array_equal(np.asarray(picture), pixels)


@pytest.mark.parametrize(("size", "shape"), [("48", (48, 48)), ("64x32", (64, 32))])
def test_size_is_the_short_side_or_both(
    vcap: Any, tmp_path: Path, size: str, shape: tuple[int, int]
) -> None:
    vcap("extract", "sample", "-o", tmp_path, "--frames", 1, "--size", size)
    with Image.open(tmp_path / "sample.mp4" / "000001.jpg") as picture:
        assert picture.size == shape


def test_scenes_gives_one_frame_a_shot(vcap: Any, tmp_path: Path) -> None:
    result = vcap("extract", "sample", "-o", tmp_path, "--scenes")
    assert result.stdout == f"{tmp_path / 'sample.mp4'}\t1\n"


def test_a_second_run_does_nothing_and_says_so(vcap: Any, tmp_path: Path) -> None:
    first = vcap("extract", "sample", "-o", tmp_path, "--frames", 2)
    before = (tmp_path / "sample.mp4").stat().st_mtime_ns
    second = vcap("extract", "sample", "-o", tmp_path, "--frames", 2)
    assert (second.exit_code, second.stdout) == (0, first.stdout)
    assert second.stderr == "1 videos were done before\nnothing to do\n"
    assert (tmp_path / "sample.mp4").stat().st_mtime_ns == before


def test_other_settings_replace_the_whole_folder(vcap: Any, tmp_path: Path) -> None:
    vcap("extract", "sample", "-o", tmp_path, "--frames", 4)
    vcap("extract", "sample", "-o", tmp_path, "--frames", 2, "--format", "webp")
    assert names(tmp_path / "sample.mp4") == ["000001.webp", "000002.webp", "times.txt"]
    assert names(tmp_path) == [".vcap", "sample.mp4", "summary.csv"]


def test_json_is_one_object_a_video(vcap: Any, tmp_path: Path) -> None:
    result = vcap("extract", "sample", "-o", tmp_path, "--frames", 2, "--json")
    assert json.loads(result.stdout) == {
        "id": "sample.mp4",
        "folder": str(tmp_path / "sample.mp4"),
        "frames": 2,
    }


def test_paths_are_read_from_stdin(vcap: Any, tmp_path: Path, clip: Path) -> None:
    out = tmp_path / "out"
    result = vcap("extract", "-", "-o", out, "--frames", 1, stdin=f"{clip}\n")
    assert (result.exit_code, result.stdout) == (0, f"{out / 'clip.mp4'}\t1\n")


def test_a_name_that_is_no_utf8_comes_through(vcap: Any, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")
    Path(odd).write_bytes(sample_path().read_bytes())
    words = ["extract", odd, "-o", tmp_path / "out", "--frames", 1]
    plain = vcap(*words)
    assert (plain.exit_code, plain.stdout_bytes.count(b"\t1\n")) == (0, 1)
    found = json.loads(vcap(*words, "--json").stdout_bytes.decode("utf-8"))
    assert os.fsencode(found["id"]) == b"caf\xe9.mp4"
    assert names(Path(found["folder"])) == ["000001.jpg", "times.txt"]
    assert b"caf\xe9.mp4,true,1," in (tmp_path / "out" / "summary.csv").read_bytes()


def test_a_name_that_is_no_utf8_comes_through_stdin(vcap: Any, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    Path(os.fsdecode(odd)).write_bytes(sample_path().read_bytes())
    result = vcap("extract", "-", "-o", tmp_path / "out", "--frames", 1, stdin=odd + b"\n")
    assert (result.exit_code, result.stdout_bytes.count(b"\t1\n")) == (0, 1)


def test_a_dry_run_shows_the_settings_and_writes_nothing(vcap: Any, tmp_path: Path) -> None:
    result = vcap("extract", "sample", "-o", tmp_path / "out", "--dry-run")
    assert result.exit_code == 0
    assert "frames: fps 5\n" in result.stdout
    assert "videos: 1\n" in result.stdout
    assert not list(tmp_path.iterdir())


def test_one_bad_video_of_two_costs_only_itself(vcap: Any, tmp_path: Path, clip: Path) -> None:
    out, bad = tmp_path / "out", tmp_path / "text.mp4"
    bad.write_text("this is no video, only words\n" * 50)
    result = vcap("extract", clip, bad, "-o", out, "--frames", 2)
    assert (result.exit_code, result.stdout) == (3, f"{out / 'clip.mp4'}\t2\n")
    failed, closing = result.stderr.splitlines()
    assert failed.startswith(f"failed: text.mp4: {bad}: ")
    assert closing == "videos: 1 done, 1 failed"
    assert [row["success"] for row in table(out)] == ["true", "false"]
    assert not (out / "text.mp4").exists()


def test_the_table_keeps_earlier_videos_whose_folders_are_still_there(
    vcap: Any, tmp_path: Path, clip: Path
) -> None:
    out, lost = tmp_path / "out", tmp_path / "lost.mp4"
    lost.write_bytes(clip.read_bytes())
    vcap("extract", clip, lost, tmp_path / "gone.mp4", "-o", out, "--frames", 1)
    assert [row["id"] for row in table(out)] == ["clip.mp4", "lost.mp4", "gone.mp4"]
    shutil.rmtree(out / "lost.mp4")
    result = vcap("extract", "sample", "-o", out, "--frames", 2)
    assert result.stdout == f"{out / 'sample.mp4'}\t2\n"
    assert [(row["id"], row["frames"]) for row in table(out)] == [
        ("sample.mp4", "2"),
        ("clip.mp4", "1"),
    ]


def test_the_table_is_written_before_another_run_may_begin(
    vcap: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vcap.engine import extract
    from vcap.engine.lock import hold
    from vcap.errors import OutputError

    written = extract.table

    def is_locked(rows: Any) -> str:
        with pytest.raises(OutputError, match="in use"), hold(tmp_path):
            pass
        return written(rows)

    monkeypatch.setattr(extract, "table", is_locked)
    assert vcap("extract", "sample", "-o", tmp_path, "--frames", 1).exit_code == 0
    assert [row["id"] for row in table(tmp_path)] == ["sample.mp4"]


def test_with_checksums_a_copy_of_later_date_is_the_same_video(
    vcap: Any, tmp_path: Path, clip: Path
) -> None:
    words = ["extract", clip, "-o", tmp_path / "out", "--frames", 1, "--checksum"]
    assert vcap(*words).exit_code == 0
    os.utime(clip, ns=(5, 5))
    assert "nothing to do" in vcap(*words).stderr
    clip.write_bytes(clip.read_bytes() + b"more")
    assert vcap(*words).stderr == "videos: 1 done\n"


@pytest.fixture
def two_streams(tmp_path: Path) -> Path:
    """A video of a dark stream of 64 pixels, and of a bright one of 32."""
    import av

    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for side in (64, 32):
            stream = container.add_stream("ffv1", rate=10)
            stream.width = stream.height = side
            stream.pix_fmt = "yuv420p"
            streams.append((stream, np.full((side, side, 3), 255 if side == 32 else 0, np.uint8)))
        for _ in range(10):
            for stream, pixels in streams:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        for stream, _ in streams:
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("rule", [["--frames", 1], ["--scenes"]])
def test_another_video_stream_can_be_asked_for(
    vcap: Any, tmp_path: Path, two_streams: Path, rule: list[object]
) -> None:
    words = ["extract", two_streams, "-o", tmp_path / "out", *rule, "--format", "png"]
    for more, side, grey in (([], 64, 0), (["--stream", 1], 32, 255)):
        result = vcap(*words, *more)
        assert (result.exit_code, result.stderr) == (0, "videos: 1 done\n")
        with Image.open(tmp_path / "out" / "two.mkv" / "000001.png") as picture:
            assert picture.size == (side, side)
            assert abs(np.asarray(picture).mean() - grey) < 3


def test_a_stream_that_is_not_there_is_named(vcap: Any, tmp_path: Path) -> None:
    result = vcap("extract", "sample", "-o", tmp_path / "out", "--stream", 7)
    assert result.exit_code == 4
    assert "stream 7" in result.stderr


def test_stop_on_error_stops_at_the_first_bad_video(vcap: Any, tmp_path: Path, clip: Path) -> None:
    words = ["extract", tmp_path / "gone.mp4", clip, "-o", tmp_path / "out", "--on-error", "stop"]
    result = vcap(*words, "--frames", 1)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.endswith("videos: 0 done, 1 failed, stopped\n")


def missing(folder: Path) -> str:
    """Nothing at all."""
    return "no such file"


def empty(folder: Path) -> str:
    """A file without a byte."""
    (folder / "bad.mp4").touch()
    return "empty"


def words(folder: Path) -> str:
    """Text that calls itself a video."""
    (folder / "bad.mp4").write_text("hello\n" * 100)
    return ""


def cut(folder: Path) -> str:
    """The head of a video and nothing else."""
    (folder / "bad.mp4").write_bytes(sample_path().read_bytes()[:200])
    return ""


@pytest.mark.parametrize("make", [missing, empty, words, cut])
def test_a_bad_video_alone_is_nothing_that_can_be_used(
    vcap: Any, tmp_path: Path, make: Any
) -> None:
    reason = make(tmp_path)
    bad = tmp_path / "bad.mp4"
    result = vcap("extract", bad, "-o", tmp_path / "out", "--frames", 1)
    assert (result.exit_code, result.stdout) == (4, "")
    failed, closing = result.stderr.splitlines()
    assert failed.startswith(f"failed: bad.mp4: {bad}: ")
    assert reason in failed
    assert closing == "videos: 0 done, 1 failed"


def test_an_unreadable_video_says_so(
    vcap: Any, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import av

    def refuse(*arguments: object, **settings: object) -> object:
        raise av.error.PermissionError(13, "Permission denied", str(clip))

    monkeypatch.setattr(av, "open", refuse)
    result = vcap("extract", clip, "-o", tmp_path / "out", "--frames", 1)
    assert result.exit_code == 4
    assert "failed: clip.mp4: " in result.stderr
    assert "ermission" in result.stderr


def test_a_folder_without_videos_is_named(vcap: Any, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "notes.txt").write_text("sun")
    result = vcap("extract", folder, "-o", tmp_path / "out")
    assert (result.exit_code, result.stderr) == (4, f"error: no video or image in {folder}\n")


def test_two_records_of_one_id_are_refused_before_any_work(
    vcap: Any, tmp_path: Path, clip: Path
) -> None:
    manifest = tmp_path / "list.jsonl"
    line = json.dumps({"id": "a", "path": "clip.mp4"})
    manifest.write_text(f"{line}\n{line}\n")
    result = vcap("extract", manifest, "-o", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith("error: ")
    assert "list.jsonl" in result.stderr and "a" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--fps", 2, "--frames", 3], "--fps and --frames contradict each other; give one of them"),
        (["--frames", 3, "--scenes"], "--frames and --scenes contradict each other"),
        (["--size", "big"], "'big' is not a size\n  try: --size 224 or --size 320x240"),
        (["--size", "0"], "'0' is not a size"),
        (["--fps", 0], "the sampler 'fps' wants a number above 0"),
        (["--format", "gif"], "invalid value for '--format': 'gif' is not one of 'jpg', 'png'"),
    ],
)
def test_a_wish_that_makes_no_sense_is_wrong_usage(
    vcap: Any, tmp_path: Path, words: list[object], line: str
) -> None:
    result = vcap("extract", "sample", "-o", tmp_path / "out", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {line}")
    assert not (tmp_path / "out").exists()
    rehearsed = vcap("extract", "sample", "-o", tmp_path / "out", *words, "--dry-run")
    assert (rehearsed.exit_code, rehearsed.stderr) == (2, result.stderr)


def test_without_an_output_folder_the_option_is_named(vcap: Any) -> None:
    result = vcap("extract", "sample")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: missing option '--output' / '-o'\n  try: vcap extract --help\n",
    )


def test_a_folder_of_the_user_is_left_alone(vcap: Any, tmp_path: Path) -> None:
    mine = tmp_path / "sample.mp4"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    result = vcap("extract", "sample", "-o", tmp_path, "--frames", 1)
    assert result.exit_code == 7
    assert result.stderr.startswith(f"error: {mine} is there already and vcap did not make it\n")
    assert names(mine) == ["thesis.txt"]


def test_a_table_of_the_user_is_left_alone(vcap: Any, tmp_path: Path) -> None:
    (tmp_path / "summary.csv").write_text("years of work")
    result = vcap("extract", "sample", "-o", tmp_path, "--frames", 1)
    assert result.exit_code == 7
    assert f"{tmp_path / 'summary.csv'} is there already and vcap did not make it" in result.stderr
    assert (tmp_path / "summary.csv").read_text() == "years of work"
    assert not (tmp_path / "sample.mp4").exists()


def test_frames_that_lie_in_the_input_are_no_input(vcap: Any, tmp_path: Path, clip: Path) -> None:
    words = ["extract", tmp_path, "-o", tmp_path / "frames", "--frames", 2]
    first, second = vcap(*words), vcap(*words)
    assert second.stdout == first.stdout == f"{tmp_path / 'frames' / 'clip.mp4'}\t2\n"
    assert second.stderr == "1 videos were done before\nnothing to do\n"
    assert "videos: 1\n" in vcap(*words, "--dry-run").stdout


def test_damage_is_told_though_frames_come_out(vcap: Any, tmp_path: Path, clip: Path) -> None:
    clip.write_bytes(clip.read_bytes()[:40_000])
    result = vcap("extract", clip, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: clip.mp4: ")


def test_force_replaces_what_is_in_the_way(vcap: Any, tmp_path: Path) -> None:
    mine = tmp_path / "sample.mp4"
    mine.mkdir()
    (mine / "old.jpg").touch()
    assert vcap("extract", "sample", "-o", tmp_path, "--frames", 1, "--force").exit_code == 0
    assert names(mine) == ["000001.jpg", "times.txt"]


def test_a_file_in_the_place_of_the_folder_is_named(vcap: Any, tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.touch()
    result = vcap("extract", "sample", "-o", place)
    assert (result.exit_code, result.stderr) == (
        7,
        f"error: cannot write into {place}: it is a file, not a folder\n",
    )


def test_a_full_disk_ends_the_run_and_leaves_no_half_folder(
    vcap: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, os.strerror(28), str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    result = vcap("extract", "sample", "-o", tmp_path, "--frames", 2)
    assert (result.exit_code, result.stdout) == (7, "")
    assert result.stderr.splitlines()[-1].endswith("the disk is full")
    assert names(tmp_path) == [".vcap"]
