"""Which rows of an index answer queries, under conditions, and where in a video."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.index_tools import make_index
from vcap.engine import search
from vcap.engine.filters import parse_condition
from vcap.engine.search import Cutting, Limits, find_in_videos, find_rows, pooled
from vcap.features.index_search import exact_search
from vcap.types import Segment


class Plane:
    """Videos as directions in a plane, in degrees; each has frames around its own."""

    def __init__(self, degrees: list[float], ids: list[str] | None = None, **fields: Any) -> None:
        self.degrees = degrees
        self.names = ids or [f"v{number}" for number in range(len(degrees))]
        self.fields = fields
        self.asked: list[int] = []
        self.among: list[int] = []
        self.frames: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.degrees)

    def search(self, queries: np.ndarray, k: int, *, among: Any = None) -> Any:
        self.asked.append(k)
        vectors = np.concatenate([towards(each) for each in self.degrees])
        if among is not None:
            self.among = among.tolist()
            scores, places = exact_search(vectors[among], queries, k)
            return scores, among[places]
        return exact_search(vectors, queries, k)

    def record_of(self, row: int) -> Mapping[str, Any]:
        own = {name: values[row] for name, values in self.fields.items()}
        return {"id": self.names[row], **own}

    def frames_of(self, video_id: str) -> tuple[np.ndarray, np.ndarray]:
        return self.frames[video_id]


def towards(*degrees: float) -> np.ndarray:
    """Vectors [N, 2] of length 1."""
    angles = np.deg2rad(np.array(degrees, np.float64))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def names(gallery: Plane, found: Any) -> list[list[str]]:
    return [[answer.record["id"] for answer in own] for own in found]


def test_the_nearest_come_best_first_for_each_query() -> None:
    gallery = Plane([0, 80, 20, 170])
    found = find_rows(gallery, towards(10, 100), Limits(2))
    assert names(gallery, found) == [["v0", "v2"], ["v1", "v3"]]
    assert found[0][0].score == pytest.approx(np.cos(np.deg2rad(10)), abs=1e-6)


def test_more_hits_than_there_are_give_all_of_them() -> None:
    gallery = Plane([0, 90])
    assert names(gallery, find_rows(gallery, towards(60), Limits(50))) == [["v1", "v0"]]
    assert gallery.asked == [2]


def test_an_empty_gallery_answers_nothing() -> None:
    assert find_rows(Plane([]), towards(0, 1), Limits(3)) == [[], []]


def test_a_threshold_leaves_out_what_is_below_and_asks_for_no_more() -> None:
    gallery = Plane([0, 30, 60, 90, 120, 150, 180])
    found = find_rows(gallery, towards(0), Limits(3, threshold=0.6))
    assert names(gallery, found) == [["v0", "v1"]]
    assert gallery.asked == [3]


def test_conditions_are_met_even_by_rows_that_are_far_down() -> None:
    splits = ["train"] * 98 + ["test"] * 2
    gallery = Plane([float(number) for number in range(100)], split=splits)
    limits = Limits(2, None, (parse_condition("split=test"),))
    assert names(gallery, find_rows(gallery, towards(0), limits)) == [["v98", "v99"]]
    assert gallery.asked == [2, 8, 32, 100]


def test_in_a_large_gallery_what_meets_the_conditions_is_listed_and_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "MANY", 10)
    splits = ["train"] * 95 + ["test"] * 5
    gallery = Plane([float(number) for number in range(100)], split=splits)
    limits = Limits(3, None, (parse_condition("split=test"),))
    assert names(gallery, find_rows(gallery, towards(0, 180), limits)) == [
        ["v95", "v96", "v97"],
        ["v99", "v98", "v97"],
    ]
    assert gallery.among == [95, 96, 97, 98, 99]
    none = Limits(3, None, (parse_condition("split=val"),))
    assert find_rows(gallery, towards(0), none) == [[]]


class Nearsighted(Plane):
    """Finds only what is very near, as an index that is not exact may."""

    def search(self, queries: np.ndarray, k: int, *, among: Any = None) -> Any:
        scores, rows = super().search(queries, k, among=among)
        if among is not None:
            return scores, rows
        far = scores < np.cos(np.deg2rad(5.5))
        return np.where(far, -np.inf, scores).astype(np.float32), np.where(far, -1, rows)


def test_an_index_that_comes_up_short_is_searched_exactly() -> None:
    gallery = Nearsighted([float(number) for number in range(60)])
    found = find_rows(gallery, towards(0, 59), Limits(20))
    assert names(gallery, found)[0] == [f"v{number}" for number in range(20)]
    assert names(gallery, found)[1] == [f"v{59 - number}" for number in range(20)]
    assert len(find_rows(gallery, towards(0), Limits(99))[0]) == 60
    gallery.among = []
    assert len(find_rows(gallery, towards(0), Limits(3))[0]) == 3 and not gallery.among


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_all_rows_of_every_kind_of_index_are_found_where_all_are_wanted(
    kind: str, tmp_path: Path
) -> None:
    gallery = make_index(tmp_path, [f"v{number}" for number in range(700)], kind=kind, recall=0.1)
    (found,) = find_rows(gallery, gallery.vectors[3:4], Limits(700))
    assert len({answer.row for answer in found}) == 700 and found[0].row == 3
    exact = np.sort(gallery.vectors @ gallery.vectors[3])[::-1]
    assert [answer.score for answer in found] == pytest.approx(exact.tolist(), abs=1e-5)
    rare = parse_condition(f"id={gallery.ids[found[-1].row]}")
    limits = Limits(10, float(exact[699]) - 1e-4, (rare,))
    (last,) = find_rows(gallery, gallery.vectors[3:4], limits)
    assert [answer.row for answer in last] == [found[-1].row]


def test_conditions_with_a_threshold_find_what_an_index_did_not_come_across() -> None:
    splits = ["train"] * 40 + ["test"] * 20
    gallery = Nearsighted([float(number) for number in range(60)], split=splits)
    limits = Limits(10, 0.72, (parse_condition("split=test"),))
    assert names(gallery, find_rows(gallery, towards(0), limits)) == [["v40", "v41", "v42", "v43"]]


def test_rows_that_are_listed_are_searched_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "BLOCK", 7)
    gallery = Nearsighted([float(number) for number in range(60)])
    (found,) = find_rows(gallery, towards(30), Limits(41))
    assert {answer.row for answer in found} == set(range(10, 51))
    assert found[0].row == 30 and len(gallery.among) < 8


def test_a_video_is_not_like_itself() -> None:
    gallery = Plane([0, 10, 20])
    found = find_rows(gallery, towards(0, 10), Limits(2), ["v0", None])
    assert names(gallery, found) == [["v1", "v2"], ["v1", "v0"]]


def test_frames_of_one_video_count_once_by_the_best_of_them() -> None:
    gallery = Plane([0, 1, 2, 3, 50, 60], ["a", "a", "a", "a", "b", "c"])
    found = find_rows(gallery, towards(0), Limits(3, one_a_video=True))
    assert names(gallery, found) == [["a", "b", "c"]]
    assert [answer.row for answer in found[0]] == [0, 4, 5]


def film(*degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Frames of any length, a second apart."""
    return 3 * towards(*degrees), np.arange(len(degrees), dtype=np.float32)


