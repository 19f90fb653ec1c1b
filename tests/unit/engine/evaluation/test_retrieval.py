"""Matrices, feature stores and ranked hits give the ranks that they should; odd ones are told."""

import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vcap.engine.evaluate import EvaluateSettings, evaluate
from vcap.engine.evaluation.inputs import Given
from vcap.engine.evaluation.problems import Problems
from vcap.engine.evaluation.retrieval import evaluate_retrieval, read_wanted
from vcap.errors import AnnotationError, FeatureError, InputError, UsageError
from vcap.features.store import HEADER_NAME, header_bytes, shard_bytes, shard_name
from vcap.metrics.outcome import Outcome
from vcap.metrics.retrieval import BACK

TEXTS = [
    {"id": "a", "captions": [{"text": "a dog"}, {"text": "a brown dog"}]},
    {"id": "b", "captions": [{"text": "a cat"}]},
    {"id": "c", "captions": [{"text": "a bird"}]},
]
SIMILARITY = np.array([[9, 1, 2], [3, 4, 1], [1, 9, 0], [5, 6, 4]], dtype=np.float32)
ENCODER = {"encoder": {"name": "small", "weights": "w1"}}


def given(value: Any, name: str = "file") -> Given:
    """A file with this value in it; a list of objects becomes JSON Lines."""
    many = isinstance(value, list) and value and isinstance(value[0], dict)
    lines = map(json.dumps, value) if many else [json.dumps(value)]
    return Given(name, data="\n".join(lines).encode())


