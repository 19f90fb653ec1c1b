"""What a data set's name resolves to, and what is rendered for it."""

from pathlib import Path

import pytest

from vcap.data import shapes
from vcap.engine.download import Drawing, Plan, path_of, plan, records, render
from vcap.errors import UsageError

OUT = Path("out")


def test_the_usual_sizes_are_two_thousand_and_two_hundred() -> None:
    (one,) = plan("shapes:clips", OUT)
    assert one.sizes == {"train": 2000, "val": 200, "test": 200}
    assert (one.manifest_path, one.videos_dir) == (OUT / "shapes-clips.jsonl", OUT / "shapes-clips")


def test_a_limit_is_the_number_of_each_split_and_may_exceed_the_usual() -> None:
    (one,) = plan("shapes:frames", OUT, limit=30_000, splits=["train"])
    assert one.sizes == {"train": 30_000}
    assert len(one.drawings) == 30_000


def test_only_the_stills_have_a_split_of_unseen_looks() -> None:
    has_shift = {one.subset: "shift" in one.sizes for one in plan("shapes", OUT)}
    assert has_shift == {s: s == "frames" for s in shapes.SUBSETS}


def test_drawings_come_split_by_split_in_the_order_of_their_numbers() -> None:
    drawings = Plan("clips", OUT, {"val": 2, "test": 1}, seed=3).drawings
    assert drawings == [
        Drawing(3, "clips", "val", 0),
        Drawing(3, "clips", "val", 1),
        Drawing(3, "clips", "test", 0),
    ]


def test_two_drawings_never_share_a_file() -> None:
    drawings = Plan("clips", OUT, {"train": 20, "val": 20, "test": 20}).drawings
    assert len({path_of(drawing) for drawing in drawings}) == 60


@pytest.mark.parametrize(
    ("name", "splits", "words"),
    [
        ("shapes:clisp", [], "did you mean shapes:clips"),
        ("kinetics", [], "known: shapes, shapes:frames"),
        ("shapes:clips", ["shift"], "no split 'shift'"),
        ("shapes:clips", ["validation"], "no split 'validation'"),
    ],
)
def test_an_unknown_name_says_what_there_is(name: str, splits: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(name, OUT, splits=splits)


def test_a_rendered_file_decodes_to_the_frames_that_were_described(tmp_path: Path) -> None:
    from vcap.video.decode import read_frames
    from vcap.video.sample import Sampler

    drawing = Drawing(0, "clips", "val", 5)
    path = tmp_path / "clip.mp4"
    path.write_bytes(render(drawing))
    frames = read_frames(path, Sampler("all"))
    scene = shapes.describe(*drawing)
    assert frames.pixels.shape == (scene.num_frames, 96, 96, 3)
    drawn = shapes.draw(scene)
    assert abs(frames.pixels.astype(int) - drawn.astype(int)).mean() < 6  # lossy, but the same


def test_only_videos_that_are_there_are_listed(tmp_path: Path) -> None:
    one = Plan("clips", tmp_path, {"val": 3})
    there = one.videos_dir / path_of(one.drawings[1])
    there.parent.mkdir(parents=True)
    there.touch()
    (record,) = records(one)
    assert record.id == "clips-val-000001"
    assert record.path == "shapes-clips/val/clips-val-000001.mp4"


def test_a_dry_run_shows_what_decides_the_data_set() -> None:
    (one,) = plan("shapes:recall", OUT, seed=2, limit=5, splits=["val"])
    assert one.settings() == {
        "dataset": "shapes:recall",
        "manifest": "out/shapes-recall.jsonl",
        "seed": 2,
        "sizes": {"val": 5},
    }