def test_moments_are_ranked_by_what_is_in_them_not_by_the_whole_video() -> None:
    gallery = Plane([70, 40])
    gallery.frames = {"v0": film(*[90] * 10, *[0] * 4, *[90] * 10), "v1": film(*[40] * 10)}
    found = find_in_videos(gallery, towards(0), Limits(2))
    assert names(gallery, found) == [["v0", "v1"]]
    best, second = found[0]
    assert best.segment == Segment(10, 14) and best.score == pytest.approx(1)
    assert second.segment == Segment(0, 10)


def test_one_video_may_have_several_moments_where_they_are_wanted() -> None:
    gallery = Plane([45])
    gallery.frames = {"v0": film(*[0] * 4, *[90] * 6, *[10] * 4)}
    (found,) = find_in_videos(gallery, towards(0), Limits(5), cutting=Cutting(per_video=3))
    assert [answer.segment for answer in found] == [Segment(0, 4), Segment(10, 14)]
    (found,) = find_in_videos(
        gallery, towards(0), Limits(5, threshold=0.99), cutting=Cutting(per_video=3)
    )
    assert [answer.segment for answer in found] == [Segment(0, 4)]


def test_a_moment_ends_no_later_than_what_the_record_is_about() -> None:
    gallery = Plane([0], duration=[2.25])
    gallery.frames = {"v0": film(0, 0, 0)}
    assert find_in_videos(gallery, towards(0), Limits(1))[0][0].segment == Segment(0, 2.25)
    gallery = Plane([0], segment=[[0.0, 2.5]])
    gallery.frames = {"v0": film(0, 0, 0)}
    assert find_in_videos(gallery, towards(0), Limits(1))[0][0].segment == Segment(0, 2.5)


@pytest.mark.parametrize("fields", [{"path": ["a.PNG"]}, {"media": ["image"]}])
def test_a_picture_is_found_as_a_whole(fields: dict[str, Any]) -> None:
    gallery = Plane([0], **fields)
    gallery.frames = {"v0": film(0)}
    (answer,) = find_in_videos(gallery, towards(0), Limits(1))[0]
    assert answer.segment is None and answer.score == pytest.approx(1)


def test_a_video_stands_for_the_mean_direction_of_its_frames() -> None:
    frames = np.concatenate([100 * towards(0), towards(90)])
    assert pooled(frames).tolist() == pytest.approx(towards(45)[0].tolist(), abs=1e-6)
    assert pooled(np.zeros((2, 3), np.float16)).tolist() == [0, 0, 0]