def array(values: Any) -> Given:
    """A .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    return Given("similarity.npy", data=buffer.getvalue())


def scored(
    predictions: Given, references: Any = TEXTS, problems: Problems | None = None, **settings: Any
) -> Outcome:
    """The outcome of some predictions."""
    truth = references if isinstance(references, Given) else given(references, "references")
    chosen = EvaluateSettings(**settings)
    return evaluate_retrieval(predictions, [truth], chosen, problems or Problems(), None)  # type: ignore[arg-type]


def store(folder: Path, features: Mapping[str, Any], **encoder: Any) -> Path:
    """A feature store with these rows a video."""
    folder.mkdir(parents=True)
    rows = {name: np.array(values, dtype=np.float16) for name, values in features.items()}
    width = next(iter(rows.values())).shape[1]
    made_by = {"encoder": {**ENCODER["encoder"], **encoder}}
    (folder / HEADER_NAME).write_bytes(header_bytes(made_by, width))
    items = [(name, row, np.arange(len(row), dtype=np.float32)) for name, row in rows.items()]
    (folder / shard_name(0)).write_bytes(shard_bytes(items))
    return folder


def hits(**found: list[tuple[str, float]]) -> Given:
    """Hits of each query, whose blanks are written as `_`."""
    return given(
        [
            {"query": query.replace("_", " "), "id": video, "score": score, "rank": rank}
            for query, listed in found.items()
            for rank, (video, score) in enumerate(listed, start=1)
        ]
    )


def test_rows_and_columns_of_a_matrix_go_as_the_references_do() -> None:
    outcome = scored(array(SIMILARITY))
    assert outcome.units == ("a", "b", "c")
    assert outcome.scores["MnR"] == pytest.approx((1 + 2 + 1 + 3) / 4)
    assert outcome.scores[BACK + "R@1"] == 100
    assert outcome.items[0]["references"] == ["a dog", "a brown dog"]


def test_a_matrix_in_a_file_is_known_whatever_it_is_called(tmp_path: Path) -> None:
    path, truth = tmp_path / "scores.txt", tmp_path / "truth.jsonl"
    with path.open("wb") as file:
        np.save(file, SIMILARITY)
    truth.write_text("\n".join(map(json.dumps, TEXTS)))
    report = evaluate("retrieval", path, [truth])
    assert report.outcome.scores == scored(array(SIMILARITY)).scores
    assert report.groups == ("a", "b", "c")


def test_a_packed_matrix_is_read_like_a_plain_one(tmp_path: Path) -> None:
    path = tmp_path / "similarity.npy.gz"
    path.write_bytes(gzip.compress(array(SIMILARITY).bytes()))
    plain = scored(array(SIMILARITY)).scores
    assert scored(Given("packed", path)).scores == plain
    assert scored(Given("piped", data=path.read_bytes())).scores == plain


def test_a_square_matrix_has_one_row_a_video_though_there_are_more_texts() -> None:
    outcome = scored(array(np.eye(3)))
    assert outcome.scores["R@1"] == 100
    assert "one row a video" in outcome.protocol["texts"]


@pytest.mark.parametrize(
    "rows",
    [["x", "x", "y", "z"], [0, 0, 1, 2], {"break_points": [0, 2, 3, 4]}],
)
def test_the_video_of_each_row_may_be_all_that_is_known(rows: Any) -> None:
    found = scored(array(SIMILARITY), given(rows)).scores
    assert found == scored(array(SIMILARITY)).scores


def test_numbered_columns_keep_their_place_and_may_have_no_text() -> None:
    outcome = scored(array(SIMILARITY[:2, ::-1]), given([2, 2]))
    assert outcome.units == ("2",)
    assert outcome.scores["MnR"] == pytest.approx(1.5)


@pytest.mark.parametrize("points", [[1, 2], [0], [0, 2, 2], [0, 2.5], "0", [0, 3, 2]])
def test_break_points_that_do_not_rise_from_zero_are_refused(points: Any) -> None:
    with pytest.raises(AnnotationError, match="rising whole numbers"):
        scored(array(SIMILARITY), given({"break_points": points}))


@pytest.mark.parametrize(
    "rows",
    [
        {"break_points": [0, 2**70]},
        {"break_points": [0, 1, 2, 3, 4]},
        {"break_points": [0, 5]},
        [2**70],
        [0, 3],
    ],
)
def test_more_rows_or_columns_than_the_matrix_has_are_refused_at_once(rows: Any) -> None:
    with pytest.raises(AnnotationError, match=r"the matrix \[texts, videos\] is \[4, 3\]"):
        scored(array(SIMILARITY), given(rows))


def test_videos_by_number_take_a_matrix() -> None:
    for rows in ([0, 2**70], {"break_points": [0, 2**70]}):
        with pytest.raises(UsageError, match="which takes a similarity matrix"):
            scored(hits(**PERFECT), given(rows))


def test_rows_without_splits_have_none_to_choose() -> None:
    for rows in ([0, 0, 1, 2], ["x", "x", "y", "z"], {"break_points": [0, 2, 3, 4]}):
        with pytest.raises(UsageError, match="rows has no split test"):
            scored(array(SIMILARITY), given(rows, "rows"), split="test")


def test_a_matrix_of_another_size_is_refused_with_both_sizes() -> None:
    with pytest.raises(AnnotationError, match=r"\[4 texts, 3 videos\].*got \[4, 2\]"):
        scored(array(SIMILARITY[:, :2]))


def test_nan_is_refused_with_its_place() -> None:
    wrong = SIMILARITY.copy()
    wrong[2, 1] = np.nan
    with pytest.raises(AnnotationError, match="1 similarities are NaN, first row 2 column 1"):
        scored(array(wrong))


@pytest.mark.parametrize("values", [np.zeros(4), np.zeros((0, 3)), np.array([["a"]])])
def test_an_array_that_is_no_matrix_of_numbers_is_refused(values: Any) -> None:
    with pytest.raises(AnnotationError, match="want similarities"):
        scored(array(values))


def test_a_truncated_matrix_and_one_of_objects_are_refused(tmp_path: Path) -> None:
    whole = array(SIMILARITY).bytes()
    with pytest.raises(AnnotationError, match="damaged array"):
        scored(Given("cut", data=whole[:-5]))
    with pytest.raises(AnnotationError, match="damaged array"):
        scored(array(np.array([[{}]], dtype=object)))
    (tmp_path / "cut.npy").write_bytes(whole[:40])
    with pytest.raises(AnnotationError, match="damaged array"):
        scored(Given("cut", tmp_path / "cut.npy"))


def test_two_stores_are_compared_by_the_cosine_of_pooled_features(tmp_path: Path) -> None:
    videos = store(tmp_path / "videos", {"c": [[9, 9]], "b": [[0, 2]], "a": [[8, 0], [4, 0]]})
    texts = store(tmp_path / "texts", {"a": [[1, 0], [1, 0.9]], "b": [[0, 1]], "c": [[2, 2]]})
    outcome = scored(Given("videos", videos), text_features=str(texts))
    ranks = {item["id"]: item["scores"]["rank"] for item in outcome.items}
    assert ranks == {"a": (1 + 2) / 2, "b": 1, "c": 1}  # the second text of a is nearer to c
    assert "cosine" in outcome.protocol["similarity"]
    assert outcome.warnings == ()


def test_a_clip_may_be_found_as_the_video_that_it_is_of(tmp_path: Path) -> None:
    videos = store(tmp_path / "videos", {"film": [[1, 0]], "b": [[0, 1]]})
    texts = store(tmp_path / "texts", {"clip": [[1, 0]], "b": [[0, 1]]})
    wanted = [
        {"id": "clip", "video_id": "film", "captions": [{"text": "x"}]},
        {"id": "b", "captions": [{"text": "y"}]},
    ]
    assert scored(Given("v", videos), wanted, text_features=str(texts)).scores["R@1"] == 100


@pytest.mark.parametrize("ties", ["worst", "best"])
def test_what_has_no_features_is_found_last_and_counted(tmp_path: Path, ties: str) -> None:
    videos = store(tmp_path / "videos", {"a": [[1, 0]], "b": [[0, 1]], "z": [[1, 1]]})
    texts = store(tmp_path / "texts", {"a": [[1, 0], [1, 0]], "c": [[0, 1]], "y": [[1, 1]]})
    problems = Problems()
    outcome = scored(Given("v", videos), TEXTS, problems, text_features=str(texts), ties=ties)
    ranks = {item["id"]: item["scores"] for item in outcome.items}
    assert ranks["a"] == {"rank": 1, BACK + "rank": 1}
    assert ranks["b"] == {"rank": 3, BACK + "rank": 4}  # the text has no features
    assert ranks["c"] == {"rank": 3, BACK + "rank": 4}  # the video has none
    assert outcome.warnings == ()
    assert problems.examples["missing"] == ["c", "text of b"]
    assert problems.examples["extra"] == ["z", "text of y"]


def test_what_has_no_features_may_be_left_out(tmp_path: Path) -> None:
    videos = store(tmp_path / "videos", {"a": [[1, 0]], "b": [[0, 1]]})
    texts = store(tmp_path / "texts", {"a": [[1, 0], [1, 0]], "c": [[0, 1]]})
    outcome = scored(Given("v", videos), text_features=str(texts), missing="skip")
    assert outcome.units == ("a",)
    assert outcome.details["gallery"] == 2  # b is still in the way


def test_another_number_of_texts_than_the_references_have_is_told(tmp_path: Path) -> None:
    videos = store(tmp_path / "videos", {"a": [[1, 0]], "b": [[0, 1]], "c": [[1, 1]]})
    texts = store(tmp_path / "texts", {"a": [[1, 0]], "b": [[0, 1]], "c": [[1, 1]]})
    problems = Problems()
    scored(Given("v", videos), TEXTS, problems, text_features=str(texts))
    assert problems.examples["other number of texts"] == ["a: 1, not 2"]


def test_stores_of_different_encoders_are_refused_with_both_sides(tmp_path: Path) -> None:
    videos = store(tmp_path / "videos", {"a": [[1, 0]]})
    texts = store(tmp_path / "texts", {"a": [[1, 0]]}, weights="w2")
    wide = store(tmp_path / "wide", {"a": [[1, 0, 0]]})
    with pytest.raises(FeatureError, match='weights: "w1" here, "w2" there'):
        scored(Given("v", videos), text_features=str(texts))
    with pytest.raises(FeatureError, match="width: 2 here, 3 there"):
        scored(Given("v", videos), text_features=str(wide))


def test_texts_of_no_wanted_video_are_refused(tmp_path: Path) -> None:
    videos = store(tmp_path / "videos", {"a": [[1, 0]]})
    texts = store(tmp_path / "texts", {"z": [[1, 0]]})
    with pytest.raises(FeatureError, match="of the texts of any wanted video"):
        scored(Given("v", videos), text_features=str(texts))


def test_videos_without_any_id_in_common_are_refused(tmp_path: Path) -> None:
    videos = store(tmp_path / "videos", {"z": [[1, 0]]})
    texts = store(tmp_path / "texts", {"a": [[1, 0]]})
    with pytest.raises(InputError, match="no video id in common"):
        scored(Given("v", videos), text_features=str(texts))


def test_a_store_of_videos_alone_asks_for_that_of_the_texts(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        scored(Given("v", store(tmp_path / "videos", {"a": [[1, 0]]})))
    assert "--text-features" in str(raised.value.hint)
    with pytest.raises(UsageError, match="goes with a folder"):
        scored(array(SIMILARITY), text_features="texts")


PERFECT = {
    "a_dog": [("a", 0.9), ("b", 0.1)],
    "a_brown_dog": [("a", 0.9)],
    "a_cat": [("b", 0.9)],
    "a_bird": [("c", 0.9)],
}


def test_hits_give_the_ranks_of_texts_and_say_that_they_go_one_way() -> None:
    outcome = scored(hits(**PERFECT))
    assert (outcome.scores["R@1"], outcome.scores["MnR"]) == (100, 1)
    assert not any(name.startswith(BACK) for name in outcome.scores)
    assert "how a video ranks" in next(iter(outcome.unavailable.values()))
    assert outcome.warnings == ()


def test_the_order_of_the_lines_does_not_matter_where_there_are_scores() -> None:
    turned = hits(**{query: listed[::-1] for query, listed in reversed(PERFECT.items())})
    assert scored(turned).scores == scored(hits(**PERFECT)).scores


def test_a_right_video_that_is_not_among_the_hits_ranks_last() -> None:
    problems = Problems()
    outcome = scored(hits(**{**PERFECT, "a_cat": [("a", 0.9), ("z", 0.8)]}), TEXTS, problems)
    assert outcome.items[1]["scores"]["rank"] == 4  # a, b, c and z are known
    assert problems.examples["right video not among the hits"] == ["a cat"]
    assert "1 of 4 texts" in outcome.warnings[0]


def test_a_query_without_hits_counts_as_missing_or_is_left_out() -> None:
    found = {query: listed for query, listed in PERFECT.items() if query != "a_cat"}
    problems = Problems()
    assert scored(hits(**found), TEXTS, problems).scores["R@1"] == 75
    assert problems.examples["missing"] == ["a cat"]
    assert scored(hits(**found), missing="skip").scores["R@1"] == 100


def test_hits_of_other_queries_are_extra() -> None:
    problems = Problems()
    scored(hits(**PERFECT, a_fish=[("a", 0.5)]), TEXTS, problems)
    assert problems.examples["extra"] == ["a fish"]


def test_equal_scores_are_ties_and_count_against_the_model() -> None:
    tied = hits(**{**PERFECT, "a_cat": [("b", 0.5), ("a", 0.5)]})
    assert scored(tied).items[1]["scores"]["rank"] == 2
    assert scored(tied, ties="best").items[1]["scores"]["rank"] == 1


def test_records_with_hits_and_hits_without_scores_are_read() -> None:
    listed = [
        {"query": "a dog", "hits": ["b", "a"]},
        {"query": "a brown dog", "hits": [{"video_id": "a", "rank": 2}, {"id": "b", "rank": 1}]},
        {"id": "b", "hits": [{"id": "b"}]},
        {"id": "c", "hits": []},
    ]
    ranks = {item["id"]: item["scores"]["rank"] for item in scored(given(listed)).items}
    assert ranks == {"a": 2, "b": 1, "c": 3}


def test_odd_hits_are_counted_and_never_help() -> None:
    problems = Problems()
    lines = [
        {"query": "a dog", "id": "a", "score": float("nan")},
        {"query": "a dog", "id": "b", "score": 0.1},
        {"query": "a dog", "id": "b", "score": 9.0},
        {"query": "a dog", "score": 1.0},
        {"query": 7.5, "id": "a"},
        {"query": "a cat", "id": "b", "score": "high"},
        "a bird",
    ]
    outcome = scored(given(lines), TEXTS, problems)
    assert problems.counts["not a number"] == 2
    assert problems.counts["duplicate"] == 1
    assert problems.counts["unusable record"] == 3
    assert outcome.items[0]["scores"]["rank"] == (2 + 3) / 2  # b is above; no hits of the other


def test_hits_with_numbers_for_ids_are_read() -> None:
    truth = [{"id": n, "captions": [{"text": t}]} for n, t in ((1, "a dog"), (2, "a cat"))]
    lines = [
        {"query": "a dog", "id": 1, "score": 2},
        {"query": "a dog", "video_id": 2, "score": 1},
        {"query": 2, "id": 1, "score": 2},
        {"query": 2, "id": 2, "score": 1},
    ]
    problems = Problems()
    ranks = {i["id"]: i["scores"]["rank"] for i in scored(given(lines), truth, problems).items}
    assert (ranks, problems.counts) == ({"1": 1, "2": 2}, {})


@pytest.mark.parametrize("key", ["score", "rank"])
def test_a_score_too_large_for_a_number_is_none(key: str) -> None:
    problems = Problems()
    lines = [{"query": "a cat", "id": "b", key: 10**400}, {"query": "a cat", "id": "a", key: 1}]
    assert scored(given(lines), TEXTS, problems).items[1]["scores"]["rank"] == 2
    assert problems.counts["not a number"] == 1


def test_a_file_without_hits_says_what_is_wanted() -> None:
    with pytest.raises(AnnotationError, match="want one JSON object a line with query"):
        scored(given([{"id": "a", "caption": "a dog"}]))
    with pytest.raises(InputError, match="no query id in common"):
        scored(hits(a_fish=[("a", 1.0)]))


def test_references_without_texts_are_counted_and_none_at_all_refused() -> None:
    problems = Problems()
    wanted = read_wanted([given([*TEXTS, {"id": "d", "captions": []}])], None, problems)
    assert wanted.columns == ["a", "b", "c"]
    assert problems.examples["no reference"] == ["file: d"]
    with pytest.raises(AnnotationError, match="no texts to look for"):
        read_wanted([given([{"id": "d", "captions": []}])], None, problems)


def test_a_text_that_is_none_keeps_its_row() -> None:
    problems = Problems()
    records = [{"id": "a", "captions": [{"text": 5}, {"text": "x"}]}]
    wanted = read_wanted([given(records)], None, problems)
    assert (wanted.rows, wanted.videos) == ([None, "x"], ["a", "a"])
    assert problems.counts["unusable record"] == 1


def test_a_split_is_taken_out_of_the_references() -> None:
    records = [{**record, "split": "test" if record["id"] == "b" else "val"} for record in TEXTS]
    assert read_wanted([given(records)], "test", Problems()).videos == ["b"]
    assert "splits test, val" in read_wanted([given(records)], None, Problems()).warnings[0]
