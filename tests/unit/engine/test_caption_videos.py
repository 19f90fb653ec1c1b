"""Videos in, captions out: whole videos and segments, one model for all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_videos import ColourCaptioner, make_video
from vcap.engine.caption import (
    caption,
    caption_video,
    far_warning,
    lines,
    model_lines,
    short_warning,
)
from vcap.engine.caption_words import WordSettings
from vcap.engine.caption_work import CaptionVideos, Prepared, manner
from vcap.engine.inputs import Source, gather
from vcap.engine.items import Summary
from vcap.engine.reporter import Silent
from vcap.errors import ConfigError, UsageError, VideoError
from vcap.video.write import write_mp4

Said = list[tuple[str, dict[str, Any]]]


def run(
    sources: list[Source], captioner: ColourCaptioner, **options: Any
) -> tuple[Summary, dict[str, dict[str, Any]]]:
    """Caption, and collect what was said of each video."""
    said: Said = []
    words = WordSettings(**options.pop("words", {}))
    how = manner(
        options.pop("every", None), options.pop("scenes", False), options.pop("stream", None), words
    )
    given: Any = captioner
    summary = caption(sources, given, how, on_result=lambda *one: said.append(one), **options)
    return summary, dict(said)


@pytest.fixture
def captioner() -> ColourCaptioner:
    return ColourCaptioner()


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """Two seconds of red, then two of white."""
    frames = np.zeros((32, 48, 64, 3), np.uint8)
    frames[:16, ..., 0] = 220
    frames[16:] = 230
    path = tmp_path / "halves.mp4"
    write_mp4(path, frames, frames_per_second=8)
    return path


def test_each_video_gets_the_caption_of_its_own_frames(
    small_videos: Path, captioner: ColourCaptioner
) -> None:
    summary, said = run(gather([str(small_videos)]), captioner)
    assert (summary.done, summary.exit_code) == (7, 0)
    assert list(said) == [f"{number}.mp4" for number in range(7)]
    assert len({one["captions"][0]["text"] for one in said.values()}) == 7
    for key, prediction in said.items():
        [alone] = caption_video(ColourCaptioner(), small_videos / key)  # type: ignore[arg-type]
        assert alone.text == prediction["captions"][0]["text"]


def test_a_prediction_is_the_record_with_captions_in_the_place_of_truth(
    small_videos: Path, tmp_path: Path, captioner: ColourCaptioner
) -> None:
    record = {
        "id": "v1",
        "path": str(small_videos / "1.mp4"),
        "split": "test",
        "captions": [{"text": "the truth"}],
        "meta": {"colour": "red"},
        "own": 1,
    }
    (tmp_path / "m.jsonl").write_text(json.dumps(record))
    _, said = run(gather([str(tmp_path / "m.jsonl")]), captioner)
    prediction = said["v1"]
    [made] = prediction.pop("captions")
    assert made["text"].startswith("colour ")
    assert made["score"] == pytest.approx(-1 / 3)
    assert "start" not in made
    assert prediction == {
        **{key: value for key, value in record.items() if key != "captions"},
        "duration": 3.0,
        "model": "colours",
    }


def test_every_cuts_a_video_into_segments_with_captions_of_their_own(
    halves: Path, captioner: ColourCaptioner
) -> None:
    red, white = caption_video(captioner, halves, every="2s")  # type: ignore[arg-type]
    assert [(c.start, c.end) for c in (red, white)] == [(0, 2), (2, 4)]
    assert red.text != white.text
    assert captioner.calls == [2]  # both segments at once


def test_scenes_cut_where_the_picture_changes(halves: Path, captioner: ColourCaptioner) -> None:
    captions = caption_video(captioner, halves, scenes=True)  # type: ignore[arg-type]
    assert [(c.start, c.end) for c in captions] == [(0, 2), (2, 4)]


def test_segments_of_several_videos_are_captioned_together(
    small_videos: Path, captioner: ColourCaptioner
) -> None:
    _, said = run(gather([str(small_videos)]), captioner, every="1s")
    assert captioner.calls == [16, 5]
    starts = [[each["start"] for each in one["captions"]] for one in said.values()]
    assert starts == [[0.0, 1.0, 2.0]] * 7


def test_a_long_video_in_many_chunks_has_the_captions_of_its_segments(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", 3, num_frames=240, rate=8)
    captions = caption_video(ColourCaptioner(), video, every=1)  # type: ignore[arg-type]
    assert [c.start for c in captions] == [float(number) for number in range(30)]
    model: Any = ColourCaptioner("all")
    [whole] = caption_video(model, video)
    assert whole.text.startswith("colour")


def test_a_record_about_a_segment_is_captioned_there_and_its_caption_has_no_times(
    halves: Path, captioner: ColourCaptioner, tmp_path: Path
) -> None:
    record = {"id": "second", "path": str(halves), "segment": [2.0, 4.0]}
    (tmp_path / "m.jsonl").write_text(json.dumps(record))
    _, said = run(gather([str(tmp_path / "m.jsonl")]), captioner)
    [made] = said["second"]["captions"]
    assert "start" not in made
    assert (said["second"]["duration"], said["second"]["segment"]) == (2.0, [2.0, 4.0])
    white = caption_video(captioner, halves, every=2)[1]  # type: ignore[arg-type]
    assert made["text"] == white.text


def test_a_still_is_a_video_of_one_frame(tmp_path: Path, captioner: ColourCaptioner) -> None:
    from PIL import Image

    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "still.png")
    _, said = run(gather([str(tmp_path / "still.png")]), captioner, every="10s")
    [made] = said["still.png"]["captions"]
    assert made["text"].startswith("colour")
    assert "duration" not in said["still.png"]
    assert said["still.png"]["media"] == "image"


def test_a_width_of_the_search_is_handed_on(small_videos: Path, captioner: ColourCaptioner) -> None:
    _, said = run(gather([str(small_videos / "0.mp4")]), captioner, words={"beam": 10})
    assert said["0.mp4"]["captions"][0]["score"] == -0.1


def test_every_segment_gets_several_captions_that_stand_together(
    small_videos: Path, captioner: ColourCaptioner
) -> None:
    words = {"num_captions": 3}
    _, said = run(gather([str(small_videos)]), captioner, every="1s", words=words)
    for one in said.values():
        starts = [each["start"] for each in one["captions"]]
        assert starts == [0.0] * 3 + [1.0] * 3 + [2.0] * 3
        scores = [each["score"] for each in one["captions"][:3]]
        assert scores == sorted(scores, reverse=True)
        assert len({each["text"] for each in one["captions"][:3]}) == 3
    assert captioner.calls == [16, 5]


def test_what_is_drawn_twice_is_drawn_again_for_all_videos_together(
    small_videos: Path, captioner: ColourCaptioner
) -> None:
    words = {"num_captions": 4, "strategy": "sample"}
    summary, said = run(gather([str(small_videos)]), captioner, words=words)
    assert captioner.calls == [7, 7]  # each call draws every caption twice
    assert all(len({each["text"] for each in one["captions"]}) == 4 for one in said.values())
    assert summary.warnings == []


def test_a_model_with_less_to_say_gives_that_and_it_is_told_once(small_videos: Path) -> None:
    class Terse(ColourCaptioner):
        def generate(self, clips: Any, settings: Any = None) -> Any:
            return [each[:1] for each in super().generate(clips, settings)]

    reporter = Silent()
    words = {"num_captions": 2}
    summary, said = run(gather([str(small_videos)]), Terse(), words=words, reporter=reporter)
    assert all(len(one["captions"]) == 1 for one in said.values())
    assert len(summary.warnings) == 1
    assert summary.warnings[0].startswith("7 videos have fewer than 2 different captions")
    assert short_warning(1, 5).startswith("1 video has fewer than 5")


def test_in_python_words_are_asked_for_by_name(
    small_videos: Path, captioner: ColourCaptioner
) -> None:
    model: Any = captioner
    video = small_videos / "0.mp4"
    assert len(caption_video(model, video, num_captions=2)) == 2
    with pytest.raises(ConfigError, match=r"unknown setting num_caption; .* num_captions\?"):
        caption_video(model, video, num_caption=2)
    with pytest.raises(UsageError, match="--strategy greedy gives one caption"):
        caption_video(model, video, num_captions=2, strategy="greedy")


def test_frames_of_many_videos_and_segments_fill_the_encoders_batches(
    small_videos: Path, captioner: ColourCaptioner
) -> None:
    run(gather([str(small_videos)]), captioner, every="1s")
    num_frames = 7 * 3 * 4
    assert captioner.encoder.num_calls <= 1 + num_frames // captioner.encoder.batch_size


def test_a_video_that_fails_half_way_leaves_the_frames_of_the_others_in_place(
    small_videos: Path, captioner: ColourCaptioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = gather([str(small_videos)])
    _, whole = run(sources, captioner)
    prepare = CaptionVideos.prepare

    def broken_later(self: CaptionVideos, source: Source) -> Prepared:
        prepared = prepare(self, source)
        if source.id == "3.mp4":
            prepared.chunks.rest = failing()
        return prepared

    def failing() -> Any:
        raise VideoError("damaged")
        yield

    monkeypatch.setattr(CaptionVideos, "prepare", broken_later)
    summary, said = run(sources, ColourCaptioner())
    assert [failure.key for failure in summary.failed] == ["3.mp4"]
    assert said == {key: one for key, one in whole.items() if key != "3.mp4"}


def test_one_bad_video_in_a_hundred_costs_one_entry(
    small_videos: Path, tmp_path: Path, captioner: ColourCaptioner
) -> None:
    lines_in = [
        {"id": f"v{number}", "path": str(small_videos / f"{number % 7}.mp4")}
        for number in range(100)
    ]
    (tmp_path / "text.mp4").write_text("no video")
    lines_in[41]["path"] = "text.mp4"
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(line) for line in lines_in))
    summary, said = run(gather([str(tmp_path / "m.jsonl")]), captioner)
    assert (summary.done, summary.exit_code) == (99, 3)
    assert [failure.key for failure in summary.failed] == ["v41"]
    assert list(said) == [f"v{number}" for number in range(100) if number != 41]


def test_a_path_that_is_no_video_raises_what_is_wrong(
    tmp_path: Path, captioner: ColourCaptioner
) -> None:
    with pytest.raises(VideoError, match="no such file"):
        caption_video(captioner, tmp_path / "absent.mp4")  # type: ignore[arg-type]


def test_a_folder_of_many_is_no_single_video(
    small_videos: Path, captioner: ColourCaptioner
) -> None:
    with pytest.raises(UsageError, match="7 videos"):
        caption_video(captioner, small_videos)  # type: ignore[arg-type]


def test_two_ways_to_cut_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="--every and --scenes"):
        manner("10s", True)


@pytest.mark.parametrize("limit", [0.0, 2.0])
def test_footage_unlike_the_training_footage_is_warned_of_once_a_run(
    small_videos: Path, limit: float
) -> None:
    reporter = Silent()
    far = ColourCaptioner(threshold=limit)
    summary, _ = run(gather([str(small_videos)]), far, reporter=reporter)
    told = [line for line in reporter.lines if "unlike" in line]
    assert len(told) == (1 if limit == 0.0 else 0)
    assert all("7 of 7 videos" in line and "vcap train prefix" in line for line in told)
    assert len(summary.warnings) == len(told)


def test_the_warning_of_tiny_says_what_it_knows() -> None:
    model: Any = ColourCaptioner()
    model.name = "tiny"
    assert "rendered shapes only" in far_warning(model, 1, 1)
    assert far_warning(model, 1, 1).startswith("the video looks")


def test_captions_for_eyes_have_times_only_where_they_are_about_segments() -> None:
    whole = {"captions": [{"text": "a  star"}]}
    cut = {
        "captions": [
            {"text": "a star", "start": 0, "end": 10},
            {"text": "b", "start": 10.0, "end": 12.5},
        ]
    }
    assert lines(whole) == ["a star"]
    assert lines(whole, name="a.mp4") == ["a.mp4: a star"]
    assert lines(cut) == ["[00:00.000 --> 00:10.000] a star", "[00:10.000 --> 00:12.500] b"]


def test_the_named_models_are_listed_with_what_they_know() -> None:
    assert any(line.startswith("tiny\t") and "shapes" in line for line in model_lines())


@pytest.mark.media
def test_a_damaged_video_gets_a_caption_and_a_warning(
    media_root: Path, captioner: ColourCaptioner
) -> None:
    reporter = Silent()
    source = gather([str(media_root / "broken" / "truncated_moov_first.mp4")])
    summary, said = run(source, captioner, reporter=reporter)
    [prediction] = said.values()
    assert (summary.exit_code, len(prediction["captions"])) == (0, 1)
    assert "announces" in prediction["warnings"][0]
    assert any("truncated_moov_first.mp4: " in line for line in reporter.lines)


@pytest.mark.media
@pytest.mark.parametrize(("stream", "seconds"), [(None, 13.013), (0, 13.0), (3, 13.013)])
def test_another_video_stream_of_a_file_can_be_captioned(
    media_root: Path, captioner: ColourCaptioner, stream: int | None, seconds: float
) -> None:
    sources = gather([str(media_root / "nasa_13013.mp4")])
    _, said = run(sources, captioner, stream=stream, every="5s")
    assert said["nasa_13013.mp4"]["duration"] == seconds


def test_a_named_stream_is_part_of_what_made_a_caption_only_where_it_is_named(
    captioner: ColourCaptioner,
) -> None:
    def made_by(stream: int | None) -> dict[str, Any]:
        model: Any = captioner
        return CaptionVideos(model, manner(stream=stream), Silent()).made_by()

    assert "stream" not in made_by(None)
    assert made_by(0) == {**made_by(None), "stream": 0}
