"""Searching an index of videos, of frames and of texts, by what another encoder cannot answer."""

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_videos import ColourEncoder
from vcap.engine.cut import clip_name, cut_hits
from vcap.engine.encode import encode
from vcap.engine.encode_text import encode_text, gather_texts
from vcap.engine.hits import Found, Hit
from vcap.engine.index import index
from vcap.engine.queries import Query, parse_queries
from vcap.engine.query_vectors import turned_from
from vcap.engine.reporter import Silent
from vcap.engine.retrieve import RetrieveSettings, retrieve, retrieve_settings
from vcap.errors import ConfigError, FeatureError, InputError, UnavailableError, UsageError
from vcap.features.store import FeatureStore
from vcap.types import Segment
from vcap.video.probe import probe


class Notes(Silent):
    """Remembers warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module", autouse=True)
def colours() -> Iterator[None]:
    """Encode by colours, which needs no weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vcap.engine.encode.load_named", lambda *_: ColourEncoder())
        yield


@pytest.fixture(scope="module")
def store(small_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrieve") / "features"
    encode([small_videos], folder, sampler="fps 4")
    return folder


@pytest.fixture(scope="module")
def gallery(store: Path) -> Path:
    index([store], store.with_name("index"))
    return store.with_name("index")


def ask(queries: list[Query], folder: Path, **settings: Any) -> list[Found]:
    """What is found; the encoder is that of the index."""
    notes = settings.pop("notes", None)
    found, summary = retrieve(
        queries, folder, RetrieveSettings(**settings), reporter=notes, encoder=ColourEncoder()
    )
    assert summary.exit_code == 0
    return found


def ids(found: Found) -> list[str]:
    return [hit.id for hit in found.hits]


def test_a_video_finds_itself_first_by_the_very_vector_that_is_stored(
    gallery: Path, small_videos: Path
) -> None:
    queries = parse_queries([str(small_videos / f"{number}.mp4") for number in (3, 5)])
    found = ask(queries, gallery, top_k=3)
    assert [ids(one)[0] for one in found] == ["3.mp4", "5.mp4"]
    assert all(one.hits[0].score == pytest.approx(1, abs=1e-5) for one in found)
    assert all(len(one.hits) == 3 for one in found)
    assert found[0].path == small_videos / "3.mp4"


def test_an_image_finds_the_video_it_was_taken_from(
    gallery: Path, small_videos: Path, tmp_path: Path
) -> None:
    from vcap.video.decode import read_frames
    from vcap.video.image import encode_image
    from vcap.video.sample import Sampler

    pixels = read_frames(small_videos / "4.mp4", Sampler("uniform", 1)).pixels[0]
    (tmp_path / "still.png").write_bytes(encode_image(pixels, "png"))
    (found,) = ask(parse_queries([str(tmp_path / "still.png")]), gallery)
    assert ids(found)[0] == "4.mp4" and len(found.hits) == 7


def test_what_is_like_a_stored_video_does_not_include_it(gallery: Path, small_videos: Path) -> None:
    (like,) = ask(parse_queries([], ["2.mp4"]), gallery, top_k=6)
    (film,) = ask(parse_queries([str(small_videos / "2.mp4")]), gallery, top_k=7)
    assert ids(like) == ids(film)[1:]
    with pytest.raises(FeatureError, match=r"no video 'gone'"):
        ask(parse_queries([], ["gone"]), gallery)


def test_many_sentences_are_answered_in_one_batch_in_their_order(gallery: Path) -> None:
    encoder, queries = ColourEncoder(), parse_queries(["a bb ccc", "ddd ee f", "a bb ccc"])
    found, _ = retrieve(queries, gallery, RetrieveSettings(top_k=2), encoder=encoder)
    assert [one.query for one in found] == ["a bb ccc", "ddd ee f", "a bb ccc"]
    assert ids(found[0]) == ids(found[2])
    assert [hit.rank for hit in found[0].hits] == [1, 2]
    assert found[0].hits[0].score >= found[0].hits[1].score


def test_hits_carry_the_path_of_the_video(gallery: Path, small_videos: Path) -> None:
    (found,) = ask(parse_queries(["a"]), gallery)
    assert {hit.path for hit in found.hits} == set(small_videos.glob("*.mp4"))


def test_unwanted_words_turn_the_query_away() -> None:
    wanted, unwanted = np.eye(3, dtype=np.float32)[:1], np.eye(3, dtype=np.float32)[1:2]
    turned = turned_from(wanted, unwanted)
    assert turned[0, 0] > 0.8 and turned[0, 1] < -0.4
    assert np.linalg.norm(turned) == pytest.approx(1)
    assert turned_from(2 * wanted, unwanted[:0]).tolist() == wanted.tolist()


def test_what_is_like_unwanted_words_comes_later(gallery: Path) -> None:
    queries = parse_queries(["a bb ccc dd e f"])
    (plain,) = ask(queries, gallery)
    (turned,) = ask(queries, gallery, unwanted=("f e ddd cc bb a",))
    assert ids(plain) != ids(turned) and set(ids(plain)) == set(ids(turned))
    assert turned.unwanted == ("f e ddd cc bb a",)


def test_moments_have_seconds_inside_of_the_video_and_frames_that_match(gallery: Path) -> None:
    (found,) = ask(parse_queries(["a bb ccc"]), gallery, moments=True, top_k=4)
    assert len(found.hits) == 4 and [hit.rank for hit in found.hits] == [1, 2, 3, 4]
    for hit in found.hits:
        assert hit.segment is not None and 0 <= hit.segment.start < hit.segment.end <= 3
        assert hit.frame_times
        assert all(hit.segment.start <= time < hit.segment.end for time in hit.frame_times)


def test_moments_of_frames_from_middles_of_parts_fill_the_video_and_end_with_it(
    small_videos: Path, tmp_path: Path
) -> None:
    encode([small_videos], tmp_path / "features", sampler="uniform 6")
    index([tmp_path / "features"], tmp_path / "index")
    (found,) = ask(parse_queries(["a bb"]), tmp_path / "index", moments=True, per_video=9, top_k=99)
    borders = {time for hit in found.hits for time in hit.segment or ()}
    assert min(borders) == 0 and max(borders) == 3
    halves = {round(2 * time) / 2 for time in borders}
    assert all(min(abs(time - half) for half in halves) < 0.15 for time in borders)


def test_the_last_moment_ends_with_its_file_where_the_manifest_says_no_duration(
    small_videos: Path, tmp_path: Path
) -> None:
    encode([small_videos], tmp_path / "features", sampler="fps 0.7")
    index([tmp_path / "features"], tmp_path / "index")
    (found,) = ask(parse_queries(["a bb"]), tmp_path / "index", moments=True, per_video=9, top_k=99)
    ends = [hit.segment.end for hit in found.hits if hit.segment]
    assert max(ends) == probe(small_videos / "0.mp4").duration_seconds == 3


def test_an_index_of_frames_gives_each_video_once_with_the_time_of_the_frame(store: Path) -> None:
    folder = store.with_name("frames")
    index([store], folder, level="frame")
    (found,) = ask(parse_queries(["a bb"]), folder, top_k=7)
    assert sorted(ids(found)) == [f"{number}.mp4" for number in range(7)]
    assert all(len(hit.frame_times) == 1 for hit in found.hits)
    (found,) = ask(parse_queries(["a bb"]), folder, moments=True)
    assert len(found.hits) == 7 and all(hit.segment for hit in found.hits)


def test_a_video_finds_texts_in_an_index_of_texts(small_videos: Path, tmp_path: Path) -> None:
    lines = {"a.txt": "aaaa bbbb cccc dddd eeee ffff\na\n", "b.txt": "a b c d e f\n"}
    for name, text in lines.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vcap.engine.encode_text.load_named", lambda *_: ColourEncoder())
        encode_text(gather_texts([str(tmp_path / name) for name in lines]), tmp_path / "texts")
    index([tmp_path / "texts"], tmp_path / "index")
    (found,) = ask(parse_queries([str(small_videos / "0.mp4")]), tmp_path / "index")
    words = [hit.record["text"] for hit in found.hits]
    assert set(words) == {"aaaa bbbb cccc dddd eeee ffff", "a", "a b c d e f"} and len(words) == 3
    assert words[-1] == "a"  # one colour only, where the video has all
    assert ids(found)[-1] == "a.txt"
    with pytest.raises(UsageError, match="texts, which have no moments"):
        ask(parse_queries(["a"]), tmp_path / "index", moments=True)


class LastFrames:
    """Stands for a trained model: a video is its last frame, and both sides are turned around."""

    digest = "last"
    selection = None
    reads_tokens = False

    def video_vectors(self, videos: Any) -> np.ndarray:
        return np.stack([np.asarray(one[-1, ::-1], np.float32) for one in videos])

    def embedded_texts(self, embeddings: np.ndarray) -> np.ndarray:
        return embeddings[:, ::-1]

    def check(self, store: Any) -> None:
        """Fits every store."""


def test_an_index_that_a_model_made_is_asked_through_that_model(
    store: Path, small_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vcap.engine.retriever.load_retriever", lambda *_, **__: LastFrames())
    index([store], tmp_path / "index", aggregate="some/model")
    film, words = ask(parse_queries([str(small_videos / "6.mp4"), "a bb c"]), tmp_path / "index")
    assert film.hits[0].id == "6.mp4" and film.hits[0].score == pytest.approx(1, abs=1e-5)
    vector = ColourEncoder().encode_text(["a bb c"])[0]
    features = FeatureStore(store)
    cosines = {
        key: float(last @ vector / np.linalg.norm(last) / np.linalg.norm(vector))
        for key, last in ((key, features.features(key)[-1].astype(np.float32)) for key in features)
    }
    assert ids(words) == sorted(cosines, key=lambda key: -cosines[key])


def test_an_empty_index_is_told_with_the_command_that_fills_it(store: Path, tmp_path: Path) -> None:
    index([store], tmp_path / "index")
    index([], tmp_path / "index", remove=[f"{number}.mp4" for number in range(7)])
    with pytest.raises(InputError, match="the index is empty") as caught:
        ask(parse_queries(["a"]), tmp_path / "index")
    assert "vcap index" in (caught.value.hint or "")


def test_conditions_and_a_threshold_leave_out_hits(gallery: Path) -> None:
    queries = parse_queries(["a bb ccc"])
    (found,) = ask(queries, gallery, where=("id=[0-2]*", "id!=1.mp4"))
    assert sorted(ids(found)) == ["0.mp4", "2.mp4"]
    (every,) = ask(queries, gallery)
    middle = every.hits[3].score
    (found,) = ask(queries, gallery, threshold=middle - 1e-6)
    assert ids(found) == ids(every)[:4]
    assert not ask(queries, gallery, threshold=2.0)[0].hits


def test_asking_for_more_than_there_is_gives_all_with_a_warning(gallery: Path) -> None:
    notes = Notes()
    (found,) = ask(parse_queries(["a"]), gallery, top_k=100, notes=notes)
    assert len(found.hits) == 7
    assert notes.warnings == ["-k 100: the index holds 7 videos, which is all there is"]


def test_a_condition_on_a_field_that_no_record_has_is_told_with_the_nearest(gallery: Path) -> None:
    notes = Notes()
    settings = {"where": ("medai=video", "id=0*"), "notes": notes}
    assert not ask(parse_queries(["a"]), gallery, **settings)[0].hits
    (warning,) = notes.warnings
    assert warning.startswith("--where medai=video: no record has a field 'medai'")
    assert "did you mean media?" in warning
    ask(parse_queries(["a"]), gallery, where=("media=image",), notes=notes)
    assert notes.warnings == [warning]  # that field there is


def test_hints_can_be_pasted_where_names_have_blanks(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my clips"
    shutil.copytree(store, folder / "features")
    index([folder / "features"], folder / "index")
    os.utime(next((folder / "features").glob("shard-*")), (2**32, 2**32))
    notes = Notes()
    ask(parse_queries(["a"]), folder / "index", notes=notes)
    command = shlex.split(notes.warnings[0].partition("vcap ")[2])
    assert command == ["index", f"{folder}/features", "-o", f"{folder}/index", "--sync"]


def test_a_store_that_grew_is_told_with_the_command_that_takes_it_in(
    store: Path, gallery: Path, tmp_path: Path, small_videos: Path
) -> None:
    shutil.copytree(store, tmp_path / "features")
    index([tmp_path / "features"], tmp_path / "index")
    shutil.copytree(small_videos, tmp_path / "more")
    (tmp_path / "more" / "0.mp4").rename(tmp_path / "more" / "new.mp4")
    encode([tmp_path / "more" / "new.mp4"], tmp_path / "features", sampler="fps 4")
    notes = Notes()
    (found,) = ask(parse_queries(["a"]), tmp_path / "index", notes=notes)
    assert len(found.hits) == 7 and "new.mp4" not in ids(found)
    (warning,) = notes.warnings
    assert "has changed since it was indexed" in warning and "--sync" in warning
    (found,) = ask(parse_queries(["a"]), gallery, notes=notes)
    assert notes.warnings == [warning]  # of the other one there is nothing to tell


def test_an_encoder_that_did_not_make_the_index_is_refused_naming_both(gallery: Path) -> None:
    with pytest.raises(FeatureError, match='"c0" here, "c1" there') as caught:
        retrieve(parse_queries(["a"]), gallery, encoder=ColourEncoder("c1"))
    assert str(gallery) in str(caught.value)


def test_an_encoder_that_is_not_here_is_told_with_the_option_that_names_another(
    gallery: Path,
) -> None:
    with pytest.raises(UnavailableError, match="was made with colour") as caught:
        retrieve(parse_queries(["a"]), gallery)
    assert caught.value.hint == "--model NAME"


def test_a_query_that_does_not_decode_costs_only_itself(
    gallery: Path, small_videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    broken, notes = str(tmp_path / "broken.mp4"), Notes()
    queries = parse_queries([broken, str(small_videos / "1.mp4"), "a"])
    found, summary = retrieve(queries, gallery, encoder=ColourEncoder(), reporter=notes)
    assert [one.query for one in found] == [str(small_videos / "1.mp4"), "a"]
    assert summary.exit_code == 3 and len(summary.failed) == 1
    found, summary = retrieve(queries[:1], gallery, encoder=ColourEncoder(), reporter=notes)
    assert (found, summary.exit_code) == ([], 4)


def test_settings_that_contradict_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--per-video counts moments"):
        retrieve_settings({"per_video": 2})
    with pytest.raises(UsageError, match="want field=value"):
        retrieve_settings({"where": ["split"]})
    with pytest.raises(ConfigError, match="top_k: want at least 1"):
        RetrieveSettings(top_k=0)
    with pytest.raises(ConfigError, match="threshold: want a number"):
        retrieve_settings({"threshold": float("nan")})
    with pytest.raises(UsageError, match="--not wants words"):
        retrieve_settings({"unwanted": ["snow", " "]})
    monkeypatch.setenv("VCAP_SET__retrieve__top_k", "3")
    assert retrieve_settings({}).top_k == 3
    assert retrieve_settings({"top_k": 5, "device": "auto"}).top_k == 5


def test_a_folder_without_an_index_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(FeatureError) as caught:
        retrieve(parse_queries(["a"]), tmp_path)
    assert "vcap index" in (caught.value.hint or "")


def moment(path: Path, start: float, end: float) -> Hit:
    record = {"id": path.name, "path": str(path)}
    return Hit("q", path.name, 1, 0.5, record, Segment(start, end))


def test_moments_become_clips_once_and_hits_say_where_they_are(
    small_videos: Path, tmp_path: Path
) -> None:
    own = [moment(small_videos / "0.mp4", 0.5, 2.0), moment(small_videos / "1.mp4", 1.0, 2.0)]
    twice = [Found("q", own), Found("p", own[:1]), Found("t", [Hit("t", "text", 1, 0.1)])]
    found, summary = cut_hits(twice, tmp_path / "clips")
    assert (summary.done, summary.exit_code) == (2, 0)
    clip = tmp_path / "clips" / "0.mp4_0.5-2.mp4"
    assert found[0].hits[0].clip == found[1].hits[0].clip == clip
    assert found[0].hits[0].to_dict()["clip"] == str(clip)
    assert found[2].hits[0].clip is None
    assert probe(clip).duration_seconds == pytest.approx(1.5, abs=0.3)
    found, summary = cut_hits(twice, tmp_path / "clips")
    assert (summary.done, summary.skipped) == (0, 2)
    assert found[0].hits[1].clip == tmp_path / "clips" / "1.mp4_1-2.mp4"


def test_a_moment_of_a_file_that_is_gone_costs_only_its_clip(
    small_videos: Path, tmp_path: Path
) -> None:
    own = [moment(tmp_path / "gone.mp4", 0.0, 1.0), moment(small_videos / "1.mp4", 0.0, 1.0)]
    (found,), summary = cut_hits([Found("q", own)], tmp_path / "clips")
    assert summary.exit_code == 3 and len(summary.failed) == 1
    assert found.hits[0].clip is None and found.hits[1].clip is not None


def test_names_of_clips_are_safe_and_tell_moments_apart(tmp_path: Path) -> None:
    names = {
        clip_name(Hit("q", identity, 1, 0.5, {}, Segment(*times)))
        for identity in ("a/b.mp4", "a_b.mp4", "../b")
        for times in ((0.0, 1.0), (0.0, 1.5))
    }
    assert len(names) == 6 and not any("/" in name or name.startswith(".") for name in names)
